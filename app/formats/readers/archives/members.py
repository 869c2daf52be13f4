"""Files inside a zip, or under gzip, bzip2 or xz, as streams; nothing is written by a name of theirs.

A member is read through as often as it is needed. Only where a format must go back and forth
(a workbook, a database) is it unpacked, to the run's scratch folder and under a name of ours.
"""

import bz2
import gzip
import io
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from app.formats.guidance import FileRefused
from app.formats.readers.archives.packed import check_directory
from app.formats.stored import StoredFile

MOST_MEMBERS = 20_000
MOST_BYTES = 20 << 30
RATIO = 200  # tables reach 5 to 30; only what is made to harm goes far beyond
FREE_BYTES = 50 << 20  # up to here any ratio is harmless
_COPY = 1 << 20
_PACKED = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip"),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive."""

    name: str  # its path, with / between folders
    open: Callable[[], BinaryIO]
    size: int | None  # as the archive says


class PackedFile(StoredFile):
    """A member as a stored file: streamed, and unpacked only when somebody asks for its path."""

    __slots__ = ("_member", "_path", "depth")

    def __init__(self, member: Member, scratch: Path, depth: int) -> None:
        object.__setattr__(self, "_member", member)
        object.__setattr__(self, "_path", None)
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "scratch", scratch)
        object.__setattr__(self, "name", member.name)

    _member: Member
    _path: Path | None
    depth: int

    def open(self) -> BinaryIO:
        """The bytes from the beginning; the stream cannot go back."""
        return self._path.open("rb") if self._path is not None else self._member.open()

    @property
    def path(self) -> Path:
        """Where it was unpacked, which happens now."""
        if self._path is None:
            before = sum(each.stat().st_size for each in self.scratch.iterdir() if each.is_file())
            with (
                tempfile.NamedTemporaryFile(dir=self.scratch, prefix="member", delete=False) as out,
                self._member.open() as stream,
            ):
                while data := stream.read(_COPY):
                    out.write(data)
                    if before + out.tell() > MOST_BYTES:
                        raise FileRefused("file_dangerous")
            object.__setattr__(self, "_path", Path(out.name))
        return cast(Path, self._path)

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self.path.stat().st_size if self._member.size is None else self._member.size


def packing(head: bytes) -> str | None:
    """What a file is packed with, by its first bytes."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return next((kind for magic, kind in _PACKED if magic.match(head)), None)


def members_of(file: StoredFile, kind: str) -> list[Member]:
    """The members in their order, folders left out. Raises `FileRefused`."""
    if kind == "zip":
        return _zip_members(file)
    name = Path(file.name or "").name
    stem = name.rsplit(".", 1)[0] if "." in name else name
    return [Member(stem, partial(_unpacked, file, kind), None)]


def _zip_members(file: StoredFile) -> list[Member]:
    check_directory(file)
    path = file.path
    with _refusing(), zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_MEMBERS or sum(info.file_size for info in infos) > MOST_BYTES:
        raise FileRefused("file_dangerous")
    if any(info.flag_bits & 0x1 for info in infos):
        raise FileRefused("file_encrypted")
    return [
        Member(_name(info), partial(_member_stream, path, info), info.file_size)
        for info in infos
        if not info.filename.endswith(("/", "\\"))
    ]


def _name(info: zipfile.ZipInfo) -> str:
    """The path. Without the flag for UTF-8 it is what Windows wrote (APPNOTE D.1 notwithstanding)."""
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "cp932"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.split("\0")[0].replace("\\", "/")


def _member_stream(path: Path, info: zipfile.ZipInfo) -> BinaryIO:
    with _refusing():
        archive = zipfile.ZipFile(path)
        try:
            inner = archive.open(info)
        except BaseException:
            archive.close()
            raise
    return _counted(inner, archive.close, info.compress_size)


def _unpacked(file: StoredFile, kind: str) -> BinaryIO:
    outer = file.open()
    opened = {"gzip": gzip.GzipFile, "bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}[kind]
    with _refusing():
        inner = opened(fileobj=outer) if kind == "gzip" else opened(outer)
    return _counted(cast(IO[bytes], inner), outer.close, file.size)


def _counted(inner: IO[bytes], close: Callable[[], None], packed: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Counted(inner, close, packed), _COPY))


class _Counted(io.RawIOBase):
    """A stream that counts what comes out: a bomb lies about its sizes."""

    def __init__(self, inner: IO[bytes], close: Callable[[], None], packed: int) -> None:
        self._inner, self._close = inner, close
        self._out = 0
        self._most = min(max(packed * RATIO, FREE_BYTES), MOST_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _refusing():
            data = self._inner.read(len(buffer))
        self._out += len(data)
        if self._out > self._most:
            raise FileRefused("file_dangerous")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._close()
        super().close()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except NotImplementedError as exc:
        raise FileRefused("archive_method_unknown") from exc
    except RuntimeError as exc:  # "password required", and nothing else
        raise FileRefused("file_encrypted") from exc
    except _DAMAGED as exc:
        raise FileRefused("file_damaged") from exc
