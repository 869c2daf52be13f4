"""The question as a value: columns, conditions, place, order and page. Knows no source.

A `Question` parts its shape from its literals: two questions that differ only in the values they
compare with have one shape, so a source prepares the statement once.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.query.fields import Field

Literal = str | int | float | Decimal | bool | date | datetime


@dataclass(frozen=True, slots=True)
class Compare:
    """`field op value`, op one of = <> < <= > >=."""

    field: Field
    op: str
    value: Literal


@dataclass(frozen=True, slots=True)
class OneOf:
    """`field IN (values)`."""

    field: Field
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`field LIKE pattern` with % and _ (CQL2 Advanced Comparison); `fold` ignores case."""

    field: Field
    pattern: str
    fold: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """`low <= field <= high`."""

    field: Field
    low: Literal
    high: Literal


@dataclass(frozen=True, slots=True)
class IsNull:
    """`field IS NULL`."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of an unknown it is unknown, as in SQL."""

    part: "Condition"


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """True or false."""

    value: bool


Condition = Compare | OneOf | Like | Between | IsNull | Not | Both | Either | Constant


@dataclass(frozen=True, slots=True)
class Box:
    """west, south, east, north in degrees (CRS84). West above east crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class Near:
    """A point in degrees and a radius in metres; nearest first."""

    latitude: float
    longitude: float
    radius: float


@dataclass(frozen=True, slots=True)
class Order:
    """One sort column."""

    field: Field
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """Another dataset's record beside each record, found by equal values (declared, not free)."""

    name: str
    dataset_id: str
    here: Field
    there: Field
    fields: tuple[Field, ...]
    as_of: Field | None = None
    stale_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One whole question about one version of a dataset.

    `after` is the sort position (values of `order`, then the row number) that the page begins
    behind. Any `Field` of a joined dataset carries its join's name in `Field.name` ("join.field").
    """

    fields: tuple[Field, ...]
    where: Condition | None = None
    box: Box | None = None
    near: Near | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = 100
    after: tuple[Any, ...] | None = None
    count: bool = False
    joins: tuple[Join, ...] = ()
