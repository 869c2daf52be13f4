"""Listens for feeds whose source tells what changes, and writes what comes; loads no file.

One process listens for a feed at a time, by a lease that it renews; another takes over when it is
gone. What a source is told to be kept is kept: rows, how far we are, and the entry in the log share
one transaction, and only then the next is asked for.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.broker import streamed
from app.broker.streamed import Change
from app.catalogue import connectors, profiles, repairs, streams
from app.catalogue.harvests import NotMine
from app.catalogue.streams import Listening, Reject, Tally
from app.connectors.frame import AnyConnector, Changes, Means, Shape
from app.connectors.kinds import contained
from app.kit import clock
from app.kit.db import LOST, DatabaseUnavailable
from app.kit.errors import AppError, Kind
from app.models.connectors import Stream
from app.models.datasets import Dataset
from app.tasks.harvest import Harvester
from app.tasks.inbox import open_inbox
from app.tasks.typed import How, typed

log = structlog.get_logger()
_LOOK_S: Final = 2.0
_LEASE_S: Final = 10.0
_MOST: Final = 200  # streams of one process
_ROWS: Final = 1_000  # that are written in one transaction
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 300.0
_STEADY_S: Final = 60.0  # after which what goes wrong is new
_FORGET_S: Final = 10.0
_PASSING: Final = (*LOST, DBAPIError, DatabaseUnavailable)


class StreamFailed(AppError):
    """A fault of ours ended it. Its words may hold a row, and are told nobody."""

    kind = Kind.UNAVAILABLE
    code = "stream_failed"
    ja = "内部エラーのためデータセット {dataset} の受信が中断しました。運営者に連絡してください。"
    en = "An internal error broke the stream of the dataset {dataset} off. Tell the operator."


@dataclass(slots=True)
class Streamer:
    """What listens. One a worker.

    `public_url`: where sources reach us that send what they have to tell.
    """

    harvester: Harvester
    public_url: str
    look_seconds: float = _LOOK_S
    lease_seconds: float = _LEASE_S
    first_wait_seconds: float = _FIRST_WAIT_S
    _running: "dict[UUID, tuple[Listening, asyncio.Task[None]]]" = field(default_factory=dict)
    _ending: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def run(self) -> None:
        """Listen until cancelled, over every loss of the database."""
        try:
            while True:
                try:
                    await self._look()
                except _PASSING as exc:
                    log.warning("streams.interrupted", error=type(exc).__name__)
                    if not await self._is_ours_still():
                        self._stop([*self._running])
                except Exception:
                    # The outermost loop of all streams: a fault of ours ends none that goes well.
                    log.exception("streams.failed")
                await asyncio.sleep(self.look_seconds)
        finally:
            self._stop([*self._running])
            if self._ending:
                await asyncio.wait(self._ending)

    async def _look(self) -> None:
        """Renew what is ours, stop what is no longer wanted, and begin what nobody does."""
        ours = await self._renew()
        stale = [
            holder
            for holder, (work, task) in self._running.items()
            if task.done() or ours.get(holder) != (work.kept.entry.changed_at, True)
        ]
        self._stop(stale)
        async with self.harvester.database.writing() as session:
            most = _MOST - len(self._running)
            claimed = await streams.claim(session, self._lease, most=most)
        for work in claimed:
            self._running[work.holder] = (work, asyncio.create_task(self._listen(work)))

    async def _renew(self) -> Mapping[UUID, tuple[datetime, bool]]:
        async with self.harvester.database.writing() as session:
            return await streams.renew(session, [*self._running], self._lease)

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    async def _is_ours_still(self) -> bool:
        """Whether the database is back before anybody may have taken our streams over."""
        await asyncio.sleep(self.lease_seconds / 4)
        try:
            await self._renew()
        except _PASSING:
            return False
        return True

    def _stop(self, holders: list[UUID]) -> None:
        """Have them end; nobody waits for it, for a source may be slow to be told."""
        for holder in holders:
            _, task = self._running.pop(holder)
            if task.cancel():
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def _listen(self, work: Listening) -> None:
        """Listen for one feed until something is wrong, or until told to stop."""
        refusal: AppError | None = None
        began, is_told, has_ended = asyncio.get_running_loop().time(), False, False
        try:
            await self._take(work)
            has_ended = True  # in order: it is begun again
        except NotMine:
            is_told = True
        except asyncio.CancelledError:
            is_told = True
            raise
        except _PASSING as exc:
            log.warning(
                "stream.interrupted", dataset=work.feed.dataset_id, error=type(exc).__name__
            )
        except AppError as wrong:
            refusal = wrong
        except Exception as exc:  # noqa: BLE001 - the outermost loop of a stream: it is tried again
            log.error("stream.failed", dataset=work.feed.dataset_id, error=type(exc).__name__)
            refusal = StreamFailed(dataset=work.feed.dataset_id)
        finally:
            was_steady = asyncio.get_running_loop().time() - began > _STEADY_S
            tries = 1 if was_steady or has_ended else work.tries
            wait = timedelta(0) if is_told else self._wait(tries)
            with suppress(*_PASSING):
                async with self.harvester.database.writing() as session:
                    await streams.let_go(session, work, wait, 0 if is_told else tries, refusal)

    def _wait(self, tries: int) -> timedelta:
        """Twice as long each time, somewhere within its second half."""
        longest = min(self.first_wait_seconds * 2 ** min(tries - 1, 20), _LONGEST_WAIT_S)
        return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - no secret

    async def _take(self, work: Listening) -> None:
        await asyncio.to_thread(import_module, "app.formats.intake")  # before anything is locked
        database, entry = self.harvester.database, work.kept.entry
        sealer = self.harvester.open_sealer()
        async with database.writing() as session:
            stream = await streams.mine(session, work)
            inbox = open_inbox(database, self.public_url, entry.id, stream)
        lent = self.harvester.folders.get(entry.organization_id, ())
        means = Means(self.harvester.outbound, lent, inbox=inbox)
        connector = await connectors.open_connector(entry, sealer, self.harvester.kinds, means)
        selection = connectors.selection_of(self.harvester.kinds, entry, work.feed.selection)
        heard = _Heard(work.position)
        if heard.position is None and (first := connector.first_position(selection)) is not None:
            await self._keep(work, Changes(position=first))
            heard.position = first
        try:
            await self._hear(work, connector, selection, heard)
        finally:
            await self._forget(work, connector, selection, heard)

    async def _hear(
        self, work: Listening, connector: AnyConnector, selection: Shape, heard: "_Heard"
    ) -> None:
        with contained(connector):
            listening = connector.listen(selection, heard.position)
            source = await listening.__aenter__()
        try:
            await self._begun(work)
            while (changes := await _next(connector, source)) is not None:
                for part in _parts(changes):
                    await self._keep(work, part)
                heard.position = changes.position or heard.position
        finally:
            with contained(connector):
                await listening.__aexit__(None, None, None)

    async def _begun(self, work: Listening) -> None:
        async with self.harvester.database.writing() as session:
            streams.begin(await streams.mine(session, work))

    async def _keep(self, work: Listening, changes: Changes) -> None:
        """Rows, position and entry in the log: all of them or none."""
        async with self.harvester.database.writing() as session:
            stream = await streams.mine(session, work)
            tally = await self._write(session, work, changes)
            await streams.keep(session, stream, tally, changes.position, changes.taken)
            _prolong(stream, self._lease)

    async def _write(self, session: AsyncSession, work: Listening, changes: Changes) -> Tally:
        rejects = [Reject.of_message(code) for code in changes.unusable]
        if not (changes.rows or changes.gone or rejects):
            return Tally()
        dataset = await session.get_one(Dataset, work.feed.dataset_id)
        await Harvester.check_managed(session, work.kept.entry, dataset)
        base = await streamed.base_of(session, work.feed.dataset_id)
        how = await _how(session, work, base)
        rows = await asyncio.to_thread(typed, changes.rows, how)
        gone = await asyncio.to_thread(typed, changes.gone, how.of_keys())
        good: list[Change] = []
        for at, each in enumerate([*rows, *gone]):
            if isinstance(each, Reject):
                rejects.append(each)
            else:
                good.append(Change(at, each, gone=at >= len(rows)))
        kept = await streamed.keep(session, base, good, by=_actor(work))
        rejects += [_UNSTORABLE] * len(kept.unstorable)
        received = len(rows) + len(gone) + len(changes.unusable)
        if kept.written or kept.deleted or rejects:
            await _note(session, work, base, kept, len(rejects))
        return Tally(received, kept.written, kept.deleted, rejects)

    async def _forget(
        self, work: Listening, connector: AnyConnector, selection: Shape, heard: "_Heard"
    ) -> None:
        """Where nobody wants it any more, the source is told so; what it keeps ends by itself else."""
        if heard.position is None:
            return
        try:
            async with self.harvester.database.reading() as session:
                is_over = await streams.is_over(session, work)
            if is_over:
                async with asyncio.timeout(_FORGET_S):
                    with contained(connector):
                        await connector.forget(selection, heard.position)
        except (AppError, *_PASSING) as exc:
            log.warning(
                "stream.not_forgotten", dataset=work.feed.dataset_id, error=type(exc).__name__
            )


@dataclass(slots=True)
class _Heard:
    """How far a stream was kept, for whoever ends it."""

    position: Mapping[str, Any] | None


def _parts(changes: Changes) -> Iterator[Changes]:
    """Few rows at once, whatever a kind gives: how far the source is heard stands behind the last."""
    if len(changes.rows) + len(changes.gone) <= _ROWS:
        yield changes
        return
    for start in range(0, len(changes.rows), _ROWS):
        yield Changes(rows=changes.rows[start : start + _ROWS])
    for start in range(0, len(changes.gone), _ROWS):
        yield Changes(gone=changes.gone[start : start + _ROWS])
    yield replace(changes, rows=(), gone=())


_UNSTORABLE: Final = Reject(
    "value_not_storable", None, "データベースに格納できない値があります。", "A value cannot be stored."
)  # fmt: skip


async def _next(connector: AnyConnector, source: AsyncIterator[Changes]) -> Changes | None:
    with contained(connector):
        return await anext(source, None)


async def _how(session: AsyncSession, work: Listening, base: streamed.Base) -> How:
    return How(
        base.fields,
        work.feed.mapping or base.dataset.mapping,
        await profiles.rules_of(session, base.dataset),
        await repairs.refused(session, base.dataset.id),
    )


async def _note(
    session: AsyncSession, work: Listening, base: streamed.Base, kept: streamed.Kept, rejected: int
) -> None:
    entry = work.kept.entry
    await audit.append(
        session, Event.RECORDS_WRITTEN, dataset=base.dataset.id,
        data_class=base.dataset.data_class, provider=base.dataset.publisher_id,
        client=entry.set_via, person=None, consumer=entry.organization_id, purpose=None,
        version=kept.version, revision=kept.revision, rows=kept.written, rejected=rejected,
        deleted=kept.deleted, request=None, connector=str(entry.id), by=_actor(work),
    )  # fmt: skip


def _prolong(stream: Stream, lease: timedelta) -> None:
    """A batch that took long is no silence."""
    stream.held_until = clock.now() + lease


def _actor(work: Listening) -> str:
    return f"connector:{work.kept.entry.id}"
