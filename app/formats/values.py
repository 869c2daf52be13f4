"""From a trimmed cell to its type's canonical text, or a reject code; it never invents a value."""

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal

from app.formats.dates import (
    DateOrder,
    clock_time,
    date_and_time,
    fiscal_year,
    month,
    plain_date,
)
from app.formats.text import CellError, ascii_dashes, ascii_digits
from app.query.codes import CodeError, local_government_code
from app.query.fields import Field, FieldType
from app.query.geojson import LATITUDES, LONGITUDES, NotGeometry, read_geometry

_BIGINT = 2**63
_NUMERIC_DIGITS = 1000

Normalise = Callable[[str], str]

_EXPONENT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?[Ee][+-]?[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_PHONE = re.compile(r"\+?[0-9]+(?:-[0-9]+)*(?:(?:内線|ext\.?|\(内線)[0-9]+\)?)?")
_HALF_KANA = re.compile(r"[\uff61-\uff9f]+")
_LONE_MARKS = {0x3099: "゛", 0x309A: "゜"}
_DMS = re.compile(
    r"([0-9]{1,3})[度°]([0-9]{1,2})(?:[分'′’]([0-9]{1,2}(?:\.[0-9]+)?)?[秒\"″”]?)?"
    r"|([0-9]{1,3})[度°]([0-9]{1,2}\.[0-9]+)[分'′’]"
)
_URL = re.compile(r"https?://[^\s]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
# Words that count things and change no amount (千円 would): they may follow a number.
COUNTERS = "人|名|世帯|戸|件|台|個|本|枚|冊|棟|室|床|席|校|園|店|社|団体|箇所|か所|カ所|ヶ所|ケ所|回|歳|才|基|頭|匹|区画"
_MEASURES = (
    "円|千円|百万円|%|‰|m|km|cm|mm|m2|㎡|平方メートル|ha|ヘクタール|kg|t|トン|L|分|時間|か月|ヶ月"
)
_COUNTED = re.compile(rf"(.*[0-9.])\s*(?:{COUNTERS})")
_WITH_UNIT = re.compile(rf"[-+▲△]?[0-9][0-9,]*(?:\.[0-9]+)?\s*({COUNTERS}|{_MEASURES})")
_TRUE = frozenset(
    [
        "1",
        "true",
        "t",
        "yes",
        "y",
        "有",
        "有り",
        "あり",
        "○",
        "◯",
        "〇",
        "●",
        "☆",
        "はい",
        "可",
        "該当",
    ]
)
_FALSE = frozenset(
    ["0", "false", "f", "no", "n", "無", "無し", "なし", "×", "✕", "✖", "いいえ", "不可", "非該当"]
)


def boolean(text: str) -> str:
    """`t` or `f`."""
    word = ascii_digits(text).lower()
    if word in _TRUE:
        return "t"
    if word in _FALSE:
        return "f"
    raise CellError("invalid_boolean")


def decimal(text: str, unit: str | None = None) -> str:
    """A number with `.` as its point and no separators."""
    number = _number(text, unit, "invalid_decimal")
    whole, _, part = number.lstrip("-").partition(".")
    sign = "-" if number.startswith("-") else ""
    if len(whole) + len(part) > _NUMERIC_DIGITS:
        raise CellError("invalid_decimal")
    return f"{sign}{whole.lstrip('0') or '0'}" + (f".{part}" if part else "")


def integer(text: str, unit: str | None = None) -> str:
    """A whole number that fits eight bytes; `12.0` is 12, `12.5` is refused."""
    number = _number(text, unit, "invalid_integer")
    whole, _, part = number.partition(".")
    if part.strip("0"):
        raise CellError("invalid_integer")
    if len(whole) > 40 or not -_BIGINT <= int(whole or "0") < _BIGINT:
        raise CellError("integer_out_of_range")
    return str(int(whole or "0"))


def unit_in(text: str) -> str | None:
    """The unit behind a number (`1,200人` gives 人), None for anything else."""
    found = _WITH_UNIT.fullmatch(ascii_digits(text))
    return found[1] if found else None


def _number(text: str, unit: str | None, code: str) -> str:
    plain = ascii_digits(text).replace("−", "-").replace("‐", "-").strip()
    if unit and (bare := plain.removesuffix(ascii_digits(unit))):
        plain = bare.strip()
    elif counted := _COUNTED.fullmatch(plain):
        plain = counted[1]
    negative = plain.startswith(("-", "▲", "△"))
    plain = plain[1:].lstrip() if negative or plain.startswith("+") else plain
    if _EXPONENT.fullmatch(plain):
        raise CellError("excel_exponent")
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        raise CellError(code)
    return ("-" if negative and plain.strip("0.") else "") + plain


def code(text: str) -> str:
    """A code: text with ASCII letters and digits, zeros kept. Excel's exponents are refused."""
    plain = ascii_digits(text)
    if _EXPONENT.fullmatch(plain) and ("+" in plain or "." in plain):
        raise CellError("excel_exponent")
    return plain


def government_code(text: str) -> str:
    """A six-digit local government code."""
    if _EXPONENT.fullmatch(text):
        raise CellError("excel_exponent")
    try:
        return local_government_code(text)
    except CodeError as exc:
        raise CellError(exc.code) from exc


def phone(text: str) -> str:
    """A telephone number in ASCII: `(054)626-1139` is `054-626-1139`.

    What else an office writes here (two numbers, 代表, なし) stays as it is: a row is worth more.
    """
    try:
        return strict_phone(text)
    except CellError:
        return text


def strict_phone(text: str) -> str:
    """A telephone number alone, or `CellError`."""
    plain = ascii_dashes(ascii_digits(text)).replace(" ", "")
    plain = re.sub(r"^(?:TEL|Tel|tel|電話)[:.]?", "", plain)
    plain = re.sub(r"^([0-9]*)\(([0-9]+)\)-?", _opened, plain)
    if len(re.sub(r"[^0-9]", "", plain)) < 3 or not _PHONE.fullmatch(plain):
        raise CellError("invalid_phone")
    return plain


def _opened(found: re.Match[str]) -> str:
    before = f"{found[1]}-" if found[1] else ""
    return f"{before}{found[2]}-"


def postal_code(text: str) -> str:
    """Seven digits as `530-0001`."""
    plain = re.sub(r"[〒\s-]", "", ascii_dashes(ascii_digits(text)))
    if not re.fullmatch(r"[0-9]{7}", plain):
        raise CellError("invalid_postal_code")
    return f"{plain[:3]}-{plain[3:]}"


def kana(text: str) -> str:
    """Half-width kana as full-width, voicing marks joined; everything else as it is."""
    return _HALF_KANA.sub(lambda found: _full_width(found[0]), text)


def _full_width(half: str) -> str:
    """NFKC joins voicing marks; one that has nothing to join stays a mark of its own."""
    return unicodedata.normalize("NFKC", half).translate(_LONE_MARKS)


def url(text: str) -> str:
    """An http or https address."""
    plain = ascii_digits(text)
    if not _URL.fullmatch(plain):
        raise CellError("invalid_url")
    return plain


def email(text: str) -> str:
    """A mail address."""
    plain = ascii_digits(text)
    if not _EMAIL.fullmatch(plain):
        raise CellError("invalid_email")
    return plain


def latitude(text: str) -> str:
    """Decimal degrees inside Japan's latitudes."""
    return _degrees(text, LATITUDES, LONGITUDES)


def longitude(text: str) -> str:
    """Decimal degrees inside Japan's longitudes."""
    return _degrees(text, LONGITUDES, LATITUDES)


def _degrees(text: str, area: tuple[float, float], other: tuple[float, float]) -> str:
    plain = re.sub(r"\s|^(?:北緯|東経|[NE])|[NE]$", "", ascii_digits(text))
    found = _DMS.fullmatch(plain)
    degrees = _from_dms(found) if found else _point(plain)
    value = float(degrees)
    if area[0] <= value <= area[1]:
        return degrees
    swapped = other[0] <= value <= other[1]
    raise CellError("coordinate_out_of_area", "looks_swapped" if swapped else None)


def _point(plain: str) -> str:
    if not re.fullmatch(r"-?[0-9]{1,15}(?:\.[0-9]{0,30})?", plain):
        raise CellError("invalid_coordinate")
    return plain.rstrip(".")


def _from_dms(found: re.Match[str]) -> str:
    if found[4]:
        degrees, minutes, seconds = Decimal(found[4]), Decimal(found[5]), Decimal(0)
    else:
        degrees, minutes = Decimal(found[1]), Decimal(found[2])
        seconds = Decimal(found[3] or 0)
    if minutes >= 60 or seconds >= 60:
        raise CellError("invalid_coordinate")
    exact = degrees + minutes / 60 + seconds / 3600
    return f"{exact:.8f}".rstrip("0").rstrip(".")


def geometry(text: str) -> str:
    """A GeoJSON geometry in its canonical form. (Whole columns are read by `geometries`.)"""
    try:
        made = read_geometry(text)
    except NotGeometry as wrong:
        raise CellError(wrong.code, wrong.hint) from None
    return made.text if made is not None else ""


def _text(text: str) -> str:
    return text


_PLAIN: dict[FieldType, Normalise] = {
    FieldType.TEXT: _text,
    FieldType.CODE: code,
    FieldType.LOCAL_GOVERNMENT_CODE: government_code,
    FieldType.PHONE: phone,
    FieldType.POSTAL_CODE: postal_code,
    FieldType.URL: url,
    FieldType.EMAIL: email,
    FieldType.KANA: kana,
    FieldType.BOOLEAN: boolean,
    FieldType.TIME: clock_time,
    FieldType.MONTH: month,
    FieldType.FISCAL_YEAR: fiscal_year,
    FieldType.LATITUDE: latitude,
    FieldType.LONGITUDE: longitude,
    FieldType.GEOMETRY: geometry,
}


def normaliser(field: Field, order: DateOrder = DateOrder.UNKNOWN) -> Normalise:
    """What takes a trimmed cell of `field` to its canonical text, or raises `CellError`."""
    match field.type:
        case FieldType.DATE:
            return lambda text: plain_date(text, order)
        case FieldType.DATETIME:
            return lambda text: date_and_time(text, order)
        case FieldType.INTEGER:
            return lambda text: integer(text, field.unit)
        case FieldType.DECIMAL:
            return lambda text: decimal(text, field.unit)
    return _listed(_PLAIN[field.type], field)


def _listed(plain: Normalise, field: Field) -> Normalise:
    """With a code list: its codes pass, its labels become codes, anything else is refused."""
    if field.code_list is None:
        return plain
    codes = {code for code, _ in field.code_list}
    labels = {label: code for code, label in field.code_list}

    def listed(text: str) -> str:
        value = text if text in codes else labels.get(text) or plain(text)
        if value not in codes:
            raise CellError("not_in_code_list")
        return value

    return listed
