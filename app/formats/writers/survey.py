"""What a whole file holds, found by reading it once: the writers choose their types by it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely

from app.formats.writers.cells import Row, Shapes, batches, shapes_of
from app.formats.writers.order import Layout
from app.query.fields import FieldType

MOST_ZOOM: Final = 14
_MOST_LATITUDE: Final = 85.0511  # where Web Mercator ends


@dataclass(slots=True)
class Digits:
    """The most digits of a decimal column before and behind the point."""

    whole: int = 1
    scale: int = 0

    def see(self, text: str) -> None:
        """Note one number, as PostgreSQL writes it: never with an exponent."""
        whole, _, rest = text.lstrip("-").partition(".")
        self.whole = max(self.whole, len(whole))
        self.scale = max(self.scale, len(rest))


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
    for rows in batches(path):
        found.rows += len(rows)
        _see_cells(found, rows)
        if layout.has_place:
            _see_shapes(found, shapes_of(layout, rows))
    return found


def _see_cells(found: Survey, rows: list[Row]) -> None:
    for row in rows:
        longest = max((len(cell) for cell in row if cell), default=0)
        found.longest = max(found.longest, longest)
        for at, digits in found.digits.items():
            if (text := row[at]) is not None:
                digits.see(text)


def _see_shapes(found: Survey, shapes: Shapes) -> None:
    drawn = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    if not len(drawn):
        return
    found.kinds |= {_NAMES[each] for each in np.unique(shapely.get_type_id(drawn))}
    west, south, east, north = shapely.total_bounds(drawn)
    if found.bounds is not None:
        west, south = min(west, found.bounds[0]), min(south, found.bounds[1])
        east, north = max(east, found.bounds[2]), max(north, found.bounds[3])
    found.bounds = (float(west), float(south), float(east), float(north))
    edges = world(shapely.bounds(drawn).reshape(-1, 2, 2)).reshape(-1, 4)
    for zoom in range(MOST_ZOOM + 1):
        at = np.floor(edges * 2**zoom)
        touched = (at[:, 2] - at[:, 0] + 1) * (at[:, 1] - at[:, 3] + 1)
        found.tiles[zoom] += int(touched.sum())


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
