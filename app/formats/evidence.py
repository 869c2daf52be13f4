"""What only a column as a whole can prove: date order and swapped coordinates; worker only."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from app.formats.columns import trimmed
from app.formats.dates import DateOrder, date_shape
from app.formats.guidance import Notice
from app.formats.mapping import Source, coordinate_pairs
from app.formats.survey import Survey
from app.formats.table import Batch
from app.formats.text import BLANKS
from app.query.fields import FieldType
from app.query.geojson import LATITUDES, LONGITUDES

_DATES = frozenset({FieldType.DATE, FieldType.DATETIME})
_ORDERED = r"^([0-9]{1,2})[/.-]([0-9]{1,2})[/.-][0-9]{4}(?:[T ].*)?$"
_SWAPPED_SHARE = 0.9


def needs_whole_file(survey: Survey) -> bool:
    """Whether the first rows show a date without a clear order, or swapped coordinates."""
    for source in survey.sources:
        if source.field.type in _DATES and source.column is not None:
            cells = sample_cells(survey, source.column)
            if any(date_shape(cell)[0] == "ordered" for cell in cells):
                return True
    for lat, _ in coordinate_pairs(survey.sources):
        at = survey.sources[lat].column
        if at is not None and any(_in_area(cell, LONGITUDES) for cell in sample_cells(survey, at)):
            return True
    return False


def sample_cells(survey: Survey, column: int) -> list[str]:
    """The trimmed cells of a column in the first rows."""
    return [
        row.cells[column].strip(BLANKS) for row in survey.head.sample if column < len(row.cells)
    ]


def _in_area(cell: str, area: tuple[float, float]) -> bool:
    try:
        return area[0] <= float(cell) <= area[1]
    except ValueError:
        return False


@dataclass(slots=True)
class DateProof:
    """The largest first and second numbers of a column's dates that end in the year."""

    first: int = 0
    second: int = 0
    seen: int = 0

    def add(self, cells: pl.Series) -> None:
        """Take one batch into account."""
        pairs = cells.str.extract_groups(_ORDERED).struct.unnest()
        first = pairs["1"].cast(pl.Int64)
        self.seen += first.len() - first.null_count()
        self.first = max(self.first, int(first.max() or 0))  # type: ignore[arg-type]
        self.second = max(self.second, int(pairs["2"].cast(pl.Int64).max() or 0))  # type: ignore[arg-type]

    @property
    def order(self) -> DateOrder:
        """The one order that reads every row, if only one does."""
        if self.second > 12 >= self.first > 0:
            return DateOrder.MONTH_FIRST
        if self.first > 12 >= self.second > 0:
            return DateOrder.DAY_FIRST
        return DateOrder.UNKNOWN


@dataclass(slots=True)
class SwapProof:
    """How many rows have both coordinates, and how many have them in each other's column."""

    both: int = 0
    swapped: int = 0

    def add(self, lat: pl.Series, lon: pl.Series) -> None:
        """Take one batch into account."""
        y, x = (cells.cast(pl.Float64, strict=False) for cells in (lat, lon))
        self.both += int((y.is_not_null() & x.is_not_null()).sum())
        self.swapped += int((y.is_between(*LONGITUDES) & x.is_between(*LATITUDES)).sum())

    @property
    def holds(self) -> bool:
        """Whether the columns as a whole are swapped."""
        return self.both > 0 and self.swapped >= self.both * _SWAPPED_SHARE


@dataclass(slots=True)
class Evidence:
    """All proofs of one pass."""

    rows: int = 0
    dates: dict[str, DateProof] = field(default_factory=dict)
    swaps: dict[tuple[int, int], SwapProof] = field(default_factory=dict)

    def add(self, batch: Batch, sources: Sequence[Source]) -> None:
        """Take one batch into account."""
        self.rows += batch.frame.height
        for source in sources:
            if source.field.type in _DATES and source.column is not None:
                proof = self.dates.setdefault(source.field.name, DateProof())
                proof.add(trimmed(batch.frame.to_series(source.column)))
        for lat, lon in coordinate_pairs(sources):
            at = sources[lat].column, sources[lon].column
            if at[0] is not None and at[1] is not None:
                swap = self.swaps.setdefault((lat, lon), SwapProof())
                swap.add(
                    *(trimmed(batch.frame.to_series(index)) for index in at if index is not None)
                )


def decide(survey: Survey) -> Survey:
    """The survey with what the whole file proves."""
    evidence = Evidence()
    for batch in survey.table.batches():
        evidence.add(batch, survey.sources)
    return settled(survey, evidence)


def settled(survey: Survey, evidence: Evidence) -> Survey:
    """The survey with the date orders and swapped columns that `evidence` proves."""
    sources, notices = list(survey.sources), list(survey.notices)
    for (lat, lon), swap in evidence.swaps.items():
        if swap.holds:
            first, second = sources[lat], sources[lon]
            sources[lat] = replace(first, column=second.column, own_column=first.column)
            sources[lon] = replace(second, column=first.column, own_column=second.column)
            notices.append(Notice("coordinates_swapped", {"count": swap.swapped}))
    orders = {name: proof.order for name, proof in evidence.dates.items()}
    return replace(
        survey,
        sources=tuple(sources),
        orders=orders,
        data_rows=evidence.rows,
        notices=tuple(notices),
    )
