"""The rows that a condition of place picks out, as a value and in a statement. It finds none itself.

Few rows are listed; many are bits, one a row of the table. So whatever a place matches, it is held
and sent in an eighth of a byte a row at most, and looked up in constant time.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, literal, null, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.types import BigInteger, TypeEngine

from app.kit.errors import AppError, Kind

MOST_LISTED: Final = 10_000
_ROWS: Final = ARRAY(BigInteger())


class Form(StrEnum):
    """How the rows are written: statements differ by it."""

    NONE = "none"
    LISTED = "listed"
    BITS = "bits"


@dataclass(frozen=True, slots=True)
class Found:
    """Numbers of rows: a list in ascending order, or bits from `first` (lowest bit) to `last`."""

    rows: "array[int]"
    first: int = 0
    last: int = -1
    bits: bytes = b""

    @property
    def form(self) -> Form:
        """How they are written."""
        if self.bits:
            return Form.BITS
        return Form.LISTED if self.rows else Form.NONE

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self.rows.itemsize * len(self.rows) + len(self.bits)


NOTHING: Final = Found(array("q"))


class TooManyCandidates(AppError):
    """So many geometries lie along the shape's edge that judging them would take too long."""

    kind = Kind.MALFORMED  # the question itself can be mended
    code = "too_many_candidates"
    ja = (
        "図形の境界にかかるジオメトリが多すぎて判定できません。"
        "図形を小さくするか単純にするか、bbox= で検索してください。"
    )
    en = (
        "Too many geometries lie along the edge of the shape to judge each of them. Give a smaller"
        " or a simpler shape, or search by bbox=."
    )


Binder = Callable[[Callable[[Found], Any], TypeEngine[Any]], ColumnElement[Any]]


def is_among(row: ColumnElement[int], form: Form, bind: Binder) -> ColumnElement[bool]:
    """Whether the row is one of those found: never unknown, wherever it stands."""
    if form is not Form.BITS:
        # Hashed. `= ANY` compares with each of them, once the statement is planned for any list.
        return row.in_(select(func.unnest(bind(lambda found: found.rows, _ROWS))))
    first, last = _ends(bind)
    bit = func.get_bit(bind(lambda found: found.bits, BYTEA()), row - first)
    # A place behind the last bit is an error to PostgreSQL: only CASE is sure to ask in order.
    one = literal(1, literal_execute=True)
    return case((row.between(first, last), bit == one), else_=False)


def lies_near(row: ColumnElement[int], form: Form, bind: Binder) -> ColumnElement[bool]:
    """What holds for every row found in words that the index on rows understands."""
    if form is not Form.BITS:
        return row == func.any(bind(lambda found: found.rows, _ROWS))
    first, last = _ends(bind)
    return and_(row >= first, row <= last)


def known_where(place: ColumnElement[Any], holds: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition; of a record without a place it is unknown."""
    return case((place.is_(None), null()), else_=holds)


def _ends(bind: Binder) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return (
        bind(lambda found: found.first, BigInteger()),
        bind(lambda found: found.last, BigInteger()),
    )
