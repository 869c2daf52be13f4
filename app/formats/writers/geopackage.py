"""GeoPackage 1.3 (OGC 12-128r17) by SQLite alone: one layer of features in WGS 84, and its R-tree."""

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import shapely

from app.formats.writers.cells import Shapes, apart, batches, shapes_of, typed
from app.formats.writers.order import Layout
from app.formats.writers.rtree import fill_index, grow_index
from app.formats.writers.survey import Survey
from app.query.fields import FieldType

Span = tuple[Any, Any]  # numbers of rows, and their bounds
Fill = Callable[[sqlite3.Connection, str, Any, Any], None]
MOST_HELD: Final = 2_000_000  # rows whose bounds are held to pack the index; beyond, it grows
_EXACT_DIGITS: Final = 15  # what a REAL keeps of a decimal
_TABLES: Final = """
PRAGMA application_id = 0x47504B47;
PRAGMA user_version = 10300;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE gpkg_spatial_ref_sys (
    srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
    table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE,
    max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
    table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name),
    column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
    srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id),
    z TINYINT NOT NULL, m TINYINT NOT NULL, PRIMARY KEY (table_name, column_name));
CREATE TABLE gpkg_extensions (
    table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
    scope TEXT NOT NULL, UNIQUE (table_name, column_name, extension_name));
"""
# The triggers of the extension (F.3): whoever edits the layer keeps its index right.
_KEPT_INDEXED: Final = """
CREATE TRIGGER "rtree_{layer}_geom_insert" AFTER INSERT ON "{layer}"
WHEN (new."geom" NOT NULL AND NOT ST_IsEmpty(NEW."geom")) BEGIN
    INSERT OR REPLACE INTO "rtree_{layer}_geom" VALUES (NEW."fid", ST_MinX(NEW."geom"),
        ST_MaxX(NEW."geom"), ST_MinY(NEW."geom"), ST_MaxY(NEW."geom"));
END;
CREATE TRIGGER "rtree_{layer}_geom_update1" AFTER UPDATE OF "geom" ON "{layer}"
WHEN OLD."fid" = NEW."fid" AND (NEW."geom" NOTNULL AND NOT ST_IsEmpty(NEW."geom")) BEGIN
    INSERT OR REPLACE INTO "rtree_{layer}_geom" VALUES (NEW."fid", ST_MinX(NEW."geom"),
        ST_MaxX(NEW."geom"), ST_MinY(NEW."geom"), ST_MaxY(NEW."geom"));
END;
CREATE TRIGGER "rtree_{layer}_geom_update2" AFTER UPDATE OF "geom" ON "{layer}"
WHEN OLD."fid" = NEW."fid" AND (NEW."geom" ISNULL OR ST_IsEmpty(NEW."geom")) BEGIN
    DELETE FROM "rtree_{layer}_geom" WHERE id = OLD."fid";
END;
CREATE TRIGGER "rtree_{layer}_geom_update3" AFTER UPDATE ON "{layer}"
WHEN OLD."fid" != NEW."fid" AND (NEW."geom" NOTNULL AND NOT ST_IsEmpty(NEW."geom")) BEGIN
    DELETE FROM "rtree_{layer}_geom" WHERE id = OLD."fid";
    INSERT OR REPLACE INTO "rtree_{layer}_geom" VALUES (NEW."fid", ST_MinX(NEW."geom"),
        ST_MaxX(NEW."geom"), ST_MinY(NEW."geom"), ST_MaxY(NEW."geom"));
END;
CREATE TRIGGER "rtree_{layer}_geom_update4" AFTER UPDATE ON "{layer}"
WHEN OLD."fid" != NEW."fid" AND (NEW."geom" ISNULL OR ST_IsEmpty(NEW."geom")) BEGIN
    DELETE FROM "rtree_{layer}_geom" WHERE id IN (OLD."fid", NEW."fid");
END;
CREATE TRIGGER "rtree_{layer}_geom_delete" AFTER DELETE ON "{layer}"
WHEN old."geom" NOT NULL BEGIN
    DELETE FROM "rtree_{layer}_geom" WHERE id = OLD."fid";
END;
"""
_RTREE: Final = "http://www.geopackage.org/spec120/#extension_rtree"
_WGS84: Final = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
_SYSTEMS: Final = (  # the three that the standard wants in every file
    ("WGS 84", 4326, "EPSG", 4326, _WGS84, None),
    ("Undefined Cartesian", -1, "NONE", -1, "undefined", None),
    ("Undefined geographic", 0, "NONE", 0, "undefined", None),
)
_TYPES: Final = {
    FieldType.INTEGER: "INTEGER",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.DATE: "DATE",
    FieldType.DATETIME: "DATETIME",
    FieldType.LATITUDE: "DOUBLE",
    FieldType.LONGITUDE: "DOUBLE",
}


def write_geopackage(
    layout: Layout, found: Survey, cells: Path, target: Path, *, layer: str, changed_at: str
) -> None:
    """Write the layer, some rows at a time."""
    names: list[str] = ["fid", "geom"]
    for at in layout.others:
        names.append(apart(layout.columns[at].name, names))
    types = [_type(layout, found, at) for at in layout.others]
    with closing(sqlite3.connect(target, isolation_level=None)) as base:
        base.executescript(_TABLES)
        base.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", _SYSTEMS)
        declared = [f"{_quoted(name)} {kind}" for name, kind in zip(names[2:], types, strict=True)]
        columns = ["fid INTEGER PRIMARY KEY", "geom BLOB", *declared]
        base.execute(f"CREATE TABLE {_quoted(layer)} ({', '.join(columns)})")
        base.execute("BEGIN")
        _describe(base, layer, found, changed_at)
        _fill(base, layout, types, layer, cells)
        base.execute("COMMIT")
        base.executescript(_KEPT_INDEXED.format(layer=_escaped(layer)))


def _fill(
    base: sqlite3.Connection, layout: Layout, types: list[str], layer: str, cells: Path
) -> None:
    places = ", ".join("?" * (len(types) + 2))
    numbers, fill = count(1), fill_index
    spans: list[Span] = [(np.empty(0, dtype=np.int64), np.empty((0, 4)))]
    for frame in batches(cells, len(layout.columns)):
        fids = [next(numbers) for _ in range(frame.height)]
        shapes = shapes_of(layout, frame)
        values = (
            _values(frame[str(at)], kind) for at, kind in zip(layout.others, types, strict=True)
        )
        rows = zip(fids, _blobs(shapes), *values, strict=True)
        base.executemany(f"INSERT INTO {_quoted(layer)} VALUES ({places})", rows)  # noqa: S608
        bounds = shapely.bounds(shapes)
        is_drawn = ~np.isnan(bounds).any(axis=1)
        spans.append((np.array(fids)[is_drawn], bounds[is_drawn]))
        if sum(len(each) for each, _ in spans) > MOST_HELD:
            _index(base, layer, spans, grow_index)
            spans = spans[:1]
            fill = grow_index
    _index(base, layer, spans, fill)


def _index(base: sqlite3.Connection, layer: str, spans: list[Span], fill: Fill) -> None:
    ids, edges = (np.concatenate(each) for each in zip(*spans, strict=True))
    fill(base, _quoted(f"rtree_{layer}_geom"), ids, edges)


def _quoted(name: str) -> str:
    return f'"{_escaped(name)}"'


def _escaped(name: str) -> str:
    return name.replace('"', '""')


def _describe(base: sqlite3.Connection, layer: str, found: Survey, changed_at: str) -> None:
    bounds = found.bounds or (None, None, None, None)
    base.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, '', ?, ?, ?, ?, ?, 4326)",
        (layer, layer, _utc(changed_at), *bounds),
    )
    kind = next(iter(found.kinds)).upper() if len(found.kinds) == 1 else "GEOMETRY"
    base.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, 4326, 2, 0)",  # 2: may have heights
        (layer, kind),
    )
    base.execute(
        f"CREATE VIRTUAL TABLE {_quoted(f'rtree_{layer}_geom')}"
        " USING rtree(id, minx, maxx, miny, maxy)"
    )
    base.execute(
        "INSERT INTO gpkg_extensions VALUES (?, 'geom', 'gpkg_rtree_index', ?, 'write-only')",
        (layer, _RTREE),
    )


def _type(layout: Layout, found: Survey, at: int) -> str:
    kind = layout.columns[at].type
    if kind is FieldType.DECIMAL:
        digits = found.digits[at]
        return "DOUBLE" if digits.whole + digits.scale <= _EXACT_DIGITS else "TEXT"
    return _TYPES.get(kind, "TEXT")


def _values(texts: pl.Series, kind: str) -> list[Any]:
    match kind:
        case "INTEGER":
            return typed(texts, pl.Int64()).to_list()
        case "DOUBLE":
            return typed(texts, pl.Float64()).to_list()
        case "BOOLEAN":
            return (texts == "true").cast(pl.Int8).to_list()
        case "DATETIME":  # the standard's one form of a time: UTC with three decimals
            moments = typed(texts, pl.Datetime("us", "UTC"))
            return moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_list()
    return texts.to_list()


def _utc(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _blobs(shapes: Shapes) -> Iterator[bytes | None]:
    """Each geometry behind the standard's header, with its bounds unless it is a point."""
    texts = shapely.to_wkb(shapes, flavor="iso", byte_order=1)
    bare = b"GP\x00\x01" + struct.pack("<i", 4326)
    if (shapely.get_type_id(shapes) <= 0).all() and not shapely.is_empty(shapes).any():
        return (None if wkb is None else bare + wkb for wkb in texts)
    return _with_bounds(shapes, texts)


def _with_bounds(shapes: Shapes, texts: Any) -> Iterator[bytes | None]:
    bounds = shapely.bounds(shapes).tolist()
    empty = shapely.is_empty(shapes).tolist()
    kinds = shapely.get_type_id(shapes).tolist()
    for wkb, (west, south, east, north), is_empty, kind in zip(
        texts, bounds, empty, kinds, strict=True
    ):
        if wkb is None:
            yield None
        elif is_empty or kind == 0:
            yield b"GP\x00" + (b"\x11" if is_empty else b"\x01") + struct.pack("<i", 4326) + wkb
        else:
            head = struct.pack("<i4d", 4326, west, east, south, north)
            yield b"GP\x00\x03" + head + wkb
