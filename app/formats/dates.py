"""Dates and times as Japanese offices write them; it never guesses the order of month and day."""

import re
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum

from app.formats.text import CellError, ascii_digits

JST = timezone(timedelta(hours=9))


class DateOrder(StrEnum):
    """How `6/1/2023` is read in a column, decided on all of its rows."""

    UNKNOWN = "unknown"
    MONTH_FIRST = "month_first"
    DAY_FIRST = "day_first"


_ERA_START = {"令": 2019, "平": 1989, "昭": 1926, "大": 1912, "明": 1868}
_ERA_YEARS = {"令": 99, "平": 31, "昭": 64, "大": 15, "明": 45}
_ERA_LETTER = {"R": "令", "H": "平", "S": "昭", "T": "大", "M": "明"}
_LIGATURES = str.maketrans({"㋿": "令", "㍻": "平", "㍼": "昭", "㍽": "大", "㍾": "明", "元": "1"})

_SEPARATED = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_ERA = re.compile(
    r"(令和?|平成?|昭和?|大正?|明治?|[RHSTM])\.?([0-9]{1,2})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?"
)
_ENDS_IN_YEAR = re.compile(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})")
_ERA_NAME = r"(令和?|平成?|昭和?|大正?|明治?|[RHSTM])\.?"
_MONTH = re.compile(r"([0-9]{4})(?:[-/.]([0-9]{1,2})|年([0-9]{1,2})月)")
_MONTH_COMPACT = re.compile(r"((?:19|20)[0-9]{2})(0[1-9]|1[0-2])")
_ERA_MONTH = re.compile(_ERA_NAME + r"([0-9]{1,2})(?:[-/.]([0-9]{1,2})月?|年([0-9]{1,2})月)")
_PART = re.compile(r"分$|現在$|末$")
_FISCAL = re.compile(r"([12][0-9]{3})(?:年度|年)?")
_ERA_FISCAL = re.compile(_ERA_NAME + r"([0-9]{1,2})(?:年度|年)?")
_SERIAL = re.compile(r"[0-9]{5}(?:\.0+)?")
_WEEKDAY = re.compile(r"[(（][日月火水木金土](?:曜日?)?[)）]$")
_MIDNIGHT = re.compile(r"[T ]0{1,2}:00(?::00(?:\.0+)?)?$")
_CLOCK = re.compile(r"([0-9]{1,2})(?::|時)([0-9]{1,2})(?:(?::|分)([0-9]{1,2})?秒?)?分?")
_HOUR = re.compile(r"([0-9]{1,2})時")
_FRACTION = re.compile(r"0?\.[0-9]+")
# PostgreSQL writes whole hours alone. After a `-` they are an offset only behind a clock's seconds.
_OFFSET = re.compile(r"(Z|[+-][0-9]{2}:?[0-9]{2}|\+[0-9]{2}|(?<=:[0-9]{2})-[0-9]{2})$")
_LAST_HOUR = 47  # timetables count on after midnight: 25:30

# Excel counts days from here; five digits reach from 1927 to 2099.
_EXCEL_EPOCH = date(1899, 12, 30)
_SERIALS = range(10_000, 73_051)


def plain_date(raw: str, order: DateOrder = DateOrder.UNKNOWN) -> str:
    """`raw` as YYYY-MM-DD. Excel serials are read: ask only for columns known to be dates."""
    text = _WEEKDAY.sub("", ascii_digits(raw).replace(" ", " ").strip())
    text = _MIDNIGHT.sub("", text).replace(" ", "").translate(_LIGATURES)
    if found := _SEPARATED.fullmatch(text) or _COMPACT.fullmatch(text):
        return _date(int(found[1]), int(found[2]), int(found[3]))
    if found := _ERA.fullmatch(text):
        return _era_date(found[1], int(found[2]), int(found[3]), int(found[4]))
    if found := _ENDS_IN_YEAR.fullmatch(text):
        return _ordered(int(found[1]), int(found[2]), int(found[3]), order)
    if _SERIAL.fullmatch(text) and int(float(text)) in _SERIALS:
        return (_EXCEL_EPOCH + timedelta(days=int(float(text)))).isoformat()
    raise CellError("invalid_date")


def month(raw: str) -> str:
    """`raw` as YYYY-MM: 2024年4月, R5.2月分, 令和５年２月, 2024-04; a whole date is refused."""
    text = _PART.sub("", ascii_digits(raw).replace(" ", "").translate(_LIGATURES))
    if found := _MONTH.fullmatch(text):
        return _date(int(found[1]), int(found[2] or found[3]), 1)[:7]
    if found := _MONTH_COMPACT.fullmatch(text):
        return f"{found[1]}-{found[2]}"
    if found := _ERA_MONTH.fullmatch(text):
        return _era_date(found[1], int(found[2]), int(found[3] or found[4]), 1)[:7]
    raise CellError("invalid_month")


def fiscal_year(raw: str) -> str:
    """`raw` as YYYY, the year in whose April the fiscal year begins: 令和5年度, R5, 2023年度."""
    text = ascii_digits(raw).replace(" ", "").translate(_LIGATURES)
    if found := _FISCAL.fullmatch(text):
        return found[1]
    if found := _ERA_FISCAL.fullmatch(text):
        name = _ERA_LETTER.get(found[1], found[1][0])
        if 1 <= int(found[2]) <= _ERA_YEARS[name]:
            return str(_ERA_START[name] + int(found[2]) - 1)
    raise CellError("invalid_fiscal_year")


def date_shape(raw: str) -> tuple[str, int, int]:
    """What `raw` tells of its column: `serial`, `ordered` (with two numbers) or `other`."""
    text = ascii_digits(raw).strip()
    if found := _ENDS_IN_YEAR.fullmatch(_MIDNIGHT.sub("", text)):
        return "ordered", int(found[1]), int(found[2])
    if _SERIAL.fullmatch(text):
        return "serial", 0, 0
    return "other", 0, 0


def clock_time(raw: str) -> str:
    """`raw` as HH:MM or HH:MM:SS; hours past 24 stay, as timetables write them."""
    text = ascii_digits(raw).replace("：", ":").replace(" ", "")
    if _FRACTION.fullmatch(text):
        minutes = round(float(text) * 24 * 60)  # Excel keeps a time as a part of the day
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    if found := _HOUR.fullmatch(text):
        return _clock(int(found[1]), 0, None)
    if found := _CLOCK.fullmatch(text):
        return _clock(int(found[1]), int(found[2]), int(found[3]) if found[3] else None)
    raise CellError("invalid_time")


def date_and_time(raw: str, order: DateOrder = DateOrder.UNKNOWN) -> str:
    """`raw` as an ISO 8601 date-time with its offset; Japan time where none is given."""
    text = ascii_digits(raw).strip()
    zone = ""
    if found := _OFFSET.search(text):
        zone, text = found[1], text[: found.start()].strip()
    day, _, clock = text.replace("T", " ").rpartition(" ")
    if not day:
        day, clock = text, "00:00"
    clock, _, fraction = clock.partition(".")
    try:
        iso = f"{plain_date(day, order)}T{_seconds(clock_time(clock))}"
        moment = datetime.fromisoformat(iso + (f".{fraction:0<6.6}" if fraction else ""))
        offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").tzinfo if zone else JST
    except ValueError as exc:
        raise CellError("invalid_datetime") from exc
    return moment.replace(tzinfo=offset).isoformat()


def _date(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError as exc:
        raise CellError("invalid_date") from exc


def _era_date(era: str, year: int, month: int, day: int) -> str:
    name = _ERA_LETTER.get(era, era[0])
    if not 1 <= year <= _ERA_YEARS[name]:
        raise CellError("invalid_date")
    return _date(_ERA_START[name] + year - 1, month, day)


def _ordered(first: int, second: int, year: int, order: DateOrder) -> str:
    if order is DateOrder.UNKNOWN:
        raise CellError("ambiguous_date")
    if order is DateOrder.MONTH_FIRST:
        return _date(year, first, second)
    return _date(year, second, first)


def _clock(hour: int, minute: int, second: int | None) -> str:
    if hour > _LAST_HOUR or minute > 59 or (second or 0) > 59:
        raise CellError("invalid_time")
    clock = f"{hour:02d}:{minute:02d}"
    return clock if second is None else f"{clock}:{second:02d}"


def _seconds(clock: str) -> str:
    return clock if clock.count(":") == 2 else f"{clock}:00"
