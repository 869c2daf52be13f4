"""A page in the very words of its source, looked at record by record before it leaves.

It lets nothing by but the fields that were asked for, each with a value of its type.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import orjson

from app.query.fields import Field, FieldType
from app.query.geojson import LATITUDES, LONGITUDES
from app.query.question import Question
from app.tables.encode import Form, Wording

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
    colons = orjson.dumps(records).count(b":")
    return body.count(b":") == colons and _ESCAPED_COLON.search(body) is None


class Look:
    """What records must be, for the fields of one question."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._names = frozenset(field.name for field in fields)
        self._columns = [(itemgetter(field.name), _column(field)) for field in fields]

    def passes(self, records: Sequence[Any]) -> bool:
        """Whether every record has these fields and no others, with values of their types."""
        names = self._names
        if not all(record.keys() == names for record in records):
            return False
        return all(passes(list(map(get, records))) for get, passes in self._columns)


def _column(field: Field) -> Callable[[list[Any]], bool]:
    """Whether all values are of the field: by their types, which is quick, and then by themselves."""
    kinds, is_one = _kinds(field)
    if not (field.required or field.key):
        kinds |= {type(None)}

    def passes(values: list[Any]) -> bool:
        if not kinds.issuperset(map(type, values)):
            return False
        return is_one is None or all(is_one(each) for each in values if each is not None)

    return passes


def _kinds(field: Field) -> tuple[frozenset[type], Callable[[Any], bool] | None]:
    if field.code_list is not None:
        return frozenset({str}), frozenset(code for code, _ in field.code_list).__contains__
    return _KINDS.get(field.type, (frozenset({str}), None))


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value <= high


_NUMBERS: Final = frozenset({int, float})
_KINDS: Final[Mapping[FieldType, tuple[frozenset[type], Callable[[Any], bool] | None]]] = {
    FieldType.INTEGER: (frozenset({int}), _within(-(2**63), 2**63 - 1)),
    FieldType.DECIMAL: (_NUMBERS, None),
    FieldType.BOOLEAN: (frozenset({bool}), None),
    FieldType.LATITUDE: (_NUMBERS, _within(*LATITUDES)),
    FieldType.LONGITUDE: (_NUMBERS, _within(*LONGITUDES)),
    FieldType.DATE: (frozenset({str}), lambda value: _DATE.match(value) is not None),
    FieldType.DATETIME: (frozenset({str}), lambda value: _MOMENT.match(value) is not None),
}
