"""Alert channels: where an organisation, or the operators, want to be told. A secret is shown once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.findings import deliveries
from app.findings.refusals import (
    ChannelInvalid,
    ChannelNotFound,
    MailNotSetUp,
    TooManyChannels,
)
from app.findings.sending import place_of
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import Fault
from app.kit.mail import ADDRESS
from app.kit.outbound import Outbound
from app.kit.webhooks import new_secret
from app.models.findings import AlertChannel, ChannelKind, Severity

MOST = 10
_TEST_JA = "通知先の試験です。対応は不要です。"
_TEST_EN = "This is a test of an alert channel. Nothing is to be done."


@dataclass(frozen=True, slots=True)
class NewChannel:
    """Where to, and how bad a finding must be. `organization_id` None: the operators'."""

    organization_id: str | None
    kind: ChannelKind
    target: str
    min_severity: Severity


@dataclass(frozen=True, slots=True)
class Added:
    """A new channel, with the secret of a webhook, which is never shown again."""

    channel: AlertChannel
    secret: str | None


async def add(
    session: AsyncSession,
    new: NewChannel,
    *,
    sealer: Sealer,
    outbound: Outbound,
    sends_mail: bool,
    by: str,
) -> Added:
    """Declare a channel. Raises `OutboundRefused`, `MailNotSetUp`, `ChannelInvalid`, and
    `TooManyChannels`."""
    _check(new, outbound, sends_mail=sends_mail)
    await _check_count(session, new.organization_id)
    channel_id = uuid4()
    secret = new_secret() if new.kind is ChannelKind.WEBHOOK else None
    channel = AlertChannel(
        id=channel_id,
        organization_id=new.organization_id,
        kind=new.kind.value,
        target=new.target,
        min_severity=new.min_severity.value,
        sealed_secret=sealer.seal(secret.encode(), about=place_of(channel_id)) if secret else None,
        created_at=clock.now(),
        created_by=by,
    )
    session.add(channel)
    await audit.append(
        session, Event.ALERT_CHANNEL_ADDED, channel=str(channel_id), kind=channel.kind,
        organization=new.organization_id, min_severity=channel.min_severity, by=by,
    )  # fmt: skip
    return Added(channel, secret)


def _check(new: NewChannel, outbound: Outbound, *, sends_mail: bool) -> None:
    if new.kind is ChannelKind.WEBHOOK:
        outbound.check(new.target)
        return
    if not sends_mail:
        raise MailNotSetUp
    if not ADDRESS.fullmatch(new.target):
        raise ChannelInvalid(
            faults=[
                Fault(
                    "/target", "mail_address_invalid",
                    "kikikanri@city.example.jp の形のメールアドレスにしてください。",
                    "Give a mail address like kikikanri@city.example.jp.",
                )
            ]
        )  # fmt: skip


async def _check_count(session: AsyncSession, organization_id: str | None) -> None:
    mine = AlertChannel.organization_id.is_not_distinct_from(organization_id)
    count = await session.scalar(select(func.count()).select_from(AlertChannel).where(mine))
    if count is not None and count >= MOST:
        raise TooManyChannels(most=MOST)


async def list_channels(
    session: AsyncSession, organizations: Sequence[str] | None
) -> Sequence[AlertChannel]:
    """The channels of some organisations; None: all of them, the operators' too."""
    statement = select(AlertChannel).order_by(AlertChannel.created_at, AlertChannel.id)
    if organizations is not None:
        statement = statement.where(AlertChannel.organization_id.in_(organizations))
    return (await session.scalars(statement)).all()


async def get(
    session: AsyncSession, channel_id: UUID, organizations: Sequence[str] | None
) -> AlertChannel:
    """A channel of one of the organisations (None: any). Raises `ChannelNotFound`."""
    found = await session.get(AlertChannel, channel_id)
    if found is None or (organizations is not None and found.organization_id not in organizations):
        raise ChannelNotFound(id=channel_id)
    return found


async def remove(session: AsyncSession, channel: AlertChannel, *, by: str) -> None:
    """Tell nobody there any more; what waits for it is dropped."""
    await session.delete(channel)
    await audit.append(
        session, Event.ALERT_CHANNEL_REMOVED, channel=str(channel.id),
        organization=channel.organization_id, by=by,
    )  # fmt: skip


async def test(session: AsyncSession, channel: AlertChannel) -> None:
    """Send a message that says that it is a test; once a minute: the address may be anybody's."""
    await session.refresh(channel, with_for_update=True)
    if await deliveries.tested_lately(session, channel.id):
        return
    await deliveries.post(session, channel.id, deliveries.TEST, {"ja": _TEST_JA, "en": _TEST_EN})
