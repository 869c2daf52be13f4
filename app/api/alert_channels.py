"""The door to alert channels: where an organisation is told of its findings. Sends nothing itself."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import SCOPED_CODES, PlatformDep, Reading, Writing
from app.api.finding_access import FindingsReader, FindingsWriter, acting_for, check_operator
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Time
from app.findings import channels, deliveries
from app.findings.channels import NewChannel
from app.models.findings import AlertChannel, ChannelKind, Severity
from app.policy.facts import Caller

router = APIRouter(prefix="/v1/alert-channels", tags=["Findings"], max_body_size=LONGEST_BODY)
_CODES = (*SCOPED_CODES, "alert_channel_not_found")


class ChannelIn(InShape):
    """Where to, and from which severity on. A webhook's address is https, or allowed by the operator."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "webhook",
                "target": "https://hooks.city.example.jp/urban-os",
                "min_severity": "medium",
            }
        }
    )

    kind: Literal["webhook", "mail"]
    target: str = Field(min_length=3, max_length=500)
    min_severity: Severity = Severity.LOW
    for_operators: bool = Field(default=False, description="of every finding; operators only")


class ChannelOut(OutShape):
    """A channel. `failure` says why the last try failed, and null that it did not; `waiting_since`
    is when the oldest message was put down that has not left. `organization` null: the operators'."""

    id: UUID
    organization: str | None
    kind: Literal["webhook", "mail"]
    target: str
    min_severity: Severity
    created_at: Time
    created_by: str
    delivered_at: Time | None
    failed_at: Time | None
    failure: str | None
    waiting_since: Time | None


class NewChannelOut(ChannelOut):
    """A new channel. A webhook's `secret` signs its messages, and is shown this once."""

    secret: str | None


@router.get(
    "",
    response_model=list[ChannelOut],
    summary="List alert channels",
    responses=problems(*SCOPED_CODES),
)
async def list_channels(caller: FindingsReader, session: Reading) -> list[dict[str, Any]]:
    """Those of one's own organisation and below it; operators see all. How each is doing, too."""
    found = await channels.list_channels(session, await acting_for(session, caller))
    return [await _shown(session, each) for each in found]


@router.post(
    "",
    response_model=NewChannelOut,
    status_code=201,
    summary="Declare an alert channel",
    responses=problems(
        *SCOPED_CODES, "outbound_refused", "mail_not_set_up", "alert_channel_invalid",
        "too_many_alert_channels", "operators_only",
    ),
)  # fmt: skip
async def add_channel(
    body: ChannelIn, caller: FindingsWriter, platform: PlatformDep, session: Writing
) -> dict[str, Any]:
    """Messages are signed as Standard Webhooks says; a mail is plain text in both languages.

    They come at least once, in order, and again after a failure: for about a day.
    """
    if body.for_operators:
        check_operator(caller)
    organization_id = None if body.for_operators else caller.client.organization_id
    new = NewChannel(organization_id, ChannelKind(body.kind), body.target, body.min_severity)
    added = await channels.add(
        session, new, sealer=platform.sealer, outbound=platform.outbound,
        sends_mail=platform.sends_mail, by=caller.client.actor,
    )  # fmt: skip
    return {**await _shown(session, added.channel), "secret": added.secret}


@router.post(
    "/{channel_id}/test",
    status_code=202,
    summary="Send a test message",
    responses=problems(*_CODES),
)
async def test_channel(channel_id: UUID, caller: FindingsWriter, session: Writing) -> None:
    """It leaves within seconds, one a minute at most. Whether it arrived, the list of channels says."""
    await channels.test(session, await _mine(session, channel_id, caller))


@router.delete(
    "/{channel_id}",
    status_code=204,
    summary="Remove an alert channel",
    responses=problems(*_CODES),
)
async def remove_channel(channel_id: UUID, caller: FindingsWriter, session: Writing) -> None:
    """What has not left yet does not leave any more."""
    channel = await _mine(session, channel_id, caller)
    await channels.remove(session, channel, by=caller.client.actor)


async def _mine(session: AsyncSession, channel_id: UUID, caller: Caller) -> AlertChannel:
    return await channels.get(session, channel_id, await acting_for(session, caller))


async def _shown(session: AsyncSession, channel: AlertChannel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "organization": channel.organization_id,
        "kind": channel.kind,
        "target": channel.target,
        "min_severity": channel.min_severity,
        "created_at": channel.created_at,
        "created_by": channel.created_by,
        "delivered_at": channel.delivered_at,
        "failed_at": channel.failed_at,
        "failure": channel.failure,
        "waiting_since": await deliveries.waiting_since(session, channel.id),
    }
