"""Spatial functions of CQL2 (OGC 21-065r2, 7.6 and 7.7), and how near two places are, in metres.

Shapes are planar in CRS84 and may lie anywhere on the globe; a box over the antimeridian is two.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from app.query.fields import Field, FieldType
from app.query.geojson import NotGeometry, Shape, read_asked
from app.query.geometry import boxes_of
from app.query.operands import Bare, Scope, natural, read_side, refuse
from app.query.question import Box, Condition, Constant, Relation, Spatial

MOST_POSITIONS: Final = 10_000  # of one shape
MOST_METRES: Final = 1_000_000  # farther apart, distances are no longer exact
SPATIAL: Final = frozenset({*(each.value for each in Relation), "dwithin"})
_DISTANCES: Final = frozenset({Relation.DWITHIN.value, "dwithin"})
_TURNED: Final = {Relation.WITHIN: Relation.CONTAINS, Relation.CONTAINS: Relation.WITHIN}
_UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1_000.0),
}
Place = tuple[Field, ...] | Shape


def read_spatial(op: str, args: Sequence[Any], scope: Scope) -> Condition:
    """A spatial function of a record's place and a shape. Raises `InvalidFilter`."""
    is_distance = op in _DISTANCES
    if len(args) not in ((3, 4) if is_distance else (2,)):
        raise refuse(
            f"{op.upper()} の引数は"
            + ("場所・図形・メートル数です。" if is_distance else "場所と図形です。"),
            f"{op.upper()} takes a place and a shape" + (" and metres." if is_distance else "."),
        )
    relation = Relation.DWITHIN if is_distance else Relation(op)
    metres = _metres(args[2:], scope) if is_distance else None
    one, other = (_place(each, op, scope) for each in args[:2])
    if isinstance(one, Shape) and isinstance(other, Shape):
        return _known(relation, one, other, metres)
    if isinstance(one, Shape):
        one, other, relation = other, one, _TURNED.get(relation, relation)
    if not isinstance(other, Shape) or isinstance(one, Shape):
        raise refuse(
            f"{op.upper()} で項目どうしは比較できません。一方は図形にしてください。",
            f"{op.upper()} compares a record's place with a shape, not with another field.",
        )
    return Spatial(relation, one[0] if len(one) == 1 else None, other, metres)


def _place(node: Any, op: str, scope: Scope) -> Place:
    if not isinstance(node, Mapping):
        raise _no_place(op)
    if "property" in node:
        return _fields(str(node["property"]), scope)
    if "bbox" in node:
        return _shape(_box(node["bbox"]))
    if "type" in node:
        return _shape(node)
    if "op" in node:
        read_side(node, scope)  # a function is refused by its name
    raise _no_place(op)


def _no_place(op: str) -> Exception:
    return refuse(
        f"{op.upper()} には場所の項目と図形（WKT、BBOX、GeoJSON）が必要です。",
        f"{op.upper()} takes a field with a place and a shape (WKT, BBOX or GeoJSON).",
    )


def _fields(name: str, scope: Scope) -> tuple[Field, ...]:
    if scope.place is None:
        raise refuse("ここでは場所の条件は使えません。", "no place can be asked for here.")
    found = scope.place(name)
    if len(found) == 1 and found[0].type is not FieldType.GEOMETRY:
        raise refuse(
            f"項目 {name[:100]} はジオメトリではありません。レコードの位置は geometry と書きます。",
            f"the field {name[:100]} is no geometry: a record's place is called geometry.",
        )
    return found


def _shape(given: Any) -> Shape:
    try:
        shape = read_asked(given, most=MOST_POSITIONS)
    except NotGeometry as exc:
        raise refuse(f"図形は{exc.ja}", f"the shape {exc.en}") from None
    if shape is None:
        raise refuse(
            "図形が空です。", "the shape is empty: it has nothing in common with any place."
        )
    if "Polygon" in shape.text:
        _refuse_crossing(shape)
    return shape


def _refuse_crossing(shape: Shape) -> None:
    from app.query.relations import fault_of  # noqa: PLC0415 - it brings GEOS along

    where = fault_of(shape)
    if where is not None:
        raise refuse(
            f"面の輪が正しくありません（{where}）。",
            f"the shape has rings that cross or touch themselves ({where}).",
        )


def _box(edges: Any) -> dict[str, Any]:
    """A box as the shape it is, without its heights (GeoJSON, RFC 7946, 5)."""
    numbers = [_edge(each) for each in edges] if isinstance(edges, list) else []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not numbers[1] <= numbers[3]:
        raise refuse(
            "BBOX は 西,南,東,北 の度です（例 BBOX(135.4,34.6,135.6,34.8)）。",
            "BBOX takes west, south, east, north in degrees, such as BBOX(135.4,34.6,135.6,34.8).",
        )
    parts = [_rectangle(box) for box in boxes_of(Box(*numbers))]
    if len(parts) == 1:
        return parts[0]
    if all(part["type"] == "Polygon" for part in parts):
        return {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}
    return {"type": "GeometryCollection", "geometries": parts}


def _edge(number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        return math.nan  # which is ordered with nothing
    return float(number)


def _rectangle(box: Box) -> dict[str, Any]:
    """A rectangle; without width or height it is a line or a point."""
    low, high = (box.west, box.south), (box.east, box.north)
    if low == high:
        return {"type": "Point", "coordinates": low}
    if box.west == box.east or box.south == box.north:
        return {"type": "LineString", "coordinates": [low, high]}
    corners = [low, (box.east, box.south), high, (box.west, box.north), low]
    return {"type": "Polygon", "coordinates": [corners]}


def _metres(given: Sequence[Any], scope: Scope) -> float:
    side = read_side(given[0], scope)
    number = natural(side).value if isinstance(side, Bare) else None
    unit = _UNITS.get(_unit(given[1])) if len(given) == 2 else 1.0
    if isinstance(number, int | float | Decimal) and not isinstance(number, bool) and unit:
        metres = float(number) * unit
        if 0 <= metres <= MOST_METRES:
            return metres
    raise refuse(
        f"距離は0から{MOST_METRES}メートルの数です（単位は meters か kilometers）。",
        f"a distance is 0 to {MOST_METRES} metres (units: meters, kilometers).",
    )


def _unit(node: Any) -> str:
    """A unit, as a text or as the bare word that other dialects have."""
    return str(node.get("property") if isinstance(node, Mapping) else node).lower()


def _known(relation: Relation, one: Shape, other: Shape, metres: float | None) -> Constant:
    """How two shapes stand to each other, decided now."""
    from app.query.matches import stands  # noqa: PLC0415 - as above

    return Constant(stands(Spatial(relation, None, other, metres), one.text))
