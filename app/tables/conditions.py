"""Conditions of a question as SQL, each in the terms of `app.query.matches`: true, false, unknown.

A condition takes its values through a getter, never from itself: another question of the same
shape is asked with the same statement.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import ColumnElement, Numeric, and_, case, collate, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text, TypeEngine

from app.query.fields import Field, FieldType
from app.query.folding import pattern_of
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Consented,
    Constant,
    Either,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Operand,
    Spatial,
    Words,
)
from app.tables.consents import consented
from app.tables.geography import placed
from app.tables.layout import sql_type
from app.tables.operands import both_sql, given_type, operand_sql

if TYPE_CHECKING:
    from app.tables.sql import Getter, Statements


def condition_sql(  # noqa: C901, PLR0912 - one arm for each case of a closed set
    parts: "Statements", part: Condition, get: "Getter"
) -> ColumnElement[bool]:
    """One condition; `get` finds the same part in any question of this shape."""
    match part:
        case Compare(field, op, value):
            bound = parts.bind(lambda reading: get(reading).value, _literal_type(field, value))
            return parts.column(field).bool_op(op)(bound)
        case Match(left, op, right):
            one, other = both_sql(parts, left, right, get)
            return one.bool_op(op)(other)
        case OneOf(operand, values):
            return _one_of(parts, operand, values, get)
        case Like(operand, _):
            pattern = parts.bind(lambda reading: get(reading).pattern, Text())
            return operand_sql(parts, operand, _operand(get)).like(pattern)
        case Between(field, low, high):
            return parts.column(field).between(
                parts.bind(lambda reading: get(reading).low, _literal_type(field, low)),
                parts.bind(lambda reading: get(reading).high, _literal_type(field, high)),
            )
        case IsNull(operand):
            return operand_sql(parts, operand, _operand(get)).is_(None)
        case Not(inner):
            return ~condition_sql(parts, inner, lambda reading: get(reading).part)
        case Both(each):
            return and_(true(), *_each(parts, each, get))
        case Either(each):
            return or_(false(), *_each(parts, each, get))
        case Constant(value):
            return true() if value else false()
        case Spatial():
            return placed(parts, part, get)
        case Words(fields):
            return _words(parts, fields, get)
        case Consented():
            return consented(parts, part, get)
        case _:
            assert_never(part)


def _each(
    parts: "Statements", conditions: Sequence[Condition], get: "Getter"
) -> list[ColumnElement[bool]]:
    return [
        condition_sql(parts, each, lambda reading, at=at: get(reading).parts[at])  # type: ignore[misc]
        for at, each in enumerate(conditions)
    ]


def _one_of(
    parts: "Statements", operand: Operand, values: Sequence[object], get: "Getter"
) -> ColumnElement[bool]:
    if isinstance(operand, Field):
        exact = any(isinstance(value, Decimal) for value in values)
        kind = Numeric() if exact else sql_type(operand.type)
    else:
        kind = given_type(Given(values[0]))  # type: ignore[arg-type]
    bound = parts.bind(lambda reading: list(get(reading).values), ARRAY(kind))
    return operand_sql(parts, operand, _operand(get)).bool_op("=")(func.any(bound))


def _words(parts: "Statements", fields: Sequence[Field], get: "Getter") -> ColumnElement[bool]:
    """Each term's pattern is found in the fields as one text, NFKC and else as they are.

    Of a row without any text that is false, not unknown.
    """
    # No term holds the separator, so none is found across two fields.
    text = func.concat_ws(literal("\x1f"), *(parts.column(field) for field in fields))
    patterns = parts.bind(lambda reading: _patterns(get(reading)), ARRAY(Text()))
    # Nearly every text is in that form, and to see that takes a fraction of making it so.
    form = literal("NFKC")
    plain = case(
        (func.pg_catalog.is_normalized(text, form), text),
        else_=func.pg_catalog.normalize(text, form),
    )
    return collate(plain, "C").bool_op("~")(func.all(patterns))


def _patterns(words: Words) -> list[str]:
    return ["|".join(pattern_of(spelling) for spelling in term) for term in words.terms]


def _literal_type(field: Field, value: object) -> TypeEngine[Any]:
    """The column's type, but exact where the literal is no 64-bit whole number."""
    if field.type is FieldType.INTEGER and isinstance(value, Decimal):
        return Numeric()
    return sql_type(field.type)


def _operand(get: "Getter") -> "Getter":
    """The operand that a condition tests."""
    return lambda reading: get(reading).field
