"""A source's rows as records of the dataset: its mapping, its types. Never invents a value.

It reads a value as the take-in reads a cell; a row with one that it does not take is no record.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from math import isfinite
from typing import Any, Final

import orjson

from app.formats.addresses import normal_address
from app.formats.guidance import FileRefused, MappingRefused
from app.formats.individual_number import holds_number
from app.formats.mapping import Source, plan
from app.formats.text import BLANKS, NO_CODE, NULLS, CellError
from app.formats.units import times
from app.formats.values import decimal, normaliser
from app.kit.clock import TOKYO
from app.live.copies import Record
from app.query.fields import Field, FieldType
from app.query.geojson import LATITUDES, LONGITUDES

Row = Mapping[str, Any]
Read = Callable[[Any], Any]
Quick = Callable[[list[Any]], list[Any] | None]  # None where it cannot say
_CODES: Final = frozenset({FieldType.CODE, FieldType.LOCAL_GOVERNMENT_CODE})
_INT64: Final = 2**63
_MOST_KNOWN: Final = 16
_LONG_NAMES: Final = 65_536  # characters, all of them together
_MOST_NOUGHTS: Final = 2_000  # more than any number has that a field takes


class NumberFound(Exception):
    """What comes holds an individual number (個人番号), which never passes here."""


class ShapeChanged(Exception):
    """What comes is of another shape than the dataset's records can be made of."""


def source_names(
    fields: Sequence[Field], mapping: Sequence[Mapping[str, Any]] | None
) -> dict[str, str]:
    """By field, what its source calls it: where that is known before a row has come, and the value
    is the source's own."""
    names = {field.name: field.name for field in fields}
    for step in mapping or ():
        labels = step.get("from", ())
        is_own = len(labels) == 1 and not step.keys() - {"to", "from"}
        names.pop(step["to"], None)
        if is_own:
            names[step["to"]] = labels[0]
    return names


def asked_names(
    fields: Sequence[Field], mapping: Sequence[Mapping[str, Any]] | None
) -> tuple[str, ...]:
    """All names of the source that the dataset's fields are made of."""
    names: dict[str, None] = {}
    steps = {step["to"]: step for step in mapping or ()}
    for field in fields:
        step = steps.get(field.name)
        found = [field.name] if step is None else step.get("from", [])
        names |= dict.fromkeys(found)
    return tuple(names)


def _sure_names(fields: Sequence[Field], mapping: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """What a field is made of, where that can be but one member of a row."""
    steps = {step["to"]: step.get("from", ()) for step in mapping or ()}
    names = [steps.get(field.name, (field.name,)) for field in fields]
    return [each[0] for each in names if len(each) == 1]


@dataclass(frozen=True, slots=True)
class Column:
    """How one field is made of a member of each row; `quick` of all at once, where they are plain."""

    name: str
    label: str | None
    read: Read
    quick: Quick | None

    def of(self, rows: Sequence[Row]) -> list[Any]:
        """Its values. Raises `CellError` where one of the rows is no record."""
        label, read = self.label, self.read
        values = [None if label is None else row.get(label) for row in rows]
        found = self.quick(values) if self.quick is not None else None
        return [read(value) for value in values] if found is None else found


Columns = tuple[Column, ...]


class Typing:
    """Makes records of rows, of which the first batch shows what they are called.

    `known` keeps what was found for such names before, of the same fields and mapping.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        mapping: Sequence[Mapping[str, Any]] | None,
        known: dict[tuple[str, ...], Columns] | None = None,
    ) -> None:
        self._fields = fields
        self._mapping = mapping
        self._known = {} if known is None else known
        self._columns: Columns | None = None

    def records(self, rows: Iterable[Row]) -> tuple[list[Record], int]:
        """The records, and how many rows are none. Raises `ShapeChanged`, `NumberFound`."""
        rows, said, rejected = _sayable(list(rows))
        if holds_number(said):
            raise NumberFound
        if self._columns is None:
            if not rows:
                return [], rejected
            self._columns = self._planned(rows)
        try:
            values = zip(*[each.of(rows) for each in self._columns], strict=True)
        except CellError:
            return _one_by_one(rows, self._columns, rejected)
        names = [each.name for each in self._columns]
        return [dict(zip(names, each)) for each in values], rejected  # noqa: B905 - as many

    def _planned(self, rows: Sequence[Row]) -> Columns:
        seen = tuple(dict.fromkeys(chain.from_iterable(rows)))
        found = self._known.get(seen)
        if found is None:
            found = self._found(seen)
            if len(self._known) >= _MOST_KNOWN:  # a source may call its members what it likes
                self._known.clear()
            if sum(map(len, seen)) <= _LONG_NAMES:
                self._known[seen] = found
        return found

    def _found(self, seen: Sequence[str]) -> Columns:
        # A member may be left out where it says nothing, in all of the first rows too.
        labels = list(dict.fromkeys((*seen, *_sure_names(self._fields, self._mapping))))
        try:
            sources, _ = plan(self._fields, self._mapping, labels)
        except (FileRefused, MappingRefused) as exc:
            raise ShapeChanged from exc
        if any(each.pattern is not None or each.expression is not None for each in sources):
            raise ShapeChanged  # set up since, for harvests alone
        return tuple(
            Column(
                each.field.name,
                labels[each.column] if each.column is not None else None,
                _needed(each.field, _read(each)),
                _quick(each),
            )
            for each in sources
        )


def _one_by_one(rows: Sequence[Row], columns: Columns, rejected: int) -> tuple[list[Record], int]:
    """The same where some rows are none."""
    made = []
    for row in rows:
        record: Record = {}
        try:
            for each in columns:
                record[each.name] = each.read(
                    row.get(each.label) if each.label is not None else None
                )
        except CellError:
            rejected += 1
            continue
        made.append(record)
    return made, rejected


def _sayable(rows: list[Row]) -> tuple[list[Row], bytes, int]:
    """The rows that JSON can say, how it says them, and how many it cannot."""
    try:
        return rows, orjson.dumps(rows, default=str), 0
    except TypeError:  # a whole number beyond 64 bits; half a character; too deep
        pass
    kept: list[Row] = []
    said: list[bytes] = []
    for row in rows:
        plain = {name: _bounded(value) for name, value in row.items()}
        try:
            said.append(orjson.dumps(plain, default=str))
        except TypeError:
            continue
        kept.append(plain)
    return kept, b"\n".join(said), len(rows) - len(kept)


def _bounded(value: Any) -> Any:
    return Decimal(value) if type(value) is int and not -_INT64 <= value < _INT64 else value


def _needed(field: Field, read: Read) -> Read:
    if not (field.required or field.key):
        return read

    def needed(value: Any) -> Any:
        found = read(value)
        if found is None:
            raise CellError("required_missing")
        return found

    return needed


def _read(source: Source) -> Read:
    """What makes the field's value of the source's."""
    plain = read_of(source.field)
    if source.constant is not None:
        constant = plain(source.constant)
        return lambda _: constant
    if source.unit is not None:
        plain = _converted(plain, *source.unit)
    if source.codes is not None:
        codes, default = dict(source.codes), source.default

        def coded(value: Any) -> Any:
            text = cell(value)
            if text is None:
                return None
            if text not in codes and not source.has_default:
                raise CellError("not_in_code_list")
            return plain(codes.get(text, default))

        return coded
    if source.normalize == "address":
        return lambda value: None if (text := cell(value)) is None else plain(normal_address(text))
    return plain


def _converted(plain: Read, unit: str, factor: Fraction) -> Read:
    """An amount in the field's own unit."""

    def converted(value: Any) -> Any:
        text = cell(value)
        return None if text is None else plain(times(decimal(text, unit), factor))

    return converted


def _quick(source: Source) -> Quick | None:
    """What makes all values of a field at once, as `read_of` makes one."""
    changed = (source.constant, source.unit, source.codes, source.normalize)
    made = _AT_ONCE.get(source.field.type)
    if (
        made is None
        or source.field.code_list is not None
        or any(each is not None for each in changed)
    ):
        return None
    is_needed = source.field.required or source.field.key

    def quick(values: list[Any]) -> list[Any] | None:
        found = made(values)
        return None if is_needed and found is not None and None in found else found

    return quick


def _texts(values: list[Any]) -> list[Any] | None:
    if not _TEXT.issuperset(map(type, values)):
        return None
    found = [value.strip(BLANKS) for value in values]
    return found if NULLS.isdisjoint(found) else [None if v in NULLS else v for v in found]


def _codes(values: list[Any]) -> list[Any] | None:
    """Those that need no other letters; a sum or a point may be of a spreadsheet's making."""
    found = _texts(values)
    if found is None or None in found or not all(map(str.isascii, found)):
        return None
    signs = "".join(found)
    return None if "+" in signs or "." in signs else found


def _wholes(values: list[Any]) -> list[Any] | None:
    is_whole = _WHOLE.issuperset(map(type, values))
    return (
        values if is_whole and values and -_INT64 <= min(values) <= max(values) < _INT64 else None
    )


def _degrees(area: tuple[float, float]) -> Quick:
    low, high = area

    def degrees(values: list[Any]) -> list[Any] | None:
        if not _FRACTIONS.issuperset(map(type, values)):
            return None
        found = list(map(float, values))
        are_known = all(map(isfinite, found)) and found
        return found if are_known and low <= min(found) <= max(found) <= high else None

    return degrees


_TEXT: Final = frozenset({str})
_WHOLE: Final = frozenset({int})
_FRACTIONS: Final = frozenset({float, Decimal})
_AT_ONCE: Final[Mapping[FieldType, Quick]] = {
    FieldType.TEXT: _texts,
    FieldType.CODE: _codes,
    FieldType.INTEGER: _wholes,
    FieldType.LATITUDE: _degrees(LATITUDES),
    FieldType.LONGITUDE: _degrees(LONGITUDES),
}


def cell(value: Any) -> str | None:
    """A value as the text of a cell, trimmed; None where it says nothing."""
    if value is None:
        return None
    text = value if type(value) is str else _text(value)
    text = text.strip(BLANKS)
    return None if text in NULLS else text


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            if value.is_finite() and abs(value.adjusted()) > _MOST_NOUGHTS:
                raise CellError("invalid_decimal")  # a few letters that would be a gigabyte of them
            return format(value, "f")
        case float():
            return format(Decimal(repr(value)), "f")
        case date():  # a moment too
            return value.isoformat()
        case dict() | list():
            return orjson.dumps(value, default=str).decode()
        case bytes() | bytearray() | memoryview():
            raise CellError("invalid_text")
    return str(value)


def read_of(field: Field) -> Read:
    """What makes a value of the field's type of whatever a source gives. Raises `CellError`."""
    normal, made = normaliser(field), _MADE.get(field.type, str)
    is_plain = field.type is FieldType.TEXT and field.code_list is None
    is_code = field.type in _CODES

    def read(value: Any) -> Any:
        text = cell(value)
        if text is None or (is_code and text == NO_CODE):
            return None
        if is_plain:
            return text
        canonical = normal(text)
        return made(canonical) if canonical else None

    quick = _QUICK.get(field.type)
    return read if quick is None else quick(read)


def _whole_at_once(read: Read) -> Read:
    return lambda value: value if type(value) is int and -_INT64 <= value < _INT64 else read(value)


def _truth_at_once(read: Read) -> Read:
    return lambda value: value if type(value) is bool else read(value)


def _degrees_at_once(area: tuple[float, float]) -> Callable[[Read], Read]:
    low, high = area

    def at_once(read: Read) -> Read:
        def degrees(value: Any) -> Any:
            number = float(value) if type(value) is Decimal else value
            return number if type(number) is float and low <= number <= high else read(value)

        return degrees

    return at_once


# What JSON has said already need not be read again.
_QUICK: Final[Mapping[FieldType, Callable[[Read], Read]]] = {
    FieldType.INTEGER: _whole_at_once,
    FieldType.BOOLEAN: _truth_at_once,
    FieldType.LATITUDE: _degrees_at_once(LATITUDES),
    FieldType.LONGITUDE: _degrees_at_once(LONGITUDES),
}
_MADE: Final[Mapping[FieldType, Callable[[str], Any]]] = {
    FieldType.INTEGER: int,
    FieldType.DECIMAL: Decimal,
    FieldType.LATITUDE: float,
    FieldType.LONGITUDE: float,
    FieldType.BOOLEAN: lambda text: text == "t",
    FieldType.DATE: date.fromisoformat,
    FieldType.DATETIME: lambda text: datetime.fromisoformat(text).astimezone(TOKYO),
}
