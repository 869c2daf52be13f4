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
from app.tables.layout import EXTRAS, ORIGINAL, ROW
from app.tables.sql import Statements

_TEXTS: Final = ARRAY(Text())
_OWN_TEXT: Final = NUMBER_TYPES | {FieldType.BOOLEAN, FieldType.GEOMETRY}


class Form(StrEnum):
    """What PostgreSQL makes of each row."""

    RECORD = "record"  # a JSON object
    FEATURE = "feature"  # a GeoJSON feature (RFC 7946)
    COLUMNS = "columns"  # plain columns, for CSV
    CELLS = "cells"  # the same in COPY's text form, where null is no empty text: for files


@dataclass(frozen=True, slots=True)
class Wording:
    """How a row is written: its form, its names, and whether original cells come along.

    Names are text in the answer, never identifiers: PostgreSQL cuts those at 63 bytes, which is
    21 kanji.
    """

    form: Form
    names: tuple[str, ...]  # one for each field of the question, in order
    originals: bool = False


def document(parts: Statements, wording: Wording) -> ColumnElement[str]:
    """The row as JSON text: a record or a feature."""
    if wording.form is not Form.FEATURE:
        return _object(_members(parts, wording))
    shape = geometry_of(parts.source.fields)
    geometry = _point(parts) if shape is None else _or_null(parts.table.c[shape.column])
    # Once is enough: what is the feature's geometry is no property as well.
    record = _object(_members(parts, wording, without=shape))
    feature = _constant('"Feature"')
    return _object([("type", feature), ("geometry", geometry), ("properties", record)])


def _point(parts: Statements) -> ColumnElement[str]:
    latitude, longitude = parts.place()
    # RFC 7946, 3.1.1: longitude before latitude; 3.2: no place is a null geometry.
    point = func.json_build_object(
        "type", "Point", "coordinates", func.json_build_array(longitude, latitude)
    )
    return case((latitude.is_(None), "null"), else_=cast(point, Text()))


def plain_record(rows: FromClause, fields: Sequence[Field]) -> ColumnElement[str]:
    """A row of a table as JSON text, without anything added."""
    return _object([(field.name, json_text(field, rows.c[field.column])) for field in fields])


def columns(parts: Statements) -> list[ColumnElement[Any]]:
    """The row's fields as COPY writes them in CSV; times with their offset (RFC 3339).

    A geometry stays GeoJSON: PostgreSQL alone cannot write WKT.
    """
    found: list[ColumnElement[Any]] = []
    for field in parts.question.fields:
        column = parts.column(field)
        match field.type:
            case FieldType.DATETIME:
                found.append(func.to_json(column).op("#>>")(cast(_constant("{}"), _TEXTS)))
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
    found = [
        (name, json_text(field, parts.column(field)))
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
    return case((other.c[ROW].is_not(None), _object(members)), else_=null())


def json_text(field: Field, column: ColumnElement[Any]) -> ColumnElement[str]:
    """One value as JSON text. Numbers, booleans and geometries are their own text; the rest is

    quoted.
    """
    if field.type in _OWN_TEXT:
        return _or_null(cast(column, Text()))
    return _or_null(cast(func.to_json(column), Text()))


def _distance(parts: Statements) -> ColumnElement[Any]:
    return func.round(cast(parts.distance(), Numeric()), 1)


def _or_null(text: ColumnElement[Any]) -> ColumnElement[str]:
    return func.coalesce(text, _constant("null"))


def _object(members: Sequence[tuple[str, ColumnElement[str]]]) -> ColumnElement[str]:
    """A JSON object written by concatenation: functions take 100 arguments, files have more."""
    pieces: list[ColumnElement[str]] = []
    for at, (name, value) in enumerate(members):
        opening = "{" if at == 0 else ","
        pieces += [_constant(f"{opening}{json.dumps(name, ensure_ascii=False)}:"), value]
    pieces.append(_constant("}" if members else "{}"))
    return _concatenated(pieces)


def _concatenated(pieces: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    """Concatenation as a balanced tree: thousands of columns would nest too deep as a chain."""
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    left, right = _concatenated(pieces[:middle]), _concatenated(pieces[middle:])
    return left.op("||", return_type=Text())(right)


def _constant(text: str) -> ColumnElement[str]:
    """Text of ours in the statement, quoted by SQLAlchemy."""
    return bindparam(None, text, Text(), literal_execute=True)
