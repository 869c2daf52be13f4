"""One JSON record from outside, checked against the fields of its dataset. Keeps nothing back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from app.kit.errors import Fault
from app.query.fields import EDGES, NUMBER_TYPES, Field, FieldType, edge_columns
from app.query.geojson import LATITUDES, LONGITUDES, NotGeometry, read_geometry
from app.query.literals import NotOfType, read_literal

_MOST_KEY_CHARACTERS: Final = 200  # a B-tree of PostgreSQL takes 2,704 bytes for the whole key


@dataclass(slots=True)
class Incoming:
    """A record as it will be stored (values by column), or what is wrong with it."""

    key: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_record(given: object, fields: Sequence[Field], writable: frozenset[str]) -> Incoming:
    """Read one record. Absent fields are null; unknown ones are refused, so that none is lost.

    Fields that the caller may not write are refused where they are given, and else left out of
    the values: what is stored there stays.
    """
    found = Incoming()
    if not isinstance(given, Mapping):
        found.faults.append(
            Fault("", "not_an_object", "レコードはオブジェクトです。", "A record is an object.")
        )
        return found
    known = {each.name for each in fields}
    for name in given:
        if name not in known:
            found.faults.append(_unknown(str(name)))
        elif name not in writable:
            found.faults.append(_not_writable(str(name)))
    for each in fields:
        if each.name in writable or each.key:
            found.values |= _values(each, given.get(each.name), found.faults)
    keys = [found.values[each.column] for each in fields if each.key]
    if keys and all(value is not None for value in keys):
        found.key = key_text(keys)
    return found


def key_text(values: Sequence[object]) -> str:
    """A record's key as it stands in addresses and answers: its values, joined by commas."""
    return ",".join(quote(_value_text(value), safe="") for value in values)


def _value_text(value: object) -> str:
    """One value, one text: the key as it stands in addresses, however it was spelt."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


def _not_writable(name: str) -> Fault:
    return Fault(
        _pointer(name),
        "column_not_visible",
        "この項目は協定に含まれていません。",
        "The agreement does not cover this field.",
    )


def _pointer(name: str) -> str:
    """RFC 6901, 3: ~ and / are written ~0 and ~1."""
    plain = name[:80].replace("\x00", "\ufffd")  # jsonb, where answers are kept, holds no NUL
    return "/" + plain.replace("~", "~0").replace("/", "~1")


def _unknown(name: str) -> Fault:
    return Fault(
        _pointer(name),
        "unknown_field",
        "この項目はデータセットにありません。",
        "The dataset has no such field.",
    )


def _values(each: Field, raw: object, faults: list[Fault]) -> dict[str, Any]:
    """What is stored of one member, by column."""
    if each.type is not FieldType.GEOMETRY:
        return {each.column: _value(each, raw, faults)}
    shape = None
    try:
        shape = read_geometry(raw) if raw is not None else None
    except NotGeometry as wrong:
        faults.append(_fault(each, wrong.code, wrong.ja, wrong.en))
    else:
        if shape is None and each.required:
            faults.append(_fault(each, "required_missing", "必須です。", "is required."))
    edges = shape.edges if shape is not None else (None,) * len(EDGES)
    text = shape.text if shape is not None else None
    return {each.column: text, **dict(zip(edge_columns(each), edges, strict=True))}


def _value(each: Field, raw: object, faults: list[Fault]) -> Any:
    if raw is None or raw == "":
        if each.required or each.key:
            faults.append(_fault(each, "required_missing", "必須です。", "is required."))
        return None
    try:
        value = read_literal(each, _as_read(each, raw))
    except NotOfType as exc:
        faults.append(Fault(f"/{each.name}", exc.code, exc.ja, exc.en))
        return None
    _check_range(each, value, faults)
    if (each.key or each.type is FieldType.CODE) and len(str(value)) > _MOST_KEY_CHARACTERS:
        faults.append(_fault(each, "too_long", "長すぎます。", "is too long."))
    return value


def _as_read(each: Field, raw: object) -> object:
    """JSON types are taken at their word: the text "12" is no number here."""
    if isinstance(raw, str) and each.type in NUMBER_TYPES:
        raise NotOfType(each, "数値です（引用符なし）。", "is a number, without quotes.")
    if not isinstance(raw, str | int | float | bool):
        raise NotOfType(each, "単純な値です。", "is a plain value.")
    return raw


def _check_range(each: Field, value: Any, faults: list[Fault]) -> None:
    ranges = {FieldType.LATITUDE: LATITUDES, FieldType.LONGITUDE: LONGITUDES}
    low, high = ranges.get(each.type, (None, None))
    if low is not None and high is not None and not low <= value <= high:
        faults.append(
            _fault(each, "coordinate_out_of_area", "日本の範囲外です。", "lies outside Japan.")
        )
    if each.type is FieldType.INTEGER and not isinstance(value, int):
        faults.append(_fault(each, "invalid_integer", "整数です。", "is a whole number."))
    if each.code_list is not None and value not in dict(each.code_list):
        faults.append(
            _fault(each, "not_in_code_list", "コード表にありません。", "is not in the code list.")
        )


def _fault(each: Field, code: str, ja: str, en: str) -> Fault:
    return Fault(f"/{each.name}", code, f"項目 {each.name} は{ja}", f"The field {each.name} {en}")
