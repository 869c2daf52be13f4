"""Reads GeoJSON (RFC 7946) and sequences of it (RFC 8142) as a stream, feature by feature."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from app.formats.crs import CRS84, System, told_system
from app.formats.guidance import FileRefused, Notice
from app.formats.readers.documents.json_walk import Walk
from app.formats.readers.geo.features import Collector, cell_of, cells_of
from app.formats.readers.geo.sniff import GEOMETRIES, UNAVAILABLE
from app.formats.readers.geo.table import Features, GeoTable
from app.formats.readers.text.encoding import Encoding, text_encoding
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told
from app.query.fields import FieldType

_ID = "id"
_BROKEN = "geojson_broken"


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The one table of the file. Raises `FileRefused`."""
    encoding = text_encoding(file.open, told=told.encoding)
    return [GeoTable(_GeoJson(file.open, encoding), file, told)]


@dataclass(slots=True)
class _GeoJson:
    open_stream: Callable[[], BinaryIO]
    text: Encoding
    format: str = "geojson"
    name: str = ""
    types: Mapping[str, FieldType] = field(default_factory=dict)
    _system: System | None = CRS84

    @property
    def encoding(self) -> str:
        """How the text was decoded."""
        return self.text.label

    def system(self) -> System | None:
        """RFC 7946, 4: CRS84. A `crs` member (the specification of 2008) is still met and obeyed."""
        return self._system

    def notices(self) -> tuple[Notice, ...]:
        """Nothing is found out on the way."""
        return ()

    def features(self) -> Iterator[Features]:
        """Every feature of every text in the file."""
        with self.open_stream() as stream:
            walk = Walk(stream, self.text, _BROKEN)
            collector, before = Collector(), 0
            for given in self._objects(walk):
                _collect(collector, given, walk.position - before)
                before = walk.position
                if collector.is_full:
                    yield collector.batch(walk.read)
            yield collector.batch(walk.read)

    def _objects(self, walk: Walk) -> Iterator[Mapping[str, Any]]:
        """Features and bare geometries, in order."""
        while walk.peek():
            members: dict[str, Any] = {}
            for name in walk.members():
                if name == "features" and walk.peek() == "[":
                    yield from _only_objects(walk, walk.items())
                else:
                    members[name] = walk.value()
            yield from self._whole(walk, members)

    def _whole(self, walk: Walk, members: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What an object is beside the features that were read from it."""
        kind = members.get("type")
        if "crs" in members:
            self._system = _legacy_system(members["crs"])
        if kind == UNAVAILABLE:
            raise FileRefused("geojson_unavailable", said=kind)
        if kind == "Feature":
            yield members
        elif kind == "GeometryCollection":
            for geometry in members.get("geometries") or ():
                yield {"type": "Feature", "geometry": geometry}
        elif kind in GEOMETRIES:
            yield {"type": "Feature", "geometry": members}
        elif kind not in (None, "FeatureCollection"):
            raise walk.refuse()


def _only_objects(walk: Walk, given: Iterator[Any]) -> Iterator[Mapping[str, Any]]:
    for each in given:
        if not isinstance(each, dict):
            raise walk.refuse()
        yield each


def _collect(collector: Collector, given: Mapping[str, Any], weight: int) -> None:
    cells = cells_of(given.get("properties"))
    if given.get(_ID) is not None and _ID not in cells:
        cells = {_ID: cell_of(given[_ID]), **cells}
    collector.add(cells, given.get("geometry"), weight)


def _legacy_system(given: object) -> System | None:
    """GeoJSON 2008, 3: a named system; null says that none can be assumed."""
    properties = given.get("properties") if isinstance(given, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return told_system(name) if isinstance(name, str) else None
