"""Notices on their way to subscribers: put down before they are sent, one after another, at least
once, each with an id that stays. Holds no record, and decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg
from sqlalchemy import func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs import queue
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.webhooks import pause_after
from app.models.editions import Edition
from app.models.subscriptions import Notice, NoticeState, Subscription, SubscriptionState
from app.subscriptions.refusals import SubscriptionStopped

CHANGED: Final = "dataset.changed"
KEPT: Final = timedelta(days=8)  # changes can be followed for seven (CHANGE-06)
TRIED_FOR: Final = timedelta(hours=26)  # the standard asks for 24 (PUSH-02)
_LEASE: Final = timedelta(minutes=1)
_PER_HOST: Final = 4
_PER_CLIENT: Final = 8
_ONE_TAKES: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('notices:take', 0))")
_IS_TOLD: Final = Subscription.state != SubscriptionState.STOPPED.value
_FORGET: Final = "DELETE FROM notice WHERE created_at < $1 AND state <> 'waiting'"


@dataclass(frozen=True, slots=True)
class Standing:
    """How all subscriptions do, for whoever runs the platform."""

    waiting: int
    failing: int
    stopped: int


async def take(database: Database, subscription_id: str, *, again: bool = False) -> bool:
    """Hold a subscription while its notices are sent; False where others are to come first.

    A worker that died is waited for a minute. So many at once go to one host, and are of one
    client: whoever is slow holds up nobody else.
    """
    async with database.writing() as session:
        await session.execute(_ONE_TAKES)
        held = await session.get(Subscription, subscription_id, with_for_update=True)
        if held is None:  # removed, and its notices with it: nothing is left to hold
            return True
        now = clock.now()
        if not again and not await _has_room(session, held):
            return False
        held.sending_until = now + _LEASE
    return True


async def _has_room(session: AsyncSession, wanted: Subscription) -> bool:
    now = clock.now()
    if wanted.sending_until is not None and wanted.sending_until > now:
        return False
    is_sending = Subscription.sending_until > now
    for same, most in (
        (Subscription.host == wanted.host, _PER_HOST),
        (Subscription.client_id == wanted.client_id, _PER_CLIENT),
    ):
        count = await session.scalar(select(func.count()).where(is_sending, same))
        if count is not None and count >= most:
            return False
    return True


async def let_go(database: Database, subscription_id: str) -> None:
    """The opposite of `take`."""
    async with database.writing() as session:
        held = await session.get(Subscription, subscription_id, with_for_update=True)
        if held is not None:
            held.sending_until = None


async def oldest(session: AsyncSession, subscription_id: str) -> Notice | None:
    """The one whose turn it is."""
    waiting = select(Notice).where(
        Notice.subscription_id == subscription_id, Notice.state == NoticeState.WAITING.value
    )
    found: Notice | None = await session.scalar(waiting.order_by(Notice.id).limit(1))
    return found


async def is_behind(session: AsyncSession, subscription: Subscription) -> bool:
    """Whether readers get anything else than what the subscriber was told up to."""
    return await session.scalar(_newer(subscription.dataset_id, subscription.edition)) is not None


def _newer(dataset_id: Any, edition: Any) -> Any:
    later = select(Edition.number).where(Edition.dataset_id == dataset_id, Edition.number > edition)
    return later.limit(1)


async def go_on(
    session: AsyncSession, subscription_id: str, position: str, edition: int, *, is_news: bool
) -> None:
    """Move a subscription's position; where there is news, put down a notice of what lies between."""
    found = await session.get(Subscription, subscription_id, with_for_update=True)
    if found is None or found.edition >= edition:
        return
    if is_news:
        now = clock.now()
        session.add(
            Notice(
                message_id=uuid4(),
                subscription_id=found.id,
                since=found.position,
                edition=edition,
                state=NoticeState.WAITING.value,
                attempts=0,
                created_at=now,
                next_at=now,
            )
        )
    found.position, found.edition = position, edition


async def begin(session: AsyncSession, notice_id: int, subscription_id: str) -> Notice | None:
    """Begin to send a notice; None where its subscription has ended, or it is not to be sent now.

    An end waits for this and this for an end: what is answered as ended begins nothing.
    """
    found = await session.get(Subscription, subscription_id, with_for_update=True)
    if found is None or found.state == SubscriptionState.STOPPED:
        return None
    notice = await session.get(Notice, notice_id, with_for_update=True)
    if notice is None or notice.state != NoticeState.WAITING:
        return None
    if notice.first_tried_at is None:
        notice.first_tried_at = clock.now()
    return notice


def message_of(notice: Notice, dataset_id: str) -> dict[str, Any]:
    """What a notice says: always the same, however often it is sent."""
    return {
        "type": CHANGED,
        "timestamp": notice.created_at.astimezone(clock.TOKYO).isoformat(),
        "data": {
            "subscription": notice.subscription_id,
            "dataset": dataset_id,
            "since": notice.since,
        },
    }


def name_of(notice: Notice) -> str:
    """By which the receiver knows it when it comes again."""
    return f"msg_{notice.message_id.hex}"


def note_taken(subscription: Subscription, notice: Notice) -> None:
    """A receiver took it."""
    now = clock.now()
    notice.attempts += 1
    notice.state, notice.ended_at, notice.failure = NoticeState.DELIVERED.value, now, None
    subscription.last_delivered_at, subscription.failure = now, None
    if subscription.state == SubscriptionState.FAILING:
        subscription.state = SubscriptionState.ACTIVE.value


def note_failed(subscription: Subscription, notice: Notice, refusal: AppError) -> timedelta | None:
    """A try failed: when to try again, None where it was tried for long enough."""
    now = clock.now()
    notice.attempts += 1
    told = {"code": refusal.code, "ja": refusal.words("ja"), "en": refusal.words("en")}
    notice.failure = subscription.failure = told
    if subscription.state == SubscriptionState.ACTIVE:
        subscription.state = SubscriptionState.FAILING.value
    if notice.first_tried_at is not None and now - notice.first_tried_at >= TRIED_FOR:
        notice.state, notice.ended_at = NoticeState.FAILED.value, now
        return None
    wait = pause_after(notice.attempts)
    notice.next_at = now + wait
    return wait


async def give_up(session: AsyncSession, subscription_id: str) -> None:
    """Nothing of a subscription that has stopped waits any more."""
    waiting = update(Notice).where(
        Notice.subscription_id == subscription_id, Notice.state == NoticeState.WAITING.value
    )
    await session.execute(waiting.values(state=NoticeState.FAILED.value, ended_at=clock.now()))


async def replay(session: AsyncSession, subscription: Subscription, edition: int) -> None:
    """Send again what tells of anything behind an edition, in order, with the ids it had."""
    if subscription.state == SubscriptionState.STOPPED:
        raise SubscriptionStopped(
            id=subscription.id, why_ja=subscription.stopped_ja, why=subscription.stopped_en
        )
    again = update(Notice).where(
        Notice.subscription_id == subscription.id, Notice.edition > edition
    )
    await session.execute(
        again.values(
            state=NoticeState.WAITING.value, attempts=0, first_tried_at=None, failure=None,
            next_at=clock.now(), ended_at=None,
        )
    )  # fmt: skip
    driver = await Database.driver_of(session)
    await queue.enqueue(driver, queue.NOTIFY, subscription=subscription.id)


async def list_of(session: AsyncSession, subscription_id: str, most: int) -> Sequence[Notice]:
    """What became of the newest ones, newest first."""
    statement = select(Notice).where(Notice.subscription_id == subscription_id)
    return (await session.scalars(statement.order_by(Notice.id.desc()).limit(most))).all()


async def call_for(database: Database, dataset_id: str) -> None:
    """Call a worker for each subscriber of a dataset that has changed."""
    async with database.writing() as session:
        told = select(Subscription.id).where(Subscription.dataset_id == dataset_id, _IS_TOLD)
        await _call(session, (await session.scalars(told)).all())


async def keep_up(database: Database) -> None:
    """Call a worker for what is due: no job waits out a long pause, and one may have been lost."""
    async with database.writing() as session:
        now = clock.now()
        due = select(Notice.id).where(
            Notice.subscription_id == Subscription.id,
            Notice.state == NoticeState.WAITING.value,
            Notice.next_at < now,
        )
        # Whoever is tried again is not looked at for more: that comes once it takes something.
        waits = select(Notice.id).where(
            Notice.subscription_id == Subscription.id, Notice.state == NoticeState.WAITING.value
        )
        is_behind = _newer(Subscription.dataset_id, Subscription.edition).correlate(Subscription)
        late = select(Subscription.id).where(
            _IS_TOLD,
            or_(Subscription.sending_until.is_(None), Subscription.sending_until < now),
            or_(due.exists(), is_behind.exists() & ~waits.exists()),
        )
        await _call(session, (await session.scalars(late)).all())


async def _call(session: AsyncSession, subscriptions: Sequence[str]) -> None:
    if subscriptions:
        payloads = [{"subscription": each} for each in subscriptions]
        await queue.enqueue_all(await Database.driver_of(session), queue.NOTIFY, payloads)


async def standing(session: AsyncSession) -> Standing:
    """The figures."""
    waiting = await session.scalar(
        select(func.count()).where(Notice.state == NoticeState.WAITING.value)
    )
    counted = select(Subscription.state, func.count()).group_by(Subscription.state)
    by_state = {state: count for state, count in await session.execute(counted)}
    return Standing(
        waiting or 0,
        by_state.get(SubscriptionState.FAILING.value, 0),
        by_state.get(SubscriptionState.STOPPED.value, 0),
    )


async def forget(pool: "asyncpg.Pool[Any]") -> None:
    """Forget notices that left long ago."""
    await pool.execute(_FORGET, clock.now() - KEPT)
