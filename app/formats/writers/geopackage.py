"""GeoPackage 1.3 (OGC 12-128r17) by SQLite alone: one layer of features in WGS 84."""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import shapely

from app.formats.writers.cells import Row, Shapes, apart, batches, shapes_of
from app.formats.writers.order import Layout
from app.formats.writers.survey import Survey
from app.query.fields import FieldType

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
"""
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
        places = ", ".join("?" * (len(names) - 1))
        listed = ", ".join(map(_quoted, names[1:]))
        for rows in batches(cells):
            base.executemany(
                f"INSERT INTO {_quoted(layer)} ({listed}) VALUES ({places})",  # noqa: S608
                _values(layout, types, rows),
            )
        base.execute("COMMIT")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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


def _type(layout: Layout, found: Survey, at: int) -> str:
    kind = layout.columns[at].type
    if kind is FieldType.DECIMAL:
        digits = found.digits[at]
        return "DOUBLE" if digits.whole + digits.scale <= _EXACT_DIGITS else "TEXT"
    return _TYPES.get(kind, "TEXT")


def _values(layout: Layout, types: list[str], rows: list[Row]) -> Iterator[tuple[Any, ...]]:
    shapes = shapes_of(layout, rows)
    for row, blob in zip(rows, _blobs(shapes), strict=True):
        cells = (row[at] for at in layout.others)
        yield (blob, *(_value(cell, kind) for cell, kind in zip(cells, types, strict=True)))


def _value(cell: str | None, kind: str) -> Any:
    if cell is None:
        return None
    match kind:
        case "INTEGER":
            return int(cell)
        case "DOUBLE":
            return float(cell)
        case "BOOLEAN":
            return int(cell == "true")
        case "DATETIME":
            return _utc(cell)
    return cell


def _utc(text: str) -> str:
    """The standard's one form of a time: UTC with three decimals."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _blobs(shapes: Shapes) -> Iterator[bytes | None]:
    """Each geometry behind the standard's header, with its bounds unless it is a point."""
    texts = shapely.to_wkb(shapes, flavor="iso", byte_order=1)
    bounds = shapely.bounds(shapes)
    empty = shapely.is_empty(shapes)
    kinds = shapely.get_type_id(shapes)
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
