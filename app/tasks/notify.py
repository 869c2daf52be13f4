"""Tells subscribers that a dataset has changed, where they may still read it. No record leaves here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.log import Log
from app.broker.decide import Decider
from app.broker.following import Following, edition_at
from app.broker.recording import Asker
from app.broker.snapshot import Snapshot
from app.findings import findings
from app.findings.findings import Sighting
from app.kit import clock, webhooks
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.live import Live
from app.kit.outbound import Bounds, Outbound
from app.models.findings import Severity
from app.models.parties import Client
from app.models.subscriptions import Notice, Subscription, SubscriptionState
from app.parties.clients import load_client_facts
from app.policy.facts import Caller
from app.subscriptions import notices, subscriptions

UNDELIVERABLE: Final = "notices_undeliverable"
SUBJECT: Final = "subscription"
_BOUNDS: Final = Bounds(most_bytes=16 * 1024, seconds=15.0)  # PUSH-02
_TURN_S: Final = 15.0
_HELD_AGAIN: Final = timedelta(seconds=2)
_JUDGED_AGAIN: Final = timedelta(seconds=30)
_GONE: Final = 410
_DUE: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class _Next:
    """What is next for a subscription: a notice that waits, or a look at what has changed."""

    subscription: Subscription
    notice: Notice | None
    wait: timedelta | None  # until the notice may be sent


class Notifier:
    """Sends notices; one a worker. `sealer` opens the secrets, or raises `SecretKeyUnusable`."""

    def __init__(
        self, database: Database, outbound: Outbound, sealer: Callable[[], Sealer], log: Log
    ) -> None:
        self.database = database
        self._outbound = outbound
        self._sealer = sealer
        self._log = log

    async def notify(self, subscription_id: str) -> timedelta | None:
        """Send what waits for one subscriber; when to come again, None where nothing waits."""
        if not await notices.take(self.database, subscription_id):
            return _HELD_AGAIN
        try:
            return await webhooks.in_turn(
                partial(self._next, subscription_id),
                partial(notices.take, self.database, subscription_id, again=True),
                _TURN_S,
            )
        finally:
            await notices.let_go(self.database, subscription_id)

    async def _next(self, subscription_id: str) -> timedelta | None:
        """Judge anew, then send the oldest notice or put down one of what has changed since.

        No connection is held while the receiver thinks.
        """
        found = await self._look(subscription_id)
        if found is None or found.wait is not None:
            return found.wait if found is not None else None
        subscription = found.subscription
        try:
            following, asker = await self._judge(subscription)
            if found.notice is None:
                return await self._go_on(subscription, following, asker)
        except AppError as refusal:
            return await self._refused(subscription, refusal)
        return await self._send(subscription, found.notice)

    async def _look(self, subscription_id: str) -> _Next | None:
        async with self.database.reading() as session:
            subscription = await session.get(Subscription, subscription_id)
            if subscription is None or subscription.state == SubscriptionState.STOPPED:
                return None
            notice = await notices.oldest(session, subscription_id)
            if notice is not None:
                wait = notice.next_at - clock.now()
                return _Next(subscription, notice, wait if wait > timedelta(0) else None)
            if not await notices.is_behind(session, subscription):
                return None
        return _Next(subscription, None, None)

    async def _judge(self, subscription: Subscription) -> tuple[Following, Asker]:
        """As the change feed would, on what the database says now; a no is in the log."""
        client = await load_client_facts(self.database.pool, subscription.client_id)
        caller = Caller(
            client,
            frozenset(),
            bound=subscription.bound,
            agreement_id=subscription.agreement_id,
            purpose=subscription.purpose if subscription.agreement_id else None,
        )
        asker = Asker(caller, subscription.purpose, uuid4().hex)
        snapshot = Snapshot(self.database, Live(""))  # one that remembers nothing from before
        decider = Decider(snapshot, self._log, subscription.zone, None, lambda: 0.0)
        following = Following(self.database, snapshot, decider)
        await following.check(subscription.dataset_id, asker)
        return following, asker

    async def _go_on(
        self, subscription: Subscription, following: Following, asker: Asker
    ) -> timedelta:
        dataset_id = subscription.dataset_id
        moved = await following.moved(dataset_id, subscription.position, asker)
        edition = edition_at(dataset_id, moved.position)
        async with self.database.writing() as session:
            await notices.go_on(
                session, subscription.id, moved.position, edition, is_news=moved.is_news
            )
        return timedelta(0)

    async def _refused(self, subscription: Subscription, refusal: AppError) -> timedelta | None:
        """Whoever may not read is told nothing any more; where nobody can say, that is asked later."""
        if refusal.kind in (Kind.UNAVAILABLE, Kind.TOO_MANY):
            return _JUDGED_AGAIN
        async with self.database.writing() as session:
            found = await session.get(Subscription, subscription.id, with_for_update=True)
            if found is not None and found.state != SubscriptionState.STOPPED:
                ja, en = refusal.words("ja"), refusal.words("en")
                await _stop(session, found, refusal.code, ja, en)
        return None

    async def _send(self, subscription: Subscription, waiting: Notice) -> timedelta | None:
        sealed, about = subscription.sealed_secret, subscriptions.place_of(subscription.id)
        secret = self._sealer().unseal(sealed, about=about).decode()
        async with self.database.writing() as session:
            notice = await notices.begin(session, waiting.id, subscription.id)
        if notice is None:
            return timedelta(0)
        message = notices.message_of(notice, subscription.dataset_id)
        failure = None
        try:
            await webhooks.post(
                self._outbound, subscription.url, secret, notices.name_of(notice), message, _BOUNDS
            )
        except AppError as refusal:
            failure = refusal
        return await self._note(subscription.id, notice.id, failure)

    async def _note(
        self, subscription_id: str, notice_id: int, failure: AppError | None
    ) -> timedelta | None:
        async with self.database.writing() as session:
            found = await session.get(Subscription, subscription_id, with_for_update=True)
            notice = await session.get(Notice, notice_id, with_for_update=True)
            if found is None or notice is None or found.state == SubscriptionState.STOPPED:
                return None
            if failure is None:
                notices.note_taken(found, notice)
                return timedelta(0)
            wait = notices.note_failed(found, notice, failure)
            if isinstance(failure, webhooks.WebhookNotTaken) and failure.status == _GONE:
                await _stop(session, found, "receiver_gone", *_SAID_GONE)
                return None
            if wait is None:
                await _give_up(session, found)
            return wait


_SAID_GONE: Final = (
    "受信側が 410 を返したため停止しました。",
    "The receiver answered 410: it wants no more notices.",
)
_SAID_UNDELIVERABLE: Final = (
    "24時間以上、受信側が 2xx を返さなかったため停止しました。",
    "The receiver answered no notice with 2xx for over 24 hours.",
)


async def _stop(
    session: AsyncSession, subscription: Subscription, code: str, ja: str, en: str
) -> None:
    await notices.give_up(session, subscription.id)
    await subscriptions.stop(session, subscription, code, ja, en)


async def _give_up(session: AsyncSession, subscription: Subscription) -> None:
    """Stop telling whoever did not take a notice for so long, and tell the owner."""
    client = await session.get_one(Client, subscription.client_id)
    await _stop(session, subscription, UNDELIVERABLE, *_SAID_UNDELIVERABLE)
    host, dataset = subscription.host, subscription.dataset_id
    seen = Sighting(
        UNDELIVERABLE, SUBJECT, subscription.id, Severity.MEDIUM,
        f"データセット {dataset} の変更の通知が24時間以上 {host} に届かず、購読 {subscription.id} を"
        "停止しました。受信側を直し、POST /v1/subscriptions で購読し直してください。その間の変更は"
        "変更フィードの前回の位置から読めます。",
        f"Notices of changes of the dataset {dataset} have not reached {host} for over 24 hours,"
        f" and the subscription {subscription.id} was stopped. Mend the receiver and subscribe"
        " anew with POST /v1/subscriptions; what changed meanwhile is read from the change feed,"
        " from the last position on.",
        _DUE, client.organization_id, dataset,
    )  # fmt: skip
    await findings.report(session, seen)
