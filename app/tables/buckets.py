"""Values put together: expressions on a column that tell less than it does. Knows no question."""

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, case, cast, func, literal
from sqlalchemy.types import BigInteger, DateTime, Double, Integer, Numeric, Text, TypeEngine

from app.query.codes import prefecture_code
from app.query.mesh import COLUMNS_A_DEGREE, NUDGE, ROWS_A_DEGREE, WEST

JAPAN: Final = "Asia/Tokyo"


def constant(text: str) -> ColumnElement[str]:
    """Text of ours in the statement, quoted by SQLAlchemy."""
    return bindparam(None, text, Text(), literal_execute=True)


def whole(number: int) -> ColumnElement[Any]:
    """A whole number of ours in the statement."""
    return literal(number, Integer(), literal_execute=True)


def constant_number(number: Any) -> ColumnElement[Any]:
    """A number of ours in the statement."""
    kind: TypeEngine[Any] = Double() if isinstance(number, float) else Numeric()
    return cast(literal(str(number), Text(), literal_execute=True), kind)


def band(column: ColumnElement[Any], width: Decimal) -> ColumnElement[Any]:
    """The lower edge of the band of this width that the number lies in."""
    exact = cast(column, Numeric())
    wide = constant_number(width)
    # Not by division: a quotient is rounded, and may be put into the next band.
    return func.trim_scale(exact - func.mod(func.mod(exact, wide) + wide, wide))


def prefecture(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The code of a local government's prefecture, as `app.query.codes` has it."""
    codes = [prefecture_code(f"{number:02d}") or "" for number in range(1, 48)]
    first = func.left(column, whole(2))  # once for each row, and not for each prefecture
    return case(*((constant(code[:2]), constant(code)) for code in codes), value=first)


def in_japan(column: ColumnElement[Any], *, is_date: bool) -> ColumnElement[Any]:
    """The time on a clock in Japan."""
    return cast(column, DateTime()) if is_date else func.timezone(constant(JAPAN), column)


def mesh_row(latitude: ColumnElement[Any]) -> ColumnElement[Any]:
    """The row in the finest grid, as `app.query.mesh` counts them."""
    return _eighths(latitude, ROWS_A_DEGREE)


def mesh_column(longitude: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column in the finest grid."""
    return _eighths(longitude - constant_number(float(WEST)), COLUMNS_A_DEGREE)


def _eighths(degrees: ColumnElement[Any], a_degree: int) -> ColumnElement[Any]:
    nudged = degrees * constant_number(float(a_degree)) + constant_number(NUDGE)
    return cast(func.floor(nudged), BigInteger())
