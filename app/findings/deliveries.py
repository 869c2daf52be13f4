"""Messages on their way to alert channels: put down in the transaction that they speak of, sent
afterwards, in order, at least once. A receiver that is slow or away never delays a rule."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.findings.sending import Messenger
from app.jobs import queue
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.webhooks import in_turn, pause_after
from app.models.findings import AlertChannel, AlertDelivery, DeliveryState, Finding, Severity

OPENED: Final = "finding.opened"
MORE: Final = "finding.more"
TEST: Final = "channel.test"
_RANKS: Final = [each.value for each in Severity]
_MOST_TRIES: Final = 20  # over about a day
_LEASE: Final = timedelta(minutes=1)
_MOST_TOLD: Final = 20  # of what was found at once
_TURN_S: Final = 15.0
_HELD_AGAIN: Final = timedelta(seconds=2)
_TESTED_EVERY: Final = timedelta(minutes=1)
_KEPT: Final = timedelta(days=90)
# One that still waits, too: whoever was away for so long reads the list of findings.
_FORGET: Final = "DELETE FROM alert_delivery WHERE coalesce(ended_at, created_at) < $1"


async def announce(session: AsyncSession, opened: Sequence[Finding]) -> None:
    """Put down a message for every channel that wants to know of new findings.

    Of very many at once the first are told, and how many more there are: a flood is one mail more.
    """
    wanting: dict[tuple[str | None, str], Sequence[UUID]] = {}
    told: dict[UUID, list[Finding]] = {}
    for finding in opened:
        key = (finding.owner_id, finding.severity)
        if key not in wanting:
            wanting[key] = await _wanting(session, *key)
        for channel_id in wanting[key]:
            told.setdefault(channel_id, []).append(finding)
    for channel_id, found in told.items():
        for finding in found[:_MOST_TOLD]:
            await post(session, channel_id, OPENED, shown(finding))
        if len(found) > _MOST_TOLD:
            await post(session, channel_id, MORE, _more(len(found) - _MOST_TOLD))


async def _wanting(session: AsyncSession, owner_id: str | None, severity: str) -> Sequence[UUID]:
    """The channels that want to know of a finding so bad of an owner."""
    bad_enough = _RANKS[: _RANKS.index(severity) + 1]
    is_told: ColumnElement[bool] = AlertChannel.organization_id.is_(None)
    if owner_id is not None:
        line = func.line_of(owner_id)
        is_told = or_(is_told, AlertChannel.organization_id == func.any(line))
    wanting = select(AlertChannel.id).where(AlertChannel.min_severity.in_(bad_enough), is_told)
    return (await session.scalars(wanting)).all()


def _more(count: int) -> dict[str, Any]:
    return {
        "count": count,
        "ja": f"ほかに{count}件の指摘が同時に見つかりました。一覧で確認してください。",
        "en": f"{count} more findings were opened at the same time. Look at the list.",
        "path": "/v1/findings?state=open",
    }


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as a message tells it: no row, no person."""
    return {
        "id": str(finding.id),
        "rule": finding.rule,
        "severity": finding.severity,
        "subject": {"kind": finding.subject_kind, "id": finding.subject_id},
        "dataset": finding.dataset_id,
        "owner": finding.owner_id,
        "opened_at": finding.opened_at.astimezone(clock.TOKYO).isoformat(),
        "due_at": finding.due_at.astimezone(clock.TOKYO).isoformat(),
        "ja": finding.ja,
        "en": finding.en,
        "path": f"/v1/findings/{finding.id}",
    }


async def post(session: AsyncSession, channel_id: UUID, kind: str, data: dict[str, Any]) -> None:
    """Put down one message; a worker hears of it once the transaction commits."""
    now = clock.now()
    message = {
        "type": kind,
        "timestamp": now.astimezone(clock.TOKYO).isoformat(),
        "data": data,
    }
    session.add(
        AlertDelivery(
            message_id=f"msg_{uuid4().hex}",
            channel_id=channel_id,
            message=message,
            state=DeliveryState.WAITING.value,
            attempts=0,
            created_at=now,
            next_at=now,
        )
    )
    await session.flush()
    await queue.enqueue(await Database.driver_of(session), queue.ALERTS, channel=str(channel_id))


async def deliver(database: Database, messenger: Messenger, channel_id: UUID) -> timedelta | None:
    """Send what waits for one channel, oldest first; when to come again, None where nothing waits.

    One at a time does so: others come again. A worker that died is waited for a minute.
    """
    if not await _take(database, channel_id):
        return _HELD_AGAIN
    try:
        return await in_turn(
            partial(_send_next, database, messenger, channel_id),
            partial(_take, database, channel_id, again=True),
            _TURN_S,
        )
    finally:
        async with database.writing() as session:
            channel = await session.get(AlertChannel, channel_id, with_for_update=True)
            if channel is not None:
                channel.sending_until = None


async def _take(database: Database, channel_id: UUID, *, again: bool = False) -> bool:
    async with database.writing() as session:
        channel = await session.get(AlertChannel, channel_id, with_for_update=True)
        if channel is None:  # removed, and its messages with it: nothing is left to hold
            return True
        until = channel.sending_until
        if until is not None and until > clock.now() and not again:
            return False
        channel.sending_until = clock.now() + _LEASE
    return True


async def _send_next(
    database: Database, messenger: Messenger, channel_id: UUID
) -> timedelta | None:
    """Send the oldest message. No connection is held while the receiver thinks."""
    async with database.reading() as session:
        channel = await session.get(AlertChannel, channel_id)
        waiting = select(AlertDelivery).where(
            AlertDelivery.channel_id == channel_id, AlertDelivery.state == DeliveryState.WAITING
        )
        delivery = await session.scalar(waiting.order_by(AlertDelivery.id).limit(1))
    if channel is None or delivery is None:
        return None
    if delivery.next_at > clock.now():
        return delivery.next_at - clock.now()
    failure = None
    try:
        await messenger.send(channel, delivery)
    except AppError as refusal:
        failure = f"{refusal.code}: {refusal.words('en')}"
    async with database.writing() as session:
        return await _note(session, channel_id, delivery.id, failure)


async def _note(
    session: AsyncSession, channel_id: UUID, number: int, failure: str | None
) -> timedelta | None:
    now = clock.now()
    channel = await session.get(AlertChannel, channel_id, with_for_update=True)
    delivery = await session.get(AlertDelivery, number, with_for_update=True)
    if channel is None or delivery is None or delivery.state != DeliveryState.WAITING:
        return timedelta(0)
    delivery.attempts += 1
    if failure is None:
        delivery.state, delivery.ended_at = DeliveryState.DELIVERED.value, now
        channel.delivered_at, channel.failed_at, channel.failure = now, None, None
        return timedelta(0)
    channel.failed_at, channel.failure = now, failure
    if delivery.attempts >= _MOST_TRIES:
        delivery.state, delivery.ended_at = DeliveryState.FAILED.value, now
        return timedelta(0)
    delivery.next_at = now + pause_after(delivery.attempts)
    return delivery.next_at - now


async def keep_up(database: Database) -> None:
    """Call a worker for what is due: no job waits out a long pause, and one may have been lost."""
    async with database.writing() as session:
        late = clock.now()
        overdue = (
            select(AlertDelivery.channel_id)
            .join(AlertChannel, AlertChannel.id == AlertDelivery.channel_id)
            .where(
                AlertDelivery.state == DeliveryState.WAITING,
                AlertDelivery.next_at < late,
                or_(AlertChannel.sending_until.is_(None), AlertChannel.sending_until < late),
            )
            .distinct()
        )
        channels = (await session.scalars(overdue)).all()
        for channel_id in channels:
            driver = await Database.driver_of(session)
            await queue.enqueue(driver, queue.ALERTS, channel=str(channel_id))


async def forget_delivered(pool: "asyncpg.Pool[Any]") -> None:
    """Forget messages that left, were given up or were put down long ago."""
    await pool.execute(_FORGET, clock.now() - _KEPT)


async def tested_lately(session: AsyncSession, channel_id: UUID) -> bool:
    """Whether a test message was put down within the last minute."""
    lately = select(AlertDelivery.id).where(
        AlertDelivery.channel_id == channel_id,
        AlertDelivery.message["type"].astext == TEST,
        AlertDelivery.created_at > clock.now() - _TESTED_EVERY,
    )
    return await session.scalar(lately.limit(1)) is not None


async def waiting_since(session: AsyncSession, channel_id: UUID) -> datetime | None:
    """When the oldest message that waits was put down; None where none waits."""
    waiting = select(func.min(AlertDelivery.created_at)).where(
        AlertDelivery.channel_id == channel_id, AlertDelivery.state == DeliveryState.WAITING
    )
    found: datetime | None = await session.scalar(waiting)
    return found
