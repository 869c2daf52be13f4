"""One Mapbox Vector Tile (specification 2.1) of one layer, built feature by feature up to a size."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import shapely

EXTENT: Final = 4_096
MOST_BYTES: Final = 500_000
_ROOM: Final = 1_000  # for what stands around the features
_MOVE, _LINE, _CLOSE = 1, 2, 7
Value = str | int | float | bool | None


def varint(value: int) -> bytes:
    """A whole number ≥ 0 as protocol buffers write it."""
    if value < 0x80:
        return bytes((value,))
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _member(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


class Tile:
    """A layer in the making. What no longer fits is left out."""

    def __init__(self, layer: str, names: Sequence[str]) -> None:
        self._head = _member(1, layer.encode()) + b"".join(_member(3, n.encode()) for n in names)
        self._features: list[bytes] = []
        self._values: dict[tuple[type, Value], int] = {}
        self._written: list[bytes] = []
        self._size = len(self._head) + _ROOM

    def add(self, row: int, kind: int, geometry: bytes, values: Sequence[Value]) -> bool:
        """Add one feature; False where there is no room for it."""
        tags = bytearray()
        fresh: list[tuple[type, Value]] = []
        known = len(self._values)
        for at, value in enumerate(values):
            if value is None:
                continue
            index = self._values.get((type(value), value))
            if index is None:
                index = known + len(fresh)
                self._values[type(value), value] = index
                fresh.append((type(value), value))
            tags += varint(at) + varint(index)
        made = _feature(row, kind, geometry, bytes(tags))
        written = [_member(4, _value(value)) for _, value in fresh]
        size = self._size + len(made) + sum(map(len, written))
        if size > MOST_BYTES:
            for each in fresh:
                del self._values[each]
            return False
        self._features.append(made)
        self._written += written
        self._size = size
        return True

    def encode(self) -> bytes:
        """The tile's bytes."""
        version = b"\x78\x02"  # 15: 2
        extent = b"\x28" + varint(EXTENT)
        body = self._head + b"".join(self._features) + b"".join(self._written) + extent + version
        return _member(3, body)


def _feature(row: int, kind: int, geometry: bytes, tags: bytes) -> bytes:
    about = b"\x08" + varint(row) + _member(2, tags) + b"\x18" + varint(kind)
    return _member(2, about + _member(4, geometry))


def _value(value: Value) -> bytes:
    match value:
        case bool():
            return b"\x38" + varint(int(value))
        case int():
            return b"\x30" + varint(_zigzag(value))
        case float():
            return b"\x19" + struct.pack("<d", value)
        case str():
            return _member(1, value.encode())
    raise LookupError("a value that is none has no place in a tile")


def encode_point(x: int, y: int) -> bytes:
    """The commands of one point."""
    return b"\x09" + varint(_zigzag(x)) + varint(_zigzag(y))


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
            self.made += varint(_zigzag(x - self._x)) + varint(_zigzag(y - self._y))
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
