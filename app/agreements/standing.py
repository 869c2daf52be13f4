"""Where an access request stands: its offers, whose turn it is and until when. Judges no terms."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.agreements import AccessRequest, AccessRequestOffer, RequestState, Side
from app.models.parties import Role
from app.policy.facts import ClientFacts

# As long as offices give themselves to decide on an application (標準処理期間, 行政手続法第6条):
# a body that sits once a month can answer, and nothing is approved that everybody has forgotten.
ANSWER_WITHIN: Final = timedelta(days=30)
_WAITING: Final = {
    RequestState.REQUESTED: Side.PROVIDER,
    RequestState.COUNTERED: Side.CONSUMER,
}
_ANSWERING: Final = {
    Side.PROVIDER: (Role.STEWARD.value,),
    Side.CONSUMER: (Role.DEVELOPER.value, Role.STEWARD.value),
}


class RequestDecided(AppError):
    """The request has been decided or withdrawn before."""

    kind = Kind.CONFLICT
    code = "access_request_decided"
    ja = "利用申請 {request} は {state} です。変更できません。"
    en = "The access request {request} is {state} already and cannot change."


class StillDraft(AppError):
    """Nothing has been offered yet that could be answered."""

    kind = Kind.CONFLICT
    code = "access_request_draft"
    ja = "利用申請 {request} は下書きです。先に submit で提出してください。"
    en = "The access request {request} is a draft. Submit it first."


class RequestExpired(AppError):
    """Whoever had to answer did not, in time."""

    kind = Kind.CONFLICT
    code = "access_request_expired"
    ja = "利用申請 {request} は期限 {due} までに回答がなく失効しました。改めて申請してください。"
    en = "The access request {request} was not answered by {due} and has expired. Ask anew."


class OtherSideAnswers(AppError):
    """It is the other side's turn."""

    kind = Kind.CONFLICT
    code = "other_side_answers"
    ja = "利用申請 {request} は {organization} の回答を待っています。この操作は今はできません。"
    en = "The access request {request} waits for {organization} to answer: not your turn."


class OfferReplaced(AppError):
    """The offer that the caller speaks of is not the newest."""

    kind = Kind.CONFLICT
    code = "offer_replaced"
    ja = "利用申請 {request} の最新の提示は第{newest}号です。内容を確認してから回答してください。"
    en = "The newest offer of the access request {request} is number {newest}. Read it first."


@dataclass(frozen=True, slots=True)
class Terms:
    """What one offer says, complete."""

    purpose: str
    legal_basis: str
    actions: tuple[str, ...]
    columns: tuple[str, ...]
    rows: str | None  # None: all
    per_day: int | None  # None: no bound
    valid_from: datetime
    valid_until: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who must answer, since when and until when."""

    organization: str
    roles: tuple[str, ...]  # one of these
    since: datetime
    due_at: datetime


def note(request: AccessRequest, terms: Terms, by: ClientFacts) -> dict[str, Any]:
    """Make these the request's terms, as worded by this caller; the terms as they are kept."""
    told = {
        "purpose": terms.purpose,
        "legal_basis": terms.legal_basis,
        "actions": sorted(set(terms.actions)),
        "columns": list(dict.fromkeys(terms.columns)),
        "rows": terms.rows,
        "per_day": terms.per_day,
        "valid_from": terms.valid_from,
        "valid_until": terms.valid_until,
        "reason": terms.reason,
    }
    for name, value in told.items():
        setattr(request, name, value)
    request.offered_by, request.offered_via = by.actor, by.client_id
    request.offered_at = clock.now()
    return told


def offer(request: AccessRequest, terms: Terms, side: Side, by: ClientFacts) -> None:
    """Put the side's next offer before the other one."""
    told = note(request, terms, by)
    state = RequestState.REQUESTED if side is Side.CONSUMER else RequestState.COUNTERED
    request.state = state.value
    request.offer_number = len(request.offers) + 1
    request.due_at = request.offered_at + ANSWER_WITHIN
    request.offers.append(
        AccessRequestOffer(
            number=request.offer_number,
            side=side.value,
            made_by=by.actor,
            made_via=by.client_id,
            made_at=request.offered_at,
            **told,
        )
    )


def shown_state(state: str, due_at: datetime | None) -> RequestState:
    """The state that readers see: what nobody answered in time has expired."""
    known = RequestState(state)
    if known in _WAITING and due_at is not None and due_at <= clock.now():
        return RequestState.EXPIRED
    return known


def is_waiting() -> ColumnElement[bool]:
    """The condition that somebody can still answer a request."""
    waits = AccessRequest.state.in_([each.value for each in _WAITING])
    return and_(waits, AccessRequest.due_at > clock.now())


def in_state(state: RequestState) -> ColumnElement[bool]:
    """The condition that a request is shown in this state."""
    if state is RequestState.EXPIRED:
        waits = AccessRequest.state.in_([each.value for each in _WAITING])
        return and_(waits, AccessRequest.due_at <= clock.now())
    if state in _WAITING:
        return and_(AccessRequest.state == state.value, AccessRequest.due_at > clock.now())
    return AccessRequest.state == state.value


def waiting(request: AccessRequest) -> Waiting | None:
    """Who must act now; None where nobody has to."""
    side = _WAITING.get(shown_state(request.state, request.due_at))
    if side is None or request.due_at is None:
        return None
    organization = request.provider_id if side is Side.PROVIDER else request.consumer_id
    return Waiting(organization, _ANSWERING[side], request.offered_at, request.due_at)


def require_open(request: AccessRequest) -> None:
    """Raise `StillDraft`, `RequestDecided` or `RequestExpired` unless somebody can answer."""
    state = shown_state(request.state, request.due_at)
    if state is RequestState.DRAFT:
        raise StillDraft(request=request.id)
    if state is RequestState.EXPIRED and request.due_at is not None:
        due = request.due_at.astimezone(clock.TOKYO).isoformat(timespec="seconds")
        raise RequestExpired(request=request.id, due=due)
    if state not in _WAITING:
        raise RequestDecided(request=request.id, state=state)


def require_turn(request: AccessRequest, side: Side, number: int | None) -> None:
    """Raise unless it is this side's turn to answer offer `number` (None: whichever is newest).

    Raises `RequestDecided`, `RequestExpired`, `OtherSideAnswers` or `OfferReplaced`.
    """
    require_open(request)
    waits = waiting(request)
    if waits is not None and _WAITING[RequestState(request.state)] is not side:
        raise OtherSideAnswers(request=request.id, organization=waits.organization)
    if number is not None and number != request.offer_number:
        raise OfferReplaced(request=request.id, newest=request.offer_number)


def decide(request: AccessRequest, state: RequestState, by: str, reason: str | None) -> None:
    """End the negotiation."""
    request.state = state.value
    request.decided_by = by
    request.decided_at = clock.now()
    request.decision_reason = reason
