"""How often something may happen in a calendar day of Japan, counted by key. It knows no rights.

Unlike a minute's window a day ends for all at once, at midnight in Japan: its count is one number.
"""

import math
from collections import Counter
from datetime import datetime, time, timedelta
from typing import Final

from app.kit.clock import TOKYO

DAY_S: Final = 86_400
# Whether it is full, and what is left. A day's count outlives the day, for clocks that run behind.
SCRIPT: Final = """
local count, most = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
if count >= most then return {1, 0} end
count = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {0, most - count}
"""


class Days:
    """The counts of one process, of the present day alone."""

    def __init__(self) -> None:
        self._day = ""
        self._counts: Counter[str] = Counter()

    def hit(self, key: str, most: int, day: str) -> tuple[bool, int]:
        """Count one where there is room: whether there was none, and what is left."""
        if day != self._day:
            self._day, self._counts = day, Counter()
        if self._counts[key] >= most:
            return True, 0
        self._counts[key] += 1
        return False, most - self._counts[key]


def day_of(now: datetime) -> tuple[str, int]:
    """The day in Japan, and the seconds until it ends."""
    here = now.astimezone(TOKYO)
    midnight = datetime.combine(here.date() + timedelta(days=1), time(), TOKYO)
    return here.date().isoformat(), max(1, math.ceil((midnight - here).total_seconds()))
