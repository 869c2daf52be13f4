"""Mapbox Vector Tiles (specification 2.1) of one layer, many at once, each up to a size."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.formats.writers.order import Layout
from app.query.fields import NUMBER_TYPES, FieldType

EXTENT: Final = 4_096
MOST_BYTES: Final = 500_000
MOST_FEATURES: Final = 25_000  # smaller ones than fill a tile in so many hold nothing
_ROOM: Final = 1_000  # for what stands around the features
_EXACT_DIGITS: Final = 15  # what a browser keeps of a number
_SHORT: Final = 126  # bytes of a text whose lengths are a byte each
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
        needed = np.cumsum(about + 1 + lengths_of(about) + brought)
        begins = np.flatnonzero(np.concatenate([[1], np.diff(drawn.tiles)]))
        before = np.concatenate([[0], needed])[begins]
        spans = np.diff(np.concatenate([begins, [len(needed)]]))
        return np.asarray(needed - np.repeat(before, spans) <= room)

    def _sizes(self, drawn: Drawn) -> tuple[Numbers, Numbers]:
        """The bytes of each feature's tags, and of all of it."""
        keys = lengths_of(np.arange(self.tags.shape[1]))
        tags = np.where(self.tags >= 0, lengths_of(self.tags) + keys, 0).sum(axis=1)
        number = 1 + lengths_of(drawn.rows + 1)
        drawing = 1 + lengths_of(drawn.sizes) + drawn.sizes
        return tags, number + 1 + lengths_of(tags) + tags + 2 + drawing

    def features(self, drawn: Drawn) -> tuple[bytes, Numbers]:
        """All features, and the length of each."""
        (number, columns), (tags, about) = self.tags.shape, self._sizes(drawn)
        words = np.empty((number, 10 + 2 * columns), dtype=np.int64)
        heads = (0x12, about, 0x08, drawn.rows + 1, 0x12, tags)
        for at, word in enumerate(
            (*heads, *[0] * (2 * columns), 0x18, drawn.kinds, 0x22, drawn.sizes)
        ):
            words[:, at] = word
        words[:, 6:-4:2] = np.arange(columns)
        words[:, 7:-4:2] = self.tags
        given = np.ones(words.shape, dtype=bool)
        given[:, 6:-4:2] = given[:, 7:-4:2] = self.tags >= 0
        lengths = np.where(given, lengths_of(words), 0).sum(axis=1)
        return _joined(varints(words[given]), lengths, drawn), lengths + drawn.sizes


def _joined(heads: NDArray[np.uint8], lengths: Numbers, drawn: Drawn) -> bytes:
    """Each feature's head with its geometry behind it."""
    spans = np.stack([lengths, drawn.sizes], axis=1).ravel()
    is_head = np.repeat(np.tile([True, False], len(lengths)), spans)
    made = np.empty(len(is_head), dtype=np.uint8)
    made[is_head] = heads
    made[~is_head] = np.frombuffer(drawn.geometries, np.uint8)
    return made.tobytes()


def lengths_of(values: Numbers) -> Numbers:
    """How many bytes each number takes."""
    return np.asarray(1 + sum((values >= 1 << bits).astype(np.int64) for bits in (7, 14, 21, 28)))


def varints(values: Numbers) -> NDArray[np.uint8]:
    """Whole numbers below 2^35 as protocol buffers write them, one behind the other."""
    lengths = lengths_of(values)
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
    sizes = lengths_of(words).sum(axis=1)
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
        return _member(4, b"\x30" + varint(zigzag(int(text))))
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


def zigzag(value: int) -> int:
    """A whole number of either sign as one ≥ 0."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def _member(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content
