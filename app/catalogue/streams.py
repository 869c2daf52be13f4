"""Streams: who listens now, how far each has come, and what was wrong. Asks no source itself.

One process listens for a feed at a time: it holds a lease, which it renews, and which another takes
over once it has run out. What changes a stream's row asks whether the lease is still its own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from sqlalchemy import and_, delete, exists, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.connectors import Kept, kept
from app.catalogue.harvests import NotMine
from app.connectors.errors import UNUSABLE, SourceError
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.connectors import (
    ConnectorEntry,
    Feed,
    Harvest,
    Mode,
    Stream,
    StreamMessage,
    StreamState,
)

MOST_REJECTS: Final = 20
_AT_ONCE: Final = 50
_MOST_WAITING: Final = 1_000  # messages of one stream,
_MOST_BYTES: Final = 64 << 20  # and bytes of them
# FOR NO KEY UPDATE, and FOR KEY SHARE: messages come in while a batch is written.
_OWN: Final = {"key_share": True}
_ANYBODYS: Final = {"read": True, "key_share": True}
# Who sends waits for who sent before: a number that is read is never followed by a smaller one.
_IN_TURN: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('stream:' || :dataset, 0))")
_COLUMNS: Final = (
    "dataset_id", "state", "tries", "received", "written", "deleted", "rejected", "rejects",
)  # fmt: skip
_EMPTY: Final = (literal(StreamState.CONNECTING.value), *(literal(0),) * 5, literal([], JSONB))


class NotificationsWaiting(AppError):
    """More is sent than is taken."""

    kind = Kind.UNAVAILABLE
    code = "notifications_waiting"
    ja = "未処理の通知が {most} 件あります。しばらくしてから再送してください。"
    en = "{most} notifications wait to be taken. Send it again shortly."


@dataclass(frozen=True, slots=True)
class Listening:
    """What a process needs to listen for one feed, read once."""

    holder: UUID
    kept: Kept
    feed: Feed
    position: Mapping[str, Any] | None
    tries: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a row, or a whole message, was kept out."""

    code: str
    field: str | None
    ja: str
    en: str

    @classmethod
    def of_message(cls, code: str) -> "Reject":
        """Of a message that holds no row."""
        return cls(code, None, *UNUSABLE.get(code, UNUSABLE["message_unusable"]))


@dataclass(frozen=True, slots=True)
class Tally:
    """What one batch gave."""

    received: int = 0
    written: int = 0
    deleted: int = 0
    rejects: Sequence[Reject] = ()


async def claim(session: AsyncSession, lease: timedelta, *, most: int) -> list[Listening]:
    """Be the one that listens for feeds that nobody listens for now, where it is time to."""
    await _prepare(session)
    now = clock.now()
    is_due = or_(
        Stream.next_try_at.is_(None),
        Stream.next_try_at <= now,
        Stream.tried_of != ConnectorEntry.changed_at,  # somebody has mended it
    )
    is_harvested = exists().where(Harvest.dataset_id == Feed.dataset_id, Harvest.ended_at.is_(None))
    found = await session.execute(
        select(Stream, Feed, ConnectorEntry)
        .join(Feed, Feed.dataset_id == Stream.dataset_id)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(Feed.mode == Mode.STREAM, ConnectorEntry.paused.is_(False), _is_free(now), is_due)
        .where(~is_harvested)  # what it would publish is older than what comes now
        .limit(min(most, _AT_ONCE))
        .with_for_update(of=Stream, skip_locked=True, key_share=True)
    )
    claimed = []
    for stream, feed, entry in found.all():
        holder = uuid4()
        stream.holder, stream.held_until = holder, now + lease
        stream.state, stream.since, stream.next_try_at = StreamState.CONNECTING, None, None
        stream.tries = stream.tries + 1 if stream.tried_of == entry.changed_at else 1
        stream.tried_of = entry.changed_at
        belongs_to = _digest(entry, feed)
        if stream.made_for != belongs_to:  # another place, or something else of it
            stream.made_for, stream.position = belongs_to, None
            stream.secret_sha256 = stream.former_sha256 = None
        its = await kept(session, entry)
        claimed.append(Listening(holder, its, feed, stream.position, stream.tries))
    return claimed


async def renew(
    session: AsyncSession, holders: Sequence[UUID], lease: timedelta
) -> Mapping[UUID, tuple[datetime, bool]]:
    """Keep the leases of a process. Returns for each that it still has since when its connector is
    as it is, and whether it may go on.

    One whose batch is being written is passed over: nobody takes it over meanwhile.
    """
    its = select(Stream.dataset_id).where(Stream.holder.in_(holders))
    free = its.with_for_update(skip_locked=True, key_share=True)
    until = clock.now() + lease
    await session.execute(
        update(Stream).where(Stream.dataset_id.in_(free)).values(held_until=until)
    )
    found = await session.execute(
        select(Stream.holder, ConnectorEntry.changed_at, ConnectorEntry.paused, Feed.mode)
        .join(Feed, Feed.dataset_id == Stream.dataset_id)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(Stream.holder.in_(holders))
    )
    return {
        holder: (changed_at, not paused and mode == Mode.STREAM)
        for holder, changed_at, paused, mode in found
        if holder is not None
    }


async def mine(session: AsyncSession, work: Listening) -> Stream:
    """The stream, locked, if it is still ours and nobody has stopped it. Raises `NotMine`."""
    stream = await session.get(Stream, work.feed.dataset_id, with_for_update=_OWN)
    if stream is None or stream.holder != work.holder:
        raise NotMine
    entry = work.kept.entry
    asks = select(ConnectorEntry.id).where(
        ConnectorEntry.id == entry.id,
        ConnectorEntry.paused.is_(False),
        ConnectorEntry.changed_at == entry.changed_at,
    )
    if await session.scalar(asks) is None:
        raise NotMine
    return stream


def begin(stream: Stream) -> None:
    """The source has taken us on: from now on it streams, by no secret but the last."""
    stream.state, stream.since = StreamState.STREAMING, clock.now()
    stream.former_sha256 = None
    stream.connections += 1


async def keep(
    session: AsyncSession,
    stream: Stream,
    tally: Tally,
    position: Mapping[str, Any] | None,
    taken: int | None,
) -> None:
    """Count a batch, with how far the source has been heard: in the transaction of its rows."""
    now = clock.now()
    if tally.received or tally.rejects:
        stream.last_at, stream.tries = now, 0
        stream.received += tally.received
        stream.written += tally.written
        stream.deleted += tally.deleted
        stream.rejected += len(tally.rejects)
        new = [
            {"at": now.isoformat(), "field": each.field, "code": each.code, "ja": each.ja, "en": each.en}
            for each in tally.rejects[-MOST_REJECTS:]
        ]  # fmt: skip
        stream.rejects = [*stream.rejects, *new][-MOST_REJECTS:]
    if position is not None:
        stream.position = dict(position)
    if taken is not None:
        its = StreamMessage.dataset_id == stream.dataset_id
        await session.execute(delete(StreamMessage).where(its, StreamMessage.number <= taken))


async def let_go(
    session: AsyncSession,
    work: Listening,
    wait: timedelta,
    tries: int,
    refusal: AppError | None = None,
) -> None:
    """Listen no more, until it is time to try again; what was wrong stands in the stream's status."""
    stream = await session.get(Stream, work.feed.dataset_id, with_for_update=_OWN)
    if stream is None or stream.holder != work.holder:
        return
    stream.holder = stream.held_until = stream.since = None
    stream.tries = tries
    stream.state, stream.next_try_at = StreamState.WAITING, clock.now() + wait
    if refusal is not None:
        stream.error_class = refusal.told_as if isinstance(refusal, SourceError) else "ours"
        stream.error_code, stream.error_at = refusal.code, clock.now()
        stream.error_ja, stream.error_en = refusal.words("ja"), refusal.words("en")


async def is_over(session: AsyncSession, work: Listening) -> bool:
    """Whether nobody wants any more what the source keeps for this stream."""
    feed = await session.get(Feed, work.feed.dataset_id, populate_existing=True)
    entry = await session.get(ConnectorEntry, work.kept.entry.id, populate_existing=True)
    if feed is None or entry is None or feed.mode != Mode.STREAM or feed.connector_id != entry.id:
        return True
    return _digest(entry, feed) != _digest(work.kept.entry, work.feed)


async def find_listening(session: AsyncSession, connector_id: UUID, secret: str) -> str | None:
    """The dataset whose stream knows a source by this secret, while somebody listens for it."""
    digest = hashlib.sha256(secret.encode()).digest()
    found: str | None = await session.scalar(
        select(Stream.dataset_id)
        .join(Feed, Feed.dataset_id == Stream.dataset_id)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(
            ConnectorEntry.id == connector_id,
            ConnectorEntry.paused.is_(False),
            or_(Stream.secret_sha256 == digest, Stream.former_sha256 == digest),
        )
    )
    return found


async def put(session: AsyncSession, dataset_id: str, body: bytes) -> bool:
    """Keep a message until it is taken; False where the stream has gone. Raises
    `NotificationsWaiting`."""
    if await session.get(Stream, dataset_id, with_for_update=_ANYBODYS) is None:
        return False
    await session.execute(_IN_TURN, {"dataset": dataset_id})
    size = func.coalesce(func.sum(func.octet_length(StreamMessage.body)), 0)
    its = select(func.count(), size).where(StreamMessage.dataset_id == dataset_id)
    waiting, held = (await session.execute(its)).one()
    if waiting >= _MOST_WAITING or held >= _MOST_BYTES:
        raise NotificationsWaiting(most=_MOST_WAITING)
    session.add(StreamMessage(dataset_id=dataset_id, body=body, received_at=clock.now()))
    return True


async def of_feeds(session: AsyncSession, feeds: Sequence[Feed]) -> Mapping[str, Stream]:
    """The streams of feeds, by dataset."""
    wanted = [each.dataset_id for each in feeds if each.mode == Mode.STREAM]
    if not wanted:
        return {}
    found = await session.scalars(select(Stream).where(Stream.dataset_id.in_(wanted)))
    return {each.dataset_id: each for each in found}


async def _prepare(session: AsyncSession) -> None:
    """A row for each feed that is to be listened for, and none for others."""
    fresh = select(Feed.dataset_id, *_EMPTY).where(
        Feed.mode == Mode.STREAM, ~exists().where(Stream.dataset_id == Feed.dataset_id)
    )
    await session.execute(insert(Stream).from_select(_COLUMNS, fresh).on_conflict_do_nothing())
    others = select(Feed.dataset_id).where(Feed.mode != Mode.STREAM)
    free = _is_free(clock.now())
    await session.execute(delete(Stream).where(and_(Stream.dataset_id.in_(others), free)))


def _is_free(now: datetime) -> Any:
    return or_(Stream.holder.is_(None), Stream.held_until < now)


def _digest(entry: ConnectorEntry, feed: Feed) -> str:
    """Of all that says what is listened to, and where."""
    said = [str(entry.id), entry.settings, (entry.sealed or b"").hex(), feed.selection]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
