"""What a whole file holds, found by reading it once: the writers choose their types by it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import shapely

from app.formats.writers.cells import Shapes, batches, points_of, shapes_of
from app.formats.writers.order import Layout
from app.query.fields import FieldType

MOST_ZOOM: Final = 14
_MOST_LATITUDE: Final = 85.0511  # where Web Mercator ends
_DIGITS: Final = r"^-?(\d*)\.?(\d*)$"  # as PostgreSQL writes a number: never with an exponent


@dataclass(slots=True)
class Digits:
    """The most digits of a decimal column before and behind the point."""

    whole: int = 1
    scale: int = 0


@dataclass(slots=True)
class Survey:
    """The facts of a file."""

    rows: int = 0
    longest: int = 0  # characters of the longest cell
    digits: dict[int, Digits] = field(default_factory=dict)  # by column
    kinds: set[str] = field(default_factory=set)  # GeoJSON names of geometries
    bounds: tuple[float, float, float, float] | None = None
    # How many tiles the places touch, each counted for itself, by zoom.
    tiles: list[int] = field(default_factory=lambda: [0] * (MOST_ZOOM + 1))


def survey(layout: Layout, path: Path) -> Survey:
    """Read the file once."""
    found = Survey()
    decimals = [at for at, col in enumerate(layout.columns) if col.type is FieldType.DECIMAL]
    found.digits = {at: Digits() for at in decimals}
    for frame in batches(path, len(layout.columns)):
        found.rows += frame.height
        _see_cells(found, frame)
        if layout.geometry is not None:
            _see_shapes(found, shapes_of(layout, frame))
        elif layout.point is not None:
            _see_points(found, points_of(layout, frame))
    return found


def _see_cells(found: Survey, frame: pl.DataFrame) -> None:
    longest = frame.select(pl.all().str.len_chars().max()).row(0)
    found.longest = max(found.longest, *(each or 0 for each in longest))
    for at, digits in found.digits.items():
        whole, scale = (frame[str(at)].str.extract(_DIGITS, group) for group in (1, 2))
        digits.whole = max(digits.whole, _longest(whole))
        digits.scale = max(digits.scale, _longest(scale))


def _longest(texts: pl.Series) -> int:
    return int(texts.str.len_chars().max() or 0)  # type: ignore[arg-type]


def _see_points(found: Survey, pairs: Any) -> None:
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    if len(pairs):
        found.kinds.add("Point")
        _see_bounds(found, (*pairs.min(axis=0), *pairs.max(axis=0)))
        found.tiles = [count + len(pairs) for count in found.tiles]


def _see_shapes(found: Survey, shapes: Shapes) -> None:
    drawn = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    if not len(drawn):
        return
    found.kinds |= {_NAMES[each] for each in np.unique(shapely.get_type_id(drawn))}
    _see_bounds(found, shapely.total_bounds(drawn))
    edges = world(shapely.bounds(drawn).reshape(-1, 2, 2)).reshape(-1, 4)
    for zoom in range(MOST_ZOOM + 1):
        at = np.floor(edges * 2**zoom)
        touched = (at[:, 2] - at[:, 0] + 1) * (at[:, 1] - at[:, 3] + 1)
        found.tiles[zoom] += int(touched.sum())


def _see_bounds(found: Survey, bounds: Any) -> None:
    west, south, east, north = map(float, bounds)
    if found.bounds is not None:
        west, south = min(west, found.bounds[0]), min(south, found.bounds[1])
        east, north = max(east, found.bounds[2]), max(north, found.bounds[3])
    found.bounds = (west, south, east, north)


def world(degrees: Any) -> Any:
    """Longitude and latitude as Web Mercator's square from 0 to 1, y downward."""
    longitude, latitude = degrees[..., 0], degrees[..., 1]
    sine = np.sin(np.radians(np.clip(latitude, -_MOST_LATITUDE, _MOST_LATITUDE)))
    y = 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)
    return np.stack([np.clip(longitude / 360 + 0.5, 0, 1), y], axis=-1)


# In the order of GEOS's type ids.
_NAMES: Final = (
    "Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString",
    "MultiPolygon", "GeometryCollection",
)  # fmt: skip
