"""The door to access requests, agreements and purposes. A request not one's own to see is a 404."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from app.agreements import agreements, purposes, requests
from app.agreements.terms import AskedTerms
from app.api.access import SCOPED_CODES, AdminWriter, AgreementsWriter, CallerDep, Reading, Writing
from app.api.agreement_access import (
    DatasetOf,
    changing_agreement,
    visible_agreement,
    visible_parties,
    visible_request,
)
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Text, Time
from app.models.agreements import AccessRequest, Agreement, Purpose, RequestState
from app.policy.facts import Action

router = APIRouter(prefix="/v1", tags=["Agreements"], max_body_size=LONGEST_BODY)
_COLUMNS = Annotated[list[Name] | None, Field(max_length=1000)]


class Agreed(StrEnum):
    """What an agreement is on; who may read may also count."""

    READ = Action.READ.value
    WRITE = Action.WRITE.value


class RequestIn(InShape):
    """What a consumer asks for. `columns` absent: all; period absent: from now to 31 March."""

    dataset: Slug
    purpose: Slug
    legal_basis: Text
    actions: Annotated[list[Agreed], Field(min_length=1, max_length=2, default=[Agreed.READ])]
    columns: _COLUMNS = None
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


class ApprovalIn(InShape):
    """What the steward grants; absent: as asked. Less is possible, more is not."""

    columns: _COLUMNS = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None

    model_config = ConfigDict(json_schema_extra={"example": {"columns": ["name", "address"]}})


class RejectionIn(InShape):
    """Why the request is refused."""

    reason: Text

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "利用目的が不明確です。"}})


class ChangeIn(InShape):
    """Why an agreement is suspended, resumed or revoked."""

    reason: Text

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "不正利用の調査のため"}})


class RequestOut(OutShape):
    """An access request."""

    id: UUID
    dataset: str = Field(validation_alias="dataset_id")
    consumer_id: str
    purpose: str
    legal_basis: str
    reason: str | None
    actions: list[str]
    columns: list[str]
    valid_from: Time
    valid_until: Time
    state: str
    requested_by: str
    requested_at: Time
    decided_by: str | None
    decided_at: Time | None
    decision_reason: str | None


class AgreementOut(OutShape):
    """An agreement. `state` says `expired` once its time is over."""

    id: UUID
    request_id: UUID
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    purpose: str
    legal_basis: str
    actions: list[str]
    columns: list[str]
    valid_from: Time
    valid_until: Time
    state: str
    requested_by: str
    approved_by: str
    approved_at: Time
    state_changed_at: Time
    state_changed_by: str
    state_reason: str | None

    @model_validator(mode="after")
    def _as_of_now(self) -> "AgreementOut":
        self.state = agreements.shown_state(self.state, self.valid_until)
        return self


class PurposeOut(OutShape):
    """A purpose of use."""

    code: str
    name_ja: str
    name_en: str


class PurposeIn(InShape):
    """A purpose to be added to the controlled list."""

    code: Slug
    name_ja: Name
    name_en: Name

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"code": "tourism", "name_ja": "観光振興", "name_en": "tourism"}
        }
    )


_REQUEST_CODES = (*SCOPED_CODES, "access_request_not_found", "access_request_decided")
_AGREEMENT_CODES = (*SCOPED_CODES, "agreement_not_found", "wrong_agreement_state")


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
    told = asked.model_dump(exclude={"dataset"})
    told["actions"] = tuple(Action(each) for each in asked.actions)
    terms = AskedTerms(**{**told, "columns": asked.columns and tuple(asked.columns)})
    return await requests.ask(session, dataset, terms, by=caller.client)


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


@router.post(
    "/access-requests/{request_id}/approve",
    status_code=201,
    response_model=AgreementOut,
    summary="Approve an access request",
    responses=problems(
        *_REQUEST_CODES,
        "terms_invalid",
        "same_person",
        "not_the_steward",
        "zone_not_allowed",
        "requester_revoked",
    ),
)
async def approve_request(
    request_id: UUID,
    granted: ApprovalIn,
    caller: AgreementsWriter,
    session: Writing,
    dataset_of: DatasetOf,
) -> Agreement:
    """Makes the agreement. Columns and period may be narrowed, never widened."""
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
    """By the organisation that asked, before a decision."""
    request, _ = await visible_request(session, request_id, caller, dataset_of, lock=True)
    return await requests.withdraw(session, request, by=caller.client)


@router.get(
    "/agreements",
    response_model=PageOut[AgreementOut],
    summary="List agreements",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_agreements(
    caller: CallerDep,
    session: Reading,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those that the caller's organisation is a party of; with `admin:read` all."""
    found = await agreements.list_agreements(
        session,
        parties=await visible_parties(session, caller),
        dataset_id=dataset,
        after=after_id(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda agreement: agreement.id)


@router.get(
    "/agreements/{agreement_id}",
    response_model=AgreementOut,
    summary="Show an agreement",
    responses=problems(*SCOPED_CODES, "agreement_not_found"),
)
async def show_agreement(
    agreement_id: UUID, caller: CallerDep, session: Reading, dataset_of: DatasetOf
) -> Agreement:
    """Parties, terms, state and who changed it last."""
    return (await visible_agreement(session, agreement_id, caller, dataset_of))[0]


@router.post(
    "/agreements/{agreement_id}/suspend",
    response_model=AgreementOut,
    summary="Suspend an agreement",
    responses=problems(*_AGREEMENT_CODES, "not_a_party"),
)
async def suspend_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """At once, by either side (`agreements:write`) or the operator (`admin:write`)."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.suspend(session, found, dataset, reason=why.reason, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/resume",
    response_model=AgreementOut,
    summary="Resume a suspended agreement",
    responses=problems(*_AGREEMENT_CODES, "not_the_steward"),
)
async def resume_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """By a steward of the provider alone: the operator can suspend, never release."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.resume(session, found, dataset, reason=why.reason, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/revoke",
    response_model=AgreementOut,
    summary="Revoke an agreement",
    responses=problems(*_AGREEMENT_CODES, "not_a_party"),
)
async def revoke_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """For good, by either side."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.revoke(session, found, dataset, reason=why.reason, by=caller.client)


@router.get(
    "/purposes",
    response_model=list[PurposeOut],
    summary="List purposes of use",
    responses=problems(),
)
async def list_purposes(session: Reading) -> list[Purpose]:
    """The controlled list. Every read names one."""
    return await purposes.list_purposes(session)


@router.post(
    "/purposes",
    status_code=201,
    response_model=PurposeOut,
    summary="Add a purpose of use",
    responses=problems(*SCOPED_CODES, "purpose_exists"),
)
async def add_purpose(new: PurposeIn, caller: AdminWriter, session: Writing) -> Purpose:
    """A purpose, once listed, stays."""
    return await purposes.add_purpose(session, **new.model_dump(), by=caller.client.client_id)
