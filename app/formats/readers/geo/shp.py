"""Reads the shapes of a shapefile (ESRI Shapefile Technical Description, 1998) in two dimensions."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from app.formats.geometries import Shapes

_HEADER: Final = 100
_MOST_BYTES: Final = 32 << 20  # of one read
_POINT, _LINE, _POLYGON, _MULTIPOINT = 1, 3, 5, 8
# 11 to 18 are the same with heights, 21 to 28 with measures.
_KINDS: Final = {base + more: base for base in (1, 3, 5, 8) for more in (0, 10, 20)}
_HEIGHTS: Final = range(11, 19)
_LEAST: Final = {_LINE: 2, _POLYGON: 4}
Spans = NDArray[np.int64]  # n × 2: offset and length in bytes


@dataclass(slots=True)
class Shp:
    """The shapes of a file, in order. `heights` counts those whose third dimension was dropped."""

    path: Path
    index: Path | None
    heights: int = 0

    def spans(self) -> Spans:
        """Where each record's contents are: by the index; without one from record to record."""
        size = self.path.stat().st_size
        if self.index is not None:
            raw = self.index.read_bytes()[_HEADER:]
            words = np.frombuffer(raw[: len(raw) // 8 * 8], dtype=">i4").astype(np.int64)
            spans: Spans = words.reshape(-1, 2) * 2 + np.array([8, 0])
            if ((spans[:, 0] > 0) & (spans.sum(axis=1) <= size)).all():
                return spans
        return np.array([*self._walked(size)], dtype=np.int64).reshape(-1, 2)

    def _walked(self, size: int) -> Iterator[tuple[int, int]]:
        with self.path.open("rb") as file:
            at = _HEADER
            while at + 8 <= size:
                file.seek(at)
                _, words = struct.unpack(">ii", file.read(8))
                if words < 2 or at + 8 + words * 2 > size:
                    return
                yield at + 8, words * 2
                at += 8 + words * 2

    def shapes(self, file: BinaryIO, spans: Spans) -> tuple[Shapes, dict[int, str]]:
        """The shapes of some records, and what stands where there is none that can be read."""
        found: Shapes = np.full(len(spans), None, dtype=object)
        broken: dict[int, str] = {}
        for start, end in _pieces(spans):
            batch = _Batch(file, spans[start:end])
            shapes, wrong = batch.read()
            self.heights += batch.heights
            found[start:end] = shapes
            broken |= {start + at: text for at, text in wrong.items()}
        return found, broken


def _pieces(spans: Spans) -> Iterator[tuple[int, int]]:
    start, held = 0, 0
    for at, length in enumerate(spans[:, 1].tolist()):
        if held and held + length > _MOST_BYTES:
            yield start, at
            start, held = at, 0
        held += length
    if start < len(spans):
        yield start, len(spans)


@dataclass(slots=True)
class _Parts:
    """Lines or rings of many records, one behind the other."""

    records: list[int] = field(default_factory=list)  # of each part
    sizes: list[int] = field(default_factory=list)
    coordinates: list[NDArray[np.float64]] = field(default_factory=list)  # of each record


class _Batch:
    def __init__(self, file: BinaryIO, spans: Spans) -> None:
        first, last = int(spans[:, 0].min()), int(spans.sum(axis=1).max())
        if last - first <= 2 * _MOST_BYTES + int(spans[:, 1].max()):
            file.seek(first)
            self._raw = file.read(last - first)
            self._starts = (spans[:, 0] - first).tolist()
        else:  # records that lie all over the file
            self._raw, self._starts = _gathered(file, spans)
        self._lengths = spans[:, 1].tolist()
        self.heights = 0
        self._shapes: Shapes = np.full(len(spans), None, dtype=object)
        self._broken: dict[int, str] = {}

    def read(self) -> tuple[Shapes, dict[int, str]]:
        by_kind: dict[int, list[int]] = {}
        for at, (start, length) in enumerate(zip(self._starts, self._lengths, strict=True)):
            kind = struct.unpack_from("<i", self._raw, start)[0] if length >= 4 else -1
            self.heights += kind in _HEIGHTS
            if kind:
                by_kind.setdefault(_KINDS.get(kind, -1), []).append(at)
        for kind, records in by_kind.items():
            match kind:
                case 1:
                    self._points(records)
                case 8:
                    self._multipoints(records)
                case 3 | 5:
                    self._paths(records, kind)
                case _:
                    self._broken |= dict.fromkeys(records, "MultiPatch?")
        return self._shapes, self._broken

    def _points(self, records: list[int]) -> None:
        records = self._long_enough(records, 20)
        places = [struct.unpack_from("<2d", self._raw, self._starts[at] + 4) for at in records]
        xy = np.array(places, dtype=np.float64).reshape(-1, 2)
        good = np.isfinite(xy).all(axis=1)
        rows = np.array(records, dtype=np.int64)
        self._shapes[rows[good]] = shapely.points(xy[good])
        for at, place in zip(rows[~good].tolist(), xy[~good].tolist(), strict=True):
            self._broken[at] = json.dumps({"type": "Point", "coordinates": place})

    def _long_enough(self, records: list[int], least: int) -> list[int]:
        for at in records:
            if self._lengths[at] < least:
                self._broken[at] = "cut?"
        return [at for at in records if self._lengths[at] >= least]

    def _doubles(self, at: int, offset: int, count: int) -> NDArray[np.float64]:
        start = self._starts[at] + offset
        return np.frombuffer(self._raw, "<f8", count * 2, start).reshape(-1, 2)

    def _multipoints(self, records: list[int]) -> None:
        for at in self._long_enough(records, 40):
            (count,) = struct.unpack_from("<i", self._raw, self._starts[at] + 36)
            if count < 0 or 40 + count * 16 > self._lengths[at]:
                self._broken[at] = "cut?"
                continue
            xy = self._doubles(at, 40, count)
            if np.isfinite(xy).all():
                self._shapes[at] = shapely.multipoints(xy)
            else:
                text = {"type": "MultiPoint", "coordinates": xy.tolist()}
                self._broken[at] = json.dumps(text)

    def _paths(self, records: list[int], kind: int) -> None:
        parts = _Parts()
        for at in self._long_enough(records, 44):
            count, points = struct.unpack_from("<2i", self._raw, self._starts[at] + 36)
            if count < 1 or points < 0 or 44 + count * 4 + points * 16 > self._lengths[at]:
                self._broken[at] = "cut?"
                continue
            begins = struct.unpack_from(f"<{count}i", self._raw, self._starts[at] + 44)
            sizes = [end - begin for begin, end in zip(begins, (*begins[1:], points), strict=True)]
            xy = self._doubles(at, 44 + count * 4, points)
            if begins[0] != 0 or min(sizes) < 0:
                self._broken[at] = "cut?"
            elif why := _wrong(xy, begins, sizes, kind):
                self._broken[at] = why
            else:
                parts.records += [at] * count
                parts.sizes += sizes
                parts.coordinates.append(xy)
        if parts.records:
            self._build(parts, kind)

    def _build(self, parts: _Parts, kind: int) -> None:
        xy = np.concatenate(parts.coordinates)
        of_part = np.repeat(np.arange(len(parts.sizes)), parts.sizes)
        records = np.array(parts.records)
        if kind == _LINE:
            _put(self._shapes, shapely.linestrings(xy, indices=of_part), records, _LINE)
            return
        rings = shapely.linearrings(xy, indices=of_part)
        polygons, records = _polygons(rings, records)
        _put(self._shapes, polygons, records, _POLYGON)


def _gathered(file: BinaryIO, spans: Spans) -> tuple[bytes, list[int]]:
    pieces, starts, at = [], [], 0
    for offset, length in spans.tolist():
        file.seek(offset)
        pieces.append(file.read(length))
        starts.append(at)
        at += length
    return b"".join(pieces), starts


def _wrong(
    xy: NDArray[np.float64], begins: tuple[int, ...], sizes: list[int], kind: int
) -> str | None:
    """The text of a shape that is none: the reasons are found where all texts are read."""
    closed = kind != _POLYGON or all(
        size and xy[begin, 0] == xy[begin + size - 1, 0] and xy[begin, 1] == xy[begin + size - 1, 1]
        for begin, size in zip(begins, sizes, strict=True)
    )
    if closed and min(sizes) >= _LEAST[kind] and np.isfinite(xy).all():
        return None
    lists = [xy[begin : begin + size].tolist() for begin, size in zip(begins, sizes, strict=True)]
    name = "Polygon" if kind == _POLYGON else "MultiLineString"
    return json.dumps({"type": name, "coordinates": lists})


def _put(shapes: Shapes, parts: Shapes, records: NDArray[np.int64], kind: int) -> None:
    """Parts of one record are a Multi- shape; the parts come in the order of their records."""
    rows, first, counts = np.unique(records, return_index=True, return_counts=True)
    alone = counts == 1
    shapes[rows[alone]] = parts[first[alone]]
    many = ~np.isin(records, rows[alone])
    if many.any():
        _, numbers = np.unique(records[many], return_inverse=True)
        join = shapely.multilinestrings if kind == _LINE else shapely.multipolygons
        shapes[rows[~alone]] = join(parts[many], indices=numbers)


def _polygons(rings: Shapes, records: NDArray[np.int64]) -> tuple[Shapes, NDArray[np.int64]]:
    """Rings as polygons: clockwise ones are shells, the others holes of the shell around them."""
    shells: list[int] = []
    members: list[int] = []  # each polygon's rings, the shell first
    of_polygon: list[int] = []
    clockwise = ~shapely.is_ccw(rings)
    starts = np.flatnonzero(np.r_[True, records[1:] != records[:-1]]).tolist()
    for start, end in zip(starts, [*starts[1:], len(records)], strict=True):
        for group in _grouped(rings, clockwise, start, end):
            members += group
            of_polygon += [len(shells)] * len(group)
            shells.append(group[0])
    made = shapely.polygons(rings[members], indices=np.array(of_polygon))
    return made, records[shells]


def _grouped(rings: Shapes, clockwise: Any, start: int, end: int) -> list[list[int]]:
    if end - start == 1:
        return [[start]]
    outer = [at for at in range(start, end) if clockwise[at]]
    holes = [at for at in range(start, end) if not clockwise[at]]
    if not outer:  # all the wrong way round
        return [[at] for at in holes]
    if len(outer) == 1:
        return [[*outer, *holes]]
    groups = {at: [at] for at in outer}
    shells = shapely.polygons(rings[outer])
    areas = shapely.area(shells)
    shapely.prepare(shells)
    for hole in holes:
        inside = shapely.contains_properly(shells, shapely.get_point(rings[hole], 0))
        inside |= shapely.covers(shells, rings[hole])
        around = np.flatnonzero(inside)
        if len(around):
            groups[outer[around[np.argmin(areas[around])]]].append(hole)
        else:
            groups[hole] = [hole]
    return list(groups.values())
