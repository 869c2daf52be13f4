"""Streams an XML part of a workbook: long runs of plain items in one go, all else by expat.

It holds one chunk at a time, and refuses document types: no part of a workbook has entities.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat

from app.formats.guidance import FileRefused

CHUNK_BYTES = 4 << 20
_ITEM_BYTES = 64 << 20  # one row may hold 16,384 cells of 32,767 characters; none does
_PROLOG_BYTES = 1 << 20
_ENCODING = re.compile(rb"""encoding=["']([A-Za-z0-9._-]+)["']""")

Attributes = dict[str, str]


@dataclass(slots=True)
class Handlers:
    """What is called for elements; names come without their namespace."""

    start: Callable[[str, Attributes], None]
    end: Callable[[str, str], None]  # with the text that the element holds itself
    texts: frozenset[str] = frozenset()  # the elements whose text is wanted
    data: Callable[[str], None] | None = None  # all text in its order


@dataclass(frozen=True, slots=True)
class Runs:
    """Items that need no parser: `take` says whether it knew all of a chunk of whole items."""

    within: bytes  # sheetData
    item: bytes  # row
    take: Callable[[bytes], bool]


def read_part(stream: BinaryIO, handlers: Handlers, runs: Runs | None = None) -> None:
    """The whole part. Raises `FileRefused` where it is no XML or has a document type."""
    parser = _parser(handlers)
    try:
        if runs is not None:
            _withhold(stream, parser, runs)
        while chunk := stream.read(1 << 20):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as exc:
        raise FileRefused("file_damaged") from exc
    except (LookupError, ValueError) as exc:
        if "encoding" not in str(exc):  # the parser asks Python for encodings that it lacks
            raise
        raise FileRefused("file_damaged") from exc


def _parser(handlers: Handlers) -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth: list[list[str] | None] = []

    def start(name: str, attributes: Attributes) -> None:
        local = name.rpartition("}")[2]
        depth.append([] if local in handlers.texts else None)
        handlers.start(local, attributes)

    def end(name: str) -> None:
        text = depth.pop()
        handlers.end(name.rpartition("}")[2], "".join(text) if text else "")

    def data(text: str) -> None:
        if handlers.data is not None:
            handlers.data(text)
        elif depth and (held := depth[-1]) is not None:
            held.append(text)

    def doctype(*_: object) -> None:
        raise FileRefused("file_dangerous")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    return parser


def _withhold(stream: BinaryIO, parser: expat.XMLParserType, runs: Runs) -> None:
    """Feed the parser all but the plain items; return where it must read on by itself."""
    prolog, opening = _prolog(stream, runs.within)
    if opening is None or not _is_plain(prolog[: opening.end()]):
        parser.Parse(prolog, False)
        return
    parser.Parse(prolog[: opening.end()], False)
    rest, closing = prolog[opening.end() :], b"</" + runs.item + b">"
    while True:
        chunk = stream.read(CHUNK_BYTES - min(len(rest), CHUNK_BYTES // 2))
        rest += chunk
        end = rest.rfind(closing)
        if end >= 0:
            end += len(closing)
            if not runs.take(rest[:end]):
                parser.Parse(rest, False)
                return
            rest = rest[end:]
        if not chunk:
            parser.Parse(rest, False)
            return
        if len(rest) > _ITEM_BYTES:
            raise FileRefused("file_dangerous")


def _prolog(stream: BinaryIO, within: bytes) -> tuple[bytes, re.Match[bytes] | None]:
    pattern = re.compile(rb"<" + within + rb"(?:\s[^<>]*)?(?<!/)>")
    head = b""
    while (opening := pattern.search(head)) is None and len(head) < _PROLOG_BYTES:
        chunk = stream.read(1 << 16)
        if not chunk:
            break
        head += chunk
    return head, opening


def _is_plain(prolog: bytes) -> bool:
    """Whether what follows can be read as UTF-8 text with the names as they stand."""
    told = _ENCODING.search(prolog[:200])
    is_utf8 = told is None or told[1].lower() in (b"utf-8", b"us-ascii")
    return is_utf8 and prolog.lstrip(b"\xef\xbb\xbf").startswith(b"<") and b"<!" not in prolog
