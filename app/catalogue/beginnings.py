"""When a harvest begins by itself: by its feed's schedule, or by its source's own notice.

A notice says that there is something new, and nothing else of it is believed or kept. However many
come, one harvest is begun, and one more after it where some came while the source was asked.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from app.audit import log
from app.audit.events import Event
from app.catalogue.connectors import FeedIsLive, FeedStreams, Kept
from app.catalogue.harvests import ask, under_way
from app.catalogue.schedules import next_after
from app.kit import clock
from app.models.connectors import ConnectorEntry, Feed, Harvest, Mode

NOTICE: Final = "notice"  # who stands for a harvest that a source has asked for
_DUE_AT_ONCE: Final = 100
# Between the beginnings of two harvests of a dataset, where the later is asked for by notices.
_NOTICE_PAUSE: Final = timedelta(seconds=60)


async def begin_due(session: AsyncSession) -> int:
    """Ask for what schedules and notices want now: once, however often. Returns how many."""
    now = clock.now()
    due = await session.execute(
        select(Feed, ConnectorEntry)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(Feed.mode == Mode.HARVEST, ConnectorEntry.paused.is_(False))
        .where(or_(Feed.next_at <= now, and_(Feed.noticed_at.is_not(None), _may_begin())))
        .order_by(Feed.next_at)
        .limit(_DUE_AT_ONCE)
        # Everybody else locks a connector before its feeds: who has one is not waited for.
        .with_for_update(of=(Feed, ConnectorEntry), skip_locked=True)
    )
    begun = 0
    for feed, entry in due.all():
        is_scheduled = feed.next_at is not None and feed.next_at <= now
        if is_scheduled:
            feed.next_at = next_after(feed.schedule, now) if feed.schedule else None
        if await under_way(session, feed.dataset_id) is None:
            await ask(session, entry, feed.dataset_id, by=None if is_scheduled else NOTICE)
            begun += 1
    return begun


async def take_notices(
    session: AsyncSession, kept: Kept, dataset_id: str | None, *, by: str
) -> str:
    """Let the source of a feed say when there is something new. Returns the secret by which it is
    known from now on, and which is kept by its digest alone.

    Raises `FeedNotFound`, `FeedStreams`, `FeedIsLive`.
    """
    feed = kept.feed(dataset_id)
    if feed.mode == Mode.STREAM:
        raise FeedStreams(dataset=feed.dataset_id)
    if feed.mode == Mode.LIVE:
        raise FeedIsLive(dataset=feed.dataset_id)
    secret = secrets.token_urlsafe(32)
    feed.notice_sha256 = _digest(secret)
    await _note(session, kept, [feed.dataset_id], by)
    return secret


async def take_no_notices(session: AsyncSession, kept: Kept, *, by: str) -> None:
    """Hear no source of the connector's any more; what was asked for goes on."""
    heard = [each for each in kept.feeds if each.takes_notices]
    for each in heard:
        each.notice_sha256 = each.noticed_at = None
    if heard:
        await _note(session, kept, [each.dataset_id for each in heard], by)


async def find_noticed(session: AsyncSession, connector_id: UUID, secret: str) -> str | None:
    """The dataset whose source is known by this secret, where it may ask for a harvest."""
    found: str | None = await session.scalar(
        select(Feed.dataset_id)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(
            ConnectorEntry.id == connector_id,
            ConnectorEntry.paused.is_(False),
            Feed.mode == Mode.HARVEST,
            Feed.notice_sha256 == _digest(secret),
        )
    )
    return found


async def is_noticed(session: AsyncSession, dataset_id: str) -> bool:
    """Whether a notice waits already: another says nothing more."""
    waits = select(Feed.dataset_id).where(
        Feed.dataset_id == dataset_id, Feed.noticed_at.is_not(None)
    )
    return await session.scalar(waits) is not None


async def notice(session: AsyncSession, connector_id: UUID, dataset_id: str) -> None:
    """Have a harvest begin: now, or once the one that asks the source has ended and some time has
    passed. The next that asks the source answers for all notices before it."""
    entry = await session.get(ConnectorEntry, connector_id, with_for_update=True)
    feed = await session.get(Feed, dataset_id, with_for_update=True)
    if entry is None or feed is None or feed.connector_id != connector_id or feed.noticed_at:
        return
    feed.noticed_at = clock.now()
    await session.flush()
    its = select(Feed.dataset_id).where(Feed.dataset_id == dataset_id, _may_begin())
    if await session.scalar(its) is not None:
        await ask(session, entry, dataset_id, by=NOTICE)


def _may_begin() -> ColumnElement[bool]:
    """Nothing is under way for the feed, and nothing was begun a moment ago."""
    since = clock.now() - _NOTICE_PAUSE
    is_recent = or_(Harvest.ended_at.is_(None), Harvest.created_at > since)
    return ~exists().where(Harvest.dataset_id == Feed.dataset_id, is_recent)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def _note(session: AsyncSession, kept: Kept, datasets: list[str], by: str) -> None:
    await log.append(
        session, Event.CONNECTOR_CHANGED, connector=str(kept.entry.id), kind=kept.entry.kind,
        zone=kept.entry.zone, organization=kept.entry.organization_id, datasets=datasets,
        changed=["notices"], by=by,
    )  # fmt: skip
