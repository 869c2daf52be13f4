"""Access requests: asked, decided, withdrawn. Nobody ever approves what they asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.conclusion import Taken, conclude
from app.agreements.standing import Terms, decide, in_state, offer, require_open, require_turn
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
from app.models.agreements import AccessRequest, Agreement, RequestState, Side
from app.models.datasets import Dataset
from app.models.parties import Client
from app.policy.facts import ClientFacts


class RequestNotFound(AppError):
    """No access request has this id, or the caller may not know of it."""

    kind = Kind.NOT_FOUND
    code = "access_request_not_found"
    ja = "利用申請 {request} はありません。"
    en = "There is no access request {request}."


class SameClient(AppError):
    """Two different people ask and approve (trust.md, Agreements)."""

    kind = Kind.FORBIDDEN
    code = "same_person"
    ja = "申請したクライアントは、その申請を承認できません。別の担当者が承認してください。"
    en = "The client that asked cannot approve. Somebody else must."


class NotRequester(AppError):
    """Only the organisation that asked can withdraw, or answer the provider's offer."""

    kind = Kind.FORBIDDEN
    code = "not_the_requester"
    ja = "取り下げと提示条件への回答は、申請した組織だけができます。"
    en = "Only the organisation that asked can withdraw or answer the provider's offer."


class RequesterGone(AppError):
    """The client that made the newest offer was revoked in the meantime."""

    kind = Kind.CONFLICT
    code = "requester_revoked"
    ja = "条件を提示したクライアント {client} は失効しています。"
    en = "The client {client} that made the offer has been revoked."


@dataclass(frozen=True, slots=True)
class Granted:
    """What the steward grants. None: as asked. It can be less, never more."""

    columns: tuple[str, ...] | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None
    offer: int | None = None  # the number that the steward has read


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
        provider_id=dataset.publisher_id,
        consumer_id=by.organization_id,
        requested_by=by.client_id,
        requested_at=clock.now(),
    )
    actions = tuple(action.value for action in asked.actions)
    terms = Terms(
        asked.purpose, asked.legal_basis, actions, tuple(columns), start, end, asked.reason
    )
    offer(request, terms, Side.CONSUMER, by.client_id)
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
        statement = statement.where(in_state(state))
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

    Raises `RequestDecided`, `RequestExpired`, `OtherSideAnswers`, `OfferReplaced`, `SameClient`,
    `NotSteward`, `TermsInvalid`, `RequesterGone`, `ZoneNotAllowed` or `WrongAgreementState`.
    """
    require_turn(request, Side.PROVIDER, granted.offer)
    if by.client_id == request.offered_by:
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
    await require_author(session, request)
    await require_zone(session, dataset, request.offered_by)
    taken = Taken(
        requested_by=request.offered_by,
        approved_by=by.client_id,
        decided_by=by.client_id,
        columns=tuple(columns),
        valid_from=start,
        valid_until=end,
        decision="approved",
        reason=granted.reason,
    )
    return await conclude(session, request, dataset, taken)


def _check_narrower(request: AccessRequest, start: datetime, end: datetime) -> list[Fault]:
    if start >= request.valid_from and end <= request.valid_until:
        return []
    return [Fault(
        "/valid_until", "wider_than_asked", "期間は申請より広げられません。",
        "The period cannot be wider than what was asked.",
    )]  # fmt: skip


async def require_author(session: AsyncSession, request: AccessRequest) -> None:
    """Raise `RequesterGone` where the client that made the newest offer is revoked."""
    author = await session.get_one(Client, request.offered_by)
    if author.revoked_at is not None:
        raise RequesterGone(client=author.id)


async def reject(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    *,
    reason: str,
    by: ClientFacts,
) -> AccessRequest:
    """Refuse a request with a reason. Raises `RequestDecided`, `RequestExpired` or `NotSteward`."""
    require_open(request)
    require_steward(dataset, by)
    decide(request, RequestState.REJECTED, by.client_id, reason)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=dataset.id,
        organization=request.consumer_id, decision="rejected", by=by.client_id,
    )  # fmt: skip
    return request


async def withdraw(
    session: AsyncSession, request: AccessRequest, *, by: ClientFacts
) -> AccessRequest:
    """Take a request back. Raises `RequestDecided`, `RequestExpired` or `NotRequester`."""
    require_open(request)
    if by.organization_id != request.consumer_id:
        raise NotRequester
    decide(request, RequestState.WITHDRAWN, by.client_id, None)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=request.dataset_id,
        organization=request.consumer_id, decision="withdrawn", by=by.client_id,
    )  # fmt: skip
    return request
