"""SQLite's R-tree, packed at once instead of grown row by row: a tenth of the time.

Its nodes are written as the module's documentation lays them down (https://sqlite.org/rtree.html,
"Shadow Tables", and the head of rtree.c); SQLite's own `rtreecheck` finds them sound.
"""

import sqlite3
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.formats.writers.survey import world
from app.formats.writers.tile_places import tile_ids

_CELLS: Final = 51  # of a node
_CELL: Final = np.dtype([("id", ">i8"), ("edges", ">f4", 4)])
_NODE_BYTES: Final = 4 + _CELLS * _CELL.itemsize
_ZOOM: Final = 16  # fine enough to have neighbours beside each other


def fill_index(base: sqlite3.Connection, name: str, ids: Any, bounds: Any) -> None:
    """Fill the empty R-tree `name` (quoted) of two dimensions with west, south, east, north."""
    if not len(ids):
        return
    order = np.argsort(tile_ids(_middles(bounds), _ZOOM), kind="stable")
    cells = np.empty(len(ids), dtype=_CELL)
    cells["id"], cells["edges"] = ids[order], _outward(bounds[order])
    levels = [cells]
    while len(levels[-1]) > _CELLS:
        levels.append(_above(levels[-1]))
    numbers = _numbers(levels)
    table = name.rstrip('"')
    for depth, (level, held_by) in enumerate(zip(levels, numbers, strict=True)):
        if depth:  # the nodes below now have their numbers
            level["id"] = numbers[depth - 1]
        nodes = zip(held_by.tolist(), _blobs(level, len(levels) - 1), strict=True)
        base.executemany(f'INSERT OR REPLACE INTO {table}_node" VALUES (?, ?)', nodes)  # noqa: S608
        holders = np.repeat(held_by, _CELLS)[: len(level)].tolist()
        below, kind = level["id"].tolist(), "parent" if depth else "rowid"
        base.executemany(
            f'INSERT INTO {table}_{kind}" VALUES (?, ?)',  # noqa: S608
            zip(below, holders, strict=True),
        )


def grow_index(base: sqlite3.Connection, name: str, ids: Any, bounds: Any) -> None:
    """Add to the R-tree row by row: slower, for more rows than are to be held."""
    edges = bounds[:, [0, 2, 1, 3]].T.tolist()
    base.executemany(
        f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?)",  # noqa: S608
        zip(ids.tolist(), *edges, strict=True),
    )


def _middles(bounds: Any) -> Any:
    middles = world((bounds[:, :2] + bounds[:, 2:]) / 2) * (1 << _ZOOM)
    return np.clip(middles, 0, (1 << _ZOOM) - 1).astype(np.int64)


def _outward(bounds: Any) -> Any:
    """In single precision, no smaller: minimum and maximum of x, then of y."""
    edges = bounds[:, [0, 2, 1, 3]]
    single = edges.astype(np.float32)
    for at, away in enumerate((-np.inf, np.inf, -np.inf, np.inf)):
        inside = single[:, at] > edges[:, at] if away < 0 else single[:, at] < edges[:, at]
        single[inside, at] = np.nextafter(single[inside, at], np.float32(away))
    return single


def _above(level: Any) -> Any:
    """A cell for each node of the level, with the bounds of all that it holds."""
    begins = np.arange(0, len(level), _CELLS)
    edges = level["edges"].astype(np.float32)
    least, most = np.minimum.reduceat(edges, begins), np.maximum.reduceat(edges, begins)
    cells = np.empty(len(begins), dtype=_CELL)
    cells["edges"] = np.where([True, False, True, False], least, most)
    return cells


def _numbers(levels: list[Any]) -> list[NDArray[np.int64]]:
    """The numbers of each level's nodes: the root, which is the last level's one, is 1."""
    made, begun = [], 1
    for level in reversed(levels):
        count = -(-len(level) // _CELLS)
        made.append(np.arange(begun, begun + count))
        begun += count
    return made[::-1]


def _blobs(level: Any, depth: int) -> list[bytes]:
    """The level's nodes: depth (of the root alone) and number of cells, then the cells."""
    count = -(-len(level) // _CELLS)
    padded = np.zeros(count * _CELLS, dtype=_CELL)
    padded[: len(level)] = level
    nodes = np.zeros((count, _NODE_BYTES), dtype=np.uint8)
    held = np.minimum(_CELLS, len(level) - np.arange(count) * _CELLS)
    nodes[:, 2:4] = held.astype(">u2").view(np.uint8).reshape(count, 2)
    nodes[:, 4:] = padded.view(np.uint8).reshape(count, -1)
    if count == 1:
        nodes[0, :2] = np.array([depth], dtype=">u2").view(np.uint8)
    return [node.tobytes() for node in nodes]
