"""Subscriptions: which client is told of a dataset's changes, and where. A secret is shown once."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.jobs import queue
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.outbound import Outbound, OutboundRefused
from app.kit.webhooks import new_secret
from app.models.subscriptions import Subscription, SubscriptionState
from app.subscriptions.refusals import (
    SubscriptionNotFound,
    TooManySubscriptions,
    UrlNotAllowed,
)

MOST: Final = 100
NAME: Final = re.compile(r"sub_[0-9a-f]{24}")
_HOLD: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('subscriptions:' || :who, 0))")


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """What is to be told where, and how it was asked for: by that it is judged at each notice."""

    client_id: str
    organization_id: str
    dataset_id: str
    url: str
    host: str
    zone: str
    bound: bool
    purpose: str | None
    agreement_id: str | None
    position: str
    edition: int

    @property
    def digest(self) -> str:
        """By which the same wish is known when it comes again."""
        told = (self.dataset_id, self.url, self.purpose or "")
        return hashlib.sha256("\x00".join(("subscription", *told)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Added:
    """A subscription with its secret, which is not shown again."""

    subscription: Subscription
    secret: str


def place_of(subscription_id: str) -> str:
    """What a sealed secret is bound to."""
    return f"subscription:{subscription_id}"


async def host_of(outbound: Outbound, url: str) -> str:
    """Where an address leads. Raises `UrlNotAllowed` for one that nothing is sent to from here."""
    try:
        return await outbound.check_now(url)
    except OutboundRefused as refusal:
        raise UrlNotAllowed(refusal) from None


async def hold(session: AsyncSession, client_id: str) -> None:
    """Have the client's other new subscriptions wait for this transaction."""
    await session.execute(_HOLD, {"who": client_id})


async def add(session: AsyncSession, new: NewSubscription, *, sealer: Sealer) -> Added:
    """Subscribe a client that is held. Raises `TooManySubscriptions`."""
    mine = select(func.count()).where(Subscription.client_id == new.client_id)
    if (await session.scalar(mine) or 0) >= MOST:
        raise TooManySubscriptions(most=MOST)
    name, secret = f"sub_{secrets.token_hex(12)}", new_secret()
    subscription = Subscription(
        id=name,
        client_id=new.client_id,
        dataset_id=new.dataset_id,
        url=new.url,
        host=new.host,
        sealed_secret=sealer.seal(secret.encode(), about=place_of(name)),
        zone=new.zone,
        bound=new.bound,
        purpose=new.purpose,
        agreement_id=new.agreement_id,
        position=new.position,
        edition=new.edition,
        state=SubscriptionState.ACTIVE.value,
        created_at=clock.now(),
    )
    session.add(subscription)
    await session.flush()
    # What was written since the position was looked up, nobody was called for.
    await queue.enqueue(await Database.driver_of(session), queue.NOTIFY, subscription=name)
    await audit.append(
        session, Event.SUBSCRIPTION_ADDED, subscription=name, dataset=new.dataset_id,
        host=new.host, purpose=new.purpose, consumer=new.organization_id,
        by=new.client_id,
    )  # fmt: skip
    return Added(subscription, secret)


def shown_again(found: Subscription, position: str, sealer: Sealer) -> Added:
    """The first answer again, whatever has become of it since: who lost that has the secret from
    this one."""
    first = Subscription(
        id=found.id,
        dataset_id=found.dataset_id,
        url=found.url,
        purpose=found.purpose,
        position=position,
        state=SubscriptionState.ACTIVE.value,
        created_at=found.created_at,
    )
    secret = sealer.unseal(found.sealed_secret, about=place_of(found.id))
    return Added(first, secret.decode())


async def list_of(
    session: AsyncSession, client_id: str, *, after: str | None, most: int
) -> Sequence[Subscription]:
    """A client's own, by id."""
    statement = select(Subscription).where(Subscription.client_id == client_id)
    if after is not None:
        statement = statement.where(Subscription.id > after)
    return (await session.scalars(statement.order_by(Subscription.id).limit(most))).all()


async def get(
    session: AsyncSession, subscription_id: str, client_id: str, *, lock: bool = False
) -> Subscription:
    """One of the client's own. Raises `SubscriptionNotFound`."""
    found = None
    if NAME.fullmatch(subscription_id):
        found = await session.get(Subscription, subscription_id, with_for_update=lock or None)
    if found is None or found.client_id != client_id:
        raise SubscriptionNotFound(id=subscription_id)
    return found


async def remove(session: AsyncSession, subscription: Subscription) -> None:
    """End it, locked: no further notice is begun, nor sent again."""
    await session.delete(subscription)
    await audit.append(
        session, Event.SUBSCRIPTION_REMOVED, subscription=subscription.id,
        dataset=subscription.dataset_id, by=subscription.client_id,
    )  # fmt: skip


async def stop(
    session: AsyncSession, subscription: Subscription, code: str, ja: str, en: str
) -> None:
    """Tell its receiver nothing any more, for the reason that its owner is told."""
    subscription.state = SubscriptionState.STOPPED.value
    subscription.stopped_at = clock.now()
    subscription.stopped_code = code
    subscription.stopped_ja, subscription.stopped_en = ja, en
    await session.flush()
    await audit.append(
        session, Event.SUBSCRIPTION_STOPPED, subscription=subscription.id,
        dataset=subscription.dataset_id, client=subscription.client_id, reason=code,
    )  # fmt: skip
