"""What each database is to the kind `sql`: an open reading of it. Knows no question and no driver."""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Date,
    DateTime,
    Dialect,
    Float,
    Select,
    Text,
    bindparam,
    cast,
    column,
    false,
    select,
    table,
    true,
)
from sqlalchemy.sql.elements import ClauseElement, ColumnElement, quoted_name
from sqlalchemy.sql.selectable import TableClause

BATCH: Final = 1_000  # rows
MOST_BYTES: Final = 16 * 1024 * 1024  # of one row
MOST_AT_ONCE: Final = 8 * 1024 * 1024  # bytes of rows that are held, but for the last of them
JAPAN: Final = "+09:00"
Cell = ColumnElement[Any]


class Holds(StrEnum):
    """What a column holds, as far as conditions and orders are concerned."""

    TEXT = "text"
    PADDED = "padded"  # with blanks to its length
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    MOMENT = "moment"  # date and time of no zone
    INSTANT = "instant"
    BINARY = "binary"
    SHAPE = "shape"  # geometry
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database tells it."""

    name: str
    type: str  # in the database's own words
    holds: Holds
    comment: str | None = None
    key: bool = False
    charset: str | None = None  # of its text, where it is a column's own


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that are wanted of one table or view."""

    relation: TableClause
    columns: tuple[Column, ...]
    where: Cell | None = None
    order: tuple[Cell, ...] = ()
    limit: int | None = None
    offset: int = 0
    time_zone: str | None = None
    charset: str | None = None  # that its bytes really are

    def statement(self, cells: Sequence[Cell]) -> Select[Any]:
        """The rows, each column as its cell."""
        made = select(*cells).select_from(self.relation)
        if self.where is not None:
            made = made.where(self.where)
        if self.order:
            made = made.order_by(*self.order)
        if self.offset:
            made = made.offset(self.offset)
        return made if self.limit is None else made.limit(self.limit)


class Tongue:
    """How a dialect says what `query.matches` means; by itself, that of a database that agrees."""

    has_code_points = True  # whether it can be given any text
    orders_texts = True  # whether `by_code_point` is in the order of code points as well

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column as it is compared."""
        del asked
        return column(found.name)

    def by_code_point(self, text: Cell) -> Cell:
        """A text such that it is equal letter by letter alone, and in the order of code points."""
        return text

    def has(self, text: str) -> bool:
        """Whether it can be given a text, and takes it for what it is."""
        del text
        return self.has_code_points

    def has_like(self, pattern: str) -> bool:
        """Whether its LIKE takes a pattern as `query.like` does."""
        del pattern
        return True

    def like(self, text: Cell, pattern: str) -> Cell:
        """LIKE as `query.like` has it, letter by letter."""
        return text.like(pattern, escape="\\")

    def is_nothing(self, cell: Cell, found: Column) -> Cell | None:
        """What is true of a value that says nothing, where a database has such beside null."""
        del cell, found
        return None

    def number(self, value: Decimal) -> Decimal | float:
        """A number of any size as it is bound."""
        return value

    def about(self, value: float) -> Cell:
        """A number that need not be exact."""
        return bindparam(None, value, Float())

    def moment(self, value: datetime, found: Column) -> Cell:
        """A time of no zone, or where the column has one, of UTC."""
        is_instant = found.holds is Holds.INSTANT
        return bindparam(None, value, DateTime(timezone=is_instant))

    def day(self, value: date) -> Cell:
        """A day."""
        return bindparam(None, value, Date())

    def is_so(self, cell: Cell, wanted: bool) -> ColumnElement[bool]:
        """Whether a boolean is what is wanted."""
        return cell.is_(true()) if wanted else cell.is_(false())

    def ordered(self, cell: Cell, *, descending: bool) -> tuple[Cell, ...]:
        """An order in which what is unknown comes last."""
        return ((cell.desc() if descending else cell.asc()).nulls_last(),)


class Reading(ABC):
    """One connection and one snapshot of a database, read and never written.

    Errors of drivers end here, as `SourceError`.
    """

    dialect: Dialect
    tongue: Tongue

    @abstractmethod
    async def columns(self, schema: str, name: str) -> list[Column]:
        """Of a table or view. Raises `SourceBroken` where there is none, or none for us."""

    @abstractmethod
    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Schema and name of what we may read."""

    @abstractmethod
    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few."""

    @abstractmethod
    def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """The rows while they come."""

    @abstractmethod
    def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The rows as CSV in UTF-8 while they come, a head before them."""

    @abstractmethod
    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """The least value of a watermark that is asked for: the last one, less the overlap."""

    def as_told(self, found: Column, holds: Holds | None) -> Column:
        """A column that is said to hold something else than its type says, where that can be read."""
        del holds
        return found

    def marked(self, top: Cell, found: Column) -> Cell:
        """The highest mark as a text, of which `since` makes the same again."""
        del found
        return cast(top, Text)

    async def state(self) -> dict[str, Any] | None:
        """What tells cheaply that nothing has changed, where the database has such a thing."""
        return None

    async def check_texts(self, asked: Asked) -> None:
        """Raises `SourceBroken` where the first texts are not in the charset they are said to be in."""
        return

    def compiled(self, statement: ClauseElement) -> tuple[str, list[Any]]:
        """A statement and its values, by place."""
        made = statement.compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True})
        values = made.params
        names = getattr(made, "positiontup", None) or ()
        return str(made), [values[name] for name in names]


def relation_of(schema: str, name: str, columns: Sequence[Column]) -> TableClause:
    """A table, its names to be quoted by whoever compiles it."""
    # Quoted, no dialect takes a dot in a schema for the end of a database's name.
    held = quoted_name(schema, quote=True)
    return table(name, *(column(each.name) for each in columns), schema=held)


def signs(pattern: str) -> str:
    """What of a pattern of `like` is not taken as it is."""
    return re.sub(r"\\.", "", pattern, flags=re.DOTALL)


def zone(offset: str | None) -> timezone:
    """`+09:00` as a zone; Japan's where none is said."""
    told = offset or JAPAN
    minutes = int(told[1:3]) * 60 + int(told[4:6])
    return timezone(timedelta(minutes=-minutes if told[0] == "-" else minutes))
