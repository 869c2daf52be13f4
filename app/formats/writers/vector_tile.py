"""Mapbox Vector Tiles (specification 2.1) of one layer, many at once, each up to a size."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from app.formats.writers.order import Layout
from app.query.fields import NUMBER_TYPES, FieldType

EXTENT: Final = 4_096
MOST_BYTES: Final = 500_000
MOST_FEATURES: Final = 25_000  # smaller ones than fill a tile in so many hold nothing
_ROOM: Final = 1_000  # for what stands around the features
_EXACT_DIGITS: Final = 15  # what a browser keeps of a number
_SHORT: Final = 126  # bytes of a text whose lengths are a byte each
_MOVE, _LINE, _CLOSE = 1, 2, 7
_TAIL: Final = b"\x28\x80\x20\x78\x02"  # the extent of 4,096, and the version
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Features of whole tiles, in the order of the tiles and of their rank in each."""

    tiles: Numbers
    rows: Numbers
    kinds: Numbers  # 1 point, 2 line, 3 polygon
    sizes: Numbers  # of the geometries
    geometries: bytes  # one behind the other
    missed: int = 0  # left out before

    def of(self, chosen: NDArray[np.bool_]) -> "Drawn":
        """Some of them."""
        kept = np.frombuffer(self.geometries, np.uint8)[np.repeat(chosen, self.sizes)].tobytes()
        return Drawn(
            self.tiles[chosen], self.rows[chosen], self.kinds[chosen], self.sizes[chosen], kept
        )


class Tiles:
    """Makes the tiles of a layer. What no longer fits into a tile is left out."""

    def __init__(self, layer: str, layout: Layout) -> None:
        names = [layout.columns[at].name for at in layout.others]
        self._head = _member(1, layer.encode()) + b"".join(_member(3, n.encode()) for n in names)
        self._columns = [(str(at), layout.columns[at].type) for at in layout.others]

    def encode(self, drawn: Drawn, cells: pl.DataFrame) -> Iterator[tuple[int, bytes, int]]:
        """Each tile's number and bytes, and how many features it has."""
        codes, messages = _values(cells, self._columns)
        sizes = np.array([len(each) for each in messages], dtype=np.int64)
        tagged = _Tagged.of(drawn, codes)
        fits = tagged.fits(drawn, sizes, MOST_BYTES - len(self._head) - _ROOM)
        if not fits.all():
            drawn, codes = drawn.of(fits), codes[fits]
            tagged = _Tagged.of(drawn, codes)
        stream, lengths = tagged.features(drawn)
        ends = np.cumsum(lengths)
        borders = [0, *(np.flatnonzero(np.diff(drawn.tiles)) + 1).tolist(), len(drawn.tiles)]
        used = np.searchsorted(tagged.used_by, np.arange(len(borders)))
        for at, (begin, end) in enumerate(pairwise(borders)):
            features = stream[ends[begin] - lengths[begin] : ends[end - 1]]
            written = [messages[code] for code in tagged.used[used[at] : used[at + 1]].tolist()]
            body = b"".join([self._head, features, *written, _TAIL])
            yield int(drawn.tiles[begin]), _member(3, body), end - begin


@dataclass(frozen=True, slots=True)
class _Tagged:
    """Features with their values numbered within each tile."""

    tags: Numbers  # by feature and column the value's number, -1 for none
    used: Numbers  # the values of the tiles, one tile behind the other
    used_by: Numbers  # which tile of the batch each of them is of
    first: Numbers  # the feature that brings it in

    @classmethod
    def of(cls, drawn: Drawn, codes: Numbers) -> "_Tagged":
        tile = np.cumsum(np.concatenate([[0], np.diff(drawn.tiles) != 0]))
        most = int(codes.max(initial=0)) + 1
        given = codes >= 0
        found, first, again = np.unique(
            (tile[:, None] * most + codes)[given], return_index=True, return_inverse=True
        )
        used_by = found // most
        begins = np.searchsorted(used_by, np.arange(tile[-1] + 1))
        tags = np.full(codes.shape, -1, dtype=np.int64)
        tags[given] = again - begins[used_by[again]]
        return cls(tags, found % most, used_by, np.nonzero(given)[0][first])

    def fits(self, drawn: Drawn, sizes: Numbers, room: int) -> NDArray[np.bool_]:
        """Which features find room in their tiles. Once one does not, those behind it are not
        tried: small ones would be favoured."""
        brought = np.bincount(self.first, sizes[self.used], len(drawn.rows)).astype(np.int64)
        _, about = self._sizes(drawn)
        needed = np.cumsum(about + 1 + _lengths(about) + brought)
        begins = np.flatnonzero(np.concatenate([[1], np.diff(drawn.tiles)]))
        before = np.concatenate([[0], needed])[begins]
        spans = np.diff(np.concatenate([begins, [len(needed)]]))
        return np.asarray(needed - np.repeat(before, spans) <= room)

    def _sizes(self, drawn: Drawn) -> tuple[Numbers, Numbers]:
        """The bytes of each feature's tags, and of all of it."""
        keys = _lengths(np.arange(self.tags.shape[1]))
        tags = np.where(self.tags >= 0, _lengths(self.tags) + keys, 0).sum(axis=1)
        parts = 1 + _lengths(drawn.rows + 1), 1 + _lengths(tags) + tags, 2
        return tags, sum(parts) + 1 + _lengths(drawn.sizes) + drawn.sizes

    def features(self, drawn: Drawn) -> tuple[bytes, Numbers]:
        """All features, and the length of each."""
        (number, columns), (tags, about) = self.tags.shape, self._sizes(drawn)
        words = np.empty((number, 10 + 2 * columns), dtype=np.int64)
        heads = (0x12, about, 0x08, drawn.rows + 1, 0x12, tags)
        for at, word in enumerate((*heads, *[0] * (2 * columns), 0x18, drawn.kinds, 0x22, drawn.sizes)):
            words[:, at] = word
        words[:, 6:-4:2] = np.arange(columns)
        words[:, 7:-4:2] = self.tags
        given = np.ones(words.shape, dtype=bool)
        given[:, 6:-4:2] = given[:, 7:-4:2] = self.tags >= 0
        lengths = np.where(given, _lengths(words), 0).sum(axis=1)
        return _joined(varints(words[given]), lengths, drawn), lengths + drawn.sizes


def _joined(heads: NDArray[np.uint8], lengths: Numbers, drawn: Drawn) -> bytes:
    """Each feature's head with its geometry behind it."""
    spans = np.stack([lengths, drawn.sizes], axis=1).ravel()
    is_head = np.repeat(np.tile([True, False], len(lengths)), spans)
    made = np.empty(len(is_head), dtype=np.uint8)
    made[is_head] = heads
    made[~is_head] = np.frombuffer(drawn.geometries, np.uint8)
    return made.tobytes()


def _lengths(values: Numbers) -> Numbers:
    """How many bytes each number takes."""
    return 1 + sum((values >= 1 << bits).astype(np.int64) for bits in (7, 14, 21, 28))


def varints(values: Numbers) -> NDArray[np.uint8]:
    """Whole numbers below 2^35 as protocol buffers write them, one behind the other."""
    lengths = _lengths(values)
    begins = np.cumsum(lengths) - lengths
    made = np.empty(int(lengths.sum()), dtype=np.uint8)
    for at in range(5):
        longer = lengths > at
        values, lengths, begins = values[longer], lengths[longer], begins[longer]
        made[begins + at] = values >> 7 * at & 0x7F | np.where(lengths > at + 1, 0x80, 0)
    return made


def encode_points(places: Any) -> tuple[Numbers, Numbers, bytes]:
    """Points within their tiles: their kinds, and the commands of each, with their sizes."""
    words = np.concatenate([np.full((len(places), 1), 9), places.astype(np.int64) << 1], axis=1)
    sizes = _lengths(words).sum(axis=1)
    return np.ones(len(places), dtype=np.int64), sizes, varints(words.ravel()).tobytes()


def _values(
    cells: pl.DataFrame, columns: Sequence[tuple[str, FieldType]]
) -> tuple[Numbers, list[bytes]]:
    """By row and column the number of the value, -1 for none; and the values as tiles have them."""
    messages: list[bytes] = []
    tables: dict[FieldType, dict[str | None, int]] = {}
    codes = np.full((cells.height, len(columns)), -1, dtype=np.int64)
    for at, (name, kind) in enumerate(columns):
        alike = kind if kind in NUMBER_TYPES or kind is FieldType.BOOLEAN else FieldType.TEXT
        table = tables.setdefault(alike, {None: -1})
        texts = cells[name].to_list()
        for text in dict.fromkeys(texts):
            if text is not None and text not in table:
                table[text] = len(messages)
                messages.append(_value(text, alike))
        codes[:, at] = np.fromiter(map(table.__getitem__, texts), np.int64, len(texts))
    return codes, messages


def _value(text: str, kind: FieldType) -> bytes:
    # A decimal that a browser would round stays the text that it was.
    if kind is FieldType.TEXT or (kind is FieldType.DECIMAL and len(text) > _EXACT_DIGITS):
        written = text.encode()
        size = len(written)
        if size < _SHORT:
            return bytes((0x22, size + 2, 0x0A, size)) + written
        return _member(4, _member(1, written))
    if kind is FieldType.BOOLEAN:
        return _member(4, b"\x38" + varint(int(text == "true")))
    if kind is FieldType.INTEGER:
        return _member(4, b"\x30" + varint(_zigzag(int(text))))
    return b"\x22\x09\x19" + struct.pack("<d", float(text))


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
