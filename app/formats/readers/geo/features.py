"""Collects features one by one into batches: attributes by heading, geometries as shapes."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import orjson
import shapely

from app.formats.geometries import Shapes
from app.formats.guidance import FileRefused
from app.formats.readers.geo.sniff import GEOMETRIES
from app.formats.readers.geo.table import BATCH_FEATURES, Features
from app.formats.readers.text.layout import MAX_COLUMNS

_MOST_NESTED: Final = 3
_CHARACTERS: Final = 16 << 20  # of one batch: large shapes make small batches


class Collector:
    """Features on their way into a batch."""

    def __init__(self) -> None:
        self._labels: dict[str, None] = {}
        self._done = 0
        self._begin()

    def _begin(self) -> None:
        self._rows: list[Mapping[str, str | None]] = []
        self._geometries: list[Any] = []
        self._weight = 0

    @property
    def is_full(self) -> bool:
        """Whether a batch should be taken now."""
        return len(self._rows) >= BATCH_FEATURES or self._weight >= _CHARACTERS

    def add(self, cells: Mapping[str, str | None], geometry: object, weight: int) -> None:
        """One feature; `geometry` is a GeoJSON object or None, `weight` its length as text."""
        for label in cells:
            if label not in self._labels:
                self._labels[label] = None
                if len(self._labels) > MAX_COLUMNS:
                    columns = len(self._labels)
                    raise FileRefused("too_many_columns", columns=columns, limit=MAX_COLUMNS)
        self._rows.append(cells)
        self._geometries.append(geometry)
        self._weight += weight

    def batch(self, read: int) -> Features:
        """The features so far."""
        rows, first = self._rows, self._done + 1
        shapes, broken = shapes_of(self._geometries)
        columns = {label: [row.get(label) for row in rows] for label in self._labels}
        self._done += len(rows)
        self._begin()
        return Features(columns, shapes, first, read, broken)


def shapes_of(geometries: list[Any]) -> tuple[Shapes, dict[int, str]]:
    """The shapes of GeoJSON geometries, and the texts of those that are none."""
    shapes: Shapes = np.full(len(geometries), None, dtype=object)
    dots: dict[int, list[float]] = {}
    others: dict[int, Any] = {}
    for at, given in enumerate(geometries):
        place = _plain_point(given)
        if place is not None:
            dots[at] = place
        elif given is not None:
            others[at] = given
    if dots:
        shapes[list(dots)] = shapely.points(np.array(list(dots.values()), dtype=np.float64))
    known = [at for at, given in others.items() if _is_known(given)]
    if known:
        texts = [_geojson(others[at]) for at in known]
        shapes[known] = shapely.from_geojson(texts, on_invalid="ignore")
    broken = {at: _json(given) for at, given in others.items() if shapes[at] is None}
    return shapes, broken


def _is_known(given: object) -> bool:
    return isinstance(given, dict) and given.get("type") in GEOMETRIES


def _geojson(given: object) -> bytes:
    try:
        return orjson.dumps(given)
    except TypeError:  # a number or a letter that JSON for others should not hold
        return _json(given).encode("ascii", "backslashreplace")


def _json(given: object) -> str:
    try:
        return json.dumps(given, ensure_ascii=False)
    except RecursionError:
        return "…"


def _plain_point(given: object) -> list[float] | None:
    if not isinstance(given, dict) or given.get("type") != "Point":
        return None
    place = given.get("coordinates")
    if not isinstance(place, list) or len(place) != 2:
        return None
    x, y = place
    if type(x) in (int, float) and type(y) in (int, float) and math.isfinite(x + y):
        return [x, y]
    return None


def cells_of(properties: object) -> dict[str, str | None]:
    """A feature's properties as cells: nested objects by dotted names, arrays as JSON."""
    if not isinstance(properties, dict):
        return {}
    return dict(_flat(properties, "", 0))


def _flat(given: dict[str, Any], before: str, depth: int) -> Iterator[tuple[str, str | None]]:
    for name, value in given.items():
        if isinstance(value, dict) and value and depth < _MOST_NESTED:
            yield from _flat(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name, cell_of(value)


def cell_of(value: object) -> str | None:
    """A JSON value as a cell."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return _json(value)
