"""Well-known text of geometries (OGC 06-103r4, clause 7) to GeoJSON. Linear in the text.

Whether the numbers make a geometry is for the reader of GeoJSON to say.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_NAMES: Final[Mapping[str, str]] = {
    "point": "Point",
    "linestring": "LineString",
    "polygon": "Polygon",
    "multipoint": "MultiPoint",
    "multilinestring": "MultiLineString",
    "multipolygon": "MultiPolygon",
    "geometrycollection": "GeometryCollection",
}
_PIECE: Final = re.compile(r"[(),]|[^\s(),]+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z", re.ASCII)
_BEGINS: Final = re.compile(
    rf"(?:{'|'.join(_NAMES)})(?:\s*Z)?\s*(?:\(|\bEMPTY\b)", re.IGNORECASE | re.ASCII
)
_BRACKET: Final = re.compile(r"[()]")
_SIGNS: Final = frozenset({"(", ")", ",", ""})
_MOST_NESTED: Final = 16
Tree = Any


class NotText(ValueError):
    """Not the text of a geometry."""


def end_of(text: str, start: int) -> int | None:
    """Where the geometry that begins at `start` ends; None where none begins.

    Raises `NotText` where it never ends: to look for that once is enough.
    """
    begins = _BEGINS.match(text, start)
    if begins is None:
        return None
    if not begins[0].endswith("("):
        return begins.end()
    depth = 1
    for bracket in _BRACKET.finditer(text, begins.end()):
        depth += 1 if bracket[0] == "(" else -1
        if depth == 0:
            return bracket.end()
    raise NotText


def parse(text: str) -> dict[str, Tree]:
    """The geometry as GeoJSON. A height is read and dropped later. Raises `NotText`."""
    pieces = _PIECE.findall(text)
    pieces.reverse()  # the next one is popped from the end
    made = _geometry(pieces, 0)
    if pieces:
        raise NotText
    return made


def _geometry(pieces: list[str], depth: int) -> dict[str, Tree]:
    kind = _kind(pieces)
    if depth > _MOST_NESTED:
        raise NotText
    member = "geometries" if kind == "GeometryCollection" else "coordinates"
    if _next(pieces) == "empty":
        pieces.pop()
        return {"type": kind, member: []}
    if kind == "GeometryCollection":
        parts = _listed(pieces, lambda: _geometry(pieces, depth + 1))
        return {"type": kind, member: parts}
    nested = _listed(pieces, lambda: _part(pieces, 1))
    if kind == "Point":
        if len(nested) != 1:
            raise NotText
        nested = nested[0]
    if kind == "MultiPoint":  # its points may stand in brackets of their own, or not
        nested = [each[0] if isinstance(each[0], list) else each for each in nested]
    return {"type": kind, member: nested}


def _kind(pieces: list[str]) -> str:
    word = _pop(pieces).lower()
    if word not in _NAMES:
        word = word.removesuffix("z")
    elif _next(pieces) == "z":
        pieces.pop()
    if word not in _NAMES:
        raise NotText
    return _NAMES[word]


def _listed(pieces: list[str], read: Callable[[], Tree]) -> list[Tree]:
    """What stands in brackets, between commas."""
    if _pop(pieces) != "(":
        raise NotText
    parts = [read()]
    while (sign := _pop(pieces)) == ",":
        parts.append(read())
    if sign != ")":
        raise NotText
    return parts


def _part(pieces: list[str], depth: int) -> list[Tree]:
    """Further brackets, or a position: numbers side by side."""
    if _next(pieces) == "(" and depth < _MOST_NESTED:
        return _listed(pieces, lambda: _part(pieces, depth + 1))
    numbers: list[Tree] = []
    while _next(pieces) not in _SIGNS:
        numbers.append(_number(_pop(pieces)))
    if not numbers:
        raise NotText
    return numbers


def _number(piece: str) -> float:
    if not _NUMBER.match(piece):
        raise NotText
    return float(piece)


def _next(pieces: list[str]) -> str:
    return pieces[-1].lower() if pieces else ""


def _pop(pieces: list[str]) -> str:
    if not pieces:
        raise NotText
    return pieces.pop()
