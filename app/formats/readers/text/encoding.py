"""Tells a file's encoding by strict decoding of every byte; it never guesses by statistics."""

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.guidance import FileRefused

_CHUNK = 1 << 20
_HEAD = 4096
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's cp932 lets these single bytes through (80, A0, FD to FF), which no CP932 text holds.
_JAPANESE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uff01-\uffef]")
_SURELY_UTF8 = (
    8  # so many three-byte characters and not one error: no CP932 or EUC-JP text does that
)
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x19\x1c-\x1f]")
_NOT_CP932 = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "euc_jp": "EUC-JP",
    "cp932": "Shift_JIS (CP932)",
}
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "euc_jp", "cp932")

# dBASE III: its version, then the date of the last change with the year since 1900.
_DBF = re.compile(rb"[\x03\x83][\x00-\x9f][\x01-\x0c][\x01-\x1f].{4}.{2}.{2}\x00\x00", re.DOTALL)

_MAGIC: tuple[tuple[bytes, str, dict[str, str]], ...] = (
    (b"%PDF", "file_is_pdf", {}),
    (b"7z\xbc\xaf\x27\x1c", "file_is_compressed", {"kind": "7z"}),
    (b"\x28\xb5\x2f\xfd", "file_is_compressed", {"kind": "zstd"}),
    (b"Rar!", "file_is_compressed", {"kind": "rar"}),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "file_is_office", {}),
    (b"\x89PNG", "file_is_image", {}),
    (b"\xff\xd8\xff", "file_is_image", {}),
    (b"GIF8", "file_is_image", {}),
    (b"\x00\x00\x27\x0a", "file_is_shapefile_part", {"kind": ".shp, .shx"}),
    (b"version https://git-lfs.github.com/spec/", "file_is_lfs_pointer", {}),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's bytes become text, and what the whole file holds."""

    name: str  # a Python codec without BOM handling
    bom: int  # bytes to skip at the start
    ambiguous: bool  # EUC-JP and CP932 both decode
    size: int

    @property
    def label(self) -> str:
        """The name that a report shows."""
        return f"{self.name} with BOM" if self.bom else self.name


def probe(open_stream: Callable[[], BinaryIO], *, told: str | None = None) -> Encoding:
    """The encoding of the whole file, or `FileRefused`. `told` is the publisher's own word."""
    with open_stream() as stream:
        head = stream.read(_HEAD)
    _refuse_other_formats(head)
    return text_encoding(open_stream, told=told)


def text_encoding(open_stream: Callable[[], BinaryIO], *, told: str | None = None) -> Encoding:
    """The same for a text that is no delimited one (JSON, say)."""
    with open_stream() as stream:
        head = stream.read(_HEAD)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return _only(open_stream, name, len(bom))
    if told is not None and told not in ENCODINGS:
        raise FileRefused("encoding_unknown", name=told, known=", ".join(ENCODINGS))
    if told is not None:
        return _only(open_stream, told, 0)
    wide = _wide_without_bom(head)
    if wide is not None:
        return _only(open_stream, wide, 0)
    return _search(open_stream)


def _refuse_other_formats(head: bytes) -> None:
    for magic, code, details in _MAGIC:
        if head.startswith(magic):
            raise FileRefused(code, **details)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        raise FileRefused("file_is_html")
    if start.startswith(b"<?xml") and b"<html" in start:
        raise FileRefused("file_is_html")
    if _DBF.match(head):
        raise FileRefused("file_is_shapefile_part", kind=".dbf")
    if head[257:262] == b"ustar":
        raise FileRefused("file_is_compressed", kind="tar")


def _wide_without_bom(head: bytes) -> str | None:
    """UTF-16 by where the NULs of ASCII and line ends stand: all odd (LE) or all even (BE)."""
    even, odd = head[0::2], head[1::2]
    if 0 in odd and 0 not in even and odd.count(0) * 2 >= _plain(even):
        return "utf-16-le"
    if 0 in even and 0 not in odd and even.count(0) * 2 >= _plain(odd):
        return "utf-16-be"
    return None


def _plain(plane: bytes) -> int:
    """How many bytes look like delimiters, line ends and digits: in UTF-16 a NUL goes with each."""
    return len(re.findall(rb"[\t\n\r,;|0-9]", plane))


def _only(open_stream: Callable[[], BinaryIO], name: str, bom: int) -> Encoding:
    size, failures, blank = _decode(open_stream, (name,), bom)
    _refuse_blank(blank)
    if name in failures:
        raise _undecodable(open_stream, failures, bom)
    return Encoding(name, bom, ambiguous=False, size=size)


def _search(open_stream: Callable[[], BinaryIO]) -> Encoding:
    size, failures, blank = _decode(open_stream, ("utf-8",), 0)
    _refuse_blank(blank)
    if not failures:
        return Encoding("utf-8", 0, ambiguous=False, size=size)
    _refuse_broken_utf8(open_stream, failures["utf-8"])
    size, more, _ = _decode(open_stream, ("euc_jp", "cp932"), 0)
    failures |= more
    fitting = [name for name in ("euc_jp", "cp932") if name not in failures]
    if not fitting and _has_controls(open_stream):
        raise FileRefused("file_is_binary")
    if not fitting:
        raise _undecodable(open_stream, failures, 0)
    return Encoding(fitting[0], 0, ambiguous=len(fitting) == 2, size=size)


def _has_controls(open_stream: Callable[[], BinaryIO]) -> bool:
    """Whether the head holds what no text does."""
    with open_stream() as stream:
        return _CONTROL.search(stream.read(_HEAD)) is not None


def _refuse_broken_utf8(open_stream: Callable[[], BinaryIO], offset: int) -> None:
    """Japanese that was UTF-8 up to here is not CP932: a cut or mixed file must not become rubbish."""
    with open_stream() as stream:
        before = stream.read(offset)[-_HEAD * 16 :]
        rest = stream.read(4)
    letters = len(_JAPANESE.findall(before.decode("utf-8", "ignore")))
    if len(rest) < 4 and letters >= 2 and _is_cut(rest):
        raise FileRefused("file_truncated", offset=offset)
    if letters >= _SURELY_UTF8:
        raise FileRefused("encoding_mixed", offset=offset)


def _is_cut(rest: bytes) -> bool:
    """Whether the last bytes are the beginning of a UTF-8 character."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        return decoder.decode(rest, final=False) == ""
    except UnicodeDecodeError:
        return False


def _decode(
    open_stream: Callable[[], BinaryIO], names: tuple[str, ...], bom: int
) -> tuple[int, dict[str, int], bool]:
    """Size, first failing byte offset per codec, and whether the file holds only blanks."""
    decoders = {name: codecs.getincrementaldecoder(name)("strict") for name in names}
    failures: dict[str, int] = {}
    offset, blank = bom, True
    for chunk in _chunks(open_stream, bom):
        if not names[0].startswith("utf-16") and b"\0" in chunk:
            raise FileRefused("nul_bytes", offset=offset + chunk.index(b"\0"))
        for name, decoder in tuple(decoders.items()):
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as exc:
                failures[name] = offset - pending + exc.start
                del decoders[name]
                continue
            if "\0" in text:
                raise FileRefused("nul_bytes", offset=offset)
            if name == "cp932" and (odd := _NOT_CP932.search(text)):
                failures[name] = offset - pending + len(text[: odd.start()].encode(name))
                del decoders[name]
                continue
            blank = blank and not text.strip("\ufeff \t\r\n\u3000")
        offset += len(chunk)
        if not decoders:
            return offset, failures, False
    return offset, failures, blank


def _chunks(open_stream: Callable[[], BinaryIO], skip: int) -> Iterator[bytes]:
    """The bytes after `skip`, and at the end one empty chunk that flushes the decoders."""
    with open_stream() as stream:
        stream.read(skip)
        while chunk := stream.read(_CHUNK):
            yield chunk
        yield b""


def _refuse_blank(blank: bool) -> None:
    if blank:
        raise FileRefused("file_empty")


def _undecodable(
    open_stream: Callable[[], BinaryIO], failures: dict[str, int], bom: int
) -> FileRefused:
    """The refusal, with the encoding that came furthest and the line on which it failed."""
    name, offset = max(failures.items(), key=lambda failure: failure[1])
    decoder = codecs.getincrementaldecoder(name)("replace")
    line, read = 1, bom
    for chunk in _chunks(open_stream, bom):
        before = chunk[: max(offset - read, 0)]
        text = decoder.decode(before, final=not chunk)
        line += max(text.count("\n"), text.count("\r"))
        read += len(chunk)
    return FileRefused("undecodable", name=NAMES.get(name, name), line=line, offset=offset)
