"""When a Japanese town hall is at work. Asks nobody."""

from datetime import date, datetime
from functools import lru_cache
from typing import Final

from app.kit.clock import TOKYO

_SATURDAY: Final = 5
# 地方自治法第4条の2: Saturdays, Sundays, public holidays, and from 29 December to 3 January.
_YEAR_END: Final = frozenset({(12, 29), (12, 30), (12, 31), (1, 1), (1, 2), (1, 3)})


def is_office_time(at: datetime, from_hour: int, until_hour: int) -> bool:
    """Whether it is an hour of work on a working day in Japan."""
    local = at.astimezone(TOKYO)
    return from_hour <= local.hour < until_hour and is_working_day(local.date())


@lru_cache(maxsize=64)
def is_working_day(day: date) -> bool:
    """Whether local governments work on that day."""
    import jpholiday  # noqa: PLC0415 - needed by the worker alone

    if day.weekday() >= _SATURDAY or (day.month, day.day) in _YEAR_END:
        return False
    return not jpholiday.is_holiday(day)
