"""Whole columns of geometries: canonical text, bounds, and what is wrong with which; worker only."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from app.formats.text import CellError
from app.query.geojson import LATITUDES, LONGITUDES, MOST_POSITIONS, NotGeometry, read_geometry

Shapes = NDArray[Any]  # of shapely geometries, None where there is none

# What `canonical` writes. Other spellings (blanks, other members) are written anew.
_PLAIN: Final = r'^\{"type":"[A-Za-z]+","coordinates":[\[\]0-9.,eE+-]+\}$'
_RING: Final = 4


@dataclass(frozen=True, slots=True)
class Geometries:
    """A column of geometries in one batch."""

    values: pl.Series  # GeoJSON, null where empty or refused
    edges: tuple[pl.Series, ...]  # west, south, east, north
    errors: dict[int, CellError] = field(default_factory=dict)
    crossing: tuple[int, ...] = ()  # rows whose shapes cross themselves: published so, kept so


def read_geometries(cells: pl.Series) -> Geometries:
    """Check GeoJSON texts; whatever is doubtful is read once more with its reasons."""
    shapes = shapely.from_geojson(cells.to_numpy(), on_invalid="ignore")
    shapes = np.array(shapes, dtype=object, ndmin=1)
    bounds = shapely.bounds(shapes)
    errors: dict[int, CellError] = {}
    rewritten: dict[int, str | None] = {}
    for index in _doubtful(cells, shapes, bounds):
        try:
            made = read_geometry(cells[index])
        except NotGeometry as wrong:
            errors[index] = CellError(wrong.code, wrong.hint)
            made = None
        rewritten[index] = made.text if made is not None else None
        shapes[index] = shapely.from_geojson(made.text) if made is not None else None
        bounds[index] = made.edges if made is not None else np.nan
    values = _canonical(cells, shapes, rewritten)
    edges = tuple(pl.Series(bounds[:, at]).fill_nan(None) for at in range(4))
    valid = shapely.is_valid(shapes) | shapely.is_missing(shapes)
    return Geometries(values, edges, errors, tuple(np.flatnonzero(~valid).tolist()))


def _doubtful(cells: pl.Series, shapes: Shapes, bounds: NDArray[np.float64]) -> list[int]:
    """Rows that need a reason: unread, empty, outside Japan, with rings of too few points."""
    given = cells.is_not_null().to_numpy()
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    west, south, east, north = bounds.T
    with np.errstate(invalid="ignore"):
        inside = (west >= LONGITUDES[0]) & (east <= LONGITUDES[1])
        inside &= (south >= LATITUDES[0]) & (north <= LATITUDES[1])
    large = shapely.get_num_coordinates(shapes) > MOST_POSITIONS
    doubtful = given & (empty | ~inside | large | _has_short_rings(shapes))
    return [int(index) for index in np.flatnonzero(doubtful)]


def _has_short_rings(shapes: Shapes) -> NDArray[np.bool_]:
    """GEOS takes rings of three positions; RFC 7946 (3.1.6) and everything that draws do not."""
    found = np.zeros(len(shapes), dtype=bool)
    parts, of_shape = shapely.get_parts(shapes, return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    short = shapely.get_num_coordinates(rings) < _RING
    found[of_shape[of_part[short]]] = True
    return found


def canonical(shapes: Shapes) -> NDArray[Any]:
    """GeoJSON texts of shapes: two dimensions, exterior rings counter-clockwise (RFC 7946)."""
    flat = shapely.force_2d(shapes) if shapely.has_z(shapes).any() else shapes
    texts: NDArray[Any] = shapely.to_geojson(shapely.orient_polygons(flat))
    return texts


def _canonical(cells: pl.Series, shapes: Shapes, rewritten: dict[int, str | None]) -> pl.Series:
    """The cells as they are where they are canonical already, which saves writing most of them."""
    turned = shapely.orient_polygons(shapes)
    plain = cells.str.contains(_PLAIN).fill_null(value=True).to_numpy()
    kept = plain & ~shapely.has_z(shapes) & shapely.equals_identical(turned, shapes)
    kept |= shapely.is_missing(shapes)
    values = cells
    if not kept.all():
        texts = canonical(shapes[~kept])
        values = values.scatter(np.flatnonzero(~kept), pl.Series(texts.tolist(), dtype=pl.String))
    if rewritten:
        texts_anew = pl.Series(list(rewritten.values()), dtype=pl.String)
        values = values.scatter(list(rewritten), texts_anew)
    return values
