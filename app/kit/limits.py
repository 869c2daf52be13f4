"""How often something may happen in a minute: counted here, or in a store that replicas share.

It knows keys and numbers and nothing of who they stand for. A minute is watched in ten parts, and a
part is forgotten only when all of it is older than a minute: no minute ever holds more than the
limit, all of it may be used at once, and a key costs eleven numbers however large its limit is.
"""

import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog

from app.kit import days
from app.kit.days import DAY_S, Days, day_of
from app.kit.errors import AppError, Kind

log = structlog.get_logger()
PARTS: Final = 10  # a window and the part that is running: PARTS + 1 are counted
WINDOW_S: Final = 60
_MOST_KEYS: Final = 100_000  # twice as many windows are held at most, of some 300 bytes each
_AWAY_S: Final = 1.0  # for so long a store that failed is not asked again
_PATIENCE_S: Final = 0.25
_CONNECTIONS: Final = 64

# The same count as `_Window`, by the store's own clock, which is one for all replicas. All limits
# have room or none is counted. For each: whether it is full, what is left, when more is free (ms).
_SCRIPT: Final = """
local parts, width = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local current = math.floor(now / width)
local found, is_full = {}, false
for i, key in ipairs(KEYS) do
  local counts, total, most = {}, 0, tonumber(ARGV[2 + i])
  local held = redis.call('HGETALL', key)
  for j = 1, #held, 2 do
    local part, count = tonumber(held[j]), tonumber(held[j + 1])
    if part < current - parts then
      redis.call('HDEL', key, held[j])
    else
      counts[part] = count
      total = total + count
    end
  end
  found[i] = {counts, total, most}
  if total >= most then is_full = true end
end
local answer = {}
for i, key in ipairs(KEYS) do
  local counts, total, most = found[i][1], found[i][2], found[i][3]
  local full = 0
  if total >= most then full = 1 end
  if not is_full then
    redis.call('HINCRBY', key, current, 1)
    redis.call('PEXPIRE', key, (parts + 1) * width)
    counts[current] = (counts[current] or 0) + 1
    total = total + 1
  end
  local owed, free_at = math.max(1, total - most + 1), current
  if full == 0 then owed = 1 end
  for part = current - parts, current do
    owed = owed - (counts[part] or 0)
    free_at = part
    if owed <= 0 then break end
  end
  answer[i] = {full, math.max(0, most - total), (free_at + parts + 1) * width - now}
end
return answer
"""


class NoClientForStore(AppError):
    """A store is set, and what speaks to it is not installed."""

    kind = Kind.UNAVAILABLE
    code = "no_client_for_store"
    ja = "URBANOS_RATE_STORE には追加の部品が必要です: pip install 'urbanos[shared-limits]'"
    en = "URBANOS_RATE_STORE needs what is not installed: pip install 'urbanos[shared-limits]'"


class Limit(NamedTuple):
    """At most `most` in a window for `key`, a minute. `name` is what callers know it by."""

    name: str
    key: str
    most: int
    window_s: int = WINDOW_S


class Standing(NamedTuple):
    """Where a limit stands: how many are left, and in how many seconds there will be more."""

    limit: Limit
    is_full: bool
    left: int
    free_in_s: int


class Outcome(NamedTuple):
    """What became of one hit. It was counted unless `refused` names the limit that had no room."""

    standings: tuple[Standing, ...]
    refused: Standing | None
    is_degraded: bool  # the store that replicas share did not answer, so this process counted alone


class _Window:
    __slots__ = ("counts", "newest", "total")

    def __init__(self, part: int) -> None:
        self.counts = [0] * (PARTS + 1)
        self.newest = part
        self.total = 0

    def move_to(self, part: int) -> None:
        """Forget the parts that are over."""
        for over in range(self.newest + 1, min(part, self.newest + PARTS + 1) + 1):
            place = over % (PARTS + 1)
            self.total -= self.counts[place]
            self.counts[place] = 0
        self.newest = max(self.newest, part)

    def count(self) -> None:
        self.counts[self.newest % (PARTS + 1)] += 1
        self.total += 1

    def part_that_frees(self, owed: int) -> int:
        """The part with whose end, a window later, at least `owed` are free again."""
        for part in range(self.newest - PARTS, self.newest):
            owed -= self.counts[part % (PARTS + 1)]
            if owed <= 0:
                return part
        return self.newest


class Windows:
    """The counts of one process, of a bounded number of keys."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._width = window_s / PARTS
        self._lifetime = PARTS + 2  # in parts: longer than any window is of use
        self._young: dict[str, _Window] = {}
        self._old: dict[str, _Window] = {}
        self._since = 0

    def hit(self, limits: Sequence[Limit], now: float) -> Outcome:
        """Count one for every limit, or for none where one has no room."""
        part = int(now / self._width)
        if len(limits) == 1:  # nearly always: no lists are made
            limit = limits[0]
            window = self._window(limit.key, part)
            is_full = window.total >= limit.most
            if not is_full:
                window.count()
            standing = self._standing(limit, window, is_full, now)
            return Outcome((standing,), standing if is_full else None, False)
        windows = [self._window(limit.key, part) for limit in limits]
        full = [window.total >= limit.most for window, limit in zip(windows, limits, strict=True)]
        if True not in full:
            for window in windows:
                window.count()
        standings = tuple(
            self._standing(*each, now) for each in zip(limits, windows, full, strict=True)
        )
        refused = standings[full.index(True)] if True in full else None
        return Outcome(standings, refused, is_degraded=False)

    def _standing(self, limit: Limit, window: _Window, is_full: bool, now: float) -> Standing:
        owed = window.total - limit.most + 1 if is_full else 1
        free_at = (window.part_that_frees(owed) + PARTS + 1) * self._width
        left = max(0, limit.most - window.total)
        return Standing(limit, is_full, left, max(1, math.ceil(free_at - now)))

    def _window(self, key: str, part: int) -> _Window:
        """The window of a key. Those not asked for in a whole window's time are let go."""
        if part - self._since >= self._lifetime or len(self._young) >= _MOST_KEYS:
            self._old, self._young, self._since = self._young, {}, part
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key) if key in self._old else _Window(part)
            self._young[key] = found
        if found.newest < part:
            found.move_to(part)
        return found


class Limiter:
    """Counts in the shared store where there is one, and alone while that does not answer."""

    def __init__(
        self,
        url: str | None = None,
        *,
        window_s: float = WINDOW_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self.window_s = window_s
        self._windows = Windows(window_s)
        self._away_until = float("-inf")
        self._store: Any = None
        self._script: Any = None
        self._days = Days()
        self._day_script: Any = None
        if url is not None:
            self._store = _connect(url)
            self._script = self._store.register_script(_SCRIPT)
            self._day_script = self._store.register_script(days.SCRIPT)

    async def hit(self, limits: Sequence[Limit]) -> Outcome:
        """Count one for every limit, or for none where one has no room."""
        now = self.now()
        if self._store is None:
            return self._windows.hit(limits, now)
        if time.monotonic() >= self._away_until:
            shared = await self._hit_shared(limits)
            if shared is not None:
                if shared.refused is None:
                    self._windows.hit(limits, now)  # what this process gave, should it be alone
                return shared
        return self._windows.hit(limits, now)._replace(is_degraded=True)

    async def hit_day(self, limit: Limit, now: datetime) -> Outcome:
        """Count one of the day in Japan that `now` is in, unless it has no room."""
        day, free_in_s = day_of(now)
        told = None
        if self._store is not None and time.monotonic() >= self._away_until:
            keys, args = [f"urbanos:day:{day}:{limit.key}"], [limit.most, 2 * DAY_S]
            told = await self._ask(self._day_script, keys, args)
        is_degraded = self._store is not None and told is None
        if told is None:
            told = self._days.hit(limit.key, limit.most, day)
        elif not told[0]:
            self._days.hit(limit.key, limit.most, day)  # what this process gave, should it be alone
        standing = Standing(limit, bool(told[0]), int(told[1]), free_in_s)
        return Outcome((standing,), standing if standing.is_full else None, is_degraded)

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.aclose()

    async def _hit_shared(self, limits: Sequence[Limit]) -> Outcome | None:
        keys = [f"urbanos:{limit.key}" for limit in limits]
        width = int(self.window_s * 1000 / PARTS)
        told = await self._ask(self._script, keys, [PARTS, width, *(x.most for x in limits)])
        if told is None:
            return None
        standings = tuple(
            Standing(limit, bool(full), left, max(1, math.ceil(free_in_ms / 1000)))
            for limit, (full, left, free_in_ms) in zip(limits, told, strict=True)
        )
        return Outcome(standings, next((s for s in standings if s.is_full), None), False)

    async def _ask(self, script: Any, keys: Sequence[str], args: Sequence[int]) -> Any:
        """What the store says; None where it does not."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - only where replicas share

        try:
            return await script(keys=keys, args=args)
        except (RedisError, OSError, TimeoutError) as exc:
            self._away_until = time.monotonic() + _AWAY_S
            log.warning("limiter.away", error=type(exc).__name__)
            return None


def _connect(url: str) -> Any:
    """A client of Valkey or Redis: both speak the same protocol. Tries once and not for long."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415 - slow to import
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError as exc:
        raise NoClientForStore from exc

    scheme, _, rest = url.partition("://")
    pool = BlockingConnectionPool.from_url(
        f"{scheme.replace('valkey', 'redis')}://{rest}",
        max_connections=_CONNECTIONS,
        timeout=_PATIENCE_S,
        socket_timeout=_PATIENCE_S,
        socket_connect_timeout=_PATIENCE_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
