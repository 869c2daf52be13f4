"""Access requests: asked, decided, withdrawn. Nobody ever approves what they asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.terms import (
    AskedTerms,
    DatasetTerms,
    TermsInvalid,
    check_columns,
    check_period,
    check_purpose,
    default_end,
    require_steward,
    require_zone,
)
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.agreements import AccessRequest, Agreement, AgreementState, RequestState
from app.models.datasets import Dataset
from app.models.parties import Client
from app.policy.facts import ClientFacts


class RequestNotFound(AppError):
    """No access request has this id, or the caller may not know of it."""

    kind = Kind.NOT_FOUND
    code = "access_request_not_found"
    ja = "利用申請 {request} はありません。"
    en = "There is no access request {request}."


class RequestDecided(AppError):
    """The request has been decided or withdrawn before."""

    kind = Kind.CONFLICT
    code = "access_request_decided"
    ja = "利用申請 {request} は {state} です。変更できません。"
    en = "The access request {request} is {state} already and cannot change."


class SameClient(AppError):
    """Two different people ask and approve (trust.md, Agreements)."""

    kind = Kind.FORBIDDEN
    code = "same_person"
    ja = "申請したクライアントは、その申請を承認できません。別の担当者が承認してください。"
    en = "The client that asked cannot approve. Somebody else must."


class NotRequester(AppError):
    """Only the organisation that asked can withdraw."""

    kind = Kind.FORBIDDEN
    code = "not_the_requester"
    ja = "取り下げは申請した組織だけができます。"
    en = "Only the organisation that asked can withdraw."


class RequesterGone(AppError):
    """The client that asked was revoked in the meantime."""

    kind = Kind.CONFLICT
    code = "requester_revoked"
    ja = "申請したクライアント {client} は失効しています。"
    en = "The client {client} that asked has been revoked."


@dataclass(frozen=True, slots=True)
class Granted:
    """What the steward grants. None: as asked. It can be less, never more."""

    columns: tuple[str, ...] | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None


async def ask(
    session: AsyncSession, dataset: DatasetTerms, asked: AskedTerms, *, by: ClientFacts
) -> AccessRequest:
    """Ask for access on behalf of the caller's organisation.

    Raises `TermsInvalid` or `ZoneNotAllowed`.
    """
    start = asked.valid_from or clock.now()
    end = asked.valid_until or default_end(max(start, clock.now()))
    columns = dataset.fields if asked.columns is None else asked.columns
    faults = [
        *_check_dataset(dataset, by),
        *await check_purpose(session, asked.purpose),
        *check_columns(columns, dataset.fields),
        *check_period(start, end),
    ]
    if faults:
        raise TermsInvalid(faults=faults)
    await require_zone(session, dataset, by.client_id)
    request = AccessRequest(
        id=uuid4(),
        dataset_id=dataset.id,
        consumer_id=by.organization_id,
        purpose=asked.purpose,
        legal_basis=asked.legal_basis,
        reason=asked.reason,
        actions=sorted({action.value for action in asked.actions}),
        columns=list(dict.fromkeys(columns)),
        valid_from=start,
        valid_until=end,
        state=RequestState.REQUESTED.value,
        requested_by=by.client_id,
        requested_at=clock.now(),
    )
    session.add(request)
    await audit.append(
        session, Event.ACCESS_REQUESTED, request=str(request.id), dataset=dataset.id,
        organization=by.organization_id, client=by.client_id, purpose=asked.purpose,
        actions=request.actions,
    )  # fmt: skip
    return request


def _check_dataset(dataset: DatasetTerms, by: ClientFacts) -> list[Fault]:
    if dataset.data_class == "specific-personal":
        return [Fault(
            "/dataset", "never_brokered", "特定個人情報はここでは提供されません。",
            "Specific personal information is never brokered.",
        )]  # fmt: skip
    if dataset.publisher_id == by.organization_id:
        return [Fault(
            "/dataset", "own_dataset", "自組織のデータセットに利用申請は不要です。",
            "Your organisation publishes it: no request is needed.",
        )]  # fmt: skip
    return []


async def get_request(
    session: AsyncSession, request_id: UUID, *, lock: bool = False
) -> AccessRequest:
    """The request, or `RequestNotFound`."""
    request = await session.get(AccessRequest, request_id, with_for_update=lock)
    if request is None:
        raise RequestNotFound(request=request_id)
    return request


async def list_requests(
    session: AsyncSession,
    *,
    parties: Sequence[str] | None,
    dataset_id: str | None = None,
    state: RequestState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[AccessRequest]:
    """Requests by id; `parties` None: all, else those that one of these organisations is in."""
    statement = select(AccessRequest).order_by(AccessRequest.id).limit(limit)
    if parties is not None:
        published = select(Dataset.id).where(Dataset.publisher_id.in_(parties))
        statement = statement.where(
            or_(AccessRequest.consumer_id.in_(parties), AccessRequest.dataset_id.in_(published))
        )
    if dataset_id is not None:
        statement = statement.where(AccessRequest.dataset_id == dataset_id)
    if state is not None:
        statement = statement.where(AccessRequest.state == state.value)
    if after is not None:
        statement = statement.where(AccessRequest.id > after)
    return list(await session.scalars(statement))


async def approve(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    granted: Granted,
    *,
    by: ClientFacts,
) -> Agreement:
    """Make an agreement of a request; columns and period may be narrowed.

    Raises `RequestDecided`, `SameClient`, `NotSteward`, `TermsInvalid`, `RequesterGone` or
    `ZoneNotAllowed`.
    """
    _require_open(request)
    if by.client_id == request.requested_by:
        raise SameClient
    require_steward(dataset, by)
    start = granted.valid_from or request.valid_from
    end = granted.valid_until or request.valid_until
    columns = request.columns if granted.columns is None else list(dict.fromkeys(granted.columns))
    faults = [
        *check_columns(columns, request.columns),
        *check_period(start, end),
        *_check_narrower(request, start, end),
    ]
    if faults:
        raise TermsInvalid(faults=faults)
    await _require_requester(session, request, dataset)
    agreement = _agreement(request, dataset.publisher_id, columns, (start, end), by.client_id)
    _decide(request, RequestState.APPROVED, by.client_id, granted.reason)
    session.add(agreement)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), agreement=str(agreement.id),
        dataset=dataset.id, organization=request.consumer_id, decision="approved",
        by=by.client_id, columns=columns,
    )  # fmt: skip
    return agreement


def _check_narrower(request: AccessRequest, start: datetime, end: datetime) -> list[Fault]:
    if start >= request.valid_from and end <= request.valid_until:
        return []
    return [Fault(
        "/valid_until", "wider_than_asked", "期間は申請より広げられません。",
        "The period cannot be wider than what was asked.",
    )]  # fmt: skip


async def _require_requester(
    session: AsyncSession, request: AccessRequest, dataset: DatasetTerms
) -> None:
    asker = await session.get_one(Client, request.requested_by)
    if asker.revoked_at is not None:
        raise RequesterGone(client=asker.id)
    await require_zone(session, dataset, asker.id)


def _agreement(
    request: AccessRequest,
    provider_id: str,
    columns: list[str],
    period: tuple[datetime, datetime],
    approver: str,
) -> Agreement:
    now = clock.now()
    return Agreement(
        id=uuid4(),
        request_id=request.id,
        dataset_id=request.dataset_id,
        provider_id=provider_id,
        consumer_id=request.consumer_id,
        purpose=request.purpose,
        legal_basis=request.legal_basis,
        actions=request.actions,
        columns=columns,
        valid_from=period[0],
        valid_until=period[1],
        state=AgreementState.ACTIVE.value,
        requested_by=request.requested_by,
        approved_by=approver,
        approved_at=now,
        state_changed_at=now,
        state_changed_by=approver,
    )


async def reject(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    *,
    reason: str,
    by: ClientFacts,
) -> AccessRequest:
    """Refuse a request with a reason. Raises `RequestDecided` or `NotSteward`."""
    _require_open(request)
    require_steward(dataset, by)
    _decide(request, RequestState.REJECTED, by.client_id, reason)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=dataset.id,
        organization=request.consumer_id, decision="rejected", by=by.client_id,
    )  # fmt: skip
    return request


async def withdraw(
    session: AsyncSession, request: AccessRequest, *, by: ClientFacts
) -> AccessRequest:
    """Take a request back. Raises `RequestDecided` or `NotRequester`."""
    _require_open(request)
    if by.organization_id != request.consumer_id:
        raise NotRequester
    _decide(request, RequestState.WITHDRAWN, by.client_id, None)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=request.dataset_id,
        organization=request.consumer_id, decision="withdrawn", by=by.client_id,
    )  # fmt: skip
    return request


def _require_open(request: AccessRequest) -> None:
    if request.state != RequestState.REQUESTED:
        raise RequestDecided(request=request.id, state=request.state)


def _decide(request: AccessRequest, state: RequestState, by: str, reason: str | None) -> None:
    request.state = state.value
    request.decided_by = by
    request.decided_at = clock.now()
    request.decision_reason = reason
