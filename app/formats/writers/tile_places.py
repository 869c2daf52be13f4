"""What a map needs of the rows at hand: where each is, and its line in the file of cells.

The lines stay in the file; they are fetched when a tile shows them.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.formats.writers.cells import parse, points_of
from app.formats.writers.order import Layout
from app.formats.writers.survey import MOST_ZOOM, world
from app.formats.writers.vector_tile import EXTENT

Numbers = NDArray[np.int64]
_BATCH_BYTES: Final = 2 << 20
_SPREAD: Final = 2_654_435_761  # Knuth's multiplier: numbers in a row become spread ones
_LAST: Final = (EXTENT << MOST_ZOOM) - 1


class Lines:
    """The file of cells, read once from its beginning, then by the rows' numbers."""

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        self._width = width
        self._ends: list[Numbers] = []

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        self._bytes = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return self

    def __exit__(self, *_given: object) -> None:
        self._bytes.close()
        self._file.close()

    def batches(self) -> Iterator[tuple[Numbers, pl.DataFrame]]:
        """All rows, some at a time, with their numbers."""
        begun = end = 0
        while lines := self._file.readlines(_BATCH_BYTES):
            ends = end + np.cumsum([len(line) for line in lines])
            self._ends.append(ends)
            yield np.arange(begun, begun + len(lines)), parse(lines, self._width)
            begun, end = begun + len(lines), int(ends[-1])
        self._at = np.concatenate([[0], *self._ends]).astype(np.int64)

    def gather(self, rows: Numbers) -> pl.DataFrame:
        """These rows, in this order."""
        held = self._bytes
        begins, ends = self._at[rows].tolist(), self._at[rows + 1].tolist()
        return parse([held[a:b] for a, b in zip(begins, ends, strict=True)], self._width)


@dataclass(frozen=True, slots=True)
class Points:
    """Places in the units of the closest zoom's tiles, x and y, with the rows' numbers."""

    places: NDArray[np.int32]
    rows: Numbers


def read_points(layout: Layout, lines: Lines) -> Points:
    """Every row that has a place."""
    places, rows = [], []
    for numbers, frame in lines.batches():
        pairs = points_of(layout, frame)
        given = ~np.isnan(pairs).any(axis=1)
        units = np.floor(world(pairs[given]) * (EXTENT << MOST_ZOOM))
        places.append(np.clip(units, 0, _LAST).astype(np.int32))
        rows.append(numbers[given])
    return Points(np.concatenate(places), np.concatenate(rows))


def ranks_of(rows: Numbers) -> Numbers:
    """An order of the rows that spreads what stands together."""
    return (rows * _SPREAD) & 0xFFFF_FFFF


def tile_ids(tiles: Any, zoom: int) -> Numbers:
    """Where PMTiles has the tiles (x, y) of a zoom: along a Hilbert curve, behind wider zooms."""
    x, y = tiles[:, 0].astype(np.int64), tiles[:, 1].astype(np.int64)
    ids = np.full(len(x), ((1 << 2 * zoom) - 1) // 3, dtype=np.int64)
    for level in range(zoom - 1, -1, -1):
        side = 1 << level
        right, below = x & side, y & side
        ids += ((3 * right) ^ below) << level
        is_turned, is_flipped = below == 0, (below == 0) & (right != 0)
        x, y = (np.where(is_flipped, side - 1 - each, each) for each in (x, y))
        x, y = np.where(is_turned, y, x), np.where(is_turned, x, y)
    return ids
