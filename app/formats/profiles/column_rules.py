"""A profile's rules over whole columns of a file: the same rules as `rules.broken`, row by row.

It only names the rows that break a rule; what becomes of them is decided where it is called.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from app.formats.text import CellError
from app.query.codes import local_government_code
from app.query.fields import NUMBER_TYPES, Field, FieldType, place_of

Broken = tuple[int, int, CellError]  # row index in the batch, index of the field, what is wrong


def broken_rows(
    rules: Sequence[Mapping[str, Any]], fields: Sequence[Field], values: Sequence[pl.Series]
) -> Iterator[Broken]:
    """The cells that break a rule. `values` are the canonical texts of each of `fields`.

    A rule over a field that is not there is passed over; an empty cell breaks only `required`.
    """
    at = {field.name: index for index, field in enumerate(fields)}
    for rule in rules:
        if "compare" in rule:
            found = _compared(rule["compare"], at, fields, values)
        elif "when" in rule:
            found = _required(rule["when"], rule["required"], at, values)
        elif "area" in rule:
            found = _outside(rule["area"], at, fields, values)
        elif rule["field"] in at:
            found = _limited(rule, at[rule["field"]], values)
        else:
            continue
        for mask, index, code in found:
            for row in mask.fill_null(value=False).arg_true():
                yield int(row), index, CellError(code)


_Found = Iterator[tuple[pl.Series, int, str]]


def _limited(rule: Mapping[str, Any], index: int, values: Sequence[pl.Series]) -> _Found:
    cells = values[index]
    if rule.get("min") is not None:
        yield _number(cells) < float(rule["min"]), index, "rule_min"
    if rule.get("max") is not None:
        yield _number(cells) > float(rule["max"]), index, "rule_max"
    if rule.get("min_length") is not None:
        yield cells.str.len_chars() < rule["min_length"], index, "rule_min_length"
    if rule.get("max_length") is not None:
        yield cells.str.len_chars() > rule["max_length"], index, "rule_max_length"
    if rule.get("pattern") is not None:
        yield ~cells.str.contains(rf"\A(?:{rule['pattern']})\z"), index, "rule_pattern"


def _compared(
    rule: Sequence[str],
    at: Mapping[str, int],
    fields: Sequence[Field],
    values: Sequence[pl.Series],
) -> _Found:
    first, operator, second = rule
    if first not in at or second not in at:
        return
    a, b = (_ordered(values[at[name]], fields[at[name]]) for name in (first, second))
    holds = {"<": a < b, "<=": a <= b, "==": a == b, "!=": a != b}[operator]
    yield ~holds, at[first], "rule_compare"


def _ordered(cells: pl.Series, field: Field) -> pl.Series:
    """Numbers as numbers, moments as moments; dates and padded times order as they are written."""
    if field.type in NUMBER_TYPES:
        return _number(cells)
    if field.type is FieldType.DATETIME:
        return cells.str.to_datetime(time_zone="UTC", strict=False)
    return cells.str.zfill(5)


def _required(
    given: str, wanted: str, at: Mapping[str, int], values: Sequence[pl.Series]
) -> _Found:
    if given in at and wanted in at:
        missing = values[at[given]].is_not_null() & values[at[wanted]].is_null()
        yield missing, at[wanted], "rule_required"


def _outside(
    area: Mapping[str, Any],
    at: Mapping[str, int],
    fields: Sequence[Field],
    values: Sequence[pl.Series],
) -> _Found:
    place = place_of(fields)
    if area.get("bbox") is not None and place is not None:
        latitude, longitude = (_number(values[at[field.name]]) for field in place)
        west, south, east, north = area["bbox"]
        inside = latitude.is_between(south, north) & longitude.is_between(west, east)
        whole = latitude.is_not_null() & longitude.is_not_null()
        yield ~inside & whole, at[place[0].name], "rule_area"
    codes = [local_government_code(code) for code in area.get("municipalities") or ()]
    for field in fields:
        if codes and field.type is FieldType.LOCAL_GOVERNMENT_CODE:
            yield ~values[at[field.name]].is_in(codes), at[field.name], "rule_area"


def _number(cells: pl.Series) -> pl.Series:
    return cells.cast(pl.Float64, strict=False)
