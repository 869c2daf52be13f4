"""Access requests: asked, decided, withdrawn. Nobody ever approves what they asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.conclusion import Taken, conclude
from app.agreements.proposals import check_terms
from app.agreements.rows import check_rows
from app.agreements.standing import Terms, decide, in_state, offer, require_open, require_turn
from app.agreements.terms import (
    AskedTerms,
    DatasetTerms,
    TermsInvalid,
    check_columns,
    check_group,
    check_period,
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
from app.models.people import Person
from app.policy.facts import ClientFacts, may_be_one


class RequestNotFound(AppError):
    """No access request has this id, or the caller may not know of it."""

    kind = Kind.NOT_FOUND
    code = "access_request_not_found"
    ja = "利用申請 {request} はありません。"
    en = "There is no access request {request}."


class SamePerson(AppError):
    """Two different people ask and approve, whatever apps they use (trust.md, Agreements)."""

    kind = Kind.FORBIDDEN
    code = "same_person"
    ja = (
        "申請した本人と条件を提示した本人は、それを承認できません（アプリ自身と、そのアプリを使う人も"
        "同じとみなします）。別の担当者が承認してください。"
    )
    en = (
        "Whoever asked or made the offer cannot approve it, and an app counts as the people who use"
        " it. Somebody else must."
    )


class NotRequester(AppError):
    """Only the organisation that asked can withdraw, or answer the provider's offer."""

    kind = Kind.FORBIDDEN
    code = "not_the_requester"
    ja = "取り下げと提示条件への回答は、申請した組織だけができます。"
    en = "Only the organisation that asked can withdraw or answer the provider's offer."


class RequesterGone(AppError):
    """Who made the newest offer, or the client, was revoked in the meantime."""

    kind = Kind.CONFLICT
    code = "requester_revoked"
    ja = "条件を提示した {author} は失効しています。"
    en = "{author}, who made the offer, has been revoked."


@dataclass(frozen=True, slots=True)
class Granted:
    """What the steward grants. None: as asked. It can be less, never more."""

    columns: tuple[str, ...] | None = None
    rows: str | None = None
    per_day: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None
    offer: int | None = None  # the number that the steward has read


async def ask(
    session: AsyncSession, dataset: DatasetTerms, asked: AskedTerms, *, by: ClientFacts
) -> AccessRequest:
    """Ask for access on behalf of the caller's organisation, or of the group that it operates.

    Raises `TermsInvalid` or `ZoneNotAllowed`.
    """
    request, terms = await new_request(session, dataset, asked, by=by)
    offer(request, terms, Side.CONSUMER, by)
    session.add(request)
    await announce(session, request, by=by)
    return request


async def new_request(
    session: AsyncSession, dataset: DatasetTerms, asked: AskedTerms, *, by: ClientFacts
) -> tuple[AccessRequest, Terms]:
    """A request that stands nowhere yet, and its terms. Raises what `ask` raises."""
    terms = _terms_of(asked, dataset)
    faults = [
        *_check_dataset(dataset, by),
        *await check_group(session, asked.group, by),
        *await check_terms(session, terms, dataset.fields),
    ]
    if faults:
        raise TermsInvalid(faults=faults)
    await require_zone(session, dataset, by.client_id)
    request = AccessRequest(
        id=uuid4(),
        dataset_id=dataset.id,
        provider_id=dataset.publisher_id,
        consumer_id=by.organization_id,
        group_id=asked.group,
        requested_by=by.actor,
        requested_at=clock.now(),
    )
    return request, terms


def _terms_of(asked: AskedTerms, dataset: DatasetTerms) -> Terms:
    start = asked.valid_from or clock.now()
    return Terms(
        purpose=asked.purpose,
        legal_basis=asked.legal_basis,
        actions=tuple(action.value for action in asked.actions),
        columns=tuple(dataset.fields if asked.columns is None else asked.columns),
        rows=asked.rows,
        per_day=asked.per_day,
        valid_from=start,
        valid_until=asked.valid_until or default_end(max(start, clock.now())),
        reason=asked.reason,
    )


async def announce(session: AsyncSession, request: AccessRequest, *, by: ClientFacts) -> None:
    """Say in the log that a consumer has asked."""
    await audit.append(
        session, Event.ACCESS_REQUESTED, request=str(request.id), dataset=request.dataset_id,
        organization=request.consumer_id, client=by.client_id, by=by.actor,
        purpose=request.purpose, actions=request.actions,
        **({"group": request.group_id} if request.group_id else {}),
    )  # fmt: skip


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
    drafts_of: str | None = None,
    dataset_id: str | None = None,
    state: RequestState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[AccessRequest]:
    """Requests by id; `parties` None: all, else those that one of these organisations is in.

    What was never submitted only as `drafts_of` one organisation.
    """
    offered = AccessRequest.offer_number > 0
    shown = offered if drafts_of is None else or_(offered, AccessRequest.consumer_id == drafts_of)
    statement = select(AccessRequest).where(shown).order_by(AccessRequest.id).limit(limit)
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
    """Make an agreement of a request; columns, rows, calls a day and period may be narrowed.

    Raises `RequestDecided`, `RequestExpired`, `OtherSideAnswers`, `OfferReplaced`, `SamePerson`,
    `NotSteward`, `TermsInvalid`, `RequesterGone`, `ZoneNotAllowed` or `WrongAgreementState`.
    """
    require_turn(request, Side.PROVIDER, granted.offer)
    require_other_person(request, by)
    require_not_asker(request, by)
    require_steward(dataset, by)
    start = granted.valid_from or request.valid_from
    end = granted.valid_until or request.valid_until
    columns = request.columns if granted.columns is None else list(dict.fromkeys(granted.columns))
    faults = [
        *check_columns(columns, request.columns),
        *check_rows(granted.rows, dataset.fields),
        *check_period(start, end),
        *_check_narrower(request, granted, start, end),
    ]
    if faults:
        raise TermsInvalid(faults=faults)
    await require_author(session, request)
    await require_zone(session, dataset, request.offered_via)
    taken = Taken(
        requested_by=request.offered_by,
        approved_by=by.actor,
        decided_by=by.actor,
        columns=tuple(columns),
        rows=granted.rows or request.rows,
        per_day=granted.per_day or request.per_day,
        valid_from=start,
        valid_until=end,
        decision="approved",
        reason=granted.reason,
    )
    return await conclude(session, request, dataset, taken)


def _check_narrower(
    request: AccessRequest, granted: Granted, start: datetime, end: datetime
) -> list[Fault]:
    faults = []
    # Of two conditions nothing tells in general which lets fewer rows through.
    if granted.rows is not None and request.rows not in (None, granted.rows):
        faults.append(Fault(
            "/rows", "other_rows", "申請にある行の条件は変更できません。counter で提示してください。",
            "The request has a condition on rows: offer another one with counter.",
        ))  # fmt: skip
    if granted.per_day is not None and granted.per_day > (request.per_day or granted.per_day):
        faults.append(Fault(
            "/per_day", "wider_than_asked", f"申請は1日{request.per_day}回までです。",
            f"No more than the {request.per_day} requests a day that were asked.",
        ))  # fmt: skip
    if start < request.valid_from or end > request.valid_until:
        faults.append(Fault(
            "/valid_until", "wider_than_asked", "期間は申請より広げられません。",
            "The period cannot be wider than what was asked.",
        ))  # fmt: skip
    return faults


def require_other_person(request: AccessRequest, by: ClientFacts) -> None:
    """Raise `SamePerson` where the caller would take an offer of their own."""
    if may_be_one(by.actor, by.client_id, request.offered_by, request.offered_via):
        raise SamePerson


def require_not_asker(request: AccessRequest, by: ClientFacts) -> None:
    """Raise `SamePerson` where the caller asked for access: somebody else may have submitted it."""
    if request.amends is None and by.actor == request.requested_by:
        raise SamePerson


def require_requester(request: AccessRequest, by: ClientFacts) -> None:
    """Raise `NotRequester` unless the caller is of the organisation that asked."""
    if by.organization_id != request.consumer_id:
        raise NotRequester


async def require_author(session: AsyncSession, request: AccessRequest) -> None:
    """Raise `RequesterGone` where who made the newest offer, or the client, is no longer trusted."""
    client = await session.get_one(Client, request.offered_via)
    if client.revoked_at is not None:
        raise RequesterGone(author=client.id)
    if request.offered_by == request.offered_via:
        return
    person = await session.get(Person, request.offered_by)
    if person is None or person.disabled_at is not None:
        raise RequesterGone(author=request.offered_by)


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
    decide(request, RequestState.REJECTED, by.actor, reason)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=dataset.id,
        organization=request.consumer_id, decision="rejected", by=by.actor,
    )  # fmt: skip
    return request


async def withdraw(
    session: AsyncSession, request: AccessRequest, *, by: ClientFacts
) -> AccessRequest:
    """Take a request back. Raises `RequestDecided`, `RequestExpired` or `NotRequester`."""
    require_open(request)
    require_requester(request, by)
    decide(request, RequestState.WITHDRAWN, by.actor, None)
    await audit.append(
        session, Event.ACCESS_DECIDED, request=str(request.id), dataset=request.dataset_id,
        organization=request.consumer_id, decision="withdrawn", by=by.actor,
    )  # fmt: skip
    return request
