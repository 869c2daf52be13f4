"""Agreements as they are made: out of a request that one side offered and another person took."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.agreements import change_state, get_agreement, require_state
from app.agreements.canonical import canonical, sha256_of, utc
from app.agreements.standing import decide
from app.agreements.terms import DatasetTerms
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.models.agreements import AccessRequest, Agreement, AgreementState, RequestState


@dataclass(frozen=True, slots=True)
class Taken:
    """How an offer was taken: by whom for each side, and what of it."""

    requested_by: str
    approved_by: str
    decided_by: str
    columns: tuple[str, ...]
    rows: str | None
    per_day: int | None
    valid_from: datetime
    valid_until: datetime
    decision: str  # the log's word
    reason: str | None = None


async def conclude(
    session: AsyncSession, request: AccessRequest, dataset: DatasetTerms, taken: Taken
) -> Agreement:
    """The agreement, in force at once; the one that it amends is superseded in the same moment.

    Raises `WrongAgreementState` where that one is no longer in force.
    """
    agreement_id = uuid4()
    former = await _lock_former(session, request)
    decide(request, RequestState.APPROVED, taken.decided_by, taken.reason)
    # In this order: the database makes sure of each step by the one before it.
    await session.flush()
    if former is not None:
        former.superseded_by = agreement_id
        await change_state(session, former, AgreementState.SUPERSEDED, None, taken.decided_by)
        await session.flush()
    agreement = _agreement(request, dataset.publisher_id, taken, agreement_id, former)
    session.add(agreement)
    await session.flush()
    await session.refresh(agreement, ["exclusions"])  # a version inherits those of its series
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), agreement=str(agreement.id),
        dataset=dataset.id, organization=request.consumer_id, decision=taken.decision,
        by=taken.decided_by, columns=agreement.columns, offer=request.offer_number,
        terms_sha256=agreement.terms_sha256,
    )  # fmt: skip
    return agreement


async def _lock_former(session: AsyncSession, request: AccessRequest) -> Agreement | None:
    if request.amends is None:
        return None
    former = await get_agreement(session, request.amends, lock=True)
    require_state(former, AgreementState.ACTIVE)
    return former


def _agreement(
    request: AccessRequest,
    provider_id: str,
    taken: Taken,
    agreement_id: UUID,
    former: Agreement | None,
) -> Agreement:
    now = clock.now()
    agreement = Agreement(
        id=agreement_id,
        request_id=request.id,
        dataset_id=request.dataset_id,
        provider_id=provider_id,
        consumer_id=request.consumer_id,
        group_id=request.group_id,
        purpose=request.purpose,
        legal_basis=request.legal_basis,
        actions=request.actions,
        columns=list(taken.columns),
        rows=taken.rows,
        per_day=taken.per_day,
        valid_from=taken.valid_from,
        valid_until=taken.valid_until,
        state=AgreementState.ACTIVE.value,
        requested_by=taken.requested_by,
        approved_by=taken.approved_by,
        approved_at=now,
        state_changed_at=now,
        state_changed_by=taken.decided_by,
        series=agreement_id if former is None else former.series,
        version=1 if former is None else former.version + 1,
    )
    agreement.terms = _terms_of(agreement)
    agreement.terms_sha256 = sha256_of(agreement.terms)
    return agreement


def _terms_of(agreement: Agreement) -> str:
    # Only where agreed on: terms of before these could be, and their hash, stay as they are.
    more = {
        "group": agreement.group_id,
        "per_day": agreement.per_day,
        "rows": agreement.rows,
    }
    return canonical(
        {
            **{name: value for name, value in more.items() if value is not None},
            "actions": agreement.actions,
            "approved_by": agreement.approved_by,
            "columns": agreement.columns,
            "consumer": agreement.consumer_id,
            "dataset": agreement.dataset_id,
            "legal_basis": agreement.legal_basis,
            "provider": agreement.provider_id,
            "purpose": agreement.purpose,
            "request": str(agreement.request_id),
            "requested_by": agreement.requested_by,
            "series": str(agreement.series),
            "valid_from": utc(agreement.valid_from),
            "valid_until": utc(agreement.valid_until),
            "version": agreement.version,
        }
    )
