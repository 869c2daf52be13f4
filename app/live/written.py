"""Records as bytes, in the forms and words in which hosted ones leave. What is masked is masked here.

It writes no field that it was not told to.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from app.live.copies import Record
from app.live.judged import DISTANCE
from app.live.masked import mask_of
from app.query.fields import Field, FieldType, geometry_of, place_of
from app.query.question import Question
from app.tables.encode import END, END_OF_PART, ID_SEPARATOR, Form, Wording
from app.tables.layout import ROW_NUMBER
from app.tables.sql import Reading

Get = Callable[[Record], Any]
_ESCAPES: Final = (("~", "~0"), (ID_SEPARATOR, "~1"))
_CHANGED: Final = frozenset({FieldType.DATETIME, FieldType.GEOMETRY})
FORMS: Final = frozenset({Form.RECORD, Form.FEATURE, Form.COLUMNS})


class Writing:
    """Writes the records of one answer."""

    def __init__(self, fields: Sequence[Field], reading: Reading, wording: Wording) -> None:
        self._fields = fields
        self._question: Question = reading.question
        self._wording = wording
        self._mark = reading.mark
        self._masks = {each.field.name: mask_of(each, reading.pads) for each in wording.masks}
        self._members = self._all()
        self._are_plain = self._leave_plain()

    def page(self, records: Iterable[Record]) -> bytes:
        """Parted by commas."""
        if self._are_plain:
            names, plain = self._wording.names, list(records)
            if not {names}.issuperset(map(tuple, plain)):  # with other fields, or in another order
                plain = [{name: record[name] for name in names} for record in plain]
            return orjson.dumps(plain, default=_plain)[1:-1]
        return b",".join([self._document(record) for record in records])

    def lines(self, records: Iterable[Record]) -> bytes:
        """One behind another: of CSV, or of JSON."""
        if self._wording.form is not Form.COLUMNS:
            return b"".join([self._document(record) + b"\n" for record in records])
        text = io.StringIO()
        write = csv.writer(text, lineterminator="\n").writerow
        for record in records:
            write([_cell(get(record)) for _, get in self._members])
        return text.getvalue().encode()

    def people(self, records: Iterable[Record]) -> dict[str, None]:
        """Whom the records are about, as their field names them."""
        subject = self._wording.subject
        if subject is None:
            return {}
        names = (record[subject.name] for record in records)
        return dict.fromkeys(name for name in names if name is not None)

    def _document(self, record: Record) -> bytes:
        members = {name: get(record) for name, get in self._members}
        if self._wording.form is not Form.FEATURE:
            return orjson.dumps(members, default=_plain)
        feature: dict[str, Any] = {"type": "Feature"}
        if (identity := self._id(record)) is not None:
            feature["id"] = identity
        feature["geometry"] = self._geometry(record)
        feature["properties"] = members
        return orjson.dumps(feature, default=_plain)

    def _all(self) -> list[tuple[str, Get]]:
        shape = geometry_of(self._fields) if self._wording.form is Form.FEATURE else None
        found = [
            (name, self._shown(field, is_text=self._wording.form is Form.COLUMNS))
            for field, name in zip(self._question.fields, self._wording.names, strict=True)
            if shape is None or field.name != shape.name
        ]
        if self._question.near is not None:
            found.append(("distance", lambda record: round(record[DISTANCE], 1)))
        return found

    def _leave_plain(self) -> bool:
        """Whether JSON says each value as it is, under its own name."""
        question, wording = self._question, self._wording
        return (
            wording.form is Form.RECORD
            and question.near is None
            and wording.marked is None
            and not self._masks
            and wording.names == tuple(field.name for field in question.fields)
            and _CHANGED.isdisjoint(field.type for field in question.fields)
        )

    def _shown(self, field: Field, end: str = END, *, is_text: bool = False) -> Get:
        """A field's value as it leaves."""
        name, mask = field.name, self._masks.get(field.name)
        if field == self._wording.marked:
            mark = self._mark
            return lambda record: (
                None if (value := record[name]) is None else f"{mark}{value.encode().hex()}{end}"
            )
        get: Get = lambda record: record[name]  # noqa: E731
        if mask is not None:
            get = lambda record: mask(record[name])  # noqa: E731
        if field.type is FieldType.DATETIME:
            return lambda record: _moment(get(record))
        if field.type is FieldType.GEOMETRY and not is_text:
            return lambda record: _fragment(get(record))
        return get

    def _id(self, record: Record) -> Any:
        """RFC 7946, 3.2: the key as its fields have it. A source's rows have no number that lasts."""
        identity = self._wording.identity
        if not identity or identity == (ROW_NUMBER,):
            return None
        texts = [_cell(self._shown(field, END_OF_PART)(record)) or "" for field in identity]
        if len(texts) > 1:
            for plain, escaped in _ESCAPES:
                texts = [text.replace(plain, escaped) for text in texts]
        return ID_SEPARATOR.join(texts)

    def _geometry(self, record: Record) -> Any:
        shape = geometry_of(self._fields)
        if shape is not None:
            return self._shown(shape)(record)
        place = place_of(self._fields)
        if place is None:
            return None
        latitude, longitude = (self._shown(each)(record) for each in place)
        if latitude is None or longitude is None:
            return None
        return {"type": "Point", "coordinates": [longitude, latitude]}


def _moment(value: Any) -> Any:
    """With no more of its second than there is."""
    if not isinstance(value, datetime) or not value.microsecond:
        return value
    text = value.isoformat()
    return text[:-6].rstrip("0") + text[-6:]


def _fragment(text: str | None) -> Any:
    return None if text is None else orjson.Fragment(text)


def _plain(value: Any) -> Any:
    """What orjson does not write itself: a number with all its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value).__name__)


def _cell(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return format(Decimal(repr(value)), "f").removesuffix(".0")
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat()
    return str(value)
