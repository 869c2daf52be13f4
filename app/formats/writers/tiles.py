"""Vector tiles as one PMTiles archive (version 3). Features are spooled by tile to a file, not held.

A tile has at most 500 KB: what does not fit is left out, evenly, and the archive says how much.
"""

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import shapely
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from app.formats.writers.cells import Row, Shapes, batches, shapes_of
from app.formats.writers.order import Layout
from app.formats.writers.survey import MOST_ZOOM, Survey, world
from app.formats.writers.vector_tile import EXTENT, Tile, Value, encode_geometry, encode_point
from app.query.fields import NUMBER_TYPES, FieldType

_BUFFER: Final = 64  # of the tile's units, so that lines join across its edges
_MOST_TILES: Final = 65_536  # of all places together at the closest zoom, or 4 a place
_FEW: Final = 5_000  # so many places are shown at every zoom
_FEWER: Final = 2.5  # of the points, one of so many is left at each wider zoom
_SPREAD: Final = 2_654_435_761  # Knuth's multiplier: numbers in a row become spread ones
_PIXEL: Final = EXTENT / 256
_EXACT_DIGITS: Final = 15
_SPOOL: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE row (number INTEGER PRIMARY KEY, properties BLOB);
CREATE TABLE piece (tile INTEGER, rank INTEGER, row INTEGER, kind INTEGER, geometry BLOB);
"""
Piece = tuple[int, int, int, int, bytes]


def write_tiles(
    layout: Layout, found: Survey, cells: Path, target: Path, *, layer: str, title: str
) -> None:
    """Write the archive. The spool stands beside it and is removed."""
    zoom = closest_zoom(found)
    spool = target.with_suffix(".spool")
    try:
        with closing(sqlite3.connect(spool, isolation_level=None)) as base:
            base.executescript(_SPOOL)
            base.execute("BEGIN")
            _fill(base, layout, found, cells, zoom)
            base.execute("CREATE INDEX by_tile ON piece (tile, rank)")
            base.execute("COMMIT")
            with target.open("wb") as file:
                _assemble(base, Writer(file), layout, found, layer, title)
    finally:
        spool.unlink(missing_ok=True)


def closest_zoom(found: Survey) -> int:
    """The zoom at which positions are exact to a metre, or at which tiles are still few enough."""
    most = max(_MOST_TILES, 4 * found.rows)
    return max((z for z in range(MOST_ZOOM + 1) if found.tiles[z] <= most), default=0)


def _fill(base: sqlite3.Connection, layout: Layout, found: Survey, cells: Path, zoom: int) -> None:
    begun = 0
    for rows in batches(cells):
        numbers = np.arange(begun, begun + len(rows), dtype=np.int64)
        begun += len(rows)
        properties = (orjson.dumps(_properties(layout, row)) for row in rows)
        base.executemany(
            "INSERT INTO row VALUES (?, ?)", zip(numbers.tolist(), properties, strict=True)
        )
        shapes = shapes_of(layout, rows)
        drawn = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        flat = _projected(shapes[drawn])
        for z in range(zoom + 1):
            pieces = _at_zoom(flat, numbers[drawn], z, zoom, found.rows)
            base.executemany("INSERT INTO piece VALUES (?, ?, ?, ?, ?)", pieces)


def _properties(layout: Layout, row: Row) -> list[Value]:
    return [_property(row[at], layout.columns[at].type) for at in layout.others]


def _property(text: str | None, kind: FieldType) -> Value:
    if text is None:
        return None
    if kind is FieldType.BOOLEAN:
        return text == "true"
    if kind is FieldType.INTEGER:
        return int(text)
    # A decimal that a browser would round stays the text that it was.
    is_rounded = kind is FieldType.DECIMAL and len(text) > _EXACT_DIGITS
    return float(text) if kind in NUMBER_TYPES and not is_rounded else text


def _projected(shapes: Shapes) -> Shapes:
    flat: Shapes = shapely.transform(shapely.force_2d(shapes), world)
    wrong = ~shapely.is_valid(flat)
    flat[wrong] = shapely.make_valid(flat[wrong])
    return flat


def _at_zoom(flat: Shapes, numbers: Any, zoom: int, closest: int, rows: int) -> Iterator[Piece]:
    """The places as one zoom shows them, cut to its tiles."""
    ranks = (numbers * _SPREAD) & 0xFFFF_FFFF
    is_point = shapely.get_type_id(flat) == 0
    if zoom < closest:
        west, north, east, south = (shapely.bounds(flat) * (EXTENT << zoom)).T
        share = max(_FEWER ** (zoom - closest), _FEW / max(rows, 1))
        is_seen = (east - west >= _PIXEL) | (south - north >= _PIXEL)
        is_kept = np.where(shapely.get_dimensions(flat) == 0, ranks < share * 2**32, is_seen)
        flat, numbers, ranks, is_point = (
            each[is_kept] for each in (flat, numbers, ranks, is_point)
        )
    points = shapely.get_coordinates(flat[is_point]) * (EXTENT << zoom)
    yield from _points(points, numbers[is_point], ranks[is_point], zoom)
    shapes = shapely.transform(flat[~is_point], lambda xy: xy * (EXTENT << zoom))
    if zoom < closest:
        shapes = shapely.simplify(shapes, _PIXEL / 4, preserve_topology=True)
    yield from _shapes(shapes, numbers[~is_point], ranks[~is_point], zoom)


def _points(points: Any, numbers: Any, ranks: Any, zoom: int) -> Iterator[Piece]:
    """Points, each in the one tile that it falls into."""
    tiles = np.clip(points // EXTENT, 0, (1 << zoom) - 1).astype(np.int64)
    inside = np.rint(points - tiles * EXTENT).astype(np.int64)
    for (tile_x, tile_y), (x, y), number, rank in zip(
        tiles.tolist(), inside.tolist(), numbers.tolist(), ranks.tolist(), strict=True
    ):
        yield _tile_id(zoom, tile_x, tile_y), rank, number, 1, encode_point(x, y)


def _shapes(shapes: Shapes, numbers: Any, ranks: Any, zoom: int) -> Iterator[Piece]:
    for shape, number, rank in zip(shapes, numbers.tolist(), ranks.tolist(), strict=True):
        for x, y, piece in _cut(shape, zoom):
            made = encode_geometry(piece, (x * EXTENT, y * EXTENT))
            if made is not None:
                yield _tile_id(zoom, x, y), rank, number, *made


_tile_id = lru_cache(maxsize=65_536)(zxy_to_tileid)


def _cut(shape: Any, zoom: int) -> Iterator[tuple[int, int, Any]]:
    """The pieces of a shape by tile: halved again and again, so that large ones stay cheap."""
    last = (1 << zoom) - 1
    west, north, east, south = (int(edge // EXTENT) for edge in shapely.bounds(shape))
    waiting = [(min(max(west, 0), last), min(max(north, 0), last),
                min(max(east, 0), last), min(max(south, 0), last), shape)]  # fmt: skip
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


def _assemble(
    base: sqlite3.Connection, writer: Any, layout: Layout, found: Survey, layer: str, title: str
) -> None:
    names = [layout.columns[at].name for at in layout.others]
    pieces = base.execute(
        "SELECT tile, number, kind, geometry, properties FROM piece"
        " JOIN row ON row.number = piece.row ORDER BY tile, rank"
    )
    # Only at the closest zoom does it matter: from further away places are thinned out anyway.
    first = zxy_to_tileid(closest_zoom(found), 0, 0)
    tile, at, left_out, is_full = Tile(layer, names), -1, 0, False
    for tile_id, number, kind, geometry, properties in pieces:
        if tile_id != at:
            if at >= 0:
                writer.write_tile(at, _packed(tile))
            tile, at, is_full = Tile(layer, names), tile_id, False
        # Once one finds no room, those behind it are not tried: small ones would be favoured.
        is_full = is_full or not tile.add(number + 1, kind, geometry, orjson.loads(properties))
        left_out += is_full and tile_id >= first
    writer.write_tile(max(at, 0), _packed(tile))
    writer.finalize(_header(found), _metadata(layout, names, layer, title, left_out))


def _packed(tile: Tile) -> bytes:
    return gzip.compress(tile.encode(), compresslevel=6, mtime=0)


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


def _metadata(
    layout: Layout, names: list[str], layer: str, title: str, left_out: int
) -> dict[str, Any]:
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
