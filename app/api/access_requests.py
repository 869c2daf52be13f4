"""The door to access requests and offers. A request not one's own to see is a 404."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    model_validator,
)

from app.agreements import drafts, negotiation, requests
from app.agreements.proposals import KEEP, Proposal
from app.agreements.rows import MOST_CHARACTERS
from app.agreements.standing import shown_state, waiting
from app.agreements.terms import AskedTerms
from app.api.access import (
    SCOPED_CODES,
    AgreementsWriter,
    CallerDep,
    Reading,
    StepUp,
    Writing,
)
from app.api.agreement_access import (
    DatasetOf,
    visible_agreement,
    visible_parties,
    visible_request,
)
from app.api.agreements import AgreementOut
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, PlainText, Slug, Text, Time
from app.models.agreements import AccessRequest, Agreement, RequestState
from app.policy.facts import Action

router = APIRouter(prefix="/v1", tags=["Agreements"], max_body_size=LONGEST_BODY)
_COLUMNS = Annotated[list[Name] | None, Field(max_length=1000)]
_ROWS = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), PlainText] | None,
    Field(
        description="Only the rows that meet this: CQL2 Text over any of the dataset's fields",
        examples=["ward = '北区' AND capacity >= 100"],
    ),
]
_PER_DAY = Annotated[
    int | None,
    Field(ge=1, le=2_000_000_000, description="Requests a day, of all clients of the consumer"),
]


class Agreed(StrEnum):
    """What an agreement is on; who may read may also count."""

    READ = Action.READ.value
    WRITE = Action.WRITE.value


class RequestIn(InShape):
    """What a consumer asks for. `columns` absent: all; period absent: from now to 31 March."""

    dataset: Slug
    purpose: Slug
    legal_basis: Text
    group: Slug | None = Field(
        default=None,
        description="A tenant group that your organisation operates: for its members of each day",
    )
    draft: bool = Field(default=False, description="Seen by nobody else until it is submitted")
    actions: Annotated[list[Agreed], Field(min_length=1, max_length=2, default=[Agreed.READ])]
    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "dataset": "shelters",
                "purpose": "disaster-response",
                "legal_basis": "災害対策基本法第49条の7",
                "columns": ["name", "address", "capacity"],
            }
        }
    )

    def terms(self) -> AskedTerms:
        """The same as the service takes it."""
        told = self.model_dump(exclude={"dataset", "draft"})
        told["actions"] = tuple(Action(each) for each in self.actions)
        return AskedTerms(**{**told, "columns": self.columns and tuple(self.columns)})


class ApprovalIn(InShape):
    """What the steward grants; absent: as asked. Less is possible, more is not.

    `rows` only where the request named none: another condition is a counter-offer.
    """

    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None
    offer: int | None = Field(
        default=None, ge=1, le=100_000, description="Approve only if this is the newest offer"
    )

    model_config = ConfigDict(json_schema_extra={"example": {"columns": ["name", "address"]}})


class RejectionIn(InShape):
    """Why the request is refused."""

    reason: Text

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "利用目的が不明確です。"}})


class ProposalIn(InShape):
    """Other terms; absent: as they stand. `rows` and `per_day` null: taken away."""

    purpose: Slug | None = None
    legal_basis: Text | None = None
    actions: Annotated[list[Agreed], Field(min_length=1, max_length=2)] | None = None
    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None

    model_config = ConfigDict(
        json_schema_extra={"example": {"columns": ["name"], "reason": "住所は提供できません。"}}
    )

    def proposal(self) -> Proposal:
        """The same as the service takes it."""
        told = self.model_dump()
        for name in ("actions", "columns"):
            told[name] = None if told[name] is None else tuple(told[name])
        if told["actions"] is not None:
            told["actions"] = tuple(Action(each) for each in told["actions"])
        for name in {"rows", "per_day"} - self.model_fields_set:
            told[name] = KEEP
        return Proposal(**told)


class DraftPatch(ProposalIn):
    """How a draft is to be worded otherwise; absent: as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"columns": ["name", "capacity"]}})


class AcceptanceIn(InShape):
    """Which offer is accepted: the newest, by its number."""

    offer: int = Field(ge=1, le=100_000)

    model_config = ConfigDict(json_schema_extra={"example": {"offer": 2}})


class OfferOut(OutShape):
    """One offer of one side, as it was made."""

    number: int
    side: str
    purpose: str
    legal_basis: str
    actions: list[str]
    columns: list[str]
    rows: str | None
    per_day: int | None
    valid_from: Time
    valid_until: Time
    reason: str | None
    made_by: str = Field(description="The person who acted, or the client that acted for itself")
    made_via: str = Field(description="The client")
    made_at: Time


class WaitingOut(OutShape):
    """Who must answer, since when and until when; after that the request has expired."""

    organization: str
    roles: list[str] = Field(description="A client with one of these roles")
    since: Time
    due_at: Time


class RequestOut(OutShape):
    """An access request. Its terms are those of the newest offer.

    `state` says `expired` once nobody has answered in time.
    """

    id: UUID
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    group: str | None = Field(
        validation_alias="group_id", description="For whose members the consumer asks"
    )
    amends: UUID | None = Field(description="The agreement that it would take the place of")
    purpose: str
    legal_basis: str
    reason: str | None
    actions: list[str]
    columns: list[str]
    rows: str | None
    per_day: int | None
    valid_from: Time
    valid_until: Time
    state: str
    requested_by: str
    requested_at: Time
    decided_by: str | None
    decided_at: Time | None
    decision_reason: str | None
    waiting_for: WaitingOut | None = None
    offers: list[OfferOut]

    @model_validator(mode="wrap")
    @classmethod
    def _as_of_now(cls, asked: Any, make: ModelWrapValidatorHandler["RequestOut"]) -> "RequestOut":
        made = make(asked)
        if isinstance(asked, AccessRequest):
            made.state = shown_state(asked.state, asked.due_at).value
            waits = waiting(asked)
            made.waiting_for = None if waits is None else WaitingOut.model_validate(waits)
        return made


_REQUEST_CODES = (
    *SCOPED_CODES,
    "access_request_not_found",
    "access_request_decided",
    "access_request_expired",
    "access_request_draft",
)
_DRAFT_CODES = (
    *SCOPED_CODES,
    "access_request_not_found",
    "access_request_not_a_draft",
    "not_the_requester",
    "terms_invalid",
)


@router.post(
    "/access-requests",
    status_code=201,
    response_model=RequestOut,
    summary="Ask for access",
    responses=problems(*SCOPED_CODES, "terms_invalid", "zone_not_allowed", "dataset_not_found"),
)
async def ask_access(
    asked: RequestIn, caller: AgreementsWriter, session: Writing, dataset_of: DatasetOf
) -> AccessRequest:
    """On behalf of the caller's organisation. Somebody else decides: a steward of the publisher."""
    dataset = await dataset_of.visible(asked.dataset, caller)
    make = drafts.write if asked.draft else requests.ask
    return await make(session, dataset, asked.terms(), by=caller.client)


@router.get(
    "/access-requests",
    response_model=PageOut[RequestOut],
    summary="List access requests",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_requests(
    caller: CallerDep,
    session: Reading,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    state: RequestState | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those that the caller's organisation has made or must decide; with `admin:read` all."""
    found = await requests.list_requests(
        session,
        parties=await visible_parties(session, caller),
        drafts_of=caller.client.organization_id,
        dataset_id=dataset,
        state=state,
        after=after_id(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda request: request.id)


@router.get(
    "/access-requests/{request_id}",
    response_model=RequestOut,
    summary="Show an access request",
    responses=problems(*SCOPED_CODES, "access_request_not_found"),
)
async def show_request(
    request_id: UUID, caller: CallerDep, session: Reading, dataset_of: DatasetOf
) -> AccessRequest:
    """State, terms, who asked and who decided."""
    return (await visible_request(session, request_id, caller, dataset_of))[0]


@router.patch(
    "/access-requests/{request_id}",
    response_model=RequestOut,
    summary="Word a draft otherwise",
    responses=problems(*_DRAFT_CODES),
)
async def edit_draft(
    request_id: UUID,
    other: DraftPatch,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """Before it is submitted. Nobody else is told."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    return await drafts.edit(session, request, dataset, other.proposal(), by=caller.client)


@router.post(
    "/access-requests/{request_id}/submit",
    response_model=RequestOut,
    summary="Submit a draft",
    responses=problems(*_DRAFT_CODES, "zone_not_allowed"),
)
async def submit_draft(
    request_id: UUID, caller: AgreementsWriter, session: Writing, dataset_of: DatasetOf
) -> AccessRequest:
    """Makes it the first offer, which the provider must answer within 30 days."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    return await drafts.submit(session, request, dataset, by=caller.client)


@router.post(
    "/access-requests/{request_id}/approve",
    status_code=201,
    response_model=AgreementOut,
    summary="Approve an access request",
    dependencies=[StepUp],
    responses=problems(
        *_REQUEST_CODES,
        "terms_invalid",
        "insufficient_user_authentication",
        "same_person",
        "not_the_steward",
        "zone_not_allowed",
        "requester_revoked",
        "other_side_answers",
        "offer_replaced",
        "wrong_agreement_state",
    ),
)
async def approve_request(
    request_id: UUID,
    granted: ApprovalIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> Agreement:
    """Makes the agreement. Its terms may be narrowed, never widened."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    told = requests.Granted(**granted.model_dump())
    return await requests.approve(session, request, dataset, told, by=caller.client)


@router.post(
    "/access-requests/{request_id}/reject",
    response_model=RequestOut,
    summary="Reject an access request",
    responses=problems(*_REQUEST_CODES, "not_the_steward"),
)
async def reject_request(
    request_id: UUID,
    refusal: RejectionIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """With a reason that the asker can read."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    return await requests.reject(session, request, dataset, reason=refusal.reason, by=caller.client)


@router.post(
    "/access-requests/{request_id}/withdraw",
    response_model=RequestOut,
    summary="Withdraw an access request",
    responses=problems(*_REQUEST_CODES, "not_the_requester"),
)
async def withdraw_request(
    request_id: UUID, caller: AgreementsWriter, session: Writing, dataset_of: DatasetOf
) -> AccessRequest:
    """By the organisation that asked, whoever must answer."""
    request, _ = await visible_request(session, request_id, caller, dataset_of, lock=True)
    if request.state == RequestState.DRAFT:
        return await drafts.withdraw(session, request, by=caller.client)
    return await requests.withdraw(session, request, by=caller.client)


@router.post(
    "/access-requests/{request_id}/counter",
    response_model=RequestOut,
    summary="Answer with other terms",
    responses=problems(
        *_REQUEST_CODES,
        "terms_invalid",
        "not_the_steward",
        "not_the_requester",
        "zone_not_allowed",
    ),
)
async def counter_request(
    request_id: UUID,
    other: ProposalIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """By the side that must answer. Then the other side must, within 30 days."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    return await negotiation.counter(session, request, dataset, other.proposal(), by=caller.client)


@router.post(
    "/access-requests/{request_id}/accept",
    status_code=201,
    response_model=AgreementOut,
    summary="Accept the provider's offer",
    dependencies=[StepUp],
    responses=problems(
        *_REQUEST_CODES,
        "terms_invalid",
        "insufficient_user_authentication",
        "same_person",
        "not_the_requester",
        "zone_not_allowed",
        "requester_revoked",
        "other_side_answers",
        "offer_replaced",
        "wrong_agreement_state",
    ),
)
async def accept_offer(
    request_id: UUID,
    accepted: AcceptanceIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> Agreement:
    """Makes the agreement, as approved by the steward who made the offer."""
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    number = accepted.offer
    return await negotiation.accept(session, request, dataset, number, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/amend",
    status_code=201,
    response_model=RequestOut,
    summary="Propose other terms for an agreement",
    responses=problems(
        *SCOPED_CODES,
        "agreement_not_found",
        "wrong_agreement_state",
        "not_a_party",
        "terms_invalid",
        "zone_not_allowed",
    ),
)
async def amend_agreement(
    agreement_id: UUID,
    other: ProposalIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """By either side. The agreement stays in force until the other side has said yes."""
    found, dataset = await visible_agreement(session, agreement_id, caller, dataset_of, lock=True)
    return await negotiation.amend(session, found, dataset, other.proposal(), by=caller.client)
