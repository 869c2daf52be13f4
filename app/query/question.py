"""The question as a value: columns, conditions, place, order and page. Knows no source.

A `Question` parts its shape from its literals: two questions that differ only in the values they
compare with have one shape, so a source prepares the statement once.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.query.fields import Field
from app.query.geojson import Shape

Literal = str | int | float | Decimal | bool | date | datetime


class Folding(StrEnum):
    """What a comparison of texts can leave out of account (CQL2, 21-065r2, 7.4 and 7.5)."""

    CASEI = "casei"  # case, and width: half-width kana, full-width letters and digits
    ACCENTI = "accenti"  # accents; a dakuten is none


@dataclass(frozen=True, slots=True)
class Given:
    """A literal where a field could stand as well."""

    value: Literal


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left op right` of numbers, op one of + - * / % div ^; unknown where it has no value."""

    op: str
    left: "Operand"
    right: "Operand"


@dataclass(frozen=True, slots=True)
class Folded:
    """A text without what is not to count."""

    by: Folding
    part: "Operand"


@dataclass(frozen=True, slots=True)
class Edge:
    """The first or the last day, or moment, of the day, month or fiscal year in a field."""

    field: Field
    last: bool
    moment: bool


Operand = Field | Given | Arithmetic | Folded | Edge


@dataclass(frozen=True, slots=True)
class Compare:
    """`field op value`, op one of = <> < <= > >=."""

    field: Field
    op: str
    value: Literal


@dataclass(frozen=True, slots=True)
class Match:
    """`left op right` of any two operands of one kind; `Compare` is the common case of it."""

    left: Operand
    op: str
    right: Operand


@dataclass(frozen=True, slots=True)
class OneOf:
    """`field IN (values)`."""

    field: Operand
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`field LIKE pattern` with %, _ and \\ (CQL2 Advanced Comparison), letter by letter."""

    field: Operand
    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """`low <= field <= high`."""

    field: Field
    low: Literal
    high: Literal


@dataclass(frozen=True, slots=True)
class IsNull:
    """`field IS NULL`."""

    field: Operand


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


class Relation(StrEnum):
    """The spatial relations (CQL2, 21-065r2, 7.9 and OGC 06-103r4), read from the record's side."""

    INTERSECTS = "s_intersects"
    DISJOINT = "s_disjoint"
    EQUALS = "s_equals"
    TOUCHES = "s_touches"
    WITHIN = "s_within"
    CONTAINS = "s_contains"
    OVERLAPS = "s_overlaps"
    CROSSES = "s_crosses"
    DWITHIN = "s_dwithin"  # at most `metres` apart


@dataclass(frozen=True, slots=True)
class Spatial:
    """`relation(record's place, shape)`. Of a record without a place it is unknown.

    `field` is the geometry that is compared; None: the point of the record's coordinates. The
    shape is in CRS84 and may lie anywhere on the globe. `metres` is given for `DWITHIN` only.
    """

    relation: Relation
    field: Field | None
    shape: Shape
    metres: float | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """Full text: every term stands in at least one of the fields, in one of its spellings.

    `terms` are folded for searching (`q=` of QUERY-09); the first spelling is the one asked for.
    """

    fields: tuple[Field, ...]
    terms: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Consented:
    """Whoever is named in the field consents now to these columns' leaving for the purpose.

    No question from outside can ask it, and only the database knows: of any other it is unknown.
    """

    field: Field
    dataset_id: str
    consumer_id: str
    purpose: str
    columns: tuple[str, ...]


Condition = (
    Compare
    | Match
    | OneOf
    | Like
    | Between
    | IsNull
    | Not
    | Both
    | Either
    | Constant
    | Spatial
    | Words
    | Consented
)


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
    """Another dataset's record beside each record, found by equal values (declared, not free).

    One that does not meet `where`, a condition on the other dataset's fields, is not found.
    """

    name: str
    dataset_id: str
    here: Field
    there: Field
    fields: tuple[Field, ...]
    as_of: Field | None = None
    stale_after_seconds: int | None = None
    where: Condition | None = None


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
    offset: int = 0  # for standards that page by number; the Linkage Interface has cursors
