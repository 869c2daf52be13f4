"""Rows as PostgreSQL writes them: JSON text, GeoJSON features, CSV columns. No Python rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, bindparam, case, cast, func, null, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import DateTime, Numeric, Text

from app.query.fields import NUMBER_TYPES, Field, FieldType, geometry_of
from app.query.question import Join
from app.tables.geography import distance
from app.tables.layout import EXTRAS, ORIGINAL, ROW, ROW_NUMBER
from app.tables.sql import Statements

_TEXTS: Final = ARRAY(Text())
_OWN_TEXT: Final = NUMBER_TYPES | {FieldType.BOOLEAN, FieldType.GEOMETRY}
# Parts of a composite id. No % in it: clients differ in what they percent-encode once more.
ID_SEPARATOR: Final = ","
_ESCAPES: Final = (("~", "~0"), (ID_SEPARATOR, "~1"))
END: Final = "z"  # of a value behind a mark
END_OF_PART: Final = "y"  # of one that is, or may be, only a part of a text


class Form(StrEnum):
    """What PostgreSQL makes of each row."""

    RECORD = "record"  # a JSON object
    FEATURE = "feature"  # a GeoJSON feature (RFC 7946)
    LIST = "list"  # a JSON array of the values
    COLUMNS = "columns"  # plain columns, for CSV
    TABBED = "tabbed"  # the same, parted by tabs
    CELLS = "cells"  # the same in COPY's text form, where null is no empty text: for files


IN_COLUMNS: Final = frozenset({Form.COLUMNS, Form.TABBED, Form.CELLS})


@dataclass(frozen=True, slots=True)
class Wording:
    """How a row is written: its form, its names, and whether original cells come along.

    Names are text in the answer, never identifiers: PostgreSQL cuts those at 63 bytes, which is
    21 kanji.
    """

    form: Form
    names: tuple[str, ...]  # one for each field of the question, in order
    originals: bool = False
    identity: tuple[Field, ...] = (ROW_NUMBER,)  # what the id of a feature is made of
    number: str | None = None  # the row's number, under this name before the fields
    subject: Field | None = None  # names the person of each row, whom the answer tells beside them
    # A field whose values are still to be changed: each stands behind the reading's mark, in
    # hexadecimal. That is the same in every form, and no value can be taken for one.
    marked: Field | None = None


def unescaped(part: str) -> str:
    """A part of a composite id as its field has it."""
    for plain, escaped in reversed(_ESCAPES):
        part = part.replace(escaped, plain)
    return part


def document(parts: Statements, wording: Wording) -> ColumnElement[str]:
    """The row as JSON text: a record, a list of its values, or a feature."""
    if wording.form is Form.LIST:
        return _list([value for _, value in _members(parts, wording)])
    if wording.form is not Form.FEATURE:
        return json_object(_members(parts, wording))
    shape = geometry_of(parts.source.fields)
    geometry = _point(parts) if shape is None else _or_null(parts.table.c[shape.column])
    # Once is enough: what is the feature's geometry is no property as well.
    record = json_object(_members(parts, wording, without=shape))
    members = [("type", constant('"Feature"'))]
    if wording.identity:
        members.append(("id", _id(parts, wording)))
    return json_object([*members, ("geometry", geometry), ("properties", record)])


def _value(parts: Statements, wording: Wording, field: Field, end: str = END) -> ColumnElement[Any]:
    """A field's value as it leaves."""
    column = parts.column(field)
    if field != wording.marked:
        return column
    mark = parts.bind(lambda reading: reading.mark, Text())
    text = func.encode(func.convert_to(column, "UTF8"), "hex")
    return mark.op("||", return_type=Text())(text).op("||", return_type=Text())(constant(end))


def _id(parts: Statements, wording: Wording) -> ColumnElement[str]:
    """RFC 7946, 3.2: a text, or a number. The key as its fields have it, or the row number."""
    identity = wording.identity
    if identity == (ROW_NUMBER,):
        return cast(parts.table.c[ROW], Text())
    texts = [_plain_text(field, _value(parts, wording, field, END_OF_PART)) for field in identity]
    if len(texts) > 1:
        for plain, escaped in _ESCAPES:
            texts = [func.replace(text, plain, escaped) for text in texts]
    joined = texts[0]
    for text in texts[1:]:
        joined = joined.op("||", return_type=Text())(constant(ID_SEPARATOR)).op("||")(text)
    return cast(func.to_json(joined), Text())


def _plain_text(field: Field, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value as text; times with their offset (RFC 3339)."""
    if field.type is FieldType.DATETIME:
        return func.to_json(column).op("#>>")(cast(constant("{}"), _TEXTS))
    return cast(column, Text())


def _point(parts: Statements) -> ColumnElement[str]:
    latitude, longitude = parts.place()
    # RFC 7946, 3.1.1: longitude before latitude; 3.2: no place is a null geometry.
    point = func.json_build_object(
        "type", "Point", "coordinates", func.json_build_array(longitude, latitude)
    )
    return case((latitude.is_(None), "null"), else_=cast(point, Text()))


def plain_record(rows: FromClause, fields: Sequence[Field]) -> ColumnElement[str]:
    """A row of a table as JSON text, without anything added."""
    return json_object([(field.name, json_text(field, rows.c[field.column])) for field in fields])


def columns(parts: Statements, wording: Wording) -> list[ColumnElement[Any]]:
    """The row's fields as COPY writes them in CSV; times with their offset (RFC 3339).

    A geometry stays GeoJSON: PostgreSQL alone cannot write WKT.
    """
    found: list[ColumnElement[Any]] = []
    if wording.number is not None:
        found.append(parts.table.c[ROW])
    for field in parts.question.fields:
        column = _value(parts, wording, field)
        match field.type:
            case FieldType.DATETIME:
                found.append(_plain_text(field, column))
            case FieldType.BOOLEAN:
                found.append(cast(column, Text()))
            case _:
                found.append(column)
    found += [_joined(parts, join) for join in parts.question.joins]
    if parts.question.near is not None:
        found.append(_distance(parts))
    return [column.label(f"_c{at}") for at, column in enumerate(found)]


def _members(
    parts: Statements, wording: Wording, *, without: Field | None = None
) -> list[tuple[str, ColumnElement[str]]]:
    question = parts.question
    found: list[tuple[str, ColumnElement[str]]] = []
    if wording.number is not None:
        found.append((wording.number, cast(parts.table.c[ROW], Text())))
    found += [
        (name, json_text(field, _value(parts, wording, field)))
        for field, name in zip(question.fields, wording.names, strict=True)
        if field != without
    ]
    for join in question.joins:
        found.append((join.name, _or_null(_joined(parts, join))))
    if question.near is not None:
        found.append(("distance", _or_null(cast(_distance(parts), Text()))))
    if wording.originals:
        found.append(("_original", _or_null(parts.table.c[ORIGINAL])))
        found.append(("_extras", _or_null(parts.table.c[EXTRAS])))
    return found


def _joined(parts: Statements, join: Join) -> ColumnElement[str]:
    """The joined record as JSON text, null where there is none; `stale` where its time is old."""
    other, _ = parts.joined[join.name]
    members = [(field.name, json_text(field, other.c[field.column])) for field in join.fields]
    if join.as_of is not None and join.stale_after_seconds is not None:
        now = parts.bind(lambda reading: reading.now, DateTime(timezone=True))
        age = func.extract("epoch", now - other.c[join.as_of.column])
        stale = func.coalesce(age > join.stale_after_seconds, true())
        members.append(("stale", cast(stale, Text())))
    return case((other.c[ROW].is_not(None), json_object(members)), else_=null())


def json_text(field: Field, column: ColumnElement[Any]) -> ColumnElement[str]:
    """One value as JSON text. Numbers, booleans and geometries are their own text; the rest is

    quoted.
    """
    if field.type in _OWN_TEXT:
        return _or_null(cast(column, Text()))
    return _or_null(cast(func.to_json(column), Text()))


def _distance(parts: Statements) -> ColumnElement[Any]:
    return func.round(cast(distance(parts), Numeric()), 1)


def _or_null(text: ColumnElement[Any]) -> ColumnElement[str]:
    return func.coalesce(text, constant("null"))


def json_object(members: Sequence[tuple[str, ColumnElement[str]]]) -> ColumnElement[str]:
    """A JSON object written by concatenation: functions take 100 arguments, files have more."""
    pieces: list[ColumnElement[str]] = []
    for at, (name, value) in enumerate(members):
        opening = "{" if at == 0 else ","
        pieces += [constant(f"{opening}{json.dumps(name, ensure_ascii=False)}:"), value]
    pieces.append(constant("}" if members else "{}"))
    return _concatenated(pieces)


def _list(values: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    """A JSON array, written in the same way."""
    pieces: list[ColumnElement[str]] = []
    for at, value in enumerate(values):
        pieces += [constant("[" if at == 0 else ","), value]
    pieces.append(constant("]" if values else "[]"))
    return _concatenated(pieces)


def _concatenated(pieces: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    """Concatenation as a balanced tree: thousands of columns would nest too deep as a chain."""
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    left, right = _concatenated(pieces[:middle]), _concatenated(pieces[middle:])
    return left.op("||", return_type=Text())(right)


def constant(text: str) -> ColumnElement[str]:
    """Text of ours in the statement, quoted by SQLAlchemy."""
    return bindparam(None, text, Text(), literal_execute=True)
