"""A sheet as texts by row and column, kept on disk in bounded pieces; it knows no headings."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.headings import Merge
from app.formats.readers.sheets.cell_values import filled
from app.formats.readers.text.layout import MAX_COLUMNS
from app.formats.readers.text.records import CELL_CHARACTERS

LINE = "line"
_MOST_CELLS = 2 << 20  # of a piece, the empty ones counted


@dataclass(slots=True)
class Grid:
    """The filled cells of one sheet. `merges` and the counts are complete once it is written."""

    name: str
    folder: Path
    merges: list[Merge] = field(default_factory=list)
    rows: int = 0
    last_row: int = 0
    columns: set[int] = field(default_factory=set)
    errors: int = 0  # cells that show an error such as #N/A
    uncalculated: int = 0  # formulas without a value
    replaced: int = 0  # characters that are no text
    _pieces: list[Path] = field(default_factory=list)

    def add(self, row: pl.Series, column: pl.Series, text: pl.Series) -> None:
        """Cells in row order, behind those that were added before."""
        cells = pl.DataFrame([row.alias(LINE), column.alias("column"), filled(text).alias("text")])
        cells = cells.drop_nulls("text")
        if cells.is_empty():
            return
        if not cells[LINE].is_sorted():
            cells = cells.sort(LINE, maintain_order=True)
        _refuse_long(cells)
        self.columns.update(cells["column"].unique().to_list())
        if len(self.columns) > MAX_COLUMNS:
            raise FileRefused("too_many_columns", columns=len(self.columns), limit=MAX_COLUMNS)
        cells = self._joined(cells)
        height = max(_MOST_CELLS // cells["column"].n_unique(), 1)
        at = (cells[LINE] != cells[LINE].shift()).fill_null(value=False).cum_sum()
        if int(at[-1]) < height:
            self._write(_wide(cells, at))
            return
        for part in cells.with_columns((at // height).alias("part")).partition_by("part"):
            within = (part[LINE] != part[LINE].shift()).fill_null(value=False).cum_sum()
            self._write(_wide(part, within))

    def _joined(self, cells: pl.DataFrame) -> pl.DataFrame:
        """A row that goes on from the piece before is one row; none may go back."""
        first = int(cells[LINE][0])
        if first > self.last_row:
            return cells
        if first < self.last_row:
            raise FileRefused("file_damaged")  # 18.3.1.73: rows stand in order
        before = pl.read_ipc(self._pieces.pop())
        self.rows -= before.height
        long = before.unpivot(index=LINE, variable_name="column", value_name="text").drop_nulls()
        long = long.with_columns(pl.col("column").cast(pl.Int32)).sort(LINE, maintain_order=True)
        return pl.concat([long.select(LINE, "column", "text"), cells])

    def _write(self, wide: pl.DataFrame) -> None:
        path = self.folder / f"{len(self._pieces):05}.arrow"
        # The oldest level copies the texts together: else each piece would hold all of the strings
        # that some of its cells share.
        wide.write_ipc(path, compression="lz4", compat_level=pl.CompatLevel.oldest())
        self._pieces.append(path)
        self.rows += wide.height
        self.last_row = int(wide[LINE][-1])

    def frames(self) -> Iterator[pl.DataFrame]:
        """`line` and a column for each that is filled here, by its number; blank rows left out."""
        for path in self._pieces:
            yield pl.read_ipc(path)


def _refuse_long(cells: pl.DataFrame) -> None:
    if not (cells["text"].str.len_bytes() > CELL_CHARACTERS).any():
        return
    long = cells.filter(pl.col("text").str.len_chars() > CELL_CHARACTERS)
    if long.height:
        line = int(long[LINE][0])
        raise FileRefused("cell_too_long", line=line, limit_mb=CELL_CHARACTERS >> 20)


def _wide(cells: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    """One row for each value of `at` (from 0, ascending), one column for each column."""
    cells = cells.with_columns(at.alias("at"))
    lines = cells.unique("at", keep="first", maintain_order=True)[LINE]
    columns = [lines.alias(LINE)]
    parts = cells.partition_by("column", as_dict=True)
    columns += [
        _column(part, lines.len(), str(number)) for (number,), part in sorted(parts.items())
    ]
    return pl.DataFrame(columns)


def _column(part: pl.DataFrame, height: int, name: str) -> pl.Series:
    if part["at"].is_duplicated().any():  # a cell given twice: the last one stays, as in Excel
        part = part.unique("at", keep="last", maintain_order=True)
    if part.height == height:
        return part["text"].alias(name)
    place = pl.Series([None], dtype=pl.UInt32).new_from_index(0, height)
    place = place.scatter(part["at"], pl.int_range(part.height, dtype=pl.UInt32, eager=True))
    return part["text"].gather(place).alias(name)
