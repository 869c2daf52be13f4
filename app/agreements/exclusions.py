"""Members that the provider leaves out of their group's agreement. Changes no term of it."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.agreements import require_state
from app.agreements.terms import DatasetTerms, TermsInvalid, require_steward
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.agreements import Agreement, AgreementExclusion, AgreementState
from app.models.onboarding import GroupMember
from app.policy.facts import ClientFacts


class NotOfAGroup(AppError):
    """The agreement is with one organisation alone."""

    kind = Kind.CONFLICT
    code = "not_a_group_agreement"
    ja = (
        "協定 {agreement} は一つの組織との協定です。停止（suspend）または取消し（revoke）をします。"
    )
    en = "The agreement {agreement} is with one organisation alone: suspend or revoke it."


async def exclude(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    organization_id: str,
    *,
    reason: str,
    by: ClientFacts,
) -> Agreement:
    """Stop one member's use at once, in this version and those to come. The others go on.

    Raises `NotSteward`, `WrongAgreementState`, `NotOfAGroup` or `TermsInvalid`.
    """
    _require_changeable(agreement, dataset, by)
    await _require_known_member(session, agreement, organization_id)
    if organization_id in agreement.excluded:
        return agreement
    session.add(
        AgreementExclusion(
            series=agreement.series,
            organization_id=organization_id,
            dataset_id=agreement.dataset_id,
            reason=reason,
            excluded_at=clock.now(),
            excluded_by=by.actor,
        )
    )
    return await _changed(session, agreement, organization_id, "excluded", reason, by)


async def include(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    organization_id: str,
    *,
    reason: str,
    by: ClientFacts,
) -> Agreement:
    """Let a member that was left out use the agreement again. Raises what `exclude` raises."""
    _require_changeable(agreement, dataset, by)
    await _require_known_member(session, agreement, organization_id)
    found = await session.get(AgreementExclusion, (agreement.series, organization_id))
    if found is None:
        return agreement
    await session.delete(found)
    return await _changed(session, agreement, organization_id, "included", reason, by)


def _require_changeable(agreement: Agreement, dataset: DatasetTerms, by: ClientFacts) -> None:
    require_steward(dataset, by)
    if agreement.group_id is None:
        raise NotOfAGroup(agreement=agreement.id)
    require_state(agreement, AgreementState.ACTIVE, AgreementState.SUSPENDED)


async def _require_known_member(
    session: AsyncSession, agreement: Agreement, organization_id: str
) -> None:
    """Past members and those to come as well: who is kept out need not be in today."""
    known = (
        select(GroupMember.id)
        .where(
            GroupMember.group_id == agreement.group_id,
            GroupMember.organization_id == organization_id,
        )
        .limit(1)
    )
    if await session.scalar(known) is None:
        raise TermsInvalid(faults=[Fault(
            "/organization", "not_a_member",
            f"{organization_id} はグループ {agreement.group_id} の参加団体ではありません。",
            f"{organization_id} is no member of the group {agreement.group_id}.",
        )])  # fmt: skip


async def _changed(
    session: AsyncSession,
    agreement: Agreement,
    organization_id: str,
    change: str,
    reason: str,
    by: ClientFacts,
) -> Agreement:
    await session.flush()
    await session.refresh(agreement, ["exclusions"])
    await audit.append(
        session, Event.AGREEMENT_MEMBER, agreement=str(agreement.id), dataset=agreement.dataset_id,
        group=agreement.group_id, organization=organization_id, change=change, reason=reason,
        by=by.actor,
    )  # fmt: skip
    return agreement
