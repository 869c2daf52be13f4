"""Coordinates of a table's columns in another system become 緯度 and 経度; the source columns stay.

Only where the publisher said which system it is: it never guesses one from figures in columns.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.formats.columns import read_each, trimmed
from app.formats.crs import System, settle, told_system
from app.formats.guidance import FileRefused, Notice
from app.formats.labels import fold
from app.formats.proof import hint
from app.formats.readers.text.records import Record
from app.formats.table import Batch, Head, Table
from app.formats.values import normaliser
from app.query.fields import Field, FieldType

_GEO: Final = frozenset({"geojson", "topojson", "kml", "geopackage", "shapefile"})  # convert alone
_NORTH: Final = re.compile(r"北距|northing")
_EAST: Final = re.compile(r"東距|easting")
_FIRST: Final = re.compile(r"x|x座標値?|座標x|x座標?\(m\)|x\(m\)")
_SECOND: Final = re.compile(r"y|y座標値?|座標y|y座標?\(m\)|y\(m\)")
_LABELS: Final = ("緯度", "経度")
_SHOWN: Final = 60
_BEFORE: Final = ("元の座標（北）", "元の座標（東）")
_KINDS: Final = (FieldType.LATITUDE, FieldType.LONGITUDE)


def with_places(table: Table, crs: str) -> Table:
    """The table with its coordinates as longitudes and latitudes of CRS84.

    `crs` is the publisher's word. Raises `FileRefused` where no columns can be of that system.
    """
    if table.format in _GEO:
        return table
    system = told_system(crs)
    if system.is_same:
        return table
    labels = table.head.labels
    if system.is_geographic:
        columns = _degrees(labels)
    elif _degrees([label for label in labels if not _is_letter(label)]) is not None:
        return table  # metres beside degrees: the degrees are enough
    else:
        is_north_first = system.crs.axis_info[0].direction == "north"
        columns = plane_columns(labels, is_north_first=is_north_first)
    if columns is None:
        found = "、".join(filter(None, labels[:_SHOWN])) or "-"
        raise FileRefused("no_coordinates_to_convert", name=system.name, found=found)
    return _Placed(table, system, *columns)


def _is_letter(label: str) -> bool:
    folded = fold(label)
    return bool(_FIRST.fullmatch(folded) or _SECOND.fullmatch(folded))


def _degrees(labels: Sequence[str]) -> tuple[int, int] | None:
    kinds = [hint(label) for label in labels]
    if FieldType.LATITUDE not in kinds or FieldType.LONGITUDE not in kinds:
        return None
    return kinds.index(FieldType.LATITUDE), kinds.index(FieldType.LONGITUDE)


def plane_columns(labels: Sequence[str], *, is_north_first: bool = True) -> tuple[int, int] | None:
    """The places of northing and easting among the headings; None where either is missing.

    X and Y are the first and the second axis as the system itself has them: in the plane
    rectangular system X goes north and Y east (平成14年国土交通省告示第9号, and EPSG alike), in UTM
    the other way, whatever graphics programs make of the letters.
    """
    letters = (_FIRST, _SECOND) if is_north_first else (_SECOND, _FIRST)
    folded = [fold(label) for label in labels]
    found = []
    for patterns in zip((_NORTH, _EAST), letters, strict=True):
        at = next((at for each in patterns for at, label in enumerate(folded)
                   if each.fullmatch(label)), None)  # fmt: skip
        if at is None:
            return None
        found.append(at)
    return found[0], found[1]


@dataclass(frozen=True)
class _Placed:
    inner: Table
    system: System
    north: int
    east: int

    @property
    def format(self) -> str:
        return self.inner.format

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def encoding(self) -> str | None:
        return self.inner.encoding

    @cached_property
    def _order(self) -> list[int]:
        """Degrees take the places of the old ones, which go to the end; metres stay."""
        width = len(self.inner.head.labels)
        order = list(range(width + 2))
        if self.system.is_geographic:
            for at, behind in ((self.north, width), (self.east, width + 1)):
                order[at], order[behind] = behind, at
        return order

    @cached_property
    def head(self) -> Head:
        """The headings with those of the places, and the first rows."""
        head = self.inner.head
        width = len(head.labels)
        labels = [*head.labels, *_LABELS]
        types: list[FieldType | None] = [*(head.types or (None,) * width), *_KINDS]
        if self.system.is_geographic:
            labels[width:] = _BEFORE
            types[self.north] = types[self.east] = FieldType.TEXT
        return replace(
            head,
            labels=tuple(labels),
            types=tuple(types[at] for at in self._order),
            sample=tuple(self._sampled(head)),
            notices=(*head.notices, *self._notices(head)),
        )

    def _sampled(self, head: Head) -> Iterator[Record]:
        width = len(head.labels)
        rows = [(row.cells + [""] * width)[:width] for row in head.sample]
        north, east = (
            pl.Series([row[at] for row in rows], dtype=pl.String) for at in (self.north, self.east)
        )
        numbers = np.column_stack([_numbers(trimmed(east), 1), _numbers(trimmed(north), 0)])
        settle(self.system, None, numbers)
        places = self._convert(north, east)
        for row, cells, lat, lon in zip(head.sample, rows, *places, strict=True):
            whole = [*cells, lat or "", lon or ""]
            yield replace(row, cells=[whole[at] for at in self._order])

    def _notices(self, head: Head) -> Iterator[Notice]:
        yield Notice(
            "coordinates_converted",
            {
                "north": head.labels[self.north],
                "east": head.labels[self.east],
                "name": self.system.name,
                "metres": f"{self.system.metres:g}",
            },
        )

    def batches(self) -> Iterator[Batch]:
        """The rows with their places."""
        for batch in self.inner.batches():
            cells = batch.frame.get_columns()
            whole = [*cells, *self._convert(cells[self.north], cells[self.east])]
            series = [whole[at].alias(str(place)) for place, at in enumerate(self._order)]
            yield replace(batch, frame=pl.DataFrame(series))

    def _convert(self, north: pl.Series, east: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Latitudes and longitudes; what is no number stays, to be refused where it stands."""
        north, east = trimmed(north), trimmed(east)
        xy = np.column_stack([_numbers(east, 1), _numbers(north, 0)])
        lonlat = self.system.convert(xy)
        good = pl.Series(np.isfinite(lonlat).all(axis=1))
        return (
            pl.Series(lonlat[:, 1]).cast(pl.String).zip_with(good, north),
            pl.Series(lonlat[:, 0]).cast(pl.String).zip_with(good, east),
        )


def _numbers(cells: pl.Series, axis: int) -> NDArray[np.float64]:
    """The numbers of a column; degrees, minutes and seconds are read as well. NaN for the rest."""
    plain = cells.str.replace_all(",", "", literal=True)
    odd = cells.is_not_null() & plain.cast(pl.Float64, strict=False).is_null()
    if odd.any():
        kind = Field("", "", "", _KINDS[axis])
        good, _ = read_each(cells.filter(odd).unique().to_list(), normaliser(kind))
        plain = plain.replace(list(good), list(good.values())) if good else plain
    found: NDArray[np.float64] = (
        plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    )
    return found
