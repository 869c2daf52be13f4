"""GeoJSON geometries (RFC 7946) checked and in one canonical form; it knows no projection.

Canonical: longitude and latitude alone, exterior rings counter-clockwise (3.1.6), compact JSON.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import orjson

# The territory of Japan with its sea (field-notes: this range settles a swap without doubt).
LATITUDES: Final = (20.0, 46.0)
LONGITUDES: Final = (122.0, 154.5)
_GLOBE: Final = (-180.0, -90.0, 180.0, 90.0)
MOST_POSITIONS: Final = 1_000_000
_MOST_NESTED: Final = 4  # collections inside collections
_RING: Final = 4  # positions, the first one twice (3.1.6)

Position = tuple[float, float]


class NotGeometry(ValueError):
    """Not a geometry that can be stored; `code` is the reject code, `hint` a further one."""

    def __init__(self, code: str, ja: str, en: str, hint: str | None = None) -> None:
        super().__init__(en)
        self.code = code
        self.ja = ja
        self.en = en
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Shape:
    """A geometry as it is stored, and its bounds in degrees."""

    text: str
    west: float
    south: float
    east: float
    north: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.west, self.south, self.east, self.north


@dataclass(slots=True)
class _Bounds:
    """What all positions span."""

    most: int = MOST_POSITIONS
    positions: int = 0
    edges: list[float] = field(default_factory=lambda: [math.inf, math.inf, -math.inf, -math.inf])

    def add(self, x: float, y: float) -> None:
        self.positions += 1
        if self.positions > self.most:
            raise NotGeometry(
                "geometry_too_large",
                f"頂点は{self.most}個までです。",
                f"has more than {self.most} positions.",
            )
        edges = self.edges
        edges[0], edges[1] = min(edges[0], x), min(edges[1], y)
        edges[2], edges[3] = max(edges[2], x), max(edges[3], y)


def read_geometry(given: object) -> Shape | None:
    """A GeoJSON object (or its text) as it is stored; None where it is empty.

    Raises `NotGeometry`.
    """
    if isinstance(given, str | bytes):
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            raise _not_geometry() from None
    bounds = _Bounds()
    made = _geometry(given, bounds, 0)
    if not bounds.positions:
        return None
    check_area(*bounds.edges)
    return Shape(orjson.dumps(made).decode(), *bounds.edges)


def read_asked(given: object, *, most: int) -> Shape | None:
    """A GeoJSON object that is searched by: anywhere on the globe, of `most` positions.

    Raises `NotGeometry`.
    """
    bounds = _Bounds(most)
    made = _geometry(given, bounds, 0)
    if not bounds.positions:
        return None
    west, south, east, north = bounds.edges
    if west < _GLOBE[0] or south < _GLOBE[1] or east > _GLOBE[2] or north > _GLOBE[3]:
        raise NotGeometry(
            "coordinate_out_of_range",
            "経度は-180から180、緯度は-90から90です（経度、緯度の順に書きます）。",
            "has a longitude outside -180 to 180 or a latitude outside -90 to 90"
            " (longitude stands before latitude).",
        )
    return Shape(orjson.dumps(made).decode(), west, south, east, north)


def check_area(west: float, south: float, east: float, north: float) -> None:
    """Refuse what does not lie in Japan, and say where it looks swapped. Raises `NotGeometry`."""
    if _is_in(west, east, LONGITUDES) and _is_in(south, north, LATITUDES):
        return
    swapped = _is_in(west, east, LATITUDES) and _is_in(south, north, LONGITUDES)
    raise NotGeometry(
        "coordinate_out_of_area",
        "日本の範囲外です（経度、緯度の順に書きます）。",
        "lies outside Japan (longitude stands before latitude).",
        "looks_swapped" if swapped else None,
    )


def _is_in(low: float, high: float, area: tuple[float, float]) -> bool:
    return area[0] <= low and high <= area[1]


def _not_geometry() -> NotGeometry:
    return NotGeometry(
        "invalid_geometry",
        "GeoJSONのジオメトリです（RFC 7946）。",
        "is a GeoJSON geometry (RFC 7946).",
    )


def _geometry(given: object, bounds: _Bounds, depth: int) -> dict[str, Any]:
    if not isinstance(given, Mapping) or depth > _MOST_NESTED:
        raise _not_geometry()
    kind = given.get("type")
    if kind == "GeometryCollection":
        parts = [_geometry(each, bounds, depth + 1) for each in _items(given.get("geometries"))]
        return {"type": kind, "geometries": parts}
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _not_geometry()
    return {"type": kind, "coordinates": reader(given.get("coordinates"), bounds)}


def _items(given: object) -> Sequence[Any]:
    if not isinstance(given, list | tuple):
        raise _not_geometry()
    return given


def _position(given: object, bounds: _Bounds) -> Position:
    """Longitude and latitude; what stands behind them (height, 3.1.1) is dropped."""
    if not isinstance(given, list | tuple) or len(given) < 2:
        raise _not_geometry()
    x, y = given[0], given[1]
    if isinstance(x, bool) or isinstance(y, bool):
        raise _not_geometry()
    if not isinstance(x, int | float | Decimal) or not isinstance(y, int | float | Decimal):
        raise _not_geometry()
    try:
        found = (float(x), float(y))
    except OverflowError:
        raise _not_geometry() from None
    if not (math.isfinite(found[0]) and math.isfinite(found[1])):
        raise _not_geometry()
    bounds.add(*found)
    return found


def _point(given: object, bounds: _Bounds) -> Position | list[float]:
    return [] if given == [] else _position(given, bounds)


def _points(given: object, bounds: _Bounds) -> list[Position]:
    return [_position(each, bounds) for each in _items(given)]


def _line(given: object, bounds: _Bounds) -> list[Position]:
    found = _points(given, bounds)
    if len(found) == 1:
        raise NotGeometry(
            "geometry_too_few_points", "線は2点以上です。", "has a line of a single position."
        )
    return found


def _lines(given: object, bounds: _Bounds) -> list[list[Position]]:
    return [_line(each, bounds) for each in _items(given)]


def _polygon(given: object, bounds: _Bounds) -> list[list[Position]]:
    rings = [_ring(each, bounds) for each in _items(given)]
    return [_turned(ring, counter_clockwise=at == 0) for at, ring in enumerate(rings)]


def _polygons(given: object, bounds: _Bounds) -> list[list[list[Position]]]:
    return [_polygon(each, bounds) for each in _items(given)]


def _ring(given: object, bounds: _Bounds) -> list[Position]:
    found = _points(given, bounds)
    if found and found[0] != found[-1]:
        raise NotGeometry(
            "geometry_ring_open",
            "面の輪が閉じていません（最初と最後の点を同じにします）。",
            "has a ring whose last position is not its first.",
        )
    if 0 < len(found) < _RING:
        raise NotGeometry(
            "geometry_too_few_points",
            "面の輪は最初と最後を含めて4点以上です。",
            "has a ring of fewer than four positions.",
        )
    return found


def _turned(ring: list[Position], *, counter_clockwise: bool) -> list[Position]:
    if not ring:
        return ring
    x0, y0 = ring[0]  # seen from there, small rings lose no digits
    area = math.fsum(
        (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) for (x1, y1), (x2, y2) in pairwise(ring)
    )
    return ring if area == 0 or (area > 0) == counter_clockwise else ring[::-1]


_READERS: Final[Mapping[str, Callable[[object, _Bounds], Any]]] = {
    "Point": _point,
    "MultiPoint": _points,
    "LineString": _line,
    "MultiLineString": _lines,
    "Polygon": _polygon,
    "MultiPolygon": _polygons,
}
