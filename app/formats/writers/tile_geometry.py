"""Geometries as the commands of a vector tile (4.3), in whole numbers from the tile's origin."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from app.formats.writers.vector_tile import EXTENT, lengths_of, varint, varints, zigzag

_MOVE, _LINE, _CLOSE = 1, 2, 7
_POLYGON: Final = 3  # GEOS's type id
Numbers = NDArray[np.int64]


def is_plain(shapes: Any) -> NDArray[np.bool_]:
    """Which are polygons of one ring: most shapes of a city, and drawn many at once."""
    rings = shapely.get_num_interior_rings(shapes)
    return np.asarray((shapely.get_type_id(shapes) == _POLYGON) & (rings == 0))


def encode_plain(shapes: Any, tiles: Any) -> tuple[NDArray[np.bool_], list[bytes]]:
    """Polygons of one ring, each within its tile (x, y): of which something is left once they are
    rounded, and the commands of those."""
    places, of = shapely.get_coordinates(shapes, return_index=True)
    whole = np.rint(places).astype(np.int64) - np.asarray(tiles)[of] * EXTENT
    is_new = np.concatenate(
        [[True], (np.diff(whole, axis=0) != 0).any(axis=1) | (np.diff(of) != 0)]
    )
    whole, of = whole[is_new], of[is_new]
    is_last = np.concatenate([np.diff(of) != 0, [True]])  # it repeats the first
    whole, of = whole[~is_last], of[~is_last]
    counts = np.bincount(of, minlength=len(shapes))
    begins = np.cumsum(counts) - counts
    at = np.arange(len(of)) - begins[of]
    following = np.where(at + 1 < counts[of], np.arange(len(of)) + 1, begins[of])
    x, y = whole.T
    cross = x * y[following] - x[following] * y
    areas = np.bincount(of, cross, len(shapes))  # exact: far below 2^53
    is_drawn = (counts > 2) & (areas != 0)
    kept = is_drawn[of]
    # Clockwise as seen (y points down); a ring the other way round is gone through backwards.
    order = np.where(areas[of] > 0, begins[of] + at, begins[of] + counts[of] - 1 - at)[kept]
    return is_drawn, _rings(whole[order], at[kept], counts[is_drawn])


def _rings(places: Numbers, at: Numbers, counts: Numbers) -> list[bytes]:
    """The commands of rings: to the first position, along the others, and closed."""
    if not len(counts):
        return []
    steps = np.diff(places, axis=0, prepend=0)
    steps[at == 0] = places[at == 0]
    sizes = 2 * counts + 3
    begins = np.cumsum(sizes) - sizes
    words = np.empty(int(sizes.sum()), dtype=np.int64)
    words[begins] = 1 << 3 | _MOVE
    words[begins + 3] = (counts - 1) << 3 | _LINE
    words[begins + sizes - 1] = 1 << 3 | _CLOSE
    where = np.repeat(begins, counts) + 1 + 2 * at + (at > 0)
    words[where], words[where + 1] = (
        np.where(each >= 0, each << 1, -each * 2 - 1) for each in steps.T
    )
    stream = varints(words).tobytes()
    ends = np.cumsum(np.add.reduceat(lengths_of(words), begins)).tolist()
    return [stream[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def encode_geometry(shape: Any, origin: tuple[int, int]) -> tuple[int, bytes] | None:
    """A geometry as its kind (1 point, 2 line, 3 polygon) and its commands, in whole numbers from
    the tile's origin; None where nothing of it is left once it is rounded."""
    parts = [part for part in shapely.get_parts(shape) if not part.is_empty]
    highest = max((int(shapely.get_dimensions(part)) for part in parts), default=-1)
    if highest < 0:
        return None
    drawn = [part for part in _flat(parts) if shapely.get_dimensions(part) == highest]
    pen = _Pen(origin)
    if highest == 0:
        pen.points(shapely.get_coordinates(drawn))
    elif highest == 1:
        for line in drawn:
            pen.line(shapely.get_coordinates(line))
    else:
        for polygon in drawn:
            pen.polygon(polygon)
    return (highest + 1, bytes(pen.made)) if pen.made else None


def _flat(parts: Sequence[Any]) -> Iterator[Any]:
    for part in parts:
        if part.geom_type.startswith("Multi") or part.geom_type == "GeometryCollection":
            yield from _flat(shapely.get_parts(part).tolist())
        else:
            yield part


class _Pen:
    """Writes commands, each position relative to the one before."""

    def __init__(self, origin: tuple[int, int]) -> None:
        self.made = bytearray()
        self._x, self._y = origin

    def points(self, coordinates: Any) -> None:
        """All points in one command."""
        self._go(_MOVE, _whole(coordinates))

    def line(self, coordinates: Any) -> None:
        """A line of at least two positions."""
        found = _distinct(_whole(coordinates))
        if len(found) > 1:
            self._go(_MOVE, found[:1])
            self._go(_LINE, found[1:])

    def polygon(self, polygon: Any) -> None:
        """Its outer ring clockwise as seen (y points down), then its holes the other way."""
        outer = _ring(polygon.exterior)
        if outer is None:
            return
        self._close(outer if _area(outer) > 0 else outer[::-1])
        for hole in polygon.interiors:
            inner = _ring(hole)
            if inner is not None:
                self._close(inner if _area(inner) < 0 else inner[::-1])

    def _close(self, ring: list[list[int]]) -> None:
        self._go(_MOVE, ring[:1])
        self._go(_LINE, ring[1:])
        self.made += varint(1 << 3 | _CLOSE)

    def _go(self, command: int, positions: list[list[int]]) -> None:
        self.made += varint(len(positions) << 3 | command)
        for x, y in positions:
            self.made += varint(zigzag(x - self._x)) + varint(zigzag(y - self._y))
            self._x, self._y = x, y


def _whole(coordinates: Any) -> list[list[int]]:
    found: list[list[int]] = np.rint(coordinates).astype(int).tolist()
    return found


def _distinct(positions: list[list[int]]) -> list[list[int]]:
    """Without positions that repeat the one before."""
    return [at for n, at in enumerate(positions) if n == 0 or at != positions[n - 1]]


def _ring(ring: Any) -> list[list[int]] | None:
    """The ring without its last position, which repeats the first; None where it has no area."""
    found = _distinct(_whole(shapely.get_coordinates(ring)))[:-1]
    return found if len(found) > 2 and _area(found) != 0 else None


def _area(ring: list[list[int]]) -> int:
    """Twice the signed area."""
    return sum(
        x * ring[(at + 1) % len(ring)][1] - ring[(at + 1) % len(ring)][0] * y
        for at, (x, y) in enumerate(ring)
    )
