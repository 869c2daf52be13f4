"""Rows of an XML document by a mapping told, or by what repeats in it; streaming, no entity opened.

A document type is refused: no table needs one, and every XML bomb does (XXE, billion laughs).
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from lxml import etree

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.documents.row_batches import SAMPLE_ROWS, Row, gathered, sample_of
from app.formats.readers.documents.xml_mapping import XmlMapping, local, xml_mapping
from app.formats.readers.documents.xml_shape import proposed
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table, WrongRow
from app.formats.told import Told

_KEPT = 200_000  # elements outside rows: more is no table
_CELL = 1 << 20
_HEAD = 1024
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding=["']([A-Za-z0-9._-]+)["']""")
_NAMES = {"cp932": "CP932", "euc_jp": "EUC-JP"}  # as libxml2 calls them
# libxml2: entity loop, resource limit, name too long, internal limits (xmlerror.h)
_DANGEROUS = frozenset({89, 110, 111, 114})


@dataclass(frozen=True)
class XmlTable:
    """The elements of one name, at one place of the document."""

    file: StoredFile
    mapping: XmlMapping
    told_encoding: str | None
    found_encoding: str
    more: tuple[Notice, ...] = ()
    name: str = ""
    format: str = "xml"

    @property
    def encoding(self) -> str:
        """As the document declares it."""
        return self.told_encoding or self.found_encoding

    @cached_property
    def head(self) -> Head:
        """The labels of the mapping and the first rows."""
        first: list[Row] = []
        for row in self._rows(_Progress()):
            first.append(row)
            if len(first) == SAMPLE_ROWS:
                break
        labels = tuple(self.mapping.labels)
        if not first:
            raise FileRefused("xml_rows_unknown", path=self.mapping.shown)
        return Head(
            labels=labels, header_line=0, sample=sample_of(first, len(labels)), notices=self.more
        )

    def batches(self) -> Iterator[Batch]:
        """The rows in document order, each under its number."""
        progress = _Progress()
        return gathered(self._rows(progress), len(self.mapping.labels), lambda: progress.read)

    def _rows(self, progress: "_Progress") -> Iterator[Row]:
        with self.file.open() as stream:
            counted = _Counted(stream, progress)
            rows = rows_in(counted, self.mapping, self.told_encoding)
            for number, element in enumerate(rows, 1):
                yield _row(number, self.mapping.cells(element))


@dataclass(slots=True)
class _Progress:
    read: int = 0


@dataclass(slots=True)
class _Counted:
    """A stream that tells how far it was read."""

    stream: BinaryIO
    progress: _Progress

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.progress.read += len(data)
        return data


def _row(number: int, cells: list[str | None]) -> Row:
    long = next((at for at, cell in enumerate(cells) if cell and len(cell) > _CELL), None)
    if long is None:
        return Row(number, cells)
    short = [cell[:_CELL] if cell else cell for cell in cells]
    return Row(number, short, WrongRow("cell_over_limit", column=long))


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The one table that is meant. Raises `FileRefused` where nothing repeats."""
    encoding = _NAMES.get(told.encoding, told.encoding) if told.encoding else None
    more: tuple[Notice, ...] = ()
    mapping = None if told.rows is None else xml_mapping(told.rows)
    if mapping is None or not mapping.labels:
        mapping, more = _proposal(file, encoding, mapping)
    return [XmlTable(file, mapping, encoding, _declared(file), more)]


def _declared(file: StoredFile) -> str:
    """The encoding that the document names (XML 1.0, 4.3.3)."""
    with file.open() as stream:
        head = stream.read(_HEAD)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    found = _ENCODING.match(head.removeprefix(codecs.BOM_UTF8))
    return found[1].decode("ascii").lower() if found else "utf-8"


def _proposal(
    file: StoredFile, encoding: str | None, told: XmlMapping | None
) -> tuple[XmlMapping, tuple[Notice, ...]]:
    with file.open() as stream:
        mapping = proposed(_parsed(stream, ("start", "end"), encoding), told)
    if mapping is None:
        raise FileRefused("xml_rows_unknown", path=told.shown if told else "-")
    if told is not None:
        return mapping, ()
    notice = Notice("xml_rows_proposed", {"path": mapping.shown, "count": len(mapping.labels)})
    return mapping, (notice,)


def rows_in(stream: Any, mapping: XmlMapping, encoding: str | None) -> Iterator[Any]:
    """The row elements one by one; what was read of each is let go."""
    path: list[tuple[str, str]] = []
    kept = inside = 0
    for event, element in _parsed(stream, ("start", "end"), encoding):
        if event == "start":
            path.append(local(element.tag))
            inside += mapping.is_row(path)
            kept += not inside
            if kept > _KEPT:
                raise FileRefused("file_dangerous")
            continue
        if mapping.is_row(path):
            yield element
            inside -= 1
            if not inside:
                _let_go(element)
        path.pop()


def _let_go(element: Any) -> None:
    """Empty a row that was read, and take the rows before it out of the tree."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    if parent is None:
        return
    while (before := element.getprevious()) is not None and before.tag == element.tag:
        if len(before):
            break
        parent.remove(before)


def _parsed(
    stream: Any, events: tuple[str, ...], encoding: str | None
) -> Iterator[tuple[str, Any]]:
    """Parse events of elements alone. Raises `FileRefused` for bombs and for what is no XML."""
    with _refusing():
        first = True
        for event, element in etree.iterparse(
            stream,
            events=events,
            encoding=encoding,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        ):
            if first:
                first = False
                if element.getroottree().docinfo.doctype:
                    raise FileRefused("file_dangerous")
            yield event, element


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except etree.XMLSyntaxError as exc:
        if exc.code in _DANGEROUS:
            raise FileRefused("file_dangerous") from exc
        raise FileRefused("xml_invalid", line=exc.lineno or 1) from exc
    except LookupError as exc:
        raise FileRefused("xml_invalid", line=1) from exc
