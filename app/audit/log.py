"""The append-only log: hash-chained entries, written before what they speak of leaves.

An entry holds who, what, why and how many; never a payload, a token or a row, nor an individual number.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import receipts
from app.audit.events import Event
from app.formats.individual_number import masked_json
from app.kit import clock
from app.kit.db import LOST, SESSION_SETTINGS, DatabaseUnavailable

_APPEND = text("SELECT log_append(CAST(:bodies AS text[]))")
_MOST_AT_ONCE = 500
_MOST_CHARACTERS = 500  # of one fact
_TRY_AGAIN_S = 5.0  # after a failure, whether or not anybody has an entry


def body_of(event: Event, **facts: Any) -> str:
    """The canonical JSON of one entry: sorted keys, no blanks, absent facts left out."""
    known = {name: _plain(value) for name, value in facts.items() if value is not None}
    known["event"] = event.value
    known["at"] = clock.now()
    body = orjson.dumps(known, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return masked_json(body).decode()


def _plain(value: Any) -> Any:
    """Text from outside, cut, and without what PostgreSQL's jsonb cannot hold: one such entry
    would fail the whole group that it is committed with."""
    return value[:_MOST_CHARACTERS].replace("\x00", "\ufffd") if isinstance(value, str) else value


async def append(session: AsyncSession, event: Event, **facts: Any) -> None:
    """Add one entry to the caller's transaction.

    It takes the lock that orders the log and holds it until the commit, so it is the last
    statement of a change.
    """
    await append_all(session, [body_of(event, **facts)])


async def append_all(session: AsyncSession, bodies: Sequence[str]) -> None:
    """The same with several, in one statement: however many, the lock is held no longer."""
    if not bodies:
        return
    await session.flush()
    number = await session.scalar(_APPEND, {"bodies": list(bodies)})
    receipt = receipts.current()
    if receipt is not None:

        def committed(_session: object) -> None:
            receipt.number = number

        listen(session.sync_session, "after_commit", committed, once=True)


@dataclass(slots=True)
class _Waiting:
    body: str
    done: "asyncio.Future[int]"
    subjects: Sequence[bytes]
    since: float


class Log:
    """Groups the entries of concurrent requests into one commit. One a process."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._waiting: list[_Waiting] = []
        self._some = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection[Any] | None = None
        # When the oldest entry came that nothing has been written since; None: all is written.
        self._oldest: float | None = None

    @property
    def seconds_behind(self) -> float:
        """How long the log has taken nothing although there was something to write."""
        return 0.0 if self._oldest is None else time.monotonic() - self._oldest

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_until_stopped(), name="log")

    async def stop(self) -> None:
        """Write what waits, and let what is being written end; then stop."""
        self._is_stopping = True
        self._some.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def write(self, event: Event, about: Sequence[bytes] = (), /, **facts: Any) -> int:
        """Commit one entry and return its number, or raise `DatabaseUnavailable`.

        `about` are digests of the people whom it is about: they stand beside it, in its commit.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        since = time.monotonic()
        self._waiting.append(_Waiting(body_of(event, **facts), done, about, since))
        if self._oldest is None:
            self._oldest = since
        self._some.set()
        number = await done
        receipt = receipts.current()
        if receipt is not None:
            receipt.number = number
        return number

    async def _write_until_stopped(self) -> None:
        while self._waiting or not self._is_stopping:
            await self._some.wait()
            batch, self._waiting = (
                self._waiting[:_MOST_AT_ONCE],
                self._waiting[_MOST_AT_ONCE:],
            )
            if not self._waiting:
                self._some.clear()
            # None where it was woken to stop, or to try again: nothing needs what entries need.
            if batch or (self._oldest is not None and not self._is_stopping):
                await self._write(batch)

    async def _write(self, batch: list[_Waiting]) -> None:
        try:
            last = await self._commit(batch)
        except LOST as exc:  # what ended this task would leave every request waiting for ever
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            refusal = DatabaseUnavailable()
            refusal.__cause__ = exc
            for entry in batch:
                if not entry.done.cancelled():
                    entry.done.set_exception(refusal)
            asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._some.set)
            return
        self._oldest = self._waiting[0].since if self._waiting else None
        first = last - len(batch) + 1
        for number, entry in enumerate(batch, start=first):
            if not entry.done.cancelled():  # its caller hung up; the entry stands all the same
                entry.done.set_result(number)

    async def _commit(self, batch: list[_Waiting]) -> int:
        """One round trip, one commit (a single statement is its own transaction)."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn, server_settings=SESSION_SETTINGS, timeout=5
            )
        bodies = [entry.body for entry in batch]
        about = [(at, digest) for at, each in enumerate(batch, 1) for digest in each.subjects]
        asked: tuple[Any, ...] = ("SELECT log_append($1)", bodies)
        if about:
            places, digests = zip(*about, strict=True)
            asked = ("SELECT log_append_about($1, $2, $3)", bodies, places, digests)
        last: int = await self._connection.fetchval(*asked, timeout=15)
        return last
