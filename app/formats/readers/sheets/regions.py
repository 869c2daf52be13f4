"""Finds the tables on a sheet: below each other behind blank rows, or side by side; it reads on.

A part is a table of its own only where it has headings of its own: a blank row or column inside a
table must not cut it in two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from app.formats.readers.head import header_at, is_data_like, strip
from app.formats.readers.headings import cell
from app.formats.readers.sheets.grid import LINE, Grid
from app.formats.readers.text.records import Record

_TOP = 1060  # rows of a table that its head is made of
_LOOK = 40  # rows behind a gap that are looked at
_MOST_GAPS = 2000  # a sheet with more blank rows is one that has them between all rows
_LOOSE = 5  # so many rows of one cell each may be the title of what follows


@dataclass(frozen=True, slots=True)
class Region:
    """Where one table stands, with its titles and notes."""

    first: int
    last: int
    columns: tuple[int, ...]  # of the sheet; those that hold anything
    rows: int
    top: tuple[Record, ...]  # the first rows that are not blank
    titles: int = 0  # how many of them are remarks above a gap, whatever they look like


@dataclass(slots=True)
class _Band:
    """Rows between two gaps, or over gaps that part nothing."""

    first: int = 0
    last: int = 0
    rows: int = 0
    head: int = 0  # the line from which on headings may stand
    tops: list[pl.DataFrame] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def add(self, frame: pl.DataFrame) -> None:
        """Rows of the sheet that follow the band's own."""
        lines = frame[LINE]
        self.first = self.first or int(lines[0])
        self.last = int(lines[-1])
        held = sum(top.height for top in self.tops)
        if held < _TOP:
            self.tops.append(frame.head(_TOP - held))
        self.rows += frame.height
        for name in frame.columns[1:]:
            texts = frame[name]
            filled = len(texts) - texts.null_count()
            if filled:
                column = int(name)
                self.counts[column] = self.counts.get(column, 0) + filled
                where = texts.is_not_null().arg_true()
                self.ends[column] = int(lines[int(where[-1])])

    def join(self, other: "_Band") -> None:
        """Take over the rows of the band behind this one."""
        self.first = self.first or other.first
        self.last = other.last
        self.rows += other.rows
        self.tops += other.tops
        for column, count in other.counts.items():
            self.counts[column] = self.counts.get(column, 0) + count
            self.ends[column] = other.ends[column]

    def top(self, columns: Sequence[int], most: int = _TOP) -> list[Record]:
        """The first rows, blank ones in these columns left out."""
        rows: list[Record] = []
        for top in self.tops:
            if len(rows) < most:
                rows += records(top.head(most), columns)
        return rows[:most]


def records(frame: pl.DataFrame, columns: Sequence[int]) -> list[Record]:
    """The rows of a frame as records over `columns` of the sheet."""
    known = set(frame.columns)
    cells = [
        frame[str(column)].to_list() if str(column) in known else [None] * frame.height
        for column in columns
    ]
    rows = zip(frame[LINE].to_list(), *cells, strict=True)
    return [
        Record(line, line + 1, [text or "" for text in texts])
        for line, *texts in rows
        if any(texts)
    ]


def regions(grid: Grid) -> list[Region]:
    """All tables of the sheet, from top to bottom and left to right."""
    found = []
    for band in _bands(grid):
        for column in _merged_over(grid, band):
            band.counts.setdefault(column, 0)
            band.ends.setdefault(column, band.first)
        for columns in _parts(band):
            top = tuple(band.top(columns))
            if top:
                last = max(band.ends[column] for column in columns)
                rows = max(band.counts[column] for column in columns)
                titles = sum(1 for row in top if row.line < band.head)
                found.append(Region(top[0].line, last, columns, rows, top, titles))
    return found


def _bands(grid: Grid) -> Iterator[_Band]:
    """Bands that each begin with headings (or titles), or at the top of the sheet."""
    current, loose = _Band(), _Band()
    for piece, ahead in _pieces(grid):
        if not current.rows:
            current.add(piece)
        elif ahead is None:  # the same rows go on in the next frame
            (loose if loose.rows else current).add(piece)
        elif _begins_table(current, loose, ahead):
            if _is_table(current, len(_filled_columns(ahead))):
                yield current
                current = _Band()
            _take(current, loose)
            loose = _Band()
            current.head = int(piece[LINE][0])
            current.add(piece)
        elif _is_loose(piece) and loose.rows + piece.height <= _LOOSE:
            loose.add(piece)
        else:
            _take(current, loose)
            loose = _Band()
            current.add(piece)
    _take(current, loose)
    if current.rows:
        yield current


def _take(current: _Band, loose: _Band) -> None:
    if loose.rows:
        current.join(loose)


def _pieces(grid: Grid) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
    """Rows without a gap, and for those behind a gap what a look ahead shows."""
    last = seen = 0
    for frame, following in _with_next(grid.frames()):
        lines = frame[LINE]
        gaps = (lines.diff() > 1).fill_null(value=False)
        seen += int(gaps.sum())
        starts = [0, *gaps.arg_true().to_list()] if seen <= _MOST_GAPS else [0]
        ends = [*starts[1:], frame.height]
        for start, end in zip(starts, ends, strict=True):
            is_behind_gap = seen <= _MOST_GAPS and (start > 0 or int(lines[0]) > last + 1)
            ahead = _ahead(frame, start, following) if is_behind_gap else None
            yield frame.slice(start, end - start), ahead
        last = int(lines[-1])


def _with_next(
    frames: Iterator[pl.DataFrame],
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
    waiting: pl.DataFrame | None = None
    for frame in frames:
        if waiting is not None:
            yield waiting, frame
        waiting = frame
    if waiting is not None:
        yield waiting, None


def _ahead(frame: pl.DataFrame, start: int, following: pl.DataFrame | None) -> pl.DataFrame:
    """The next rows up to the next gap."""
    ahead = frame.slice(start, _LOOK)
    if ahead.height < _LOOK and following is not None:
        ahead = pl.concat([ahead, following.head(_LOOK)], how="diagonal").head(_LOOK)
    gaps = (ahead[LINE].diff() > 1).fill_null(value=False).arg_true()
    return ahead.head(int(gaps[0])) if len(gaps) else ahead


def _is_loose(piece: pl.DataFrame) -> bool:
    filled = piece.select(pl.sum_horizontal(pl.exclude(LINE).is_not_null())).to_series()
    return piece.height <= _LOOSE and not (filled > 1).any()


def _filled_columns(frame: pl.DataFrame) -> list[int]:
    filled = (name for name in frame.columns[1:] if frame[name].null_count() < frame.height)
    return sorted(int(name) for name in filled)


def _begins_table(current: _Band, loose: _Band, ahead: pl.DataFrame) -> bool:
    columns = _filled_columns(ahead)
    rows = records(ahead, columns)
    at = header_at(rows)
    if at is None or len(rows) < at + 2:
        return False
    has_title = bool(at or loose.rows)
    is_own = _names_all_figures(rows, at)
    if is_own is None:
        is_own = has_title and len(columns) > 1 and not set(columns) <= current.counts.keys()
    return is_own and (has_title or not _is_repeat(current, columns, rows[at]))


def _is_table(band: _Band, next_width: int) -> bool:
    """Whether the rows so far are a table, and no block of titles and remarks.

    A few pairs over a wider table (作成者 統計課, 作成日 2024/1/1) are remarks on it.
    """
    columns = sorted(band.counts)
    if len(columns) == 2 < next_width and band.rows <= _LOOSE:
        return False
    rows = band.top(columns, _LOOK)
    at = header_at(rows)
    if at is None or len(rows) < at + 2 or len(columns) < 2:
        return False
    return bool(_names_all_figures(rows, at)) or len(columns) > 2


def _is_repeat(band: _Band, columns: Sequence[int], row: Record) -> bool:
    known = sorted(set(columns) | band.counts.keys())
    words = dict(zip(columns, map(strip, row.cells), strict=True))
    wanted = [words.get(column, "") for column in known]
    rows = band.top(known, _LOOK)
    at = header_at(rows)
    return at is not None and [cell(rows[at], place) for place in range(len(known))] == wanted


def _names_all_figures(rows: Sequence[Record], at: int) -> bool | None:
    """Whether each column of figures has a word above it; None where there are no figures."""
    named = []
    for place in range(len(rows[at].cells)):
        below = [text for row in rows[at + 1 :] if (text := cell(row, place))]
        if below and sum(map(is_data_like, below)) * 2 > len(below):
            word = cell(rows[at], place)
            named.append(bool(word) and not is_data_like(word))
    return all(named) if named else None


def _parts(band: _Band) -> list[tuple[int, ...]]:
    """The columns of each table in the band."""
    groups: list[list[int]] = []
    for column in sorted(band.counts):
        if groups and column == groups[-1][-1] + 1:
            groups[-1].append(column)
        else:
            groups.append([column])
    parts: list[list[int]] = []
    for group in groups:
        if parts and not _are_apart(band, parts[-1], group):
            parts[-1] += group
        else:
            parts.append(group)
    return [tuple(part) for part in parts]


def _merged_over(grid: Grid, band: _Band) -> Iterator[int]:
    """Empty columns under a merged heading: they belong to the table, as the heading says."""
    columns = sorted(band.counts)
    tops = {row.line: row for row in band.top(columns, _LOOK)}
    for merge in grid.merges:
        row = tops.get(merge.top)
        is_told = merge.is_wide and row is not None and merge.left in band.counts
        if is_told and row is not None and sum(map(bool, row.cells)) > 1:
            yield from range(merge.left, min(merge.right, columns[-1] + _LOOK) + 1)


def _are_apart(band: _Band, left: Sequence[int], right: Sequence[int]) -> bool:
    """Two tables: each has headings, and they share a word or neither their rows nor their end."""
    if min(len(left), len(right)) < 2:
        return False
    sides = [band.top(columns) for columns in (left, right)]
    ats = [header_at(rows) for rows in sides]
    if ats[0] is None or ats[1] is None:
        return False
    heads = [rows[at] for rows, at in zip(sides, ats, strict=True) if at is not None]
    if any(
        len(rows) < 2 or at is None or at + 2 > len(rows)
        for rows, at in zip(sides, ats, strict=True)
    ):
        return False
    words = [{strip(text) for text in head.cells if strip(text)} for head in heads]
    if words[0] & words[1]:
        return True
    ends = [max(band.ends[column] for column in columns) for columns in (left, right)]
    if ends[0] == ends[1] and heads[0].line == heads[1].line:
        return False
    return all(_is_dense(rows, at) for rows, at in zip(sides, ats, strict=True))


def _is_dense(rows: Sequence[Record], at: int | None) -> bool:
    return all(strip(row.cells[0]) for row in rows[at or 0 :])
