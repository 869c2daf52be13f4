"""One table of a sheet: its headings, and its rows in batches; the sheet's cells lie in a grid."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from app.formats.guidance import Notice
from app.formats.readers.footer import TAIL, cut_footer
from app.formats.readers.head import head_notices, header_at, heading
from app.formats.readers.headings import Merge
from app.formats.readers.repeats import without_repeats
from app.formats.readers.sheets.grid import LINE, Grid
from app.formats.readers.sheets.regions import Region, records
from app.formats.readers.text.records import Record
from app.formats.table import Batch, Head

_SAMPLE = 1000


@dataclass(frozen=True)
class SheetTable:
    """A table of a workbook."""

    format: str
    name: str
    grid: Grid
    region: Region
    size: int  # bytes of the file
    more: tuple[Notice, ...] = ()  # what is to be said of the workbook
    encoding: str | None = field(default=None, init=False)

    @cached_property
    def head(self) -> Head:
        """The headings, over one to three rows."""
        rows = self.region.top
        merges = _placed(self.grid.merges, self.region.columns)
        titles = self.region.titles
        at = header_at(rows[titles:])
        found = heading(rows, None if at is None else titles + at, merges)
        sample = found.body[:_SAMPLE]
        return Head(
            labels=found.labels,
            header_line=None if found.first is None else rows[found.first].line,
            header_rows=found.rows,
            sample=tuple(self._filled(sample, found.body[0].line)) if sample else (),
            notices=(*self._notices(), *head_notices(rows, found)),
        )

    def _notices(self) -> tuple[Notice, ...]:
        counts = {
            "cells_with_errors": self.grid.errors,
            "formulas_without_value": self.grid.uncalculated,
            "characters_replaced": self.grid.replaced,
        }
        own = (Notice(code, {"count": count}) for code, count in counts.items() if count)
        return (*self.more, *own)

    def _filled(self, sample: list[Record], start: int) -> Iterator[Record]:
        """The first rows with merged cells filled, as the batches have them."""
        wanted = {record.line for record in sample}
        for frame in self._frames(start):
            for record in records(frame, self.region.columns):
                if record.line in wanted:
                    yield record
            if int(frame[LINE][-1]) >= sample[-1].line:
                return

    def batches(self) -> Iterator[Batch]:
        """The data rows; repeated headings, notes and totals are left out."""
        return cut_footer(without_repeats(self._read(), self.head.header_rows))

    def _read(self) -> Iterator[Batch]:
        if not self.head.sample:
            return
        start = self.head.sample[0].line
        done, last = 0, start - 1
        for frame in _not_too_short(self._frames(start)):
            lines = frame[LINE].cast(pl.Int64)
            done += frame.height
            end = int(lines[-1])
            blanks = end - last - frame.height
            last = end
            share = min(done / max(self.region.rows, 1), 1.0)
            yield self._batch(frame, lines, int(self.size * share), max(blanks, 0))

    def _batch(self, frame: pl.DataFrame, lines: pl.Series, read: int, blanks: int) -> Batch:
        columns = [str(column) for column in self.region.columns]
        width = len(self.head.labels)
        overlong: dict[int, list[str]] = {}
        if extra := columns[width:]:
            said = frame.select(pl.any_horizontal(pl.col(extra).is_not_null())).to_series()
            for at in said.arg_true().to_list():
                overlong[at] = [text or "" for text in frame.select(columns).row(at)]
        cells = [frame[name].alias(str(at)) for at, name in enumerate(columns[:width])]
        end_line = int(lines[-1]) + 1
        return Batch(pl.DataFrame(cells), lines, read, end_line, overlong, blanks)

    def _frames(self, start: int) -> Iterator[pl.DataFrame]:
        """The region's rows from `start` on, with all of its columns, merged cells filled down."""
        columns = self.region.columns
        fill = _Filler(self.grid.merges, columns, start)
        for frame in self.grid.frames():
            lines = frame[LINE]
            if int(lines[-1]) < start or int(lines[0]) > self.region.last:
                continue
            known = set(frame.columns)
            nothing = pl.lit(None, dtype=pl.String)
            chosen = frame.select(
                LINE,
                *(
                    pl.col(str(column)) if str(column) in known else nothing.alias(str(column))
                    for column in columns
                ),
            ).filter(pl.col(LINE).is_between(start, self.region.last))
            chosen = chosen.filter(pl.any_horizontal(pl.exclude(LINE).is_not_null()))
            if chosen.height:
                yield fill(chosen)


def _placed(merges: list[Merge], columns: tuple[int, ...]) -> list[Merge]:
    """The merges with the places of their columns in the records."""
    placed = []
    for merge in merges:
        left, right = bisect_left(columns, merge.left), bisect_right(columns, merge.right) - 1
        if left <= right:
            placed.append(replace(merge, left=left, right=right))
    return placed


def _not_too_short(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows; the last frame has enough of them for notes and totals to be seen together."""
    waiting: pl.DataFrame | None = None
    for frame in frames:
        if waiting is None:
            waiting = frame
        elif frame.height < TAIL:
            waiting = pl.concat([waiting, frame])
        else:
            yield waiting
            waiting = frame
    if waiting is not None:
        yield waiting


class _Filler:
    """Writes what stands in a merged cell into each of its rows."""

    def __init__(self, merges: list[Merge], columns: tuple[int, ...], start: int) -> None:
        known = set(columns)
        self._waiting = [
            merge
            for merge in merges
            if merge.bottom > merge.top and merge.top >= start and merge.left in known
        ]
        self._at = 0
        self._open: list[tuple[Merge, str]] = []

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._at == len(self._waiting) and not self._open:
            return frame
        lines = frame[LINE].to_list()
        while self._at < len(self._waiting) and self._waiting[self._at].top <= lines[-1]:
            merge = self._waiting[self._at]
            self._at += 1
            place = bisect_left(lines, merge.top)
            text = frame[str(merge.left)][place] if lines[place] == merge.top else None
            if text is not None:
                self._open.append((merge, text))
        changes: dict[str, dict[int, str]] = {}
        for merge, text in self._open:
            places = range(bisect_left(lines, merge.top), bisect_right(lines, merge.bottom))
            changes.setdefault(str(merge.left), {}).update(dict.fromkeys(places, text))
        self._open = [(merge, text) for merge, text in self._open if merge.bottom > lines[-1]]
        return frame.with_columns(
            frame[name].scatter(list(texts), list(texts.values()))
            for name, texts in changes.items()
            if texts
        )
