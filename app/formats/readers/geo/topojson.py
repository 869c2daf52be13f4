"""Reads TopoJSON: its arcs are shared by all shapes, so the text is held as a whole, and bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from app.formats.crs import CRS84, System
from app.formats.guidance import FileRefused, Notice
from app.formats.readers.geo.features import Collector, cell_of, cells_of
from app.formats.readers.geo.table import Features, GeoTable
from app.formats.readers.text.encoding import text_encoding
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told
from app.query.fields import FieldType

_MOST_BYTES: Final = 64 << 20
_ID: Final = "id"
_MOST_NESTED: Final = 8
Arc = NDArray[np.float64]


def tables(file: StoredFile, told: Told) -> list[Table]:
    """Each object of the topology is a table. Raises `FileRefused`."""
    if file.size > _MOST_BYTES:
        raise FileRefused("feature_too_large", limit_mb=_MOST_BYTES >> 20)
    encoding = text_encoding(file.open, told=told.encoding)
    with file.open() as stream:
        text = stream.read()[encoding.bom :].decode(encoding.name)
    try:
        topology = orjson.loads(text)
        arcs = _arcs(topology)
        objects = dict(topology["objects"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise FileRefused("topojson_broken") from None
    name_needed = len(objects) > 1
    return [
        GeoTable(
            _Object(name if name_needed else "", encoding.label, arcs, given, file.size), file, told
        )
        for name, given in objects.items()
    ]


def _arcs(topology: Mapping[str, Any]) -> list[Arc]:
    """Each arc's positions: of a quantised topology deltas, scaled and moved (2.1.3)."""
    transform = topology.get("transform")
    arcs = [np.array([place[:2] for place in arc], dtype=np.float64) for arc in topology["arcs"]]
    if transform is None:
        return arcs
    scale, move = (np.array(transform[key], dtype=np.float64) for key in ("scale", "translate"))
    return [np.cumsum(arc, axis=0) * scale + move if len(arc) else arc for arc in arcs]


@dataclass(slots=True)
class _Object:
    name: str
    encoding: str
    arcs: list[Arc]
    given: Mapping[str, Any]
    size: int
    format: str = "topojson"
    types: Mapping[str, FieldType] = field(default_factory=dict)

    def system(self) -> System:
        """The coordinates of a topology are those of GeoJSON."""
        return CRS84

    def notices(self) -> tuple[Notice, ...]:
        """Nothing is found out on the way."""
        return ()

    def features(self) -> Iterator[Features]:
        """The geometries of the object, with their properties."""
        collector = Collector()
        collected = self.given.get("type") == "GeometryCollection"
        for each in self.given.get("geometries") or () if collected else (self.given,):
            try:
                geometry = self._geometry(each, 0)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                raise FileRefused("topojson_broken") from None
            cells = cells_of(each.get("properties"))
            if each.get(_ID) is not None and _ID not in cells:
                cells = {_ID: cell_of(each[_ID]), **cells}
            collector.add(cells, geometry, len(orjson.dumps(geometry)))
            if collector.is_full:
                yield collector.batch(self.size)
        yield collector.batch(self.size)

    def _geometry(self, given: Mapping[str, Any], depth: int) -> dict[str, Any] | None:
        kind = given["type"]
        if kind is None:
            return None
        if kind == "GeometryCollection":
            if depth > _MOST_NESTED:
                raise ValueError(kind)
            parts = [self._geometry(each, depth + 1) for each in given["geometries"]]
            return {"type": kind, "geometries": [part for part in parts if part is not None]}
        if kind in ("Point", "MultiPoint"):
            return {"type": kind, "coordinates": given["coordinates"]}
        return {"type": kind, "coordinates": self._lines(given["arcs"], _DEPTHS[kind])}

    def _lines(self, indexes: list[Any], depth: int) -> list[Any]:
        if depth:
            return [self._lines(each, depth - 1) for each in indexes]
        line: list[list[float]] = []
        for index in indexes:
            arc = self.arcs[index] if index >= 0 else self.arcs[~index][::-1]
            line += arc.tolist()[1 if line else 0 :]  # arcs meet in one position
        return line


# How deep the lists of arcs are nested (2.2.2).
_DEPTHS: Final = {"LineString": 0, "MultiLineString": 1, "Polygon": 1, "MultiPolygon": 2}
