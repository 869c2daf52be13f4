"""Rows of a fixed-length file by the layout that its publisher told; it guesses no border."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import cached_property
from typing import BinaryIO

from app.formats.guidance import FileRefused
from app.formats.readers.documents.row_batches import SAMPLE_ROWS, Row, gathered, sample_of
from app.formats.readers.fixed.cells import ReadCell, Spoilt, dated, reader_of, text
from app.formats.readers.fixed.ebcdic import FAMILY
from app.formats.readers.fixed.layout import Column, FixedLayout, Mark, fixed_layout
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table, WrongRow
from app.formats.told import Told

_READ = 1 << 20
_LINE = 1 << 20
_MOST_TRAILERS = 10_000
# A packed number has up to 31 digits, of which none may be lost in a sum.
_EXACT = Context(prec=400, traps=[InvalidOperation, Overflow, Inexact])
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
        cut, sums = _Cutter(self.layout), _Sums(self.layout)
        count, has_sums = 0, bool(self.layout.trailer.sums)
        records = self._data if self.layout.has_marks else self._between
        for number, record in records(progress):
            count += 1
            row = cut.row(number, record)
            if has_sums:
                sums.add(row)
            yield row
        self._check_trailer(progress, count, sums)

    def _data(self, progress: "_Progress") -> Iterator[tuple[int, bytes]]:
        """The records that hold data, with their numbers; the trailers are kept."""
        layout = self.layout
        for number, record in self._between(progress):
            if _bears(record, layout.trailer.mark, layout):
                if len(progress.trailers) >= _MOST_TRAILERS:
                    raise FileRefused("fixed_width_layout", where="trailer.mark")
                progress.trailers.append(record)
            elif layout.only is not None and not _bears(record, layout.only, layout):
                continue
            elif not _bears(record, layout.headers, layout):
                yield number, record

    def _between(self, progress: "_Progress") -> Iterator[tuple[int, bytes]]:
        """The records between those that are skipped and the last, with their numbers."""
        waiting: deque[tuple[int, bytes]] = deque()
        last = self.layout.trailer.records
        for number, record in enumerate(_records(self.file, self.layout, progress), 1):
            if number <= self.layout.skip_records:
                continue
            waiting.append((number, record))
            if len(waiting) > last:
                yield waiting.popleft()
        if last:
            if len(waiting) < last:
                raise FileRefused("fixed_width_trailer", said="-", counted=0)
            progress.trailers.append(waiting[-1][1])

    def _check_trailer(self, progress: "_Progress", counted: int, sums: "_Sums") -> None:
        trailer = self.layout.trailer
        if not progress.trailers and trailer.mark is not None:
            raise FileRefused("fixed_width_trailer", said="-", counted=counted)
        if trailer.count is not None:
            said = self._said(progress, trailer.count)
            if said != counted:
                raise FileRefused("fixed_width_trailer", said=_shown(said), counted=counted)
        for column, found in sums.found():
            said = self._said(progress, column)
            if said != found:
                raise FileRefused(
                    "fixed_width_sum", label=column.label, said=_shown(said), counted=_shown(found)
                )

    def _said(self, progress: "_Progress", column: Column) -> Decimal | None:
        """What the trailers say together; None where one of them says no number."""
        read, total = reader_of(column, self.layout.encoding), Decimal(0)
        for record in progress.trailers:
            try:
                said = Decimal(read(record[column.start : column.end]).strip())
                total = _EXACT.add(total, said)
            except (Spoilt, ArithmeticError):
                return None
        return total


@dataclass(slots=True)
class _Progress:
    read: int = 0
    trailers: list[bytes] = field(default_factory=list)


class _Sums:
    """The sums that trailers say, as the rows have them."""

    def __init__(self, layout: FixedLayout) -> None:
        labels = [column.label for column in layout.columns]
        self._wanted = [(labels.index(column.label), column) for column in layout.trailer.sums]
        self._sums: list[Decimal | None] = [Decimal(0) for _ in self._wanted]

    def add(self, row: Row) -> None:
        """One more row. A cell that is no number makes no sum of its column."""
        for at, (column, _) in enumerate(self._wanted):
            total = self._sums[at]
            cell = row.cells[column] if column < len(row.cells) else None
            try:
                if total is not None and (text := (cell or "").strip()):
                    self._sums[at] = _EXACT.add(total, Decimal(text))
            except ArithmeticError:  # no number, or one beyond all that are written in digits
                self._sums[at] = None

    def found(self) -> Iterator[tuple[Column, Decimal | None]]:
        """Each place in the trailer, and what it should say."""
        for (_, column), total in zip(self._wanted, self._sums, strict=True):
            yield column, total


def _shown(number: Decimal | None) -> str:
    return "?" if number is None else f"{number:f}"[:40]


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
    end = _EBCDIC_LINE_END if layout.encoding in FAMILY else b"\n"
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


def _bears(record: bytes, mark: Mark | None, layout: FixedLayout) -> bool:
    """Whether a record bears a mark; where there is none to bear, none does."""
    if mark is None:
        return False
    column, values = mark
    try:
        return text(record[column.start : column.end], layout.encoding).strip() in values
    except Spoilt:
        return False


@dataclass(slots=True)
class _Cutter:
    """Cuts records into cells."""

    layout: FixedLayout
    _readers: list[tuple[Column, ReadCell]] = field(init=False)
    _all_text: bool = field(init=False)
    _has_days: bool = field(init=False)

    def __post_init__(self) -> None:
        columns, encoding = self.layout.columns, self.layout.encoding
        self._readers = [(column, reader_of(column, encoding)) for column in columns]
        self._has_days = any(column.date is not None or column.empty for column in columns)
        self._all_text = (
            encoding in _ASCII_LIKE
            and not self._has_days
            and all(column.type in ("text", "graphic") for column in columns)
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
        cells: list[str | None] = []
        wrong: WrongRow | None = None
        for at, column in enumerate(self.layout.columns):
            cell = line[column.start : column.end]
            try:
                cells.append(dated(cell, column) if self._has_days else cell)
            except Spoilt as exc:
                cells.append(cell)
                wrong = wrong or WrongRow(str(exc), column=at)
        return Row(number, cells, wrong)
