"""Values that a question compares with, read for the type of the field they are compared to."""

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, assert_never

from app.kit.clock import TOKYO
from app.query.codes import CodeError, local_government_code
from app.query.fields import Field, FieldType
from app.query.question import Literal

_INT64: Final = 2**63
_MOST_DIGITS: Final = 1_000  # PostgreSQL takes many more before the point than behind it
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_SHAPES: Final = {
    FieldType.MONTH: (re.compile(r"\d{4}-(?:0[1-9]|1[0-2])\Z", re.ASCII), "2026-04"),
    FieldType.FISCAL_YEAR: (re.compile(r"[12]\d{3}\Z", re.ASCII), "2026"),
}
_TRUE: Final = frozenset({"true", "t", "1"})
_FALSE: Final = frozenset({"false", "f", "0"})


class NotOfType(ValueError):
    """The value cannot be compared with the field. Says what would be right."""

    def __init__(self, field: Field, ja: str, en: str, code: str | None = None) -> None:
        super().__init__(f"{field.name}: {en}")
        self.code = code or f"invalid_{field.type.value}"
        self.ja = f"項目 {field.name} は{ja}"
        self.en = f"The field {field.name} {en}"


def read_literal(  # noqa: C901 - one arm for each case of a closed set
    field: Field, raw: object
) -> Literal:
    """`raw` (text of a URL, or a JSON value of a filter) as a literal of the field's type.

    Raises `NotOfType`.
    """
    match field.type:
        case FieldType.INTEGER | FieldType.DECIMAL:
            return _number(field, raw)
        case FieldType.LATITUDE | FieldType.LONGITUDE:
            return float(_number(field, raw))
        case FieldType.BOOLEAN:
            return _boolean(field, raw)
        case FieldType.DATE:
            return _date(field, raw)
        case FieldType.DATETIME:
            return _datetime(field, raw)
        case FieldType.LOCAL_GOVERNMENT_CODE:
            return _local_government_code(field, raw)
        case (
            FieldType.TEXT
            | FieldType.CODE
            | FieldType.PHONE
            | FieldType.POSTAL_CODE
            | FieldType.URL
            | FieldType.EMAIL
            | FieldType.KANA
            | FieldType.TIME
        ):
            return _text(field, raw)
        case FieldType.MONTH | FieldType.FISCAL_YEAR:
            return _shaped(field, raw)
        case FieldType.GEOMETRY:
            raise not_comparable(field)
        case _:
            assert_never(field.type)


def not_comparable(field: Field) -> NotOfType:
    """A geometry has no order and no equality that anyone could write down."""
    return NotOfType(
        field,
        "ジオメトリです。値の比較や並べ替えはできません（範囲の検索は bbox=）。",
        "is a geometry: it cannot be compared or sorted by. Search by area with bbox=.",
        "geometry_not_comparable",
    )


def _text(field: Field, raw: object) -> str:
    if not isinstance(raw, str):
        raise NotOfType(
            field,
            "文字列です。値を引用符で囲んでください（例 '271004'）。",
            "is text: put the value in quotes (such as '271004').",
        )
    if "\x00" in raw:
        raise NotOfType(field, "NUL文字を含められません。", "cannot hold a NUL character.")
    return raw


def _shaped(field: Field, raw: object) -> str:
    shape, example = _SHAPES[field.type]
    text = _text(field, raw)
    if not shape.match(text):
        raise NotOfType(field, f"{example} のように書きます。", f"is written like {example}.")
    return text


def _local_government_code(field: Field, raw: object) -> str:
    """Six digits; five are completed, a wrong check digit is refused (interface.md, Everywhere)."""
    text = _text(field, raw)
    try:
        return local_government_code(text)
    except CodeError as exc:
        raise NotOfType(
            field,
            "検査数字を含む6桁の地方公共団体コードです（5桁も可、例 271004）。",
            "is a local government code of six digits, check digit included (271004), or five.",
            exc.code,
        ) from None


def _number(field: Field, raw: object) -> int | Decimal:
    """An int where the value is whole and fits 64 bits, else a Decimal."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        raise _not_a_number(field)
    try:
        value = Decimal(repr(raw) if isinstance(raw, float) else raw)
    except InvalidOperation:
        raise _not_a_number(field) from None
    sized = value.is_finite() and len(value.as_tuple().digits) <= _MOST_DIGITS
    if not sized or not -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS:
        raise _not_a_number(field)  # NaN, Infinity, or a number to exhaust memory with
    if field.type is FieldType.INTEGER and value == int(value) and -_INT64 <= value < _INT64:
        return int(value)
    return value


def _not_a_number(field: Field) -> NotOfType:
    return NotOfType(field, "数値です。", "is a number.")


def _boolean(field: Field, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise NotOfType(field, "真偽値です（true か false）。", "is a boolean: true or false.")


def _date(field: Field, raw: object) -> date:
    text = raw.get("date") if isinstance(raw, dict) else raw
    if isinstance(text, str) and _DATE.match(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise NotOfType(field, "日付です（例 2026-04-01）。", "is a date, such as 2026-04-01.")


def _datetime(field: Field, raw: object) -> datetime:
    """RFC 3339. A date alone is its first moment in Japan."""
    text = raw.get("timestamp", raw.get("date")) if isinstance(raw, dict) else raw
    if isinstance(text, str):
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            read = None
        if read is not None and _DATE.match(text):
            read = read.replace(tzinfo=TOKYO)
        if read is not None and read.tzinfo is not None and 1 < read.year < 9999:
            return read  # at either end of the calendar another offset would be outside it
    raise NotOfType(
        field,
        "日時です。オフセット付きで書いてください（例 2026-04-01T09:00:00+09:00）。",
        "is a time with an offset, such as 2026-04-01T09:00:00+09:00.",
    )
