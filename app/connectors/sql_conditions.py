"""A question's condition as far as a database can hold it: never narrower than `query.matches`.

Pure. Of each part it is asked which rows may make it true, or may make it false; so the opposite of
what was widened is none that is too narrow. What cannot be held is every row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Numeric,
    Text,
    and_,
    bindparam,
    case,
    false,
    null,
    or_,
    true,
)
from sqlalchemy.sql.elements import ColumnElement

from app.connectors.sql_reading import Asked, Cell, Column, Holds, Tongue, zone
from app.formats.text import BLANKS, NO_CODE, NULLS
from app.query.fields import NUMBER_TYPES, Field, FieldType
from app.query.like import ends_escaping, literally, wildcards
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    Given,
    IsNull,
    Like,
    Literal,
    Match,
    Not,
    OneOf,
)

_OPPOSITE: Final = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TURNED: Final = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NUMBERS: Final = (Holds.INTEGER, Holds.DECIMAL, Holds.FLOAT)
# Of other texts the platform makes one spelling, which the source may not have. Of these it trims
# blanks, and full-width letters of all but plain texts: who says that a column is `text` says that
# there are none.
AS_THEY_ARE: Final = frozenset({FieldType.TEXT, FieldType.CODE, FieldType.URL, FieldType.EMAIL})
_MOST_VALUES: Final = 1_000
_MOST_TEXT: Final = 10_000
_MOST_WILDCARDS: Final = 4  # some databases try every place of each
_MOST_INTEGER: Final = 2**63
_ABOUT: Final = 1e-5  # what a single-precision float may be off by


class Held(NamedTuple):
    """The rows that a database gives: None is every row. `exact`: no others than meet it."""

    rows: ColumnElement[bool] | None
    exact: bool


_EVERY: Final = Held(None, False)


@dataclass(frozen=True, slots=True)
class Holder:
    """Holds the conditions of one question, over columns as the database tells them."""

    tongue: Tongue
    asked: Asked
    find: Callable[[Field], Column | None]
    is_sure: Callable[[Field], bool]  # whether its texts stand as the platform would write them

    def may(self, condition: Condition, truth: bool = True) -> Held:
        """The rows of which the condition may be `truth`."""
        match condition:
            case Not(part):
                return self.may(part, not truth)
            case Both(parts):
                return self._joined(parts, truth, all_of=truth)
            case Either(parts):
                return self._joined(parts, truth, all_of=not truth)
            case Constant(value):
                return Held(true() if value is truth else false(), True)
            case Between(field, low, high):
                within = (Compare(field, ">=", low), Compare(field, "<=", high))
                return self.may(Both(within), truth)
            case OneOf(Field() as field, values) if 0 < len(values) <= _MOST_VALUES:
                parts = tuple(Compare(field, "=", value) for value in values)
                return self.may(Either(parts), truth)
            case _:
                return self._alone(condition, truth)

    def _alone(self, condition: Condition, truth: bool) -> Held:
        match condition:
            case Compare(field, op, value):
                return self._compared(field, op, value, truth)
            case Match(Field() as field, op, Given(value)):
                return self._compared(field, op, value, truth)
            case Match(Given(value), op, Field() as field):
                return self._compared(field, _TURNED[op], value, truth)
            case Like(Field() as field, pattern):
                return self._like(field, pattern, truth)
            case IsNull(Field() as field):
                return self._is_null(field, truth)
            case _:
                return _EVERY

    def _joined(self, parts: Sequence[Condition], truth: bool, *, all_of: bool) -> Held:
        held = [self.may(part, truth) for part in parts]
        is_exact = all(each.exact for each in held)
        told = [each.rows for each in held if each.rows is not None]
        if all_of:
            return Held(and_(true(), *told) if told else None, is_exact)
        return Held(or_(false(), *told) if len(told) == len(held) else None, is_exact)

    def _compared(self, field: Field, op: str, value: Literal, truth: bool) -> Held:
        found = self.find(field)
        if found is None:
            return _EVERY
        op = op if truth else _OPPOSITE[op]
        cell = self.tongue.cell(self.asked, found)
        if isinstance(value, bool):
            return self._boolean(cell, found, field, op, value)
        if isinstance(value, int | float | Decimal) and field.type in NUMBER_TYPES:
            return self._number(cell, found, op, value)
        if isinstance(value, str) and field.type in AS_THEY_ARE:
            return self._text(cell, found, field, op, value)
        if isinstance(value, date):
            return self._time(cell, found, field, op, value)
        return _EVERY

    def _boolean(self, cell: Cell, found: Column, field: Field, op: str, value: bool) -> Held:
        if field.type is not FieldType.BOOLEAN or op not in ("=", "<>"):
            return _EVERY
        wanted = value if op == "=" else not value
        if found.holds is Holds.BOOLEAN:
            return Held(self.tongue.is_so(cell, wanted), True)
        if found.holds is Holds.INTEGER:
            none = bindparam(None, 0, BigInteger())
            return Held(cell != none if wanted else cell == none, False)
        return _EVERY

    def _number(self, cell: Cell, found: Column, op: str, value: float | Decimal) -> Held:
        if found.holds not in _NUMBERS or not _is_finite(value):
            return _EVERY
        if found.holds is Holds.FLOAT or isinstance(value, float):
            return self._about(cell, op, float(value))
        if found.holds is Holds.DECIMAL:
            bound = self.tongue.number(Decimal(value))
            if isinstance(bound, float):
                return self._about(cell, op, bound)
            return Held(_test(cell, op, bindparam(None, bound, Numeric())), True)
        return self._integer(cell, op, Decimal(value))

    def _integer(self, cell: Cell, op: str, value: Decimal) -> Held:
        """An integer beside a number: told in integers, which every database has exactly."""
        whole = int(value.to_integral_value(ROUND_FLOOR))
        if whole != value and op in ("=", "<>"):
            return Held(false() if op == "=" else cell.is_not(None), True)
        if whole != value:  # 2 is the last that is less than 2.5
            op = "<=" if op.startswith("<") else ">"
        if abs(whole) < _MOST_INTEGER:
            return Held(_test(cell, op, bindparam(None, whole, BigInteger())), True)
        bound = self.tongue.number(Decimal(whole))
        if isinstance(bound, float):
            return self._about(cell, op, bound)
        return Held(_test(cell, op, bindparam(None, bound, Numeric())), False)

    def _about(self, cell: Cell, op: str, value: float) -> Held:
        """A comparison with what is a little off: no row is lost that an exact one would give."""
        off = abs(value) * _ABOUT + 1e-300
        low, high = self.tongue.about(value - off), self.tongue.about(value + off)
        if op == "<>":
            return Held(cell.is_not(None), False)
        if op == "=":
            return Held(and_(cell >= low, cell <= high), False)
        return Held(cell >= low if op.startswith(">") else cell <= high, False)

    def _text(self, cell: Cell, found: Column, field: Field, op: str, value: str) -> Held:
        if found.holds is Holds.INTEGER and op == "=" and _is_number(value):
            return Held(cell == bindparam(None, int(value), BigInteger()), False)
        if found.holds not in (Holds.TEXT, Holds.PADDED) or not self._is_speakable(value):
            return _EVERY
        if not self.is_sure(field):
            return self._about_text(cell, found, field, op, value)
        if found.holds is Holds.PADDED:
            told = bindparam(None, value.rstrip(" "), Text())
            return Held(cell == told, False) if op == "=" else _EVERY
        if op != "=" and not self.tongue.orders_texts:
            return _EVERY
        told, plain = bindparam(None, value, Text()), bindparam(None, value, Text())
        exact = _test(self.known(cell, field), op, self.tongue.by_code_point(told))
        # The plain comparison is what an index is for; a database may take more for equal.
        is_plain = op == "=" and _is_in(found.charset, value)
        return Held(and_(cell == plain, exact) if is_plain else exact, True)

    def _about_text(self, cell: Cell, found: Column, field: Field, op: str, value: str) -> Held:
        """A text around which blanks may stand, which the platform takes away."""
        if field.type is not FieldType.TEXT or value != value.strip(BLANKS) or value in NULLS:
            return _EVERY
        if op == "=":
            return Held(self.tongue.like(cell, f"%{literally(value)}%"), False)
        if op == "<>" and found.holds is Holds.TEXT:
            told = self.tongue.by_code_point(bindparam(None, value, Text()))
            return Held(self.tongue.by_code_point(cell) != told, False)
        return _EVERY

    def sorted_by(self, found: Column, field: Field) -> Cell:
        """A column to be ordered by: null where it says nothing."""
        cell = self.tongue.cell(self.asked, found)
        if found.holds is Holds.TEXT:
            return self.known(cell, field)
        nothing = self.tongue.is_nothing(cell, found)
        return cell if nothing is None else case((nothing, null()), else_=cell)

    def known(self, cell: Cell, field: Field) -> Cell:
        """A text to be compared and ordered by: null where its words are those for nothing."""
        words = NULLS | {NO_CODE} if field.type is FieldType.CODE else NULLS
        plain = self.tongue.by_code_point(cell)
        nothing = [
            self.tongue.by_code_point(bindparam(None, each, Text())) for each in sorted(words)
        ]
        return case((plain.in_(nothing), null()), else_=plain)

    def _time(self, cell: Cell, found: Column, field: Field, op: str, value: date) -> Held:
        held = self._at(cell, found, field, op, value)
        nothing = self.tongue.is_nothing(cell, found)
        if held.rows is None or nothing is None or op in ("=", ">", ">="):
            return held
        return Held(and_(held.rows, ~nothing), held.exact)

    def _at(self, cell: Cell, found: Column, field: Field, op: str, value: date) -> Held:
        is_day = not isinstance(value, datetime)
        if found.holds is Holds.DATE and field.type is FieldType.DATE and is_day:
            return Held(_test(cell, op, self.tongue.day(value)), True)
        if not isinstance(value, datetime) or value.tzinfo is None:
            return _EVERY
        if field.type is not FieldType.DATETIME:
            return _EVERY
        if found.holds is Holds.MOMENT:
            plain = value.astimezone(zone(self.asked.time_zone)).replace(tzinfo=None)
            return Held(_test(cell, op, self.tongue.moment(plain, found)), True)
        if found.holds is Holds.INSTANT:
            told = self.tongue.moment(value.astimezone(UTC), found)
            return Held(_test(cell, op, told), True)
        return _EVERY

    def _like(self, field: Field, pattern: str, truth: bool) -> Held:
        found = self.find(field)
        is_ours = found is not None and found.holds is Holds.TEXT and field.type in AS_THEY_ARE
        if found is None or not is_ours or not self._is_speakable(pattern):
            return _EVERY
        if ends_escaping(pattern) or wildcards(pattern) > _MOST_WILDCARDS:
            return _EVERY
        if not self.is_sure(field) or not self.tongue.has_like(pattern):
            return _EVERY
        cell = self.tongue.cell(self.asked, found)
        held = self.tongue.like(cell, pattern)
        is_known = self.known(cell, field).is_not(None)
        return Held(and_(is_known, held if truth else ~held), True)

    def _is_null(self, field: Field, truth: bool) -> Held:
        """Of a text, and of a day, there is more that the platform takes for nothing: '' or '-'."""
        found = self.find(field)
        if found is None:
            return _EVERY
        cell = self.tongue.cell(self.asked, found)
        is_exact = found.holds in (Holds.INTEGER, Holds.DECIMAL, Holds.BOOLEAN)
        if not truth:
            return Held(cell.is_not(None), is_exact)
        return Held(cell.is_(None), True) if is_exact else _EVERY

    def _is_speakable(self, text: str) -> bool:
        """Whether a database can be given a text at all."""
        if "\0" in text or len(text) > _MOST_TEXT:
            return False
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            return False
        return self.tongue.has(text)


def _test(left: Cell, op: str, right: Cell) -> ColumnElement[bool]:
    tests: dict[str, Any] = {
        "=": left.__eq__, "<>": left.__ne__, "<": left.__lt__, "<=": left.__le__,
        ">": left.__gt__, ">=": left.__ge__,
    }  # fmt: skip
    return tests[op](right)  # type: ignore[no-any-return]


def _is_in(charset: str | None, text: str) -> bool:
    """Whether a column's charset has a text: a comparison with one that it has not is an error."""
    if charset in (None, "utf8mb4") or text.isascii():
        return True
    return charset in ("utf8", "utf8mb3") and max(text) <= "\uffff"


def _is_finite(value: float | Decimal) -> bool:
    told = Decimal(value)
    return told.is_finite() and abs(told) < 10**60


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text[:18] or "0")) == text
