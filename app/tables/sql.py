"""A question as a statement on hosted tables. Expressions only: nothing is pasted into SQL.

Each parameter of a statement is a getter of a `Reading`, so that one compiled statement answers
every question of the same shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Table,
    and_,
    bindparam,
    case,
    collate,
    false,
    func,
    literal,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Double, Text, TypeEngine

from app.query.fields import EDGES, Field, FieldType
from app.query.folding import pattern_of
from app.query.geometry import EARTH_METRES, boxes_around, boxes_of
from app.query.question import (
    Between,
    Both,
    Box,
    Compare,
    Condition,
    Constant,
    Either,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Operand,
    Question,
    Relation,
    Spatial,
    Words,
)
from app.tables.found import Binder, Form, Found, is_among, known_where, lies_near
from app.tables.layout import (
    ROW,
    SINCE,
    UNTIL,
    box_of,
    geometry_edges,
    place_columns,
    sql_type,
)
from app.tables.operands import both_sql, given_type, operand_sql
from app.tables.word_index import WordIndex


@dataclass(frozen=True, slots=True)
class Source:
    """A version's table and its fields."""

    table: Table
    fields: tuple[Field, ...]
    words: WordIndex | None = None


Place = Spatial | Box


@dataclass(frozen=True, slots=True)
class Reading:
    """A question with the moment it is asked at: revisions of its sources and the time.

    `found` has what PostgreSQL cannot judge: the rows that a spatial condition holds for, and
    those that meet a box by their bounds alone. `Places.find` fills it.
    """

    question: Question
    revision: int
    join_revisions: tuple[int, ...]  # in the order of question.joins
    now: datetime
    found: Mapping[Place, Found] = field(default_factory=dict)
    rows: tuple[int, ...] | None = None  # of the loaded rows only these can match, an index says


Getter = Callable[[Reading], Any]
Sorted = tuple[ColumnElement[Any], bool, TypeEngine[Any]]  # column, descending, type


def parameter_type(field: Field, value: object) -> TypeEngine[Any]:
    """The column's type, but exact where the literal is no 64-bit whole number."""
    if field.type is FieldType.INTEGER and isinstance(value, Decimal):
        return Numeric()
    return sql_type(field.type)


class Statements:
    """Builds the parts of one statement and collects the getters of its parameters."""

    def __init__(
        self,
        source: Source,
        joined: Sequence[Source],
        question: Question,
        places: Mapping[Place, Found] | None = None,
        *,
        is_narrowed: bool = False,
    ) -> None:
        self.question = question
        self.places = places or {}  # the forms of what the reading has found
        self.is_narrowed = is_narrowed
        self.source = source
        self.table = source.table
        self.getters: dict[str, Getter] = {}
        self.joined: dict[str, tuple[FromClause, Source]] = {
            join.name: (other.table.alias(f"joined_{at}"), other)
            for at, (join, other) in enumerate(zip(question.joins, joined, strict=True))
        }

    def bind(self, getter: Getter, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        """A typed parameter whose value is got from the reading."""
        name = f"p{len(self.getters)}"
        self.getters[name] = getter
        return bindparam(name, type_=kind, required=False)

    def column(self, field: Field) -> ColumnElement[Any]:
        """The column that holds a field, of this dataset or of a joined one (`join.field`)."""
        join, dot, _ = field.name.partition(".")
        if dot and join in self.joined:
            return self.joined[join][0].c[field.column]
        return self.table.c[field.column]

    def rows(self) -> FromClause:
        """The table, with each join as a left join on the rows in force there."""
        found: FromClause = self.table
        for at, join in enumerate(self.question.joins):
            other, _ = self.joined[join.name]
            same = self.table.c[join.here.column] == other.c[join.there.column]
            in_force = _in_force(self, other, _join_revision(at))
            found = found.outerjoin(other, and_(same, *in_force))
        return found

    def in_force(self) -> list[ColumnElement[bool]]:
        """The rows that the reading's revision holds."""
        return _in_force(self, self.table, lambda reading: reading.revision)

    def conditions(self) -> list[ColumnElement[bool]]:
        """All that a row must meet, the page's beginning excepted."""
        question = self.question
        found = self.in_force()
        if self.is_narrowed:
            rows = self.bind(lambda reading: list(_some(reading.rows)), ARRAY(BigInteger()))
            found.append(or_(self.table.c[SINCE] > 0, self.table.c[ROW] == func.any(rows)))
        if question.where is not None:
            found.append(self.condition(question.where, lambda reading: reading.question.where))
            found += self._rows_near(question.where, lambda reading: reading.question.where)
        if question.box is not None:
            boxes = boxes_of(question.box)
            edges = geometry_edges(self.source.fields)
            if edges is None:
                found.append(self._within_any(boxes, lambda q: boxes_of(_some(q.box))))
            else:
                found.append(self._meeting_any(boxes, edges))
                found += self._not_by_bounds_alone(question.box)
        if question.near is not None:
            around = boxes_around(question.near)
            if around:
                found.append(self._within_any(around, lambda q: boxes_around(_some(q.near))))
            radius = self.bind(lambda reading: _some(reading.question.near).radius, Double())
            found.append(self.distance() <= radius)
        return found

    def condition(  # noqa: C901, PLR0912 - one arm for each case of a closed set
        self, part: Condition, get: Getter
    ) -> ColumnElement[bool]:
        """One condition; `get` finds the same part in any question of this shape."""
        match part:
            case Compare(field, op, value):
                bound = self.bind(lambda reading: get(reading).value, parameter_type(field, value))
                return self.column(field).bool_op(op)(bound)
            case Match(left, op, right):
                one, other = both_sql(self, left, right, get)
                return one.bool_op(op)(other)
            case OneOf(operand, values):
                return self._one_of(operand, values, get)
            case Like(operand, _):
                pattern = self.bind(lambda reading: get(reading).pattern, Text())
                return operand_sql(self, operand, _operand(get)).like(pattern)
            case Between(field, low, high):
                return self.column(field).between(
                    self.bind(lambda reading: get(reading).low, parameter_type(field, low)),
                    self.bind(lambda reading: get(reading).high, parameter_type(field, high)),
                )
            case IsNull(operand):
                return operand_sql(self, operand, _operand(get)).is_(None)
            case Not(inner):
                return ~self.condition(inner, lambda reading: get(reading).part)
            case Both(parts):
                return and_(true(), *self._each(parts, get))
            case Either(parts):
                return or_(false(), *self._each(parts, get))
            case Constant(value):
                return true() if value else false()
            case Spatial():
                return self._placed(part, get)
            case Words(fields):
                return self._words(fields, get)
            case _:
                assert_never(part)

    def _each(self, parts: Sequence[Condition], get: Getter) -> list[ColumnElement[bool]]:
        return [
            self.condition(each, lambda reading, at=at: get(reading).parts[at])  # type: ignore[misc]
            for at, each in enumerate(parts)
        ]

    def _one_of(
        self, operand: Operand, values: Sequence[object], get: Getter
    ) -> ColumnElement[bool]:
        if isinstance(operand, Field):
            exact = any(isinstance(value, Decimal) for value in values)
            kind = Numeric() if exact else sql_type(operand.type)
        else:
            kind = given_type(Given(values[0]))  # type: ignore[arg-type]
        bound = self.bind(lambda reading: list(get(reading).values), ARRAY(kind))
        return operand_sql(self, operand, _operand(get)).bool_op("=")(func.any(bound))

    def _placed(self, part: Spatial, get: Getter) -> ColumnElement[bool]:
        """Whether the row is one of those found; of a record without a place it is unknown."""
        row, form = self.table.c[ROW], self.places[part].form
        holds = is_among(row, form, self._binder(get))
        if part.relation is Relation.DISJOINT:
            holds = ~holds  # those that intersect were looked for
        if part.field is not None:
            return known_where(self.table.c[part.field.column], holds)
        latitude, longitude = self.place()
        return known_where(latitude + longitude, holds)

    def _rows_near(self, part: Condition, get: Getter) -> list[ColumnElement[bool]]:
        """What the index on rows can do for spatial conditions that must hold."""
        if isinstance(part, Both):
            found: list[ColumnElement[bool]] = []
            for at, each in enumerate(part.parts):
                found += self._rows_near(each, lambda reading, at=at: get(reading).parts[at])  # type: ignore[misc]
            return found
        if not isinstance(part, Spatial) or part.relation is Relation.DISJOINT:
            return []
        return [lies_near(self.table.c[ROW], self.places[part].form, self._binder(get))]

    def _not_by_bounds_alone(self, box: Box) -> list[ColumnElement[bool]]:
        """Leaves out the rows that meet a box by their bounds, and not by their shape."""
        form = self.places[box].form if box in self.places else Form.NONE
        if form is Form.NONE:
            return []
        binder = self._binder(lambda reading: reading.question.box)
        return [~is_among(self.table.c[ROW], form, binder)]

    def _binder(self, get: Getter) -> Binder:
        """Binds what was found of the condition that `get` gets."""
        return lambda value, kind: self.bind(
            lambda reading: value(reading.found[get(reading)]), kind
        )

    def _words(self, fields: Sequence[Field], get: Getter) -> ColumnElement[bool]:
        """Each term's pattern is found in the fields as one text, NFKC and else as they are.

        Of a row without any text that is false, not unknown.
        """
        # No term holds the separator, so none is found across two fields.
        text = func.concat_ws(literal("\x1f"), *(self.column(field) for field in fields))
        patterns = self.bind(lambda reading: _patterns(get(reading)), ARRAY(Text()))
        # Nearly every text is in that form, and to see that takes a fraction of making it so.
        form = literal("NFKC")
        plain = case(
            (func.pg_catalog.is_normalized(text, form), text),
            else_=func.pg_catalog.normalize(text, form),
        )
        return collate(plain, "C").bool_op("~")(func.all(patterns))

    def place(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The latitude and longitude columns (a place was only asked for where there is one)."""
        latitude, longitude = _some(place_columns(self.source.fields))
        return self.table.c[latitude], self.table.c[longitude]

    def _within_any(
        self, boxes: Sequence[Box], get: Callable[[Question], Sequence[Box]]
    ) -> ColumnElement[bool]:
        """Points in one of the boxes, borders included, by the expression that is indexed."""
        latitude, longitude = self.place()
        point = func.point(longitude, latitude)
        ways = []
        for at in range(len(boxes)):
            _, box = self.box(get, at)
            ways.append(point.bool_op("<@")(box))
        return or_(*ways)

    def _meeting_any(
        self, boxes: Sequence[Box], edges: tuple[str, str, str, str]
    ) -> ColumnElement[bool]:
        """Geometries whose bounds meet one of the boxes, borders included: all that may meet it.

        PostgreSQL compares boxes with a tolerance (1e-6), so that is the index's business only.
        """
        bounds = box_of(self.table, edges)
        west, south, east, north = (self.table.c[edge] for edge in edges)
        ways = []
        for at in range(len(boxes)):
            asked, box = self.box(lambda q: boxes_of(_some(q.box)), at)
            ways.append(
                and_(
                    bounds.bool_op("&&")(box),
                    west <= asked[2], south <= asked[3], east >= asked[0], north >= asked[1],
                )
            )  # fmt: skip
        return or_(*ways)

    def box(
        self, get: Callable[[Question], Sequence[Box]], at: int
    ) -> tuple[list[ColumnElement[Any]], ColumnElement[Any]]:
        """The edges of a question's box as parameters, and the box that they make."""
        edges = [
            self.bind(
                lambda reading, edge=edge: getattr(get(reading.question)[at], edge),  # type: ignore[misc]
                Double(),
            )
            for edge in EDGES
        ]
        return edges, func.box(func.point(*edges[:2]), func.point(*edges[2:]))

    def distance(self) -> ColumnElement[float]:
        """Metres along the great circle (haversine; within 0.5 % of the ellipsoid's geodesic)."""
        latitude, longitude = self.place()
        lat = self.bind(lambda reading: _some(reading.question.near).latitude, Double())
        lon = self.bind(lambda reading: _some(reading.question.near).longitude, Double())
        half = func.power(func.sin(func.radians(latitude - lat) / 2), 2) + func.cos(
            func.radians(lat)
        ) * func.cos(func.radians(latitude)) * func.power(
            func.sin(func.radians(longitude - lon) / 2), 2
        )
        metres: ColumnElement[float] = (
            2 * EARTH_METRES * func.asin(func.sqrt(func.least(1.0, half)))
        )
        return metres

    def order(self) -> list[Sorted]:
        """The sort, ending in the unique row number."""
        found: list[Sorted] = []
        if self.question.near is not None:
            found.append((self.distance(), False, Double()))
        for by in self.question.order:
            found.append((self.column(by.field), by.descending, sql_type(by.field.type)))
        found.append((self.table.c[ROW], False, BigInteger()))
        return found

    def behind(self, order: Sequence[Sorted]) -> ColumnElement[bool]:
        """Rows that sort behind the question's position; nulls sort last in both directions."""
        after = _some(self.question.after)
        ways: list[ColumnElement[bool]] = []
        for last in range(len(order)):
            equal = [self._same(at, order[at], after[at]) for at in range(last)]
            ways.append(and_(*equal, self._beyond(last, order[last], after[last])))
        return or_(*ways)

    def _same(self, at: int, by: Sorted, value: Any) -> ColumnElement[bool]:
        column, _, kind = by
        return column.is_(None) if value is None else column == self.bind(_position(at), kind)

    def _beyond(self, at: int, by: Sorted, value: Any) -> ColumnElement[bool]:
        column, descending, kind = by
        if value is None:
            return false()
        bound = self.bind(_position(at), kind)
        further = column < bound if descending else column > bound
        return further if column is self.table.c[ROW] else or_(further, column.is_(None))


def _in_force(parts: Statements, rows: FromClause, revision: Getter) -> list[ColumnElement[bool]]:
    """The rows that the revision holds: asked of every table, for the first write to one may be
    committed between the moment its entry was loaded and this statement."""
    return [
        rows.c[SINCE] <= parts.bind(revision, BigInteger()),
        or_(rows.c[UNTIL].is_(None), rows.c[UNTIL] > parts.bind(revision, BigInteger())),
    ]


def _patterns(words: Words) -> list[str]:
    return ["|".join(pattern_of(spelling) for spelling in term) for term in words.terms]


def _operand(get: Getter) -> Getter:
    """The operand that a condition tests."""
    return lambda reading: get(reading).field


def _join_revision(at: int) -> Getter:
    return lambda reading: reading.join_revisions[at]


def _position(at: int) -> Getter:
    return lambda reading: reading.question.after[at]  # type: ignore[index]


def _some(value: Any) -> Any:
    """What the shape promises to be there."""
    if value is None:
        raise LookupError("the question lacks what its shape says it has")
    return value
