"""A condition as CQL2 Text (OGC 21-065r2, annex B), for who is asked on. Writes all of it or nothing.

`cql.parse_text` reads the same condition from what is written here.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from app.query.fields import Field
from app.query.question import (
    Arithmetic,
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Edge,
    Either,
    Folded,
    Given,
    IsNull,
    Like,
    Literal,
    Match,
    Not,
    OneOf,
    Operand,
    Spatial,
)

PLACE: Final = "geometry"  # a record's place, whatever its fields are called
_MOST_NESTED: Final = 40  # a reader may have fewer than our own 50 levels left
# What stands before a quote takes it along, and there is no way to write the one before the other.
_TAKES_QUOTE: Final = re.compile(r"\\(?:'|\Z)")


class NotWritable(ValueError):
    """The condition has no text that everybody reads in the same way."""


class Writer:
    """Writes conditions on fields that the reader knows.

    `knows` says of a field whether the reader has it, with values that compare as ours; `place`,
    whether a record's place is the reader's, too.
    """

    def __init__(self, knows: Callable[[Field], bool], *, place: bool = False) -> None:
        self._knows = knows
        self._place = place

    def text(self, condition: Condition) -> str:
        """The condition. Raises `NotWritable`."""
        return self._condition(condition, 0)

    def parted(self, condition: Condition | None) -> tuple[Condition | None, bool]:
        """Those of the parts that must all hold which can be written, and whether those are all."""
        if condition is None:
            return None, True
        parts = list(conjuncts(condition))
        kept = [each for each in parts if self._is_writable(each)]
        if len(kept) == len(parts):
            return condition, True
        return all_of(kept), False

    def _is_writable(self, condition: Condition) -> bool:
        try:
            self.text(condition)
        except NotWritable:
            return False
        return True

    def _condition(self, condition: Condition, depth: int) -> str:
        if depth > _MOST_NESTED:
            raise NotWritable
        match condition:
            case Both(parts) | Either(parts):
                word = " AND " if isinstance(condition, Both) else " OR "
                return word.join(f"({self._condition(each, depth + 1)})" for each in parts)
            case Not(part):
                return f"NOT ({self._condition(part, depth + 1)})"
            case Constant(value):
                return "TRUE" if value else "FALSE"
            case Spatial():
                return self._spatial(condition)
            case Compare() | Match() | OneOf() | Like() | Between() | IsNull():
                return self._compared(condition, depth)
            case _:  # words of a full text are the reader's own affair, and consent is ours
                raise NotWritable

    def _compared(
        self, condition: Compare | Match | OneOf | Like | Between | IsNull, depth: int
    ) -> str:
        match condition:
            case Compare(field, op, value):
                return f"{self._operand(field, depth)} {op} {_literal(value)}"
            case Match(left, op, right):
                return f"{self._operand(left, depth)} {op} {self._operand(right, depth)}"
            case OneOf(operand, values):
                listed = ",".join(_literal(each) for each in values)
                return f"{self._operand(operand, depth)} IN ({listed})"
            case Like(operand, pattern):
                return f"{self._operand(operand, depth)} LIKE {_literal(pattern)}"
            case Between(field, low, high):
                name = self._operand(field, depth)
                return f"{name} BETWEEN {_literal(low)} AND {_literal(high)}"
            case IsNull(operand):
                return f"{self._operand(operand, depth)} IS NULL"

    def _operand(self, operand: Operand, depth: int) -> str:
        if depth > _MOST_NESTED:
            raise NotWritable
        match operand:
            case Field():
                return self._name(operand)
            case Given(value):
                return _literal(value)
            case Arithmetic(op, left, right):
                one, other = (self._operand(each, depth + 1) for each in (left, right))
                return f"({one} {op} {other})"
            case Folded(by, part):
                return f"{by.value.upper()}({self._operand(part, depth + 1)})"
            case Edge():  # the last day of a month has no name in CQL2
                raise NotWritable

    def _name(self, field: Field) -> str:
        # In quotes, for a field may be called as a word of the language: "date", "in".
        if '"' in field.name or not self._knows(field):
            raise NotWritable
        return f'"{field.name}"'

    def _spatial(self, condition: Spatial) -> str:
        if condition.field is None and not self._place:
            raise NotWritable
        place = PLACE if condition.field is None else self._name(condition.field)
        shape = well_known(orjson.loads(condition.shape.text))
        near = "" if condition.metres is None else f",{_literal(condition.metres)}"
        return f"{condition.relation.value.upper()}({place},{shape}{near})"


def conjuncts(condition: Condition) -> Iterator[Condition]:
    """The parts of a condition that must all hold."""
    if isinstance(condition, Both):
        for each in condition.parts:
            yield from conjuncts(each)
    else:
        yield condition


def all_of(parts: Sequence[Condition]) -> Condition | None:
    """The condition that all parts hold; None of none."""
    return None if not parts else parts[0] if len(parts) == 1 else Both(tuple(parts))


def _literal(value: Literal) -> str:  # noqa: C901 - one arm for each case of a closed set
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            if _TAKES_QUOTE.search(value) or "\0" in value:
                raise NotWritable
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            return f"TIMESTAMP('{value.astimezone(UTC).isoformat().removesuffix('+00:00')}Z')"
        case date():
            return f"DATE('{value.isoformat()}')"
        case int():
            return str(value)
        case float() | Decimal():
            if not math.isfinite(value):
                raise NotWritable
            return str(value)


def well_known(shape: dict[str, Any]) -> str:
    """A GeoJSON geometry as well-known text (OGC 06-103r4, clause 7)."""
    kind = str(shape["type"])
    if kind == "GeometryCollection":
        return f"{kind.upper()}({','.join(well_known(each) for each in shape['geometries'])})"
    coordinates = shape["coordinates"]
    written = f"({_position(coordinates)})" if kind == "Point" else _nested(coordinates)
    return kind.upper() + written


def _nested(part: Sequence[Any]) -> str:
    if part and isinstance(part[0], int | float):
        return _position(part)
    return f"({','.join(_nested(each) for each in part)})"


def _position(numbers: Sequence[float]) -> str:
    return " ".join(repr(float(each)) for each in numbers)
