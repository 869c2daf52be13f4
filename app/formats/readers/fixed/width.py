"""Rows of a fixed-length file by the layout that its publisher told; it guesses no border."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO

from app.formats.guidance import FileRefused
from app.formats.readers.documents.row_batches import SAMPLE_ROWS, Row, gathered, sample_of
from app.formats.readers.fixed.cells import ReadCell, Spoilt, reader_of, text
from app.formats.readers.fixed.ebcdic import NAMES
from app.formats.readers.fixed.layout import Column, FixedLayout, fixed_layout
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table, WrongRow
from app.formats.told import Told

_READ = 1 << 20
_LINE = 1 << 20
_EBCDIC_LINE_END = b"\x15"
_BOM = b"\xef\xbb\xbf"
_ASCII_LIKE = frozenset({"cp932", "euc_jp", "utf-8", "ascii", "latin-1"})


@dataclass(frozen=True)
class FixedTable:
    """A file of records."""

    file: StoredFile
    layout: FixedLayout
    name: str = ""
    format: str = "fixed_width"

    @property
    def encoding(self) -> str:
        """As told."""
        return self.layout.encoding

    @cached_property
    def head(self) -> Head:
        """The columns of the layout, and the first records."""
        first = []
        for row in self._rows(_Progress()):
            first.append(row)
            if len(first) == SAMPLE_ROWS:
                break
        columns = self.layout.columns
        return Head(
            labels=tuple(column.label for column in columns),
            header_line=0,
            sample=sample_of(first, len(columns)),
            types=tuple(column.field_type for column in columns),
        )

    def batches(self) -> Iterator[Batch]:
        """The records in order; raises `FileRefused` where a trailer counts others."""
        progress = _Progress()
        return gathered(self._rows(progress), len(self.layout.columns), lambda: progress.read)

    def _rows(self, progress: "_Progress") -> Iterator[Row]:
        cut = _Cutter(self.layout)
        records = self._data(progress)
        if self.layout.only is not None:
            records = _only(records, *self.layout.only, self.layout)
        count = 0
        for number, record in records:
            count += 1
            yield cut.row(number, record)
        self._check_trailer(progress, count)

    def _data(self, progress: "_Progress") -> Iterator[tuple[int, bytes]]:
        """The records between those that are skipped and the trailer, with their numbers."""
        waiting: deque[tuple[int, bytes]] = deque()
        for number, record in enumerate(_records(self.file, self.layout, progress), 1):
            if number <= self.layout.skip_records:
                continue
            waiting.append((number, record))
            if len(waiting) > self.layout.trailer_records:
                yield waiting.popleft()
        if self.layout.trailer_records:
            if len(waiting) < self.layout.trailer_records:
                raise FileRefused("fixed_width_trailer", said="-", counted=0)
            progress.trailer = waiting[-1][1]

    def _check_trailer(self, progress: "_Progress", counted: int) -> None:
        column = self.layout.trailer_count
        if column is None or progress.trailer is None:
            return
        try:
            said = reader_of(column, self.layout.encoding)(
                progress.trailer[column.start : column.end]
            ).strip()
        except Spoilt as exc:
            raise FileRefused("fixed_width_trailer", said="?", counted=counted) from exc
        if not said.isascii() or not said.isdigit() or int(said) != counted:
            raise FileRefused("fixed_width_trailer", said=said[:20] or "-", counted=counted)


@dataclass(slots=True)
class _Progress:
    read: int = 0
    trailer: bytes | None = None


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The one table. Raises `FileRefused` where the layout is wrong or does not fit the file."""
    layout = fixed_layout(told.fixed_width or {})
    length, size = layout.record_length, file.size
    if size == 0:
        raise FileRefused("file_empty")
    if length is not None and size % length:
        raise FileRefused("fixed_width_length", size=size, length=length, rest=size % length)
    return [FixedTable(file, layout)]


def _records(file: StoredFile, layout: FixedLayout, progress: _Progress) -> Iterator[bytes]:
    with file.open() as stream:
        if layout.record_length is not None:
            yield from _by_length(stream, layout.record_length, progress)
        else:
            yield from _by_line(stream, layout, progress)


def _by_length(stream: BinaryIO, length: int, progress: _Progress) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(max(_READ, length)):
        progress.read += len(data)
        data = rest + data
        whole = len(data) - len(data) % length
        for at in range(0, whole, length):
            yield data[at : at + length]
        rest = data[whole:]


def _by_line(stream: BinaryIO, layout: FixedLayout, progress: _Progress) -> Iterator[bytes]:
    """Lines without their ends. In EBCDIC a line ends with NEL, which no cell may then hold."""
    end = _EBCDIC_LINE_END if layout.encoding in NAMES else b"\n"
    rest, first, number = b"", True, 0
    while data := stream.read(_READ):
        progress.read += len(data)
        data = rest + data
        if first and layout.encoding == "utf-8":
            data = data.removeprefix(_BOM)
        first = False
        *lines, rest = data.split(end)
        number += len(lines)
        if len(rest) > _LINE:
            raise FileRefused("line_too_long", line=number + 1, limit_mb=_LINE >> 20)
        for line in lines:
            yield line.removesuffix(b"\r")
    if rest and rest != b"\x1a":  # DOS ended its texts with a Ctrl-Z
        yield rest.removesuffix(b"\r")


def _only(
    records: Iterator[tuple[int, bytes]],
    column: Column,
    values: frozenset[str],
    layout: FixedLayout,
) -> Iterator[tuple[int, bytes]]:
    for number, record in records:
        try:
            mark = text(record[column.start : column.end], layout.encoding).strip()
        except Spoilt:
            mark = ""
        if mark in values:
            yield number, record


@dataclass(slots=True)
class _Cutter:
    """Cuts records into cells."""

    layout: FixedLayout
    _readers: list[tuple[Column, ReadCell]] = field(init=False)
    _all_text: bool = field(init=False)

    def __post_init__(self) -> None:
        columns, encoding = self.layout.columns, self.layout.encoding
        self._readers = [(column, reader_of(column, encoding)) for column in columns]
        self._all_text = encoding in _ASCII_LIKE and all(
            column.type in ("text", "graphic") for column in columns
        )

    def row(self, number: int, record: bytes) -> Row:
        """The cells of one record; one that cannot be read spoils the row."""
        if self._all_text and record.isascii() and b"\0" not in record:
            line = record.decode("ascii")
            return Row(number, [line[column.start : column.end] for column in self.layout.columns])
        if not self.layout.is_bytes:
            return self._by_characters(number, record)
        cells: list[str | None] = []
        wrong: WrongRow | None = None
        for at, (column, read) in enumerate(self._readers):
            try:
                cells.append(read(record[column.start : column.end]))
            except Spoilt as exc:
                cells.append(record[column.start : column.end].hex())
                wrong = wrong or WrongRow(str(exc), column=at)
        return Row(number, cells, wrong)

    def _by_characters(self, number: int, record: bytes) -> Row:
        try:
            line = text(record, self.layout.encoding)
        except Spoilt as exc:
            shown = record.decode(self.layout.encoding, "replace").replace("\0", "\ufffd")
            return Row(number, [], WrongRow(str(exc), raw=(shown,)))
        return Row(number, [line[column.start : column.end] for column in self.layout.columns])
