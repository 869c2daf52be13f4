"""How shapes on the globe stand to each other: arithmetic on arrays of geometries, and no I/O.

Shapes are planar in CRS84; distances are metres along the great circle, as elsewhere. It is
imported late: it brings GEOS along, which a process without spatial questions does without.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from app.query.geojson import Shape
from app.query.geometry import EARTH_METRES
from app.query.question import Relation

_DEGREE_METRES: Final = math.radians(EARTH_METRES)
_FLATTEST: Final = math.cos(math.radians(89))  # at the poles no plane has degrees for sides
Geometries = NDArray[Any]  # of shapely geometries, None where a record has none
Truths = NDArray[np.bool_]

# GEOS prepares the first of the two, so the shape comes first and the relation is turned round.
_TURNED: Final[Mapping[Relation, Callable[[Any, Any], Any]]] = {
    Relation.INTERSECTS: shapely.intersects,
    Relation.DISJOINT: shapely.disjoint,
    Relation.EQUALS: shapely.equals,
    Relation.TOUCHES: shapely.touches,
    Relation.WITHIN: shapely.contains,
    Relation.CONTAINS: shapely.within,
    Relation.OVERLAPS: shapely.overlaps,
    Relation.CROSSES: shapely.crosses,
}


def read_shape(text: str) -> Any:
    """The geometry of a GeoJSON text that was checked (`Shape.text`, a hosted column)."""
    return shapely.from_geojson(text)


def fault_of(shape: Shape) -> str | None:
    """Why a shape is none that anything can lie in, in the words of GEOS; None where it is one."""
    geometry = read_shape(shape.text)
    return None if shapely.is_valid(geometry) else str(shapely.is_valid_reason(geometry))


def relate(
    relation: Relation, geometries: Geometries, shape: Shape, metres: float | None = None
) -> Truths:
    """`relation(geometry, shape)` of each geometry. Of none and of an empty one it is false.

    Shapes that cross themselves are taken as they are. `metres` is of `DWITHIN` only.
    """
    found: Truths = np.zeros(len(geometries), dtype=bool)
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    if not there.any():
        return found
    wanted = read_shape(shape.text)
    if relation is Relation.DWITHIN:
        if metres is None:
            raise LookupError("a distance without metres")
        found[there] = distances(geometries[there], wanted) <= metres
        return found
    shapely.prepare(wanted)
    found[there] = _related(_TURNED[relation], wanted, geometries[there])
    return found


def _related(turned: Callable[[Any, Any], Any], shape: Any, geometries: Geometries) -> Truths:
    """All at once; where one of them is too broken for GEOS, one by one, that one mended."""
    try:
        return np.asarray(turned(shape, geometries), dtype=bool)
    except shapely.errors.GEOSException:
        return np.array([_related_alone(turned, shape, each) for each in geometries], dtype=bool)


def _related_alone(turned: Callable[[Any, Any], Any], shape: Any, geometry: Any) -> bool:
    try:
        return bool(turned(shape, geometry))
    except shapely.errors.GEOSException:
        return bool(turned(shapely.make_valid(shape), shapely.make_valid(geometry)))


def distances(geometries: Geometries, shape: Any) -> NDArray[np.float64]:
    """Metres from each geometry to the shape, 0 where they meet; none of them empty.

    Within 0.5 % of the geodesic up to 1,000 km; farther away, where a plane shows no longer what
    is nearest, never less than the truth.
    """
    turns = _turns(geometries, shape)
    found = np.full(len(geometries), np.inf)
    for turn in turns:
        turned = (
            shapely.transform(shape, lambda at, turn=turn: at + np.array([turn, 0]))
            if turn
            else shape
        )
        found = np.minimum(found, _nearest(geometries, turned))
    return found


def _turns(geometries: Geometries, shape: Any) -> tuple[int, ...]:
    """Degrees to look at the shape from, where the nearer way leads over the antimeridian."""
    west, _, east, _ = shapely.total_bounds(np.append(geometries, shape))
    return (0,) if east - west <= 180 else (0, -360, 360)


def _nearest(geometries: Geometries, shape: Any) -> NDArray[np.float64]:
    """The shortest line on a plane that is true where the line lies, measured on the globe.

    Where it lies is known only once it is drawn: a first one between the middles says where.
    """
    centre = shapely.bounds(shape)[[1, 3]].mean()
    latitudes = (shapely.bounds(geometries)[:, [1, 3]].mean(axis=1) + centre) / 2
    first, latitudes = _lines(geometries, shape, latitudes)
    second, _ = _lines(geometries, shape, latitudes)
    return np.minimum(first, second)


def _lines(
    geometries: Geometries, shape: Any, latitudes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lengths of the shortest lines, and the latitudes of their middles.

    Planes are shared by a whole degree: half of one tilts a line by less than counts.
    """
    metres = np.empty(len(geometries))
    middles = np.empty(len(geometries))
    bands = np.rint(latitudes)
    for band in np.unique(bands):
        width = max(math.cos(math.radians(band)), _FLATTEST)
        here = bands == band
        plane = np.array([width, 1.0])
        flat = shapely.transform(shape, lambda at, plane=plane: at * plane)
        lines = shapely.shortest_line(
            shapely.transform(geometries[here], lambda at, plane=plane: at * plane), flat
        )
        ends = shapely.get_coordinates(lines).reshape(-1, 2, 2) / plane
        metres[here] = _great_circle(ends[:, 0], ends[:, 1])
        middles[here] = ends[:, :, 1].mean(axis=1)
    return metres, middles


def _great_circle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres (haversine), by the very terms that hosted tables are asked with."""
    longitudes, latitudes = (np.radians(a - b) / 2).T
    half = np.sin(latitudes) ** 2 + (
        np.cos(np.radians(a[:, 1])) * np.cos(np.radians(b[:, 1])) * np.sin(longitudes) ** 2
    )
    metres: NDArray[np.float64] = 2 * EARTH_METRES * np.arcsin(np.sqrt(np.minimum(1.0, half)))
    return metres
