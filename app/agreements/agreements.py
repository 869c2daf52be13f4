"""Agreements in force: suspended, resumed, revoked. What has ended stays so."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.members import in_parties
from app.agreements.terms import DatasetTerms, require_steward
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.agreements import Agreement, AgreementState
from app.policy.facts import ClientFacts

EXPIRED = "expired"  # by date alone; no row ever says so
_FINAL = (AgreementState.REVOKED, AgreementState.SUPERSEDED)


class AgreementNotFound(AppError):
    """No agreement has this id, or the caller may not know of it."""

    kind = Kind.NOT_FOUND
    code = "agreement_not_found"
    ja = "協定 {agreement} はありません。"
    en = "There is no agreement {agreement}."


class WrongAgreementState(AppError):
    """The agreement's state does not allow this change."""

    kind = Kind.CONFLICT
    code = "wrong_agreement_state"
    ja = "協定 {agreement} は {state} のため、この操作はできません。"
    en = "The agreement {agreement} is {state}, which does not allow this."


class NotParty(AppError):
    """Only a party of the agreement, or the operator, may do this."""

    kind = Kind.FORBIDDEN
    code = "not_a_party"
    ja = "協定の当事者（または運営者）だけができる操作です。"
    en = "Only a party of the agreement (or the operator) may do this."


def shown_state(state: str, valid_until: datetime) -> str:
    """The state that readers see: an agreement whose time is over has expired."""
    if state in _FINAL or valid_until > clock.now():
        return state
    return EXPIRED


async def get_agreement(
    session: AsyncSession, agreement_id: UUID, *, lock: bool = False
) -> Agreement:
    """The agreement, or `AgreementNotFound`."""
    agreement = await session.get(Agreement, agreement_id, with_for_update=lock)
    if agreement is None:
        raise AgreementNotFound(agreement=agreement_id)
    return agreement


async def list_agreements(
    session: AsyncSession,
    *,
    parties: Sequence[str] | None,
    dataset_id: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Agreement]:
    """Agreements by id; `parties` None: all, else those that one of these stands under."""
    statement = select(Agreement).order_by(Agreement.id).limit(limit)
    if parties is not None:
        statement = statement.where(in_parties(parties))
    if dataset_id is not None:
        statement = statement.where(Agreement.dataset_id == dataset_id)
    if after is not None:
        statement = statement.where(Agreement.id > after)
    return list(await session.scalars(statement))


async def suspend(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    *,
    reason: str | None,
    by: ClientFacts,
) -> Agreement:
    """Stop an agreement for the time being: either side may, and the operator."""
    require_state(agreement, AgreementState.ACTIVE)
    if "operator" not in by.roles:
        require_party(agreement, dataset, by)
    return await change_state(session, agreement, AgreementState.SUSPENDED, reason, by.actor)


async def resume(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    *,
    reason: str | None,
    by: ClientFacts,
) -> Agreement:
    """Let a suspended agreement go on: the provider's steward alone, never the operator."""
    require_state(agreement, AgreementState.SUSPENDED)
    require_steward(dataset, by)
    return await change_state(session, agreement, AgreementState.ACTIVE, reason, by.actor)


async def revoke(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    *,
    reason: str | None,
    by: ClientFacts,
) -> Agreement:
    """End an agreement for good: either side may."""
    require_state(agreement, AgreementState.ACTIVE, AgreementState.SUSPENDED)
    require_party(agreement, dataset, by)
    return await change_state(session, agreement, AgreementState.REVOKED, reason, by.actor)


def require_state(agreement: Agreement, *allowed: AgreementState) -> None:
    """Raise `WrongAgreementState` unless the agreement is shown in one of these."""
    state = shown_state(agreement.state, agreement.valid_until)
    if state not in allowed:
        raise WrongAgreementState(agreement=agreement.id, state=state)


def require_party(agreement: Agreement, dataset: DatasetTerms, by: ClientFacts) -> None:
    """Raise `NotParty` unless the caller is of the consumer, or a steward of the provider."""
    provides = "steward" in by.roles and by.organization_id in dataset.publisher_line
    if by.organization_id != agreement.consumer_id and not provides:
        raise NotParty


async def change_state(
    session: AsyncSession,
    agreement: Agreement,
    state: AgreementState,
    reason: str | None,
    by: str,
) -> Agreement:
    """Change the state, with its trace. Whether it may change the caller has made sure of."""
    agreement.state = state.value
    agreement.state_changed_at = clock.now()
    agreement.state_changed_by = by
    agreement.state_reason = reason
    await audit.append(
        session, Event.AGREEMENT_CHANGED, agreement=str(agreement.id), dataset=agreement.dataset_id,
        organization=agreement.consumer_id, state=state.value, by=by,
    )  # fmt: skip
    return agreement
