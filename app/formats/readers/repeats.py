"""Leaves out heading rows that come again among the data, as on each page of a printed list."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, or_

import polars as pl

from app.formats.table import Batch
from app.formats.text import BLANKS


def without_repeats(
    batches: Iterator[Batch], header_rows: Sequence[Sequence[str]]
) -> Iterator[Batch]:
    """The same batches without rows that equal a heading row in every cell.

    A heading row of one word is not looked for: that word may well be a value.
    """
    wanted = [row for row in header_rows if sum(map(bool, row)) > 1]
    for batch in batches:
        yield _without(batch, wanted) if wanted and batch.frame.height else batch


def _without(batch: Batch, wanted: Sequence[Sequence[str]]) -> Batch:
    names = batch.frame.columns
    # Almost no batch holds one: a look at one column tells.
    at = [next(at for at, word in enumerate(row) if word) for row in wanted]
    firsts = [
        batch.frame.to_series(index).str.strip_chars(BLANKS) == row[index]
        for index, row in zip(at, wanted, strict=True)
        if index < len(names)
    ]
    if not any(bool(first.any()) for first in firsts):
        return batch
    same = batch.frame.select(
        reduce(or_, [reduce(and_, _equal(names, row)) for row in wanted])
    ).to_series()
    gone = set(same.arg_true().to_list()) - batch.overlong.keys() - batch.wrong.keys()
    if not gone:
        return batch
    kept = [index for index in range(batch.frame.height) if index not in gone]
    moved = {index: place for place, index in enumerate(kept)}
    return replace(
        batch,
        frame=batch.frame[kept],
        lines=batch.lines.gather(kept),
        overlong={moved[index]: cells for index, cells in batch.overlong.items()},
        wrong={moved[index]: row for index, row in batch.wrong.items()},
        repeated=batch.repeated + len(gone),
    )


def _equal(names: Sequence[str], row: Sequence[str]) -> list[pl.Expr]:
    words = [*row, *[""] * len(names)]
    return [
        pl.col(name).str.strip_chars(BLANKS).fill_null("") == word
        for name, word in zip(names, words, strict=False)
    ]
