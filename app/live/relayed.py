"""A page in the very words of its source, looked at record by record before it leaves.

It lets nothing by but the fields that were asked for, each with a value of its type.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

import orjson

from app.query.fields import Field, FieldType
from app.query.geojson import LATITUDES, LONGITUDES
from app.query.question import Question
from app.tables.encode import Form, Wording

_Judge: TypeAlias = Callable[[Sequence[Any]], bool]  # of all values of a column at once
_ESCAPED_COLON: Final = re.compile(rb"\\u003[aA]")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[+-]\d\d:\d\d|Z)\Z", re.ASCII
)


def can_pass(question: Question, wording: Wording, mapping: Sequence[Any] | None) -> bool:
    """Whether nothing of the answer is to be cut, put in order or said in other words."""
    return (
        wording.form is Form.RECORD
        and not mapping
        and question.where is None
        and question.box is None
        and question.near is None
        and not (question.order or question.joins or question.count)
        and not (wording.masks or wording.originals)
        and wording.subject is None
        and wording.marked is None
        and wording.names == tuple(field.name for field in question.fields)
        and not any(field.type is FieldType.GEOMETRY for field in question.fields)
    )


def records_in(body: bytes) -> list[Any]:
    """The records of a page. Raises `ValueError`."""
    found: list[Any] = orjson.loads(b"[" + body + b"]")
    return found


def says_no_more(body: bytes, records: Sequence[Any]) -> bool:
    """Whether a page has no member that reading it has left out: of one that comes twice the last is
    read, and another reader may take the first."""
    colons = body.count(b":")
    if colons == sum(map(len, records)):
        return True  # one for each member that was read, and so none beside them
    return colons == orjson.dumps(records).count(b":") and _ESCAPED_COLON.search(body) is None


class Look:
    """What records must be, for the fields of one question."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._number = len(fields)
        self._values = _values([field.name for field in fields])
        self._columns = [_column(field) for field in fields]

    def passes(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether every record has these fields and no others, with values of their types."""
        try:
            rows = list(map(self._values, records))
        except KeyError:
            return False
        if not {self._number}.issuperset(map(len, records)):
            return False
        columns = zip(*rows, strict=True)  # none at all where there is no record
        return all(passes(next(columns, ())) for passes in self._columns)


def _values(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What takes the values of these members, and raises `KeyError` where there is not each."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda record: tuple([record[name] for name in names])


def _column(field: Field) -> _Judge:
    """Whether all values are of the field: by their types, which is quick, and then by themselves."""
    kinds, are_its = _kinds(field)
    may_lack = not (field.required or field.key)

    def passes(values: Sequence[Any]) -> bool:
        found = set(map(type, values))
        if may_lack and _NOTHING in found:
            found.discard(_NOTHING)
            values = [each for each in values if each is not None]
        return found <= kinds and (are_its is None or not values or are_its(values))

    return passes


def _kinds(field: Field) -> tuple[frozenset[type], _Judge | None]:
    if field.code_list is not None:
        return frozenset({str}), frozenset(code for code, _ in field.code_list).issuperset
    return _KINDS.get(field.type, (frozenset({str}), None))


def _within(low: float, high: float) -> _Judge:
    return lambda values: bool(low <= min(values) and max(values) <= high)


def _all_like(form: re.Pattern[str]) -> _Judge:
    return lambda values: all(map(form.match, values))


_NOTHING: Final = type(None)
_NUMBERS: Final = frozenset({int, float})
_KINDS: Final[Mapping[FieldType, tuple[frozenset[type], _Judge | None]]] = {
    FieldType.INTEGER: (frozenset({int}), _within(-(2**63), 2**63 - 1)),
    FieldType.DECIMAL: (_NUMBERS, None),
    FieldType.BOOLEAN: (frozenset({bool}), None),
    FieldType.LATITUDE: (_NUMBERS, _within(*LATITUDES)),
    FieldType.LONGITUDE: (_NUMBERS, _within(*LONGITUDES)),
    FieldType.DATE: (frozenset({str}), _all_like(_DATE)),
    FieldType.DATETIME: (frozenset({str}), _all_like(_MOMENT)),
}
