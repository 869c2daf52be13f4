"""A question as a statement on hosted tables. Expressions only: nothing is pasted into SQL.

Each parameter of a statement is a getter of a `Reading`, so that one compiled statement answers
every question of the same shape.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, bindparam, false, func, or_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Double, TypeEngine

from app.query.fields import Field
from app.query.question import Box, Question, Spatial
from app.tables.conditions import condition_sql
from app.tables.found import Found
from app.tables.geography import distance, in_box, rows_near, within_radius
from app.tables.layout import ROW, SINCE, UNTIL, place_columns, sql_type
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
    mark: str = ""  # what stands before values that are still to be changed
    by_few_consents: bool = False  # so few that the rows are better looked for by them


Getter = Callable[[Reading], Any]
Sorted = tuple[ColumnElement[Any], bool, TypeEngine[Any]]  # column, descending, type


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
        by_few_consents: bool = False,
    ) -> None:
        self.question = question
        self.places = places or {}  # the forms of what the reading has found
        self.is_narrowed = is_narrowed
        self.by_few_consents = by_few_consents
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
            met = _in_force(self, other, _join_revision(at))
            if join.where is not None:
                met.append(condition_sql(self, join.where, _join_where(at)))
            found = found.outerjoin(other, and_(same, *met))
        return found

    def in_force(self) -> list[ColumnElement[bool]]:
        """The rows that the reading's revision holds."""
        return _in_force(self, self.table, lambda reading: reading.revision)

    def conditions(self) -> list[ColumnElement[bool]]:
        """All that a row must meet, the page's beginning excepted."""
        where = self.question.where
        found = self.in_force()
        if self.is_narrowed:
            rows = self.bind(lambda reading: list(_some(reading.rows)), ARRAY(BigInteger()))
            found.append(or_(self.table.c[SINCE] > 0, self.table.c[ROW] == func.any(rows)))
        if where is not None:
            found.append(condition_sql(self, where, lambda reading: reading.question.where))
            found += rows_near(self, where, lambda reading: reading.question.where)
        return [*found, *in_box(self), *within_radius(self)]

    def place(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The latitude and longitude columns (a place was only asked for where there is one)."""
        latitude, longitude = _some(place_columns(self.source.fields))
        return self.table.c[latitude], self.table.c[longitude]

    def order(self) -> list[Sorted]:
        """The sort, ending in the unique row number."""
        found: list[Sorted] = []
        if self.question.near is not None:
            found.append((distance(self), False, Double()))
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


def _join_revision(at: int) -> Getter:
    return lambda reading: reading.join_revisions[at]


def _join_where(at: int) -> Getter:
    return lambda reading: reading.question.joins[at].where


def _position(at: int) -> Getter:
    return lambda reading: reading.question.after[at]  # type: ignore[index]


def _some(value: Any) -> Any:
    """What the shape promises to be there."""
    if value is None:
        raise LookupError("the question lacks what its shape says it has")
    return value
