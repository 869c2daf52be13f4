"""The parameter `datetime` (17-069r4, 7.15.4): an instant or an interval as a condition."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from app.kit.clock import TOKYO
from app.query.fields import Field, FieldType
from app.query.literals import NotOfType, read_literal
from app.query.question import Both, Compare, Condition, Either, IsNull
from app.query.refusals import InvalidQuestion, wrong

_DAY: Final = Field("datetime", "", "", FieldType.DATE)
_TIME: Final = Field("datetime", "", "", FieldType.DATETIME)
Moment = date | datetime  # a day alone is all of it, in Japan


@dataclass(frozen=True, slots=True)
class Interval:
    """From and to, both included; None is open."""

    start: Moment | None
    end: Moment | None


def temporal_of(fields: Sequence[Field]) -> Field | None:
    """The property that `datetime` is asked of: the first time, else the first date."""
    for wanted in (FieldType.DATETIME, FieldType.DATE):
        for field in fields:
            if field.type is wanted:
                return field
    return None


def read_interval(text: str) -> Interval:
    """`instant`, `start/end`, and `..` or nothing for an open side. Raises `InvalidQuestion`."""
    parts = text.replace(" ", "+").split("/")  # a + that nobody encoded
    if len(parts) > 2:
        raise _refusal()
    moments = [_moment(part, alone=len(parts) == 1) for part in parts]
    start, end = moments[0], moments[-1]
    if start is None and end is None:
        raise _refusal()
    if start is not None and end is not None and _first(start) > _first(end):
        raise wrong(
            "datetime", "期間の始まりが終わりより後です。", "the interval ends before it begins."
        )
    return Interval(start, end)


def _moment(text: str, *, alone: bool) -> Moment | None:
    if text in ("", "..") and not alone:
        return None
    try:
        found = read_literal(_DAY if len(text) == len("2026-04-01") else _TIME, text)
    except NotOfType:
        raise _refusal() from None
    if not isinstance(found, date) or not 1 < found.year < 9999:
        raise _refusal()  # at either end of the calendar the day after, or before, is none
    return found


def _refusal() -> InvalidQuestion:
    return wrong(
        "datetime",
        "オフセット付きの日時か日付、または 開始/終了 です（例 2026-04-01T00:00:00+09:00/..）。",
        "give a time with an offset, a date, or start/end, such as 2026-04-01T00:00:00+09:00/..",
    )


def within(interval: Interval, fields: Sequence[Field]) -> list[Condition]:
    """The condition on the fields' time. What has no time meets every interval (7.15.4, C)."""
    field = temporal_of(fields)
    if field is None:
        return []
    bounds = _days(field, interval) if field.type is FieldType.DATE else _times(field, interval)
    return [Either((IsNull(field), Both(tuple(bounds))))]


def _days(field: Field, interval: Interval) -> list[Condition]:
    found: list[Condition] = []
    if interval.start is not None:
        found.append(Compare(field, ">=", _day(interval.start)))
    if interval.end is not None:
        found.append(Compare(field, "<=", _day(interval.end)))
    return found


def _times(field: Field, interval: Interval) -> list[Condition]:
    found: list[Condition] = []
    if interval.start is not None:
        found.append(Compare(field, ">=", _first(interval.start)))
    if isinstance(interval.end, datetime):
        found.append(Compare(field, "<=", interval.end))
    elif interval.end is not None:
        found.append(Compare(field, "<", _first(interval.end + timedelta(days=1))))
    return found


def _day(moment: Moment) -> date:
    return moment.astimezone(TOKYO).date() if isinstance(moment, datetime) else moment


def _first(moment: Moment) -> datetime:
    """The moment, of a day the first one."""
    if isinstance(moment, datetime):
        return moment
    return datetime(moment.year, moment.month, moment.day, tzinfo=TOKYO)
