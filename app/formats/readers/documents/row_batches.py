"""Gathers rows that a reader finds one by one into bounded batches; it knows no format."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import polars as pl

from app.formats.readers.text.records import Record
from app.formats.table import Batch, WrongRow
from app.formats.text import BLANKS

SAMPLE_ROWS = 1000
_ROWS = 50_000
_CELLS = 1 << 20
_CHARACTERS = 16 << 20


class Row(NamedTuple):
    """One row: as many cells as there are labels, or fewer where the last are empty."""

    line: int
    cells: Sequence[str | None]
    wrong: WrongRow | None = None


def gathered(rows: Iterator[Row], width: int, read: Callable[[], int]) -> Iterator[Batch]:
    """`rows` in batches of `width` columns; `read` tells how many bytes are used up.

    Blank rows are left out and counted.
    """
    most = max(1, min(_ROWS, _CELLS // max(width, 1)))
    held: list[Row] = []
    blanks = characters = line = 0
    for row in rows:
        line = row.line
        size = sum(map(len, filter(None, row.cells)))
        if row.wrong is None and (size == 0 or _is_blank(row.cells)):
            blanks += 1
            continue
        held.append(row)
        characters += size
        if len(held) >= most or characters >= _CHARACTERS:
            yield _batch(held, width, read(), line + 1, blanks)
            held, blanks, characters = [], 0, 0
    if held or blanks:
        yield _batch(held, width, read(), line + 1, blanks)


def sample_of(rows: Sequence[Row], width: int) -> tuple[Record, ...]:
    """The first rows as a head shows them."""
    return tuple(
        Record(row.line, row.line + 1, [cell or "" for cell in _padded(row.cells, width)])
        for row in rows[:SAMPLE_ROWS]
    )


def _is_blank(cells: Sequence[str | None]) -> bool:
    return not any(cell and cell.strip(BLANKS) for cell in cells)


def _padded(cells: Sequence[str | None], width: int) -> Sequence[str | None]:
    return cells if len(cells) == width else [*cells, *[None] * (width - len(cells))]


def _batch(held: list[Row], width: int, read: int, end_line: int, blanks: int) -> Batch:
    columns = list(zip(*(_padded(row.cells, width) for row in held), strict=True)) or [()] * width
    frame = pl.DataFrame(
        [pl.Series(str(at), column, dtype=pl.String) for at, column in enumerate(columns)]
    )
    lines = pl.Series([row.line for row in held], dtype=pl.Int64)
    wrong = {at: row.wrong for at, row in enumerate(held) if row.wrong is not None}
    return Batch(frame, lines, read, end_line, blanks=blanks, wrong=wrong)
