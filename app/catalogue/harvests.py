"""Harvests: asked for, begun by one worker, handed to the take-in, ended. Asks no source itself.

A state changes under the lock of its row, and a worker that was silent for too long finds that the
attempt is no longer its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import approval, harvest_outcomes, runs, versions
from app.catalogue.approval import SecondPersonNeeded
from app.catalogue.connectors import FeedIsLive, FeedStreams, Kept, kept
from app.connectors.errors import SourceError
from app.connectors.frame import MOST_SECONDS, Capabilities, Known
from app.jobs import queue
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.models.connectors import ConnectorEntry, Feed, Harvest, HarvestState, Mode
from app.models.datasets import Dataset, Run, RunState

MOST_TRIES: Final = 4
_DUE_AT_ONCE: Final = 100
# Longer than one try may take; and than all harvests of one source, each behind the other.
_LOST_AT_WORK: Final = timedelta(seconds=MOST_SECONDS) + timedelta(hours=1)
_LOST_IN_QUEUE: Final = timedelta(days=2)
# What the take-in says of a file whose table is another one than before.
_OTHER_SHAPE: Final = frozenset(
    ("column_missing", "table_not_found", "several_tables", "no_data_rows", "no_rows_accepted",
     "file_empty", "schema_change_unconfirmed")
)  # fmt: skip


class HarvestNotFound(AppError):
    """The connector has no such run."""

    kind = Kind.NOT_FOUND
    code = "connector_run_not_found"
    ja = "コネクタ {connector} に実行 {id} はありません。"
    en = "The connector {connector} has no run {id}."


class HarvestUnderWay(AppError):
    """One at a time for a dataset."""

    kind = Kind.CONFLICT
    code = "connector_run_under_way"
    ja = "データセット {dataset} の収集は既に実行中です（{id}）。終了を待つか、取り消してください。"
    en = "A harvest of the dataset {dataset} is under way ({id}). Wait for its end, or cancel it."


class HarvestEnded(AppError):
    """Nothing is left to cancel."""

    kind = Kind.CONFLICT
    code = "connector_run_has_ended"
    ja = "実行 {id} は既に終了しています（{state}）。"
    en = "The run {id} has ended already ({state})."


class NotMine(Exception):
    """The harvest has ended, or another worker has taken it over: what was made is dropped."""


class NotYet(Exception):
    """Another harvest of the same connector asks its source now."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to ask a source, read once."""

    harvest_id: UUID
    attempt: UUID
    kept: Kept
    feed: Feed
    known: Known | None
    is_current: bool  # readers get the version that `known` speaks of
    tries: int

    def known_to(self, kind: Capabilities) -> Known | None:
        """What the source may be told that we have. Changes alone follow on the version that
        readers get: where that is another one, all is asked for."""
        return self.known if self.is_current or not kind.sends_changes else None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What has come: an upload of the take-in, and how it is to be loaded."""

    upload: tuple[UUID, int]
    told: dict[str, Any] | None
    validators: dict[str, Any] | None
    delta: bool


async def ask(
    session: AsyncSession, entry: ConnectorEntry, dataset_id: str, *, by: str | None,
    fresh: bool = False,
) -> Harvest:  # fmt: skip
    """Put a harvest in the queue. Raises `HarvestUnderWay`, `FeedStreams`, `FeedIsLive`."""
    feed = await session.get_one(Feed, dataset_id, with_for_update=True)
    if feed.mode == Mode.STREAM:
        raise FeedStreams(dataset=dataset_id)
    if feed.mode == Mode.LIVE:
        raise FeedIsLive(dataset=dataset_id)
    busy = await under_way(session, dataset_id)
    if busy is not None:
        raise HarvestUnderWay(dataset=dataset_id, id=busy)
    harvest = Harvest(
        id=uuid4(), connector_id=entry.id, dataset_id=dataset_id, state=HarvestState.QUEUED,
        fresh=fresh, tries=0, published=False, created_at=clock.now(), created_by=by,
    )  # fmt: skip
    session.add(harvest)
    await log.append(
        session, Event.HARVEST_ASKED, connector=str(entry.id), dataset=dataset_id,
        harvest=str(harvest.id), by=by or "schedule",
    )  # fmt: skip
    await queue.enqueue(
        await Database.driver_of(session), queue.HARVEST, harvest_id=str(harvest.id)
    )
    return harvest


async def under_way(session: AsyncSession, dataset_id: str) -> UUID | None:
    """The harvest of a dataset that has not ended."""
    found = select(Harvest.id).where(Harvest.dataset_id == dataset_id, Harvest.ended_at.is_(None))
    its: UUID | None = await session.scalar(found)
    return its


async def claim(session: AsyncSession, harvest_id: UUID) -> Work | None:
    """Be the one that asks the source; None where the harvest ends here, cancelled.

    Raises `NotMine`, and `NotYet` while another harvest asks the same source.
    """
    harvest = await session.get(Harvest, harvest_id)
    if harvest is None:
        raise NotMine
    entry = await session.get(ConnectorEntry, harvest.connector_id, with_for_update=True)
    harvest = await session.get(Harvest, harvest_id, with_for_update=True, populate_existing=True)
    if entry is None or harvest is None or harvest.ended_at is not None or harvest.run_id:
        raise NotMine
    others = select(Harvest.id).where(
        Harvest.connector_id == entry.id, Harvest.state == HarvestState.FETCHING,
        Harvest.id != harvest_id,
    )  # fmt: skip
    if await session.scalar(others.limit(1)) is not None:
        raise NotYet
    its = await kept(session, entry)
    feed = next((each for each in its.feeds if each.dataset_id == harvest.dataset_id), None)
    if feed is None or harvest.cancel_requested_at is not None:
        await end(session, harvest, HarvestState.CANCELLED)
        return None
    feed.noticed_at = None  # whoever asks now hears what was new until now
    harvest.state, harvest.attempt = HarvestState.FETCHING, uuid4()
    harvest.tries += 1
    harvest.started_at = clock.now()  # of this try
    dataset = await session.get_one(Dataset, feed.dataset_id)
    known = Known(feed.validators) if feed.validators is not None and not harvest.fresh else None
    is_current = dataset.current_version == feed.version_number
    return Work(harvest_id, harvest.attempt, its, feed, known, is_current, harvest.tries)


async def mine(session: AsyncSession, work: Work) -> Harvest:
    """The harvest, if this attempt is still the one. Raises `NotMine`."""
    harvest = await session.get(Harvest, work.harvest_id, with_for_update=True)
    if harvest is None or harvest.attempt != work.attempt or harvest.ended_at is not None:
        raise NotMine
    return harvest


async def hand_over(session: AsyncSession, work: Work, fetched: Fetched) -> None:
    """Have the take-in load what has come. Raises `NotMine` and what refuses the dataset."""
    harvest = await mine(session, work)
    if harvest.cancel_requested_at is not None:
        await end(session, harvest, HarvestState.CANCELLED)
        return
    dataset = await session.get_one(Dataset, harvest.dataset_id)
    runs.check_can_load(dataset)
    how = runs.How(told=fetched.told, delta=fetched.delta, mapping=work.feed.mapping)
    # A machine has no word of its own: whoever said what is asked of the source has loaded it.
    by, via = work.kept.entry.set_by, work.kept.entry.set_via
    run = await runs.start(
        session, dataset, run_id=uuid4(), upload=fetched.upload, how=how, by=by, via=via
    )
    await session.flush()
    harvest.state, harvest.run_id = HarvestState.LOADING, run.id
    harvest.validators, harvest.bytes = fetched.validators, fetched.upload[1]
    _forget_error(harvest)
    await queue.enqueue(await Database.driver_of(session), queue.LOAD, run_id=str(run.id))


async def end_unchanged(session: AsyncSession, work: Work) -> None:
    """The source says that we have what it has: no new version."""
    harvest = await mine(session, work)
    harvest.version_number = work.feed.version_number
    _forget_error(harvest)
    await end(session, harvest, HarvestState.UNCHANGED)


async def put_back(session: AsyncSession, work: Work, refusal: AppError) -> None:
    """What asking again may mend waits in the queue, with what was wrong for whoever looks."""
    harvest = await mine(session, work)
    harvest.state = HarvestState.QUEUED
    _note_error(harvest, refusal)


async def fail(session: AsyncSession, work: Work, refusal: AppError) -> None:
    """End a harvest for which nothing was loaded; readers keep what they have."""
    harvest = await mine(session, work)
    _note_error(harvest, refusal)
    await end(session, harvest, HarvestState.FAILED)


async def settle(session: AsyncSession, run_id: UUID) -> None:
    """End the harvest of a run that has ended, and publish its version where that is asked for."""
    its = select(Harvest.connector_id).where(Harvest.run_id == run_id).scalar_subquery()
    asks = select(ConnectorEntry).where(ConnectorEntry.id == its).with_for_update()
    entry = await session.scalar(asks)  # locked before its harvest, as everywhere
    found = select(Harvest).where(Harvest.run_id == run_id).with_for_update()
    harvest = await session.scalar(found)
    run = await session.get(Run, run_id)
    if entry is None or harvest is None or harvest.ended_at is not None:
        return
    if run is None or run.state not in runs.FINAL:
        return
    harvest.rows, harvest.version_number = run.rows_accepted, run.version_number
    if run.state == RunState.FAILED:
        is_cancelled = run.error_code == "cancelled"
        harvest.error_code, harvest.error_ja, harvest.error_en = (
            run.error_code, run.error_ja, run.error_en,
        )  # fmt: skip
        harvest.error_class = None if is_cancelled else _class_of(run.error_code)
        await end(session, harvest, HarvestState.CANCELLED if is_cancelled else HarvestState.FAILED)
        return
    state = HarvestState.DEGRADED if run.state == RunState.DEGRADED else HarvestState.OK
    feed = await session.get(Feed, harvest.dataset_id, with_for_update=True)
    if feed is not None and feed.connector_id == harvest.connector_id:
        is_fine = not feed.publish or await _publish(session, harvest)
        if is_fine:
            # Of what was asked of another source, or for something else, it proves nothing.
            is_same = harvest.started_at is not None and entry.changed_at <= harvest.started_at
            proof = (harvest.validators, run.version_number) if is_same else (None, None)
            feed.validators, feed.version_number = proof
        else:
            state = HarvestState.FAILED
    if run.unchanged and state is HarvestState.OK:
        state = HarvestState.UNCHANGED
    await end(session, harvest, state)


async def _publish(session: AsyncSession, harvest: Harvest) -> bool:
    """Whether readers get the version, have had it, or will by a second person's word; what refuses
    it stands in the history."""
    dataset = await session.get_one(Dataset, harvest.dataset_id)
    version = await versions.get(session, harvest.dataset_id, harvest.version_number or 0)
    if version.published_at is not None:
        return True  # gone back from by somebody's decision, or still the one
    try:
        if await approval.is_needed(session, dataset):  # no machine is a second person
            raise SecondPersonNeeded(
                publisher=dataset.publisher_id, dataset=dataset.id, number=version.number,
                loader=actor(harvest),
            )  # fmt: skip
        async with session.begin_nested():
            await versions.publish(session, dataset, version, by=actor(harvest))
    except SecondPersonNeeded as waits:
        _note_error(harvest, waits)  # it is loaded, and somebody has to look at it
        return True
    except AppError as refusal:
        _note_error(harvest, refusal)
        return False
    harvest.published = True
    return True


async def settle_missed(session: AsyncSession) -> None:
    """End what a worker that was killed left: runs that ended unseen, harvests that nobody makes."""
    waiting = select(Harvest.run_id).join(Run, Run.id == Harvest.run_id)
    waiting = waiting.where(Harvest.ended_at.is_(None), Run.state.in_(runs.FINAL))
    for run_id in (await session.scalars(waiting.limit(_DUE_AT_ONCE))).all():
        if run_id is not None:
            await settle(session, run_id)
    now = clock.now()
    at_work = and_(Harvest.state == HarvestState.FETCHING, Harvest.started_at < now - _LOST_AT_WORK)
    in_queue = and_(Harvest.state == HarvestState.QUEUED, Harvest.created_at < now - _LOST_IN_QUEUE)
    lost = select(Harvest).where(or_(at_work, in_queue))
    for harvest in await session.scalars(lost.with_for_update(skip_locked=True)):
        await give_up(session, harvest)


async def give_up(session: AsyncSession, harvest: Harvest) -> None:
    """End a harvest by a fault of ours."""
    if harvest.ended_at is None:
        harvest.error_class, harvest.error_code = "ours", "internal_error"
        harvest.error_ja = "内部エラーのため収集を中止しました。運営者に実行番号を伝えてください。"
        harvest.error_en = "Given up after an internal error. Tell the operator the run's id."
        await end(session, harvest, HarvestState.FAILED)


async def cancel(session: AsyncSession, kept: Kept, harvest_id: UUID, *, by: str) -> Harvest:
    """Ask for a harvest's end. Raises `HarvestNotFound`, `HarvestEnded`."""
    harvest = await get(session, kept, harvest_id, lock=True)
    if harvest.ended_at is not None:
        raise HarvestEnded(id=harvest_id, state=harvest.state)
    harvest.cancel_requested_at = harvest.cancel_requested_at or clock.now()
    if harvest.state == HarvestState.QUEUED:
        await end(session, harvest, HarvestState.CANCELLED)
    elif (
        harvest.run_id is not None
        and (await runs.get(session, harvest.run_id)).state not in runs.FINAL
    ):
        await runs.cancel(session, harvest.run_id, by=by)
        await settle(session, harvest.run_id)
    return harvest


async def end(session: AsyncSession, harvest: Harvest, state: HarvestState) -> None:
    """Write how a harvest has ended, in its row and in the log."""
    harvest.state, harvest.ended_at = state, clock.now()
    await session.flush()
    await harvest_outcomes.keep(session, harvest)
    await log.append(
        session, Event.HARVEST_ENDED, connector=str(harvest.connector_id),
        dataset=harvest.dataset_id, harvest=str(harvest.id), state=state.value,
        version=harvest.version_number, published=harvest.published, rows=harvest.rows,
        error=harvest.error_code,
    )  # fmt: skip


async def get(
    session: AsyncSession, kept: Kept, harvest_id: UUID, *, lock: bool = False
) -> Harvest:
    """A harvest of a connector. Raises `HarvestNotFound`."""
    found = await session.get(Harvest, harvest_id, with_for_update=lock or None)
    if found is None or found.connector_id != kept.entry.id:
        raise HarvestNotFound(connector=kept.entry.id, id=harvest_id)
    return found


async def list_harvests(
    session: AsyncSession, connector_id: UUID, *, after: UUID | None = None, limit: int = 100
) -> Sequence[Harvest]:
    """The history of a connector, newest first; `after` is the last one of the page before."""
    statement = select(Harvest).where(Harvest.connector_id == connector_id)
    last = await session.get(Harvest, after) if after is not None else None
    if last is not None:
        place = tuple_(Harvest.created_at, Harvest.id)
        statement = statement.where(place < (last.created_at, last.id))
    newest = statement.order_by(Harvest.created_at.desc(), Harvest.id.desc()).limit(limit)
    return (await session.scalars(newest)).all()


def actor(harvest: Harvest) -> str:
    """Who stands in the log for what a harvest does."""
    return f"connector:{harvest.connector_id}"


def _note_error(harvest: Harvest, refusal: AppError) -> None:
    harvest.error_code = refusal.code
    harvest.error_ja, harvest.error_en = refusal.words("ja"), refusal.words("en")
    is_shape = refusal.code in _OTHER_SHAPE
    ours = "changed" if is_shape else "ours"  # where we do not go, or what we do not take
    harvest.error_class = refusal.told_as if isinstance(refusal, SourceError) else ours


def _forget_error(harvest: Harvest) -> None:
    """Of an earlier try."""
    harvest.error_class = harvest.error_code = harvest.error_ja = harvest.error_en = None


def _class_of(code: str | None) -> str:
    """What the take-in's refusal of a file says of its source."""
    if code in _OTHER_SHAPE or (code or "").startswith("mapping_"):
        return "changed"
    return "ours" if code == "internal_error" else "broken"
