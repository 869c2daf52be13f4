"""Notices that an agreement ends soon: given once each, to both sides. Changes no agreement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Row, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.members import in_parties
from app.agreements.standing import is_waiting
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.models.agreements import (
    AccessRequest,
    Agreement,
    AgreementNotice,
    AgreementState,
    Purpose,
)

DAYS: Final = (60, 30, 7)  # before the end
_MOST_AT_ONCE: Final = 200
_IN_FORCE = Agreement.state.in_([AgreementState.ACTIVE.value, AgreementState.SUSPENDED.value])


@dataclass(frozen=True, slots=True)
class Notice:
    """The nearest notice of one agreement, and what is to be done about it."""

    agreement: UUID
    dataset: str
    provider_id: str
    consumer_id: str
    purpose: str
    purpose_ja: str
    purpose_en: str
    valid_until: datetime
    days: int
    made_at: datetime
    amendment: UUID | None  # a proposal that waits for an answer
    todo_ja: str
    todo_en: str


async def give(session: AsyncSession) -> int:
    """Give the notices that are due, some at a time; how many.

    Each moment belongs to one notice, the nearest: after a pause nobody gets three at once. What
    was agreed on when less time was left than a notice names needs no such notice.
    """
    now, given = clock.now(), 0
    for days, until in zip(DAYS, (*DAYS[1:], 0), strict=True):
        due = (
            select(Agreement.id, literal(days), literal(now))
            .where(
                _IN_FORCE,
                Agreement.valid_until > now + timedelta(days=until),
                Agreement.valid_until <= now + timedelta(days=days),
                Agreement.approved_at <= Agreement.valid_until - timedelta(days=days),
                ~select(AgreementNotice)
                .where(AgreementNotice.agreement_id == Agreement.id, AgreementNotice.days == days)
                .exists(),
            )
            .limit(_MOST_AT_ONCE)
        )
        made = (
            insert(AgreementNotice)
            .from_select(["agreement_id", "days", "made_at"], due)
            .on_conflict_do_nothing()
            .returning(AgreementNotice.agreement_id)
        )
        ids = list(await session.scalars(made))
        for ending in await session.scalars(select(Agreement).where(Agreement.id.in_(ids))):
            await audit.append(
                session, Event.AGREEMENT_ENDS, agreement=str(ending.id),
                dataset=ending.dataset_id, organization=ending.consumer_id, days=days,
                valid_until=ending.valid_until.astimezone(clock.TOKYO).isoformat(),
            )  # fmt: skip
        given += len(ids)
    return given


async def list_notices(
    session: AsyncSession, *, parties: Sequence[str] | None, after: UUID | None, limit: int
) -> list[Notice]:
    """The nearest notice of each agreement that still stands; `parties` None: of all."""
    nearest = (
        select(
            AgreementNotice.agreement_id,
            func.min(AgreementNotice.days).label("days"),
            func.max(AgreementNotice.made_at).label("made_at"),
        )
        .group_by(AgreementNotice.agreement_id)
        .subquery()
    )
    waits = (
        select(AccessRequest.id)
        .where(AccessRequest.amends == Agreement.id, is_waiting())
        .order_by(AccessRequest.requested_at, AccessRequest.id)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(Agreement, Purpose, nearest.c.days, nearest.c.made_at, waits.label("amendment"))
        .join(nearest, nearest.c.agreement_id == Agreement.id)
        .join(Purpose, Purpose.code == Agreement.purpose)
        .where(_IN_FORCE, Agreement.valid_until > clock.now())
        .order_by(Agreement.id)
        .limit(limit)
    )
    if parties is not None:
        statement = statement.where(in_parties(parties))
    if after is not None:
        statement = statement.where(Agreement.id > after)
    return [_notice(row) for row in await session.execute(statement)]


def _notice(row: "Row[Agreement, Purpose, int, datetime, UUID | None]") -> Notice:
    agreement, purpose, days, made_at, amendment = row
    todo_ja, todo_en = _todo(agreement.id, amendment)
    return Notice(
        agreement=agreement.id,
        dataset=agreement.dataset_id,
        provider_id=agreement.provider_id,
        consumer_id=agreement.consumer_id,
        purpose=purpose.code,
        purpose_ja=purpose.name_ja,
        purpose_en=purpose.name_en,
        valid_until=agreement.valid_until,
        days=days,
        made_at=made_at,
        amendment=amendment,
        todo_ja=todo_ja,
        todo_en=todo_en,
    )


def _todo(agreement: UUID, amendment: UUID | None) -> tuple[str, str]:
    if amendment is not None:
        return (
            f"変更の提案（利用申請 {amendment}）が回答待ちです。終了日までに決定してください。",
            f"A proposal (access request {amendment}) waits for its answer. Decide before the end.",
        )
    return (
        f"継続する場合は、POST /v1/agreements/{agreement}/amend で新しい終了日を提案し、"
        "終了日までに相手方の承認を得てください。継続しない場合、手続きは不要です。",
        f"To go on, propose a later end by POST /v1/agreements/{agreement}/amend and have the "
        "other side agree before the end. To let it end, do nothing.",
    )
