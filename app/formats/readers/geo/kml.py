"""Reads KML (OGC 12-007r2) and KMZ as a stream of placemarks; it follows no link and no entity."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Final

from lxml import etree

from app.formats.crs import CRS84, System
from app.formats.guidance import FileRefused, Notice
from app.formats.readers.archives.members import members_of
from app.formats.readers.geo.features import Collector
from app.formats.readers.geo.table import Features, GeoTable
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told
from app.query.fields import FieldType

_ZIP: Final = b"PK"
# What a placemark says of itself, and the heading that it gets.
_SAID: Final = {"name": "name", "description": "description", "address": "address",
                "phoneNumber": "phoneNumber", "Snippet": "Snippet"}  # fmt: skip
_FOLDER: Final = "Folder"
_MOST_NESTED: Final = 4
# What is let go once it was read: all that repeats.
_WHOLE: Final = frozenset(
    {"Placemark", "NetworkLink", _FOLDER, "Style", "StyleMap", "Schema", "GroundOverlay",
     "ScreenOverlay"}
)  # fmt: skip


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The one table of the file: its placemarks. Raises `FileRefused`."""
    return [GeoTable(_Kml(file), file, told)]


@dataclass(slots=True)
class _Kml:
    file: StoredFile
    format: str = "kml"
    name: str = ""
    encoding: str | None = None
    types: Mapping[str, FieldType] = field(default_factory=dict)

    def system(self) -> System:
        """KML is always in longitudes and latitudes of WGS 84."""
        return CRS84

    def notices(self) -> tuple[Notice, ...]:
        """Nothing is found out on the way."""
        return ()

    def features(self) -> Iterator[Features]:
        """Every placemark, with the folders that it stands in."""
        collector = Collector()
        links = found = 0
        with _kml_of(self.file) as (stream, size):
            try:
                for element, folders in _placemarks(stream):
                    if element is None:
                        links += 1
                        continue
                    found += 1
                    collector.add(*_read(element, folders))
                    if collector.is_full:
                        yield collector.batch(size)
            except etree.XMLSyntaxError as exc:
                raise FileRefused("kml_broken", line=exc.lineno or 1) from None
        if links and not found:
            raise FileRefused("kml_only_links")
        yield collector.batch(self.file.size)


@contextmanager
def _kml_of(file: StoredFile) -> Iterator[tuple[IO[bytes], int]]:
    """The KML itself; of a KMZ the first one in it (KMZ has one, at its root)."""
    with file.open() as head:
        is_zip = head.read(2) == _ZIP
    if not is_zip:
        with file.open() as stream:
            yield stream, file.size
        return
    inside = [each for each in members_of(file, "zip") if each.name.lower().endswith(".kml")]
    with inside[0].open() as stream:
        yield stream, inside[0].size or file.size


def _placemarks(stream: IO[bytes]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each placemark with the names of its folders; None for a link. What was read is let go."""
    folders: list[str] = []
    for event, element in _events(stream):
        kind = _local(element)
        if event == "start":
            folders += [""] * (kind == _FOLDER)
        elif kind == "name" and folders and _local(element.getparent()) == _FOLDER:
            folders[-1] = _text(element) or ""
        elif kind in _WHOLE:
            if kind == "Placemark":
                yield element, tuple(name for name in folders if name)
            elif kind == "NetworkLink":
                yield None, ()
            del folders[len(folders) - (kind == _FOLDER) :]
            _forget(element)


def _events(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Beginnings and ends of elements, without comments; a document type is refused before any."""
    checked = False
    for event, element in etree.iterparse(
        stream, events=("start", "end"), resolve_entities=False, load_dtd=False,
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True,
    ):  # fmt: skip
        if not checked and element.getroottree().docinfo.doctype:
            raise FileRefused("kml_has_dtd")
        checked = True
        yield event, element


def _forget(element: Any) -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _local(element: Any) -> str:
    if element is None or not isinstance(element.tag, str):
        return ""
    return str(element.tag).rpartition("}")[2]


def _text(element: Any) -> str | None:
    text = "".join(element.itertext()).strip()
    return text or None


def _read(
    element: Any, folders: tuple[str, ...]
) -> tuple[dict[str, str | None], dict[str, Any] | None, int]:
    cells: dict[str, str | None] = {_FOLDER: "/".join(folders)} if folders else {}
    geometry = None
    for child in element:
        kind = _local(child)
        if kind in _SAID:
            cells[_SAID[kind]] = _text(child)
        elif kind == "ExtendedData":
            cells |= _extended(child)
        elif kind in ("TimeStamp", "TimeSpan"):
            cells |= {_local(part): _text(part) for part in child}
        elif geometry is None:
            geometry = _geometry(child, 0)
    return cells, geometry, sum(len(text) for text in element.itertext())


def _extended(element: Any) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for each in element.iter():
        kind, name = _local(each), each.get("name")
        if kind == "SimpleData" and name:
            found[name] = _text(each)
        elif kind == "Data" and name:
            value = next((part for part in each if _local(part) == "value"), None)
            found[name] = _text(value) if value is not None else None
    return found


def _geometry(element: Any, depth: int) -> dict[str, Any] | None:
    """A KML geometry as GeoJSON; what cannot be read as one is kept, to be refused as a row."""
    kind = _local(element)
    if kind == "Point":
        places = _coordinates(element)
        return {"type": "Point", "coordinates": places[0] if places else []}
    if kind in ("LineString", "LinearRing"):
        return {"type": "LineString", "coordinates": _coordinates(element)}
    if kind == "Polygon":
        rings = [
            _coordinates(ring)
            for side in ("outerBoundaryIs", "innerBoundaryIs")
            for boundary in element
            if _local(boundary) == side
            for ring in boundary
        ]
        return {"type": "Polygon", "coordinates": [ring for ring in rings if ring]}
    if kind == "MultiGeometry" and depth < _MOST_NESTED:
        return _joined([part for each in element if (part := _geometry(each, depth + 1))])
    return None


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Several of one kind are a Multi- of that kind."""
    if len(parts) < 2:
        return parts[0] if parts else None
    kinds = {part["type"] for part in parts}
    if len(kinds) == 1 and (kind := kinds.pop()) in ("Point", "LineString", "Polygon"):
        return {"type": f"Multi{kind}", "coordinates": [part["coordinates"] for part in parts]}
    return {"type": "GeometryCollection", "geometries": parts}


def _coordinates(element: Any) -> list[list[Any]]:
    """`lon,lat[,alt]` parted by blanks (9.5)."""
    text = next((_text(each) for each in element if _local(each) == "coordinates"), None)
    return [[_number(part) for part in place.split(",")[:3]] for place in (text or "").split()]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
