"""Where records lie, as SQL: boxes that the index knows, metres on the globe, rows that were found.

It judges no geometry: what bounds leave open is found before (`app.tables.places`) and only
looked up here.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.types import Double

from app.query.fields import EDGES
from app.query.geometry import EARTH_METRES, boxes_around, boxes_of
from app.query.question import Both, Box, Condition, Near, Question, Relation, Spatial
from app.tables.found import Binder, Form, is_among, known_where, lies_near
from app.tables.layout import ROW, box_of, geometry_edges

if TYPE_CHECKING:
    from app.tables.sql import Getter, Reading, Statements

Boxes = Callable[[Question], Sequence[Box]]
Edges = tuple[str, str, str, str]


def in_box(parts: "Statements") -> list[ColumnElement[bool]]:
    """What the question's box asks of a row: points are judged, shapes by what was found."""
    asked = parts.question.box
    if asked is None:
        return []
    edges = geometry_edges(parts.source.fields)
    if edges is None:
        return [_within_any(parts, boxes_of(asked), _boxes)]
    return [_meeting_any(parts, boxes_of(asked), edges), *_not_by_bounds_alone(parts, asked)]


def _boxes(question: Question) -> Sequence[Box]:
    return boxes_of(question.box) if question.box is not None else ()


def within_radius(parts: "Statements") -> list[ColumnElement[bool]]:
    """Points within the question's distance; the index knows boxes only."""
    if parts.question.near is None:
        return []
    around = boxes_around(parts.question.near)
    radius = parts.bind(lambda reading: _near(reading).radius, Double())
    near = distance(parts) <= radius
    if not around:
        return [near]
    return [_within_any(parts, around, lambda q: boxes_around(q.near) if q.near else ()), near]


def _near(reading: "Reading") -> Near:
    if reading.question.near is None:
        raise LookupError("the question lacks what its shape says it has")
    return reading.question.near


def placed(parts: "Statements", part: Spatial, get: "Getter") -> ColumnElement[bool]:
    """Whether the row is one of those found; of a record without a place it is unknown."""
    row, form = parts.table.c[ROW], parts.places[part].form
    holds = is_among(row, form, _binder(parts, get))
    if part.relation is Relation.DISJOINT:
        holds = ~holds  # those that intersect were looked for
    if part.field is not None:
        return known_where(parts.table.c[part.field.column], holds)
    latitude, longitude = parts.place()
    return known_where(latitude + longitude, holds)


def rows_near(parts: "Statements", part: Condition, get: "Getter") -> list[ColumnElement[bool]]:
    """What the index on rows can do for spatial conditions that must hold."""
    if isinstance(part, Both):
        found: list[ColumnElement[bool]] = []
        for at, each in enumerate(part.parts):
            found += rows_near(parts, each, lambda reading, at=at: get(reading).parts[at])  # type: ignore[misc]
        return found
    if not isinstance(part, Spatial) or part.relation is Relation.DISJOINT:
        return []
    return [lies_near(parts.table.c[ROW], parts.places[part].form, _binder(parts, get))]


def _not_by_bounds_alone(parts: "Statements", box: Box) -> list[ColumnElement[bool]]:
    """Leaves out the rows that meet a box by their bounds, and not by their shape."""
    form = parts.places[box].form if box in parts.places else Form.NONE
    if form is Form.NONE:
        return []
    binder = _binder(parts, lambda reading: reading.question.box)
    return [~is_among(parts.table.c[ROW], form, binder)]


def _binder(parts: "Statements", get: "Getter") -> Binder:
    """Binds what was found of the condition that `get` gets."""
    return lambda value, kind: parts.bind(lambda reading: value(reading.found[get(reading)]), kind)


def _within_any(parts: "Statements", boxes: Sequence[Box], get: Boxes) -> ColumnElement[bool]:
    """Points in one of the boxes, borders included, by the expression that is indexed."""
    latitude, longitude = parts.place()
    point = func.point(longitude, latitude)
    ways = []
    for at in range(len(boxes)):
        _, box = bound_box(parts, get, at)
        ways.append(point.bool_op("<@")(box))
    return or_(*ways)


def _meeting_any(parts: "Statements", boxes: Sequence[Box], edges: Edges) -> ColumnElement[bool]:
    """Geometries whose bounds meet one of the boxes, borders included: all that may meet it.

    PostgreSQL compares boxes with a tolerance (1e-6), so that is the index's business only.
    """
    bounds = box_of(parts.table, edges)
    west, south, east, north = (parts.table.c[edge] for edge in edges)
    ways = []
    for at in range(len(boxes)):
        asked, box = bound_box(parts, _boxes, at)
        ways.append(
            and_(
                bounds.bool_op("&&")(box),
                west <= asked[2], south <= asked[3], east >= asked[0], north >= asked[1],
            )
        )  # fmt: skip
    return or_(*ways)


def bound_box(
    parts: "Statements", get: Boxes, at: int
) -> tuple[list[ColumnElement[Any]], ColumnElement[Any]]:
    """The edges of a question's box as parameters, and the box that they make."""
    edges = [
        parts.bind(
            lambda reading, edge=edge: getattr(get(reading.question)[at], edge),  # type: ignore[misc]
            Double(),
        )
        for edge in EDGES
    ]
    return edges, func.box(func.point(*edges[:2]), func.point(*edges[2:]))


def distance(parts: "Statements") -> ColumnElement[float]:
    """Metres along the great circle (haversine; within 0.5 % of the ellipsoid's geodesic)."""
    latitude, longitude = parts.place()
    lat = parts.bind(lambda reading: _near(reading).latitude, Double())
    lon = parts.bind(lambda reading: _near(reading).longitude, Double())
    half = func.power(func.sin(func.radians(latitude - lat) / 2), 2) + func.cos(
        func.radians(lat)
    ) * func.cos(func.radians(latitude)) * func.power(
        func.sin(func.radians(longitude - lon) / 2), 2
    )
    metres: ColumnElement[float] = 2 * EARTH_METRES * func.asin(func.sqrt(func.least(1.0, half)))
    return metres
