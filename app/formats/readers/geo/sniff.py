"""Tells files of shapes by their first bytes; it never goes by a name, and reads no row."""

import re
import zipfile
from typing import Final

from app.formats.stored import StoredFile
from app.formats.told import Told

GEOMETRIES: Final = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
     "GeometryCollection"}
)  # fmt: skip
# What a source answers that has no data for an area: no table, and it should be said why.
UNAVAILABLE: Final = "unavailable"
_BLANK: Final = b"\xef\xbb\xbf\x1e \t\r\n"
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]', re.DOTALL)
_SQLITE: Final = b"SQLite format 3\x00"
_KML: Final = re.compile(rb"<(?:[A-Za-z0-9_]+:)?kml[\s>]")
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")


def is_geojson(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """GeoJSON (RFC 7946), one text or a sequence of them (RFC 8142)."""
    members = _members(head)
    kind = members.get("type")
    if kind is not None:
        return kind in GEOMETRIES | {"FeatureCollection", "Feature", UNAVAILABLE}
    return "features" in members or {"geometry", "properties"} <= set(members)


def is_topojson(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """TopoJSON."""
    members = _members(head)
    return members.get("type") == "Topology" or {"arcs", "objects"} <= set(members)


def is_kml(head: bytes, file: StoredFile, _told: Told) -> bool:
    """KML, or a KMZ: a ZIP with a KML in it."""
    return _KML.search(head) is not None or _zip_has(head, file, ".kml")


def is_geopackage(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """A GeoPackage; any other SQLite file is told what it lacks."""
    return head.startswith(_SQLITE)


def is_shapefile(head: bytes, file: StoredFile, _told: Told) -> bool:
    """A ZIP with at least one .shp in it."""
    return _zip_has(head, file, ".shp")


def _zip_has(head: bytes, file: StoredFile, suffix: str) -> bool:
    if not head.startswith(_ZIP):
        return False
    try:
        with zipfile.ZipFile(file.path) as archive:
            return any(name.lower().endswith(suffix) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _members(head: bytes) -> dict[str, str | None]:
    """The members of a JSON object as far as the head shows them; strings with their value."""
    text = head.lstrip(_BLANK)
    if not text.startswith(b"{"):
        return {}
    found: dict[str, str | None] = {}
    depth, name = 0, None
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                break
        elif depth == 1 and token[2]:
            name = token[1].decode("utf-8", "replace")
            found.setdefault(name, None)
            continue
        elif depth == 1 and name is not None:
            found[name] = token[1].decode("utf-8", "replace")
        name = None
    return found
