"""Whether a record meets a condition: what SQL answers, over plain values, with its three truths.

Pure. It is what a source that cannot filter is filtered by, and what hosted tables are held to.
Texts are ordered by code points, as the database that comes along does.
"""

import operator
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, assert_never

from app.kit.clock import TOKYO
from app.query import arithmetic
from app.query.caseless import folded
from app.query.fields import Field, FieldType
from app.query.folding import fold
from app.query.like import is_like
from app.query.question import (
    Arithmetic,
    Between,
    Both,
    Compare,
    Condition,
    Consented,
    Constant,
    Edge,
    Either,
    Folded,
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

Truth = bool | None
Record = Mapping[str, Any]
_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def matches(
    condition: Condition, record: Record, *, place: tuple[Field, Field] | None = None
) -> Truth:
    """True, false, or None where SQL knows not.

    The record has its values by field name, geometries as GeoJSON. `place` is the latitude and
    the longitude that are its place.
    """
    match condition:
        case Not(part):
            truth = matches(part, record, place=place)
            return None if truth is None else not truth
        case Both(parts):
            return _joined(parts, record, decisive=False, place=place)
        case Either(parts):
            return _joined(parts, record, decisive=True, place=place)
        case Constant(value):
            return value
        case Spatial():
            return _placed(condition, record, place)
        case Words():
            return _worded(condition, record)
        case Consented():
            return None
        case _:
            return _compared(condition, record)


def _joined(
    parts: Sequence[Condition],
    record: Record,
    *,
    decisive: bool,
    place: tuple[Field, Field] | None,
) -> Truth:
    """AND, which one false part decides, and OR, which one true part does."""
    found: Truth = not decisive
    for part in parts:
        truth = matches(part, record, place=place)
        if truth is decisive:
            return truth
        if truth is None:
            found = None
    return found


def _compared(
    condition: Compare | Match | OneOf | Like | Between | IsNull, record: Record
) -> Truth:
    match condition:
        case Compare(field, op, value):
            return _test(record.get(field.name), op, value)
        case Match(left, op, right):
            return _test(*_alike(left, right, op, record))
        case OneOf(operand, values):
            found = value_of(operand, record)
            return None if found is None else found in values
        case Like(operand, pattern):
            text = value_of(operand, record)
            return None if text is None else is_like(text, pattern)
        case Between(field, low, high):
            found = record.get(field.name)
            return None if found is None else bool(low <= found <= high)
        case IsNull(operand):
            return value_of(operand, record) is None
        case _:
            assert_never(condition)


def _test(left: Any, op: str, right: Any) -> Truth:
    if left is None or right is None:
        return None
    return bool(_TESTS[op](left, right))


def _alike(left: Operand, right: Operand, op: str, record: Record) -> tuple[Any, str, Any]:
    """Both values; a double beside an exact number becomes one."""
    one, other = value_of(left, record), value_of(right, record)
    if isinstance(one, float) != isinstance(other, float):
        one = arithmetic.exact(one) if isinstance(one, float) else one
        other = arithmetic.exact(other) if isinstance(other, float) else other
    return one, op, other


def value_of(operand: Operand, record: Record) -> Any:
    """What an operand is in a record, None where it is unknown."""
    match operand:
        case Field(name=name):
            return record.get(name)
        case Given(value):
            return value
        case Folded(by, part):
            text = value_of(part, record)
            return None if text is None else folded(by, text)
        case Arithmetic(op, left, right):
            return _calculated(op, value_of(left, record), value_of(right, record))
        case Edge(field, last, moment):
            return _edge(field, record.get(field.name), last=last, moment=moment)
        case _:
            assert_never(operand)


def _calculated(op: str, left: Any, right: Any) -> Decimal | None:
    if left is None or right is None:
        return None
    return arithmetic.calculate(op, arithmetic.exact(left), arithmetic.exact(right))


def _edge(field: Field, value: Any, *, last: bool, moment: bool) -> date | datetime | None:
    if value is None:
        return None
    day = _day(field, value, last=last)
    if day is None or not moment:
        return day
    return datetime.combine(day, time.max if last else time.min, TOKYO)


def _day(field: Field, value: Any, *, last: bool) -> date | None:
    """The first or last day of a day, a month `YYYY-MM`, or a fiscal year (from April)."""
    if isinstance(value, date):
        return value
    if field.type is FieldType.MONTH:
        year, month = int(value[:4]), int(value[5:7])
        if year == 0:  # of no calendar
            return None
        return date(year, month, monthrange(year, month)[1] if last else 1)
    return date(int(value) + 1, 3, 31) if last else date(int(value), 4, 1)


def _placed(condition: Spatial, record: Record, place: tuple[Field, Field] | None) -> Truth:
    if condition.field is not None:
        shape = record.get(condition.field.name)
        return None if shape is None else stands(condition, shape)
    if place is None:
        raise LookupError("a record's place without its fields")
    latitude, longitude = (record.get(field.name) for field in place)
    if latitude is None or longitude is None:
        return None
    return stands(condition, f'{{"type":"Point","coordinates":[{longitude},{latitude}]}}')


def stands(condition: Spatial, shape: str) -> bool:
    """Whether a GeoJSON geometry stands to the condition's shape as it says."""
    import numpy as np  # noqa: PLC0415 - with GEOS it costs what most processes never need

    from app.query.relations import read_shape, relate  # noqa: PLC0415

    geometries = np.array([read_shape(shape)], dtype=object)
    return bool(relate(condition.relation, geometries, condition.shape, condition.metres)[0])


def _worded(condition: Words, record: Record) -> bool:
    texts = [fold(str(text)) for field in condition.fields if (text := record.get(field.name))]
    return all(
        any(spelling in text for spelling in spellings for text in texts)
        for spellings in condition.terms
    )
