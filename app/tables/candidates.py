"""Statements for the candidates of a condition of place: what the index finds by bounds.

Expressions only. They say which rows have to be looked at, and never which of them are right.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from app.query.fields import Field, edge_columns, geometry_of, place_of
from app.query.geometry import box_reaching, boxes_of
from app.query.question import Box, Question, Spatial
from app.tables.found import Found
from app.tables.geography import bound_box
from app.tables.layout import ROW, box_of
from app.tables.sql import Place, Reading, Source, Statements

FEW: Final = 1_000  # candidates that are fetched as any rows are, the smaller geometries with them
_SMALL_BYTES: Final = 2_048
_UNCONNECTED: Final = ('{"type":"M', '{"type":"G')  # MultiPoint and its like, GeometryCollection


class Wanted(StrEnum):
    """What a statement gives: rows with their bounds, or the geometries of some rows."""

    FEW = "few"
    EVERY = "every"
    TEXTS = "texts"


def bounds_of(part: Place) -> Question:
    """A question for all that may be held for the condition, by bounds."""
    box = part if isinstance(part, Box) else box_reaching(part.shape.edges, part.metres)
    return Question(fields=(), box=box)


def place_fields(source: Source, part: Place) -> tuple[Field, ...]:
    """The fields that say where a record lies."""
    if isinstance(part, Spatial) and part.field is not None:
        return (part.field,)
    geometry, place = geometry_of(source.fields), place_of(source.fields)
    if isinstance(part, Box) and geometry is not None:
        return (geometry,)
    if place is None:
        raise LookupError("a condition of place on records without one")
    return place


def written(wanted: Wanted, parts: Statements, part: Place) -> Select[Any]:
    """The statement: `FEW` (and one more) or `EVERY` candidate, or the `TEXTS` of some of them."""
    row = parts.table.c[ROW]
    geometry = geometry_of(parts.source.fields)
    if wanted is Wanted.TEXTS:
        if geometry is None:
            raise LookupError("points are no text")
        rows = parts.bind(lambda reading: _only(reading).rows, ARRAY(BigInteger()))
        text = parts.table.c[geometry.column]
        return select(row, text).where(*parts.in_force(), row == func.any(rows))
    if geometry is None:
        latitude, longitude = parts.place()
        edges: Sequence[ColumnElement[Any]] = (longitude, latitude, longitude, latitude)
        size: ColumnElement[Any] = literal(0, literal_execute=True)
        small: ColumnElement[Any] = cast(null(), Text())
    else:
        edges = [parts.table.c[edge] for edge in edge_columns(geometry)]
        text = parts.table.c[geometry.column]
        size = func.octet_length(text)
        small = case((size <= _small(), text))
    where = (
        _straddling(parts, geometry) if isinstance(part, Box) and geometry else parts.conditions()
    )
    there = [edge.is_not(None) for edge in edges[:2]]
    columns = [row, *edges, cast(size, BigInteger())]
    if wanted is Wanted.EVERY:
        return select(*columns).where(*where, *there)
    most = literal(FEW + 1, literal_execute=True)
    return select(*columns, small).where(*where, *there).limit(most)


def _only(reading: Reading) -> Found:
    [rows] = reading.found.values()
    return rows


def _straddling(parts: Statements, geometry: Field) -> list[ColumnElement[bool]]:
    """Geometries whose bounds meet the box and do not tell whether they themselves do.

    Those bounds reach over an edge of the box, so its four edges are what the index is asked for.
    A connected geometry goes from one side of its bounds to the other: where they lie within the
    box's width, or within its height, and meet it, it meets the box.
    """
    west, south, east, north = (parts.table.c[edge] for edge in edge_columns(geometry))
    bounds = box_of(parts.table, edge_columns(geometry))
    ways = []
    for at in range(len(_boxes(parts.question))):
        (w, s, e, n), _ = bound_box(parts, _boxes, at)
        sides = ((w, s, w, n), (e, s, e, n), (w, s, e, s), (w, n, e, n))
        ways.append(
            and_(
                or_(*(bounds.bool_op("&&")(_line(*side)) for side in sides)),
                west <= e, south <= n, east >= w, north >= s,
                not_(_is_settled(parts, geometry, (w, s, e, n))),
            )
        )  # fmt: skip
    return [*parts.in_force(), or_(*ways)]


def open_texts(parts: Statements) -> tuple[ColumnElement[bool], ColumnElement[str]]:
    """Of a row whose bounds meet the box: whether they leave open that it does, and its geometry.

    The geometry is given where that is open, and it is no large one.
    """
    geometry = geometry_of(parts.source.fields)
    if geometry is None:
        raise LookupError("points are settled by their bounds")
    west, south, east, north = (parts.table.c[edge] for edge in edge_columns(geometry))
    ways = []
    for at in range(len(_boxes(parts.question))):
        (w, s, e, n), _ = bound_box(parts, _boxes, at)
        meets = and_(west <= e, south <= n, east >= w, north >= s)
        ways.append(and_(meets, _is_settled(parts, geometry, (w, s, e, n))))
    is_open = not_(or_(*ways))
    text = parts.table.c[geometry.column]
    return is_open, case((and_(is_open, func.octet_length(text) <= _small()), text))


def _is_settled(
    parts: Statements, geometry: Field, edges: Sequence[ColumnElement[Any]]
) -> ColumnElement[bool]:
    """Whether a geometry whose bounds meet the box is sure to meet it."""
    w, s, e, n = edges
    west, south, east, north = (parts.table.c[edge] for edge in edge_columns(geometry))
    # The beginning of a canonical text; as a prefix it spares reading the whole of a large one.
    is_parted = func.left(parts.table.c[geometry.column], literal(10, literal_execute=True)).in_(
        [literal(each, Text(), literal_execute=True) for each in _UNCONNECTED]
    )
    in_width, in_height = and_(west >= w, east <= e), and_(south >= s, north <= n)
    return and_(or_(in_width, in_height), or_(and_(in_width, in_height), not_(is_parted)))


def _boxes(question: Question) -> Sequence[Box]:
    return boxes_of(question.box) if question.box is not None else ()


def _small() -> ColumnElement[int]:
    return literal(_SMALL_BYTES, literal_execute=True)


def _line(
    west: ColumnElement[Any],
    south: ColumnElement[Any],
    east: ColumnElement[Any],
    north: ColumnElement[Any],
) -> ColumnElement[Any]:
    return func.box(func.point(west, south), func.point(east, north))
