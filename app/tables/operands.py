"""Operands of conditions as SQL: sums, folded texts, the edges of days, months and fiscal years.

In the very terms of `app.query.arithmetic` and `app.query.caseless`. No sum is an error: what has
no value is null, and a power is worked out only within bounds that hold it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import ColumnElement, and_, bindparam, case, cast, func, literal_column, or_, select
from sqlalchemy.types import Date, DateTime, Double, Integer, Numeric, Text, TypeEngine

from app.query import arithmetic, caseless
from app.query.fields import Field, FieldType
from app.query.operands import Kind, kind_of
from app.query.question import Arithmetic, Edge, Folded, Folding, Given, Operand
from app.tables.layout import sql_type

if TYPE_CHECKING:
    from app.tables.sql import Getter, Statements

_DOUBLES = frozenset({FieldType.LATITUDE, FieldType.LONGITUDE})


def operand_sql(parts: "Statements", operand: Operand, get: "Getter") -> ColumnElement[Any]:
    """An operand of a condition; `get` finds the same operand in any question of the shape."""
    match operand:
        case Field():
            return parts.column(operand)
        case Given():
            return parts.bind(lambda reading: get(reading).value, given_type(operand))
        case Arithmetic(op, left, right):
            return _arithmetic(
                op,
                exact_sql(parts, left, lambda reading: get(reading).left),
                exact_sql(parts, right, lambda reading: get(reading).right),
            )
        case Folded(by, part):
            return folded_sql(by, operand_sql(parts, part, lambda reading: get(reading).part))
        case Edge(field, last, moment):
            return _edge(field, parts.column(field), last=last, moment=moment)
        case _:
            assert_never(operand)


def given_type(operand: Given) -> TypeEngine[Any]:
    """The type that a literal is bound as. Numbers are exact, whole or not."""
    kinds = {
        Kind.NUMBER: FieldType.DECIMAL,
        Kind.TEXT: FieldType.TEXT,
        Kind.DATE: FieldType.DATE,
        Kind.DATETIME: FieldType.DATETIME,
        Kind.BOOLEAN: FieldType.BOOLEAN,
    }
    return sql_type(kinds[kind_of(operand)])


def exact_sql(parts: "Statements", operand: Operand, get: "Getter") -> ColumnElement[Any]:
    """A number as an exact one: in whole numbers a sum would overflow, in doubles drift."""
    made = operand_sql(parts, operand, get)
    return made if isinstance(operand, Given | Arithmetic) else cast(made, Numeric())


def both_sql(
    parts: "Statements", left: Operand, right: Operand, get: "Getter"
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two operands to compare. Beside a double, only a double is compared as one."""
    doubles = [_is_double(each) for each in (left, right)]
    write: Callable[..., ColumnElement[Any]] = (
        exact_sql if any(doubles) and not all(doubles) else operand_sql
    )
    return (
        write(parts, left, lambda reading: get(reading).left),
        write(parts, right, lambda reading: get(reading).right),
    )


def _is_double(operand: Operand) -> bool:
    return isinstance(operand, Field) and operand.type in _DOUBLES


def _arithmetic(op: str, left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[Any]:
    match op:
        case "+" | "-" | "*":
            return left.op(op, return_type=Numeric())(right)
        case "/":
            # As many decimals again as are kept, so that rounding twice rounds as once.
            wide = left + literal_column(f"0.{'0' * 2 * arithmetic.DECIMALS}", Numeric())
            return func.round(wide / func.nullif(right, 0), arithmetic.DECIMALS)
        case "div":
            return func.div(left, func.nullif(right, 0), type_=Numeric())
        case "%":
            return func.mod(left, func.nullif(right, 0), type_=Numeric())
        case _:
            return _power(left, right)


def _power(left: ColumnElement[Any], right: ColumnElement[Any]) -> ColumnElement[Any]:
    """A power in doubles, null where it has no value or would not fit.

    Both are named first, or nested powers would be written out again and again; clamped too, for
    PostgreSQL promises no order in which it looks at conditions.
    """
    decimals = arithmetic.POWER_DECIMALS
    named = select(
        func.round(left, decimals).label("base"),
        func.round(right, arithmetic.DECIMALS).label("exponent"),
    )
    inner = named.correlate(*named.get_final_froms()).offset(0).subquery()
    base, exponent = inner.c.base, inner.c.exponent
    most, edge = arithmetic.MOST_BASE, arithmetic.MOST_EXPONENT
    near: ColumnElement[Any] = cast(func.greatest(-edge, func.least(edge, exponent)), Double())
    clamped: ColumnElement[Any] = cast(func.greatest(-most, func.least(most, base)), Double())
    size: ColumnElement[Any] = cast(
        func.greatest(arithmetic.LEAST_BASE, func.least(most, func.abs(base))), Double()
    )
    has_value = and_(
        func.abs(base) <= most,
        func.abs(exponent) <= edge,
        or_(
            base > 0,
            and_(base == 0, exponent >= 0),
            and_(base < 0, exponent == func.trunc(exponent)),
        ),
        or_(base == 0, func.abs(near * func.ln(size)) <= arithmetic.MOST_LOGARITHM),
    )
    found = cast(func.power(clamped, near), Numeric())
    return select(case((has_value, found))).select_from(inner).scalar_subquery()


def folded_sql(by: Folding, text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Most texts are plain; the others are decomposed, taken letter by letter, and composed."""
    letters, become = caseless.cases() if by is Folding.CASEI else caseless.accents()
    whole, apart = ("NFKC", "NFKD") if by is Folding.CASEI else ("NFC", "NFD")
    plain, letter_by_letter = _normalized(text, whole), _normalized(text, apart)
    if by is Folding.CASEI:
        plain, letter_by_letter = _lower(plain), _lower(letter_by_letter)
    letter_by_letter = func.translate(letter_by_letter, _constant(letters), _constant(become))
    if by is Folding.CASEI:
        letter_by_letter = func.replace(letter_by_letter, *map(_constant, caseless.SHARP_S))
    is_plain = ~text.bool_op("~")(_constant(caseless.NOT_PLAIN))
    return case((is_plain, plain), else_=_normalized(letter_by_letter, whole))


def _normalized(text: ColumnElement[Any], form: str) -> ColumnElement[Any]:
    return func.normalize(text, literal_column(form), type_=Text())


def _lower(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """ASCII letters only, whatever the database's collation."""
    return func.lower(text.collate("C"))


def _constant(text: str) -> ColumnElement[str]:
    """Text of ours in the statement, quoted by SQLAlchemy."""
    return bindparam(None, text, Text(), literal_execute=True)


def _edge(
    field: Field, column: ColumnElement[Any], *, last: bool, moment: bool
) -> ColumnElement[Any]:
    """As in `app.query.matches`: the last moment is a microsecond before the next day's first."""
    first, following = _days(field, column)
    if not moment:
        return cast(following - literal_column("1"), Date()) if last else first
    day = cast(following if last else first, DateTime())
    at = func.timezone("Asia/Tokyo", day, type_=DateTime(timezone=True))
    return at - literal_column("interval '1 microsecond'") if last else at


def _days(
    field: Field, column: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The first day, and the one that follows the last."""
    if field.type is FieldType.MONTH:
        first = cast(column.concat("-01"), Date())
        return first, cast(first + literal_column("interval '1 month'"), Date())
    if field.type is FieldType.FISCAL_YEAR:
        year = cast(column, Integer())
        return func.make_date(year, 4, 1, type_=Date()), func.make_date(
            year + 1, 4, 1, type_=Date()
        )
    return column, cast(column + literal_column("1"), Date())
