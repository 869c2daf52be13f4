"""Vector tiles as one PMTiles archive (version 3): at each zoom what it shows, sorted by tile.

Memory holds a few numbers a place, never the rows. A tile has at most 500 KB: what does not fit is
left out, evenly, and the archive says how much.
"""

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from app.formats.writers.cells import Shapes, shapes_of
from app.formats.writers.order import Layout
from app.formats.writers.survey import MOST_ZOOM, Survey, world
from app.formats.writers.tile_geometry import encode_geometry, encode_plain, is_plain
from app.formats.writers.tile_places import Lines, Points, ranks_of, read_points, tile_ids
from app.formats.writers.vector_tile import (
    EXTENT,
    MOST_FEATURES,
    Drawn,
    Tiles,
    encode_points,
)
from app.query.fields import NUMBER_TYPES, FieldType

_BUFFER: Final = 64  # of the tile's units, so that lines join across its edges
_MOST_TILES: Final = 65_536  # of all places together at the closest zoom, or 4 a place
_FEW: Final = 5_000  # so many places are shown at every zoom
_FEWER: Final = 2.5  # of the points, one of so many is left at each wider zoom
_PIXEL: Final = EXTENT / 256
_DOT: Final = EXTENT // 512  # points closer than this look as one
_AT_ONCE: Final = 20_000  # features, or one whole tile
_LEVEL: Final = 5
_SPOOL: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE piece (tile INTEGER, rank INTEGER, row INTEGER, kind INTEGER, geometry BLOB);
"""
Piece = tuple[int, int, int, int, bytes]
_Spooled = tuple[int, int, int, bytes]


def write_tiles(
    layout: Layout, found: Survey, cells: Path, target: Path, *, layer: str, title: str
) -> None:
    """Write the archive. The spool stands beside it and is removed."""
    zoom = closest_zoom(found)
    with target.open("wb") as file, Lines(cells, len(layout.columns)) as lines:
        writer = Writer(file)
        tiles = Tiles(layer, layout)
        if found.kinds == {"Point"}:
            places = _points(read_points(layout, lines), zoom)
            left_out = _assemble(writer, tiles, lines, places, zoom)
        else:
            spool = target.with_suffix(".spool")
            try:
                with closing(sqlite3.connect(spool, isolation_level=None)) as base:
                    _fill(base, layout, found, lines, zoom)
                    left_out = _assemble(writer, tiles, lines, _spooled(base), zoom)
            finally:
                spool.unlink(missing_ok=True)
        writer.finalize(_header(found), _metadata(layout, layer, title, left_out))


def closest_zoom(found: Survey) -> int:
    """The zoom at which positions are exact to a metre, or at which tiles are still few enough."""
    most = max(_MOST_TILES, 4 * found.rows)
    return max((z for z in range(MOST_ZOOM + 1) if found.tiles[z] <= most), default=0)


def _points(points: Points, closest: int) -> Iterator[Drawn]:
    """Points by zoom and tile, each in the one tile that it falls into."""
    for zoom in range(closest + 1):
        chosen = _seen(points, zoom, closest)
        at, rows = points.places[chosen] >> (MOST_ZOOM - zoom), points.rows[chosen]
        ids = tile_ids(at // EXTENT, zoom)
        order = np.lexsort((ranks_of(rows), ids))
        begins = np.flatnonzero(np.concatenate([[1], np.diff(ids[order])]))
        counts = np.diff(np.concatenate([begins, [len(ids)]]))
        kept = order[np.arange(len(ids)) - np.repeat(begins, counts) < MOST_FEATURES]
        missed = len(ids) - len(kept)
        for some in np.split(kept, _borders(ids[kept])):
            yield Drawn(ids[some], rows[some], *encode_points(at[some] % EXTENT), missed)
            missed = 0


def _seen(points: Points, zoom: int, closest: int) -> Any:
    """Which points a zoom shows: all at the closest; at wider ones one of each dot, and of many an
    even share."""
    if zoom == closest:
        return np.arange(len(points.rows))
    share = max(_FEWER ** (zoom - closest), _FEW / len(points.rows))
    chosen = np.flatnonzero(ranks_of(points.rows) < share * 2**32)
    dots = (points.places[chosen] >> (MOST_ZOOM - zoom)).astype(np.int64) // _DOT
    _, first = np.unique(dots[:, 0] << 32 | dots[:, 1], return_index=True)
    return chosen[np.sort(first)]


def _borders(ids: Any) -> list[int]:
    """Where to part features sorted by tile, so that each part has whole tiles and is not large."""
    borders, begun = [], 0
    for end in (np.flatnonzero(np.diff(ids)) + 1).tolist():
        if end - begun >= _AT_ONCE:
            borders.append(end)
            begun = end
    return borders


def _fill(base: sqlite3.Connection, layout: Layout, found: Survey, lines: Lines, zoom: int) -> None:
    base.executescript(_SPOOL)
    base.execute("BEGIN")
    for numbers, frame in lines.batches():
        shapes = shapes_of(layout, frame)
        drawn = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        flat = _projected(shapes[drawn])
        for z in range(zoom + 1):
            pieces = _at_zoom(flat, numbers[drawn], z, zoom, found.rows)
            base.executemany("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", pieces)
    base.execute("CREATE INDEX by_tile ON piece (tile, rank)")
    base.execute("COMMIT")


def _projected(shapes: Shapes) -> Shapes:
    flat: Shapes = shapely.transform(shapely.force_2d(shapes), world)
    wrong = ~shapely.is_valid(flat)
    flat[wrong] = shapely.make_valid(flat[wrong])
    return flat


def _at_zoom(flat: Shapes, numbers: Any, zoom: int, closest: int, rows: int) -> Iterator[Piece]:
    """The places as one zoom shows them, cut to its tiles."""
    ranks = ranks_of(numbers)
    if zoom < closest:
        west, north, east, south = (shapely.bounds(flat) * (EXTENT << zoom)).T
        share = max(_FEWER ** (zoom - closest), _FEW / max(rows, 1))
        is_seen = (east - west >= _PIXEL) | (south - north >= _PIXEL)
        is_kept = np.where(shapely.get_dimensions(flat) == 0, ranks < share * 2**32, is_seen)
        flat, numbers, ranks = flat[is_kept], numbers[is_kept], ranks[is_kept]
    scaled = shapely.transform(flat, lambda places: places * (EXTENT << zoom))
    return _shapes(scaled, numbers, ranks, zoom)


def _shapes(shapes: Shapes, numbers: Any, ranks: Any, zoom: int) -> Iterator[Piece]:
    edges = np.clip(shapely.bounds(shapes) // EXTENT, 0, (1 << zoom) - 1).astype(np.int64)
    edges = edges.reshape(-1, 4)
    is_simple = is_plain(shapes) & (edges[:, :2] == edges[:, 2:]).all(axis=1)
    if is_simple.any():
        yield from _simple(
            shapes[is_simple], edges[is_simple, :2], numbers[is_simple], ranks[is_simple], zoom
        )
    rest = ~is_simple
    for shape, span, number, rank in zip(
        shapes[rest], edges[rest].tolist(), numbers[rest].tolist(), ranks[rest].tolist(),
        strict=True,
    ):  # fmt: skip
        for x, y, piece in _cut(shape, span):
            made = encode_geometry(piece, (x * EXTENT, y * EXTENT))
            if made is not None:
                yield _tile_id(zoom, x, y), rank, number, *made


def _simple(shapes: Shapes, tiles: Any, numbers: Any, ranks: Any, zoom: int) -> Iterator[Piece]:
    is_drawn, made = encode_plain(shapes, tiles)
    ids = tile_ids(tiles[is_drawn], zoom).tolist()
    kinds = [3] * len(ids)
    yield from zip(
        ids, ranks[is_drawn].tolist(), numbers[is_drawn].tolist(), kinds, made, strict=True
    )


_tile_id = lru_cache(maxsize=65_536)(zxy_to_tileid)


def _cut(shape: Any, span: list[int]) -> Iterator[tuple[int, int, Any]]:
    """The pieces of a shape by tile: halved again and again, so that large ones stay cheap."""
    waiting = [(*span, shape)]
    while waiting:
        x0, y0, x1, y1, part = waiting.pop()
        if part.is_empty:
            continue
        if (x0, y0) == (x1, y1):
            yield x0, y0, part
            continue
        across = x1 - x0 >= y1 - y0
        middle = (x0 + x1) // 2 if across else (y0 + y1) // 2
        halves = (
            [(x0, y0, middle, y1), (middle + 1, y0, x1, y1)]
            if across
            else [(x0, y0, x1, middle), (x0, middle + 1, x1, y1)]
        )
        waiting += [(*half, _clipped(part, *half)) for half in halves]


def _clipped(part: Any, x0: int, y0: int, x1: int, y1: int) -> Any:
    return shapely.clip_by_rect(
        part,
        x0 * EXTENT - _BUFFER,
        y0 * EXTENT - _BUFFER,
        (x1 + 1) * EXTENT + _BUFFER,
        (y1 + 1) * EXTENT + _BUFFER,
    )


def _spooled(base: sqlite3.Connection) -> Iterator[Drawn]:
    """The pieces by tile, some whole tiles at a time."""
    pieces = base.execute("SELECT tile, row, kind, geometry FROM piece ORDER BY tile, rank")
    held: list[_Spooled] = []
    missed = 0
    for _, of_tile in groupby(pieces, itemgetter(0)):
        found, more = _first(of_tile)
        held, missed = held + found, missed + more
        if len(held) >= _AT_ONCE:
            yield _drawn(held, missed)
            held, missed = [], 0
    if held:
        yield _drawn(held, missed)


def _first(pieces: Iterator[_Spooled]) -> tuple[list[_Spooled], int]:
    """As many as a tile may have, and how many there are beside them."""
    return list(islice(pieces, MOST_FEATURES)), sum(1 for _ in pieces)


def _drawn(pieces: list[_Spooled], missed: int) -> Drawn:
    tiles, rows, kinds, geometries = zip(*pieces, strict=True)
    sizes = [len(each) for each in geometries]
    tile, row, kind, size = (np.array(each, dtype=np.int64) for each in (tiles, rows, kinds, sizes))
    return Drawn(tile, row, kind, size, b"".join(geometries), missed)


def _assemble(writer: Any, tiles: Tiles, lines: Lines, parts: Iterator[Drawn], closest: int) -> int:
    """Write all tiles; how many features of the closest zoom found no room.

    Only there it matters: from further away places are thinned out anyway.
    """
    first, left_out, at = zxy_to_tileid(closest, 0, 0), 0, -1
    for drawn in parts:
        if is_closest := drawn.tiles[-1] >= first:
            left_out += drawn.missed + int((drawn.tiles >= first).sum())
        for at, tile, features in tiles.encode(drawn, lines.gather(drawn.rows)):
            writer.write_tile(at, gzip.compress(tile, compresslevel=_LEVEL, mtime=0))
            left_out -= features if is_closest and at >= first else 0
    if at < 0:
        writer.write_tile(0, gzip.compress(b"", compresslevel=_LEVEL, mtime=0))
    return left_out


def _header(found: Survey) -> dict[str, Any]:
    west, south, east, north = (
        round(edge * 10_000_000) for edge in found.bounds or (-180, -85, 180, 85)
    )
    return {
        "tile_type": TileType.MVT,
        "tile_compression": Compression.GZIP,
        "min_lon_e7": west, "min_lat_e7": south, "max_lon_e7": east, "max_lat_e7": north,
        "center_zoom": min(10, closest_zoom(found)),
        "center_lon_e7": (west + east) // 2, "center_lat_e7": (south + north) // 2,
    }  # fmt: skip


def _metadata(layout: Layout, layer: str, title: str, left_out: int) -> dict[str, Any]:
    names = [layout.columns[at].name for at in layout.others]
    kinds = [layout.columns[at].type for at in layout.others]
    return {
        "name": title,
        "type": "overlay",
        "features_left_out": left_out,
        "vector_layers": [
            {"id": layer, "fields": dict(zip(names, map(_told, kinds), strict=True))}
        ],
    }


def _told(kind: FieldType) -> str:
    if kind is FieldType.BOOLEAN:
        return "Boolean"
    return "Number" if kind in NUMBER_TYPES else "String"
