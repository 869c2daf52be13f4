"""Reads GeoPackages (OGC 12-128) by SQLite alone, read-only; each layer of features is a table."""

import math
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import shapely

from app.formats.crs import System, epsg_system, wkt_system
from app.formats.geometries import Shapes
from app.formats.guidance import FileRefused, Notice
from app.formats.individual_number import REFUSED, holds_number
from app.formats.readers.geo.table import BATCH_FEATURES, Features, GeoTable
from app.formats.readers.text.layout import MAX_COLUMNS
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told
from app.query.fields import FieldType

_ENVELOPES: Final = (0, 32, 48, 48, 64)  # bytes, by the flags' indicator (2.1.3.1.1)
_TYPES: Final = {"DATE": FieldType.DATE, "BOOLEAN": FieldType.BOOLEAN}
_READABLE: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_PRAGMA}
)
_PRAGMAS: Final = frozenset({"table_info", "trusted_schema", "query_only"})
_CELL: Final = 16 << 20  # bytes


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The layers of features in the order of their contents. Raises `FileRefused`."""
    with _opened(file) as database:
        layers = _layers(database)
    if not layers:
        raise FileRefused("no_layers")
    # Here, for the only layer of a file is a table without a name.
    if any(holds_number(name.encode("utf-8", "replace")) for name, *_ in layers):
        raise FileRefused(REFUSED, where="***")
    found: list[Table] = []
    for name, column, srs, wkt in layers:
        system = _system_of(srs, wkt)
        shown = name if len(layers) > 1 else ""
        found.append(GeoTable(_Layer(file, shown, name, column, system), file, told))
    return found


@contextmanager
def _opened(file: StoredFile) -> Iterator[sqlite3.Connection]:
    """The database, which may only be looked at: no other file, no code of its own runs.

    `immutable`: nothing else writes it, so no journal is looked for beside it.
    """
    try:
        with closing(
            sqlite3.connect(f"{file.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as one:
            one.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _CELL * 4)
            one.execute("PRAGMA trusted_schema = OFF")
            one.execute("PRAGMA query_only = ON")
            one.set_authorizer(_may)
            one.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield one
    except (sqlite3.Error, ValueError) as exc:
        raise FileRefused("geopackage_broken", why=type(exc).__name__) from None


def _may(action: int, first: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and first not in _PRAGMAS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READABLE else sqlite3.SQLITE_DENY


def _layers(database: sqlite3.Connection) -> list[tuple[str, str, tuple[str, int], str]]:
    """Name, geometry column, (organisation, code) and definition of each layer.

    Tables only: a view would run what the file's author wrote into it.
    """
    try:
        rows = database.execute(
            "SELECT c.table_name, g.column_name, s.organization, s.organization_coordsys_id,"
            " s.definition FROM gpkg_contents c JOIN gpkg_geometry_columns g"
            " ON g.table_name = c.table_name JOIN sqlite_master m ON m.name = c.table_name"
            " AND m.type = 'table' LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id"
            " WHERE c.data_type = 'features' ORDER BY m.rowid"
        ).fetchall()
    except sqlite3.OperationalError:
        raise FileRefused("file_is_sqlite") from None
    return [(str(name), str(column), (str(org), code or 0), str(wkt)) for name, column, org, code, wkt in rows]  # fmt: skip


def _system_of(srs: tuple[str, int], wkt: str) -> System | None:
    organization, code = srs
    known = epsg_system(code) if organization.upper() == "EPSG" and code > 0 else None
    return known or wkt_system(wkt)


@dataclass(slots=True)
class _Layer:
    file: StoredFile
    name: str
    table: str
    geometry: str
    own_system: System | None
    format: str = "geopackage"
    encoding: str | None = None
    types: dict[str, FieldType] = field(default_factory=dict)

    def system(self) -> System | None:
        """As the file's table of systems says; undefined ones (-1 and 0) say nothing."""
        return self.own_system

    def notices(self) -> tuple[Notice, ...]:
        """Nothing is found out on the way."""
        return ()

    def features(self) -> Iterator[Features]:
        """The rows of the table in order of their numbers, without those."""
        with _opened(self.file) as database:
            columns = self._columns(database)
            if len(columns) > MAX_COLUMNS:
                raise FileRefused("too_many_columns", columns=len(columns), limit=MAX_COLUMNS)
            names = ", ".join(_quoted(name) for name in (self.geometry, *columns))
            # Identifiers cannot be bound; these are quoted, and only reading is allowed at all.
            rows = database.execute(f"SELECT {names} FROM {_quoted(self.table)}")  # noqa: S608
            done = 0
            while batch := rows.fetchmany(BATCH_FEATURES):
                yield self._features(columns, batch, done + 1)
                done += len(batch)

    def _columns(self, database: sqlite3.Connection) -> list[str]:
        """The attributes. The number of the row is the file's own business, not the city's."""
        found = []
        for _, name, kind, _, _, is_key in database.execute(
            f"PRAGMA table_info({_quoted(self.table)})"
        ):
            if name == self.geometry or (is_key and str(kind).upper() == "INTEGER"):
                continue
            found.append(str(name))
            declared = _TYPES.get(str(kind).upper())
            if declared is not None:
                self.types[str(name)] = declared
        return found

    def _features(self, columns: list[str], rows: list[Any], first: int) -> Features:
        turned = list(zip(*rows, strict=True))
        shapes, broken = _shapes(turned[0])
        booleans = {name for name, kind in self.types.items() if kind is FieldType.BOOLEAN}
        cells: Mapping[str, list[str | None]] = {
            name: [_cell(value, is_boolean=name in booleans) for value in turned[at]]
            for at, name in enumerate(columns, 1)
        }
        return Features(cells, shapes, first, self.file.size, broken)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cell(value: object, *, is_boolean: bool) -> str | None:
    if value is None or isinstance(value, bytes):
        return None  # a picture is no cell
    if is_boolean and value in (0, 1):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return repr(value) if isinstance(value, int | float) else str(value)


def _shapes(blobs: tuple[Any, ...]) -> tuple[Shapes, dict[int, str]]:
    """GeoPackageBinary: a header, an envelope, then well-known binary (2.1.3)."""
    wkb: list[bytes | None] = []
    broken: dict[int, str] = {}
    for at, blob in enumerate(blobs):
        body = _wkb(blob)
        if body is None and blob is not None:
            broken[at] = "GeoPackageBinary?"
        wkb.append(body)
    shapes: Shapes = np.array(
        shapely.from_wkb(np.array(wkb, dtype=object), on_invalid="ignore"), dtype=object
    )
    for lost in np.flatnonzero(shapely.is_missing(shapes)).tolist():
        if wkb[lost] is not None:
            broken[lost] = "WKB?"
    return shapes, broken


def _wkb(blob: object) -> bytes | None:
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        return None
    (flags,) = struct.unpack_from("B", blob, 3)
    envelope = (flags >> 1) & 7
    if envelope >= len(_ENVELOPES):
        return None
    return blob[8 + _ENVELOPES[envelope] :]
