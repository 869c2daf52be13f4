"""What the database says now, kept in memory and dropped the moment it changes.

Triggers bump the one row of `epoch` and notify `urbanos` with `kind:id:epoch`. A process listens,
and also reads the epoch once a second: if a notification was lost, all is dropped then.
Values are loaded when first asked for. It must never hold a value older than its last poll.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import asyncpg
import structlog

from app.kit.db import LOST, SESSION_SETTINGS, DatabaseUnavailable

log = structlog.get_logger()
Value = TypeVar("Value")
CHANNEL = "urbanos"
ALL = "all"
POLL_SECONDS = 1.0


class LiveCache(Generic[Value]):
    """One kind of thing by id. `get` loads it, `drop` forgets it."""

    def __init__(self, load: Callable[[str], Awaitable[Value]], *, most: int = 20_000) -> None:
        self._load = load
        self._most = most
        self._held: OrderedDict[str, Value] = OrderedDict()
        self._changes = 0

    def held(self, key: str) -> Value | None:
        """The value if it is in memory: the path without an await."""
        return self._held.get(key)

    async def get(self, key: str) -> Value:
        """The value, from memory or from the database; raises what the loader raises."""
        found = self._held.get(key)
        if found is not None:
            return found
        before = self._changes
        try:
            value = await self._load(key)
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as exc:
            raise DatabaseUnavailable from exc
        if before == self._changes:  # nothing was dropped while we read: safe to keep
            self._held[key] = value
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return value

    def drop(self, key: str) -> None:
        """Forget one value."""
        self._changes += 1
        self._held.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._changes += 1
        self._held.clear()


class Live:
    """Listens for changes and drops what they touch. One a process."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._kinds: dict[str, list[LiveCache[Any]]] = {}
        self._epoch = -1
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection[Any] | None = None
        self._is_lost = False
        self.fresh_at = float("-inf")  # loop time of the last moment known to be current

    def cache(
        self, load: Callable[[str], Awaitable[Value]], *, kinds: tuple[str, ...]
    ) -> LiveCache[Value]:
        """A cache whose value of an id is dropped when any of `kinds` notifies that id."""
        made = LiveCache(load)
        for kind in kinds:
            self._kinds.setdefault(kind, []).append(made)
        return made

    async def start(self) -> None:
        """Connect and begin to listen; raises when the database cannot be reached."""
        await self._connect()
        self._task = asyncio.create_task(self._watch(), name="live")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close(timeout=2)

    @property
    def seconds_behind(self) -> float:
        """How old the newest proof is that memory and database agree."""
        return asyncio.get_running_loop().time() - self.fresh_at

    def changed(self, kind: str, key: str) -> None:
        """Drop one thing now (a writer of this process need not wait for the notification).

        The kind `all` is for what many things are made from: caches that name it lose all.
        """
        for cache in self._kinds.get(kind, ()):
            if kind == ALL:
                cache.clear()
            else:
                cache.drop(key)

    async def _connect(self) -> None:
        connection = await asyncpg.connect(self._dsn, server_settings=SESSION_SETTINGS, timeout=5)
        try:
            async with asyncio.timeout(5):
                await connection.add_listener(CHANNEL, self._heard)
                asked_at = asyncio.get_running_loop().time()
                epoch = await connection.fetchval("SELECT value FROM epoch")
        except BaseException:
            connection.terminate()
            raise
        # Only now: while the database is away, memory is all there is to answer from.
        self._drop_all()
        self._connection, self._epoch, self.fresh_at = connection, epoch, asked_at

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        kind, _, rest = str(payload).partition(":")
        key, _, epoch = rest.rpartition(":")
        self.changed(kind, key)
        if int(epoch) == self._epoch + 1:  # the epoch's lock makes them come in order
            self._epoch += 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._poll()
            except LOST as exc:
                if not self._is_lost:  # once a loss: it may last the night
                    log.warning("live.lost", error=type(exc).__name__)
                self._is_lost = True
                await self._reconnect()

    async def _poll(self) -> None:
        if self._connection is None or self._connection.is_closed():
            raise ConnectionError("the listening connection is closed")
        asked_at = asyncio.get_running_loop().time()
        epoch = await self._connection.fetchval("SELECT value FROM epoch", timeout=5)
        if epoch > self._epoch:
            # Every change up to here was notified on this very connection before the answer came,
            # so one of them was lost.
            self._drop_all()
            self._epoch = epoch
        self.fresh_at = asked_at

    async def _reconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        with contextlib.suppress(*LOST):
            await self._connect()
            self._is_lost = False
            log.warning("live.back")

    def _drop_all(self) -> None:
        for caches in self._kinds.values():
            for cache in caches:
                cache.clear()
