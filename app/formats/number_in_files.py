"""Looks for individual numbers in a file, before and while it is read; it keeps none of them.

All texts of the file are looked through as they stand, those of archives and workbooks too; what a
format writes in its own way (floats, packed numbers, texts in pieces) is looked at cell by cell. A
number split over neighbouring columns is told where one cell shows the gaps of the card, or where
most rows of the columns make numbers: two quantities that make one by chance are no number.
Columns of twelve-digit codes are told by `code_columns`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import polars as pl

from app.formats.code_columns import CodeColumn
from app.formats.guidance import FileRefused
from app.formats.individual_number import (
    REFUSED,
    Watch,
    holds_number,
    is_split,
    makes_number,
)
from app.formats.readers.archives.members import Member, PackedFile, members_of, packing
from app.formats.readers.text.chunks import recoder
from app.formats.readers.text.encoding import Encoding, text_encoding
from app.formats.stored import StoredFile
from app.formats.table import Batch, Table

_READ: Final = 1 << 20
_HEAD: Final = 4096
_DEEPEST: Final = 3  # archives in archives
_SHOWN: Final = 20  # lines
_SHOWN_NAME: Final = 60  # characters
_PLAIN: Final = Encoding("utf-8", 0, ambiguous=False, size=0)
_BINARY: Final = frozenset({"geopackage", "xls", "xlsb"})  # with no text to look through
# Every cell of these stands in the text that was looked through.
_TEXTS: Final = frozenset({"csv"})
_PARTS_OF_WORKBOOKS: Final = ("xl/", "docProps/", "_rels/")
_LEAST_GAP: Final = 9  # 1234 5678
_LEAST_BYTES: Final = 10  # of a cell that holds a number: in a double of 64 bits
_SAMPLE: Final = 256  # rows that tell whether columns are worth a look together
_CUTS: Final = frozenset({(4, 4, 4), (8, 4), (4, 8), (6, 6)})
_MOST_ROWS: Final = 1_000
_SHARE: Final = 0.75
_PIECE: Final = r"^\s*[0-9０-９]{1,11}\s*$"
_GAP: Final = r"^\s*[0-9０-９]{4}[ \-\u{00a0}\u{3000}‐‑‒–—―−ー－ｰ][0-9０-９]{4}\s*$"


def refused(places: Sequence[tuple[str, Sequence[int]]]) -> FileRefused:
    """The refusal, which says where: (column or member, lines)."""
    return FileRefused(REFUSED, where=" / ".join(_told(*place) for place in places))


def _told(name: str, lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:_SHOWN])) + (" …" if len(lines) > _SHOWN else "")
    if holds_number(name.encode("utf-8", "replace")):
        name = "***"
    return f"{name[:_SHOWN_NAME]}: {shown}" if name else shown


def look_through(file: StoredFile, *, depth: int = 0) -> list[tuple[str, list[int]]]:
    """Where the texts of a file hold numbers: (member or "", lines). What cannot be read is passed

    over: its reader refuses it, or the cells are looked at when they are read.
    """
    with file.open() as stream:
        kind = packing(stream.read(_HEAD))
    if kind is None:
        lines = _lines(file)
        return [("", lines)] if lines else []
    if depth == _DEEPEST:
        return []
    found: list[tuple[str, list[int]]] = []
    for member in _members(file, kind):
        packed = PackedFile(member, file.scratch, depth + 1)
        if holds_number(member.name.encode("utf-8", "replace")):
            found.append((member.name, []))
        for name, lines in _within(packed, depth + 1):
            found.append((f"{member.name}/{name}" if name else member.name, lines))
    return found


def _members(file: StoredFile, kind: str) -> list[Member]:
    try:
        return members_of(file, kind)
    except FileRefused:
        return []


def _within(file: StoredFile, depth: int) -> list[tuple[str, list[int]]]:
    try:
        return look_through(file, depth=depth)
    except FileRefused:
        return []


def _lines(file: StoredFile) -> list[int]:
    encoding = _encoding(file)
    if encoding is None:
        return []
    watch, recode = Watch(), recoder(encoding.name)
    found: list[int] = []
    with file.open() as stream:
        stream.read(encoding.bom)
        while raw := stream.read(_READ):
            found += watch.feed(recode(raw))
    found += watch.feed(b"", last=True)
    return sorted(found)


def _encoding(file: StoredFile) -> Encoding | None:
    """How the text is read; None where it is no text. A spoilt text is looked at all the same."""
    if (file.name or "").startswith(_PARTS_OF_WORKBOOKS):  # always UTF-8, and large
        return _PLAIN
    try:
        return text_encoding(file.open)
    except FileRefused:
        with file.open() as stream:
            return None if b"\x00" in stream.read(_HEAD) else _PLAIN


def check_found(table: Table, found: Sequence[tuple[str, list[int]]]) -> None:
    """Refuse a file in whose texts numbers were found, unless all are codes of the table's columns.

    Raises `FileRefused`, with columns where the table has them.
    """
    cells = Cells(table)
    places: dict[str, list[int]] = {}
    for batch in table.batches():
        for label, lines in cells.look(batch):
            places.setdefault(label, []).extend(lines)
    if places:
        raise refused(list(places.items()))
    if not all(lines for _, lines in found):  # a member's own name
        raise refused(found)
    if table.format in _TEXTS and len(found) == 1:
        name, lines = found[0]
        left = sorted(set(lines) - cells.excused)
        if left:
            raise refused([(name, left)])
    elif sum(len(lines) for _, lines in found) > cells.excuses:
        raise refused(found)


def check_labels(labels: Sequence[str]) -> None:
    """Refuse a table whose headings hold a number. Raises `FileRefused`."""
    for at, label in enumerate(labels, 1):
        if holds_number(label.encode("utf-8", "replace")):
            raise refused([(f"#{at}", [])])


def check_name(name: str | None) -> None:
    """Refuse a table (a sheet, a layer) whose own name holds a number. Raises `FileRefused`."""
    if name and holds_number(name.encode("utf-8", "replace")):
        raise refused([(name, [])])


def check_others(tables: Callable[[], Sequence[Table]], chosen: Table) -> None:
    """Refuse a file of a binary format whose other tables hold a number: it is kept as a whole.

    Raises `FileRefused`.
    """
    for table in tables() if chosen.format in _BINARY else ():
        if table.name != chosen.name:
            check_name(table.name)
            check_labels(table.head.labels)
            cells = Cells(table)
            for batch in table.batches():
                cells.check(batch)


class Cells:
    """Looks at the cells of a table, batch by batch: what a column holds is judged by all so far."""

    def __init__(self, table: Table, *, by_share: bool = True) -> None:
        self._by_share = by_share  # of a few rows a share says nothing
        self._labels = table.head.labels
        self._columns: dict[int, CodeColumn] = {}
        self._is_text = table.format in _TEXTS
        self.excused: set[int] = set()  # lines whose cells could hold numbers and are codes
        self.excuses = 0

    def check(self, batch: Batch) -> None:
        """Refuse rows that hold a number, in one cell or over neighbours. Raises `FileRefused`."""
        found = [] if self._is_text else list(self.look(batch))
        if found:
            raise refused(found)
        for split in (_with_gaps, _by_share) if self._by_share else (_with_gaps,):
            place = next(split(self._labels, batch), None)
            if place is not None:
                raise refused([place])

    def look(self, batch: Batch) -> Iterator[tuple[str, list[int]]]:
        """Where cells hold numbers: (label, lines)."""
        for at, column in enumerate(batch.frame.iter_columns()):
            if _longest(column) < _LEAST_BYTES:
                continue
            cells = column.fill_null("").to_list()
            if not holds_number("\n".join(cells).encode("utf-8", "replace")):
                continue
            lines = list(self._lines(at, cells, batch))
            if lines:
                yield _label(self._labels, at), lines
        for row, overlong in batch.overlong.items():
            if any(holds_number(cell.encode("utf-8", "replace")) for cell in overlong):
                yield "", [int(batch.lines[row])]

    def _lines(self, at: int, cells: Sequence[str], batch: Batch) -> Iterator[int]:
        codes = self._columns.setdefault(at, CodeColumn())
        for cell in cells:
            codes.count(cell)
        for row, cell in enumerate(cells):
            if len(cell) >= _LEAST_BYTES and holds_number(cell.encode("utf-8", "replace")):
                line = int(batch.lines[row])
                if codes.excuses(cell):
                    self.excuses += 1
                    self.excused.add(line)
                else:
                    yield line


def _longest(column: pl.Series) -> int:
    """Bytes of the longest cell."""
    return int(column.str.len_bytes().fill_null(0).to_numpy().max(initial=0))


def _label(labels: Sequence[str], *at: int) -> str:
    return " + ".join(labels[each] if each < len(labels) else f"#{each + 1}" for each in at)


def _with_gaps(labels: Sequence[str], batch: Batch) -> Iterator[tuple[str, list[int]]]:
    """1234 5678 | 9018."""
    columns = batch.frame.get_columns()
    for at, column in enumerate(columns):
        if _longest(column) < _LEAST_GAP:
            continue
        rows = column.str.contains(_GAP).fill_null(value=False).arg_true()
        if not len(rows):
            continue
        for other in (at - 1, at + 1):
            if 0 <= other < len(columns):
                yield from _split(labels, batch, tuple(sorted((at, other))), rows)


def _split(
    labels: Sequence[str], batch: Batch, pair: tuple[int, ...], rows: pl.Series
) -> Iterator[tuple[str, list[int]]]:
    left, right = (batch.frame.to_series(at).gather(rows) for at in pair)
    whole = (left.str.len_bytes() + right.str.len_bytes() >= 13).fill_null(value=False)
    lines = [
        int(batch.lines[row])
        for row, a, b in zip(
            rows.filter(whole), left.filter(whole), right.filter(whole), strict=True
        )
        if is_split(a, b)
    ]
    if lines:
        yield _label(labels, *pair), lines


def _by_share(labels: Sequence[str], batch: Batch) -> Iterator[tuple[str, list[int]]]:
    """123456 | 789018, where three quarters of the filled rows make numbers."""
    head = batch.frame.head(_SAMPLE)
    most = head.height * _SHARE
    digits = [column.str.contains(_PIECE).sum() >= most for column in head.iter_columns()]
    for first in range(len(digits)):
        for last in (first + 1, first + 2):
            if last < len(digits) and all(digits[first : last + 1]):
                columns = batch.frame.get_columns()[first : last + 1]
                if _make_numbers(columns, _SAMPLE) and _make_numbers(columns, _MOST_ROWS):
                    label = _label(labels, *range(first, last + 1))
                    yield label, [int(line) for line in batch.lines.head(_SHOWN)]


def _make_numbers(columns: Sequence[pl.Series], most: int) -> bool:
    filled = made = 0
    for cells in islice(zip(*columns, strict=True), most):
        if any(cells):
            filled += 1
            made += _is_even(cells) and makes_number(tuple(cell.strip() for cell in cells))
    return made > 0 and made >= filled * _SHARE


def _is_even(cells: Sequence[str | None]) -> bool:
    """4 + 4 + 4, 8 + 4, 4 + 8 or 6 + 6 digits: how somebody cuts a number who lacks room for it."""
    return tuple(len(cell.strip()) if cell else 0 for cell in cells) in _CUTS
