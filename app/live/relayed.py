"""A page in the very words of its source, looked at record by record before it leaves.

It lets nothing by but the fields that were asked for, each with a value of its type.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from app.query.fields import Field, FieldType
from app.query.geojson import LATITUDES, LONGITUDES
from app.query.question import Question
from app.tables.encode import Form, Wording

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[+-]\d\d:\d\d|Z)\Z", re.ASCII
)
_INT64: Final = 2**63


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


class Look:
    """What a record must be, for the fields of one question."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._tests = {field.name: _test(field) for field in fields}

    def passes(self, records: Sequence[Any]) -> bool:
        """Whether every record has these fields and no others, with values of their types."""
        tests = self._tests
        for record in records:
            if type(record) is not dict or record.keys() != tests.keys():
                return False
            for name, value in record.items():
                if not tests[name](value):
                    return False
        return True


def _test(field: Field) -> Callable[[Any], bool]:
    is_so = _typed(field)
    if field.required or field.key:
        return is_so
    return lambda value: value is None or is_so(value)


def _typed(field: Field) -> Callable[[Any], bool]:
    if field.code_list is not None:
        codes = frozenset(code for code, _ in field.code_list)
        return lambda value: type(value) is str and value in codes
    return _TYPED.get(field.type, lambda value: type(value) is str)


def _degrees(area: tuple[float, float]) -> Callable[[Any], bool]:
    return lambda value: type(value) in (float, int) and area[0] <= value <= area[1]


_TYPED: Final[Mapping[FieldType, Callable[[Any], bool]]] = {
    FieldType.INTEGER: lambda value: type(value) is int and -_INT64 <= value < _INT64,
    FieldType.DECIMAL: lambda value: type(value) in (int, float),
    FieldType.BOOLEAN: lambda value: type(value) is bool,
    FieldType.LATITUDE: _degrees(LATITUDES),
    FieldType.LONGITUDE: _degrees(LONGITUDES),
    FieldType.DATE: lambda value: type(value) is str and _DATE.match(value) is not None,
    FieldType.DATETIME: lambda value: type(value) is str and _MOMENT.match(value) is not None,
}
