"""Tells heading rows from titles, notes and data in the first rows of a table; pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.formats.guidance import Notice
from app.formats.readers.headings import Merge, heading_rows, joined
from app.formats.readers.text.records import Record
from app.formats.text import BLANKS, ascii_digits

_HEADER_WITHIN = 40  # records
_DATA_LIKE = re.compile(
    r"[-+▲△]?\(?[0-9][0-9,.:/()-]*%?|https?://\S+|[^@\s]+@[^@\s]+\.[a-z]+|NULL|(?:[RHSTM]|令和|平成)[0-9].*",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}(?:[./-](?:0?[1-9]|1[0-2]))?")
_PROPERTY = "#property"
_GUIDANCE = ("#記入例", "#説明", "＃記入例", "＃説明")
_RUN = 5  # so many whole numbers, each one more than the last, are headings (ages 0, 1, 2, …)


def strip(cell: str) -> str:
    """The cell without the blanks at its ends."""
    return cell.strip(BLANKS)


def header_at(rows: Sequence[Record]) -> int | None:
    """The index of the header among the non-blank rows, or None when every row is data."""
    for index, row in enumerate(rows[:_HEADER_WITHIN]):
        if strip(row.cells[0]) == _PROPERTY:
            return index
    counts = [
        0 if is_guidance(row.cells[0]) else sum(1 for cell in row.cells if strip(cell))
        for row in rows
    ]
    typical = sorted(counts)[len(counts) // 2] if counts else 0
    enough = max(min(2, typical), (typical + 1) // 2)
    for index, count in enumerate(counts[:_HEADER_WITHIN]):
        if count >= enough:
            return index if _is_header(rows[index], rows[index + 1 :]) else None
    return None


def _is_header(row: Record, body: Sequence[Record]) -> bool:
    """Column by column: a word over figures speaks for a header, a figure over figures against."""
    plain = [ascii_digits(strip(cell)) for cell in row.cells]
    years = [cell for cell in plain if _YEAR.fullmatch(cell)]
    skip = set(years) if len(set(years)) == len(years) > 1 else set()
    run = _run(plain)
    skip |= run
    words = figures = 0
    for index, cell in enumerate(plain):
        if not cell or cell in skip:
            continue
        if is_data_like(cell):
            figures += 1
        elif _column_is_figures(body, index):
            words += 1
    return words >= max(figures, 1) if run else figures == 0 or words >= figures


def _run(cells: Sequence[str]) -> set[str]:
    """Whole numbers that count on by one from cell to cell."""
    numbers = [cell for cell in cells if cell.isdecimal() and len(cell) < 5]
    steps = {int(after) - int(before) for before, after in pairwise(numbers)}
    return set(numbers) if len(numbers) >= _RUN and steps == {1} else set()


def is_data_like(cell: str) -> bool:
    """Whether a cell holds a figure, a date, an address on the web: something no heading is."""
    return _DATA_LIKE.fullmatch(ascii_digits(cell)) is not None


def _column_is_figures(body: Sequence[Record], index: int) -> bool:
    cells = [strip(row.cells[index]) for row in body[:100] if index < len(row.cells)]
    filled = [cell for cell in cells if cell]
    return bool(filled) and sum(map(is_data_like, filled)) * 2 > len(filled)


@dataclass(frozen=True, slots=True)
class Heading:
    """The headings, and what follows them."""

    first: int | None  # the index of the first heading row; None where every row is data
    labels: tuple[str, ...]
    body: list[Record]  # the data rows of the sample
    rows: tuple[tuple[str, ...], ...] = ()  # the heading rows as they stand


def heading(rows: Sequence[Record], at: int | None, merges: Sequence[Merge] = ()) -> Heading:
    """The headings around the row that `header_at` found.

    `merges` are cells shown as one, by line and position. Guidance and metadata rows are left out.
    """
    if at is None:
        body = [row for row in rows if not is_guidance(row.cells[0])]
        width = max(map(_width, body), default=0)
        return Heading(None, tuple(f"列{number}" for number in range(1, width + 1)), body)
    first = last = at
    is_marked = strip(rows[at].cells[0]).startswith("#") and len(strip(rows[at].cells[0])) > 1
    if not is_marked:
        first, last = heading_rows(rows, at, merges, is_data_like)
    labels = joined(rows, first, last, merges)
    body = list(rows[last + 1 :])
    while body and _is_skipped(body[0], is_marked=is_marked):
        body.pop(0)
    width = len(labels)
    while width and not labels[width - 1]:
        width -= 1
    longer = [row_width for row in body if (row_width := _width(row)) > width]
    if len(longer) * 2 > len(body):
        width = max(longer)
    shown = tuple(tuple(map(strip, row.cells)) for row in rows[first : last + 1])
    return Heading(first, tuple((labels + [""] * width)[:width]), body, shown)


def is_guidance(first: str) -> bool:
    """Whether a row tells how to fill the sheet in: its first cell says so."""
    return strip(first).startswith(_GUIDANCE)


def _is_skipped(row: Record, *, is_marked: bool) -> bool:
    return is_guidance(row.cells[0]) or (is_marked and strip(row.cells[0]).startswith("#"))


def _width(row: Record) -> int:
    """The width of a row without the empty cells at its end."""
    return max((index for index, cell in enumerate(row.cells, 1) if strip(cell)), default=0)


def head_notices(rows: Sequence[Record], found: Heading) -> tuple[Notice, ...]:
    """What the clerk should know of the lines above the data and of the headings."""
    notices, labels = [], found.labels
    above = list(rows[: found.first or 0])
    behind = len(rows) - len(above) - len(found.rows) - len(found.body)
    marked = behind + sum(1 for row in above if row.cells[0].startswith("#"))
    if found.first is None:
        notices.append(Notice("no_header"))
    if marked:
        notices.append(Notice("metadata_skipped", {"count": marked}))
    titles = [row.line for row in above if not row.cells[0].startswith("#")]
    if titles:
        notices.append(Notice("title_skipped", {"count": len(titles), "first": titles[0]}))
    for label, count in Counter(filter(None, labels)).items():
        if count > 1:
            notices.append(Notice("duplicate_header", {"label": label, "count": count}))
    for position, label in enumerate(labels, 1):
        if not label:
            notices.append(Notice("empty_header", {"position": position}))
    return tuple(notices)
