"""The door to access requests and offers. A request not one's own to see is a 404."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from app.agreements import drafts, negotiation, requests
from app.api.access import (
    SCOPED_CODES,
    AgreementsWriter,
    CallerDep,
    PlatformDep,
    Reading,
    StepUp,
    Writing,
    second_factor_of,
)
from app.api.access_request_shapes import (
    AcceptanceIn,
    ApprovalIn,
    DraftPatch,
    ProposalIn,
    RejectionIn,
    RequestIn,
    RequestOut,
)
from app.api.agreement_access import (
    DatasetOf,
    check_terms_of_use,
    visible_agreement,
    visible_parties,
    visible_request,
)
from app.api.agreements import AgreementOut
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY
from app.models.agreements import AccessRequest, Agreement, RequestState

router = APIRouter(prefix="/v1", tags=["Agreements"], max_body_size=LONGEST_BODY)
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
    responses=problems(
        *SCOPED_CODES,
        "terms_invalid",
        "zone_not_allowed",
        "dataset_not_found",
        "terms_not_accepted",
    ),
)
async def ask_access(
    asked: RequestIn, caller: AgreementsWriter, session: Writing, dataset_of: DatasetOf
) -> AccessRequest:
    """On behalf of the caller's organisation. Somebody else decides: a steward of the publisher."""
    await check_terms_of_use(session, caller)
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
    responses=problems(*_DRAFT_CODES, "zone_not_allowed", "terms_not_accepted"),
)
async def submit_draft(
    request_id: UUID, caller: AgreementsWriter, session: Writing, dataset_of: DatasetOf
) -> AccessRequest:
    """Makes it the first offer, which the provider must answer within 30 days."""
    await check_terms_of_use(session, caller)
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
        "terms_not_accepted",
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
    await check_terms_of_use(session, caller, request.consumer_id, request.provider_id)
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
        "terms_not_accepted",
        "terms_invalid",
        "not_the_steward",
        "not_the_requester",
        "zone_not_allowed",
        "insufficient_user_authentication",
    ),
)
async def counter_request(
    request_id: UUID,
    other: ProposalIn,
    caller: AgreementsWriter,
    platform: PlatformDep,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """By the side that must answer. Then the other side must, within 30 days."""
    await check_terms_of_use(session, caller)
    request, dataset = await visible_request(session, request_id, caller, dataset_of, lock=True)
    if request.state == RequestState.REQUESTED:
        await second_factor_of(caller, platform)  # the provider's offer is its approval, once taken
    return await negotiation.counter(session, request, dataset, other.proposal(), by=caller.client)


@router.post(
    "/access-requests/{request_id}/accept",
    status_code=201,
    response_model=AgreementOut,
    summary="Accept the provider's offer",
    dependencies=[StepUp],
    responses=problems(
        *_REQUEST_CODES,
        "terms_not_accepted",
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
    await check_terms_of_use(session, caller, request.consumer_id, request.provider_id)
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
        "terms_not_accepted",
        "terms_invalid",
        "zone_not_allowed",
        "insufficient_user_authentication",
    ),
)
async def amend_agreement(
    agreement_id: UUID,
    other: ProposalIn,
    caller: AgreementsWriter,
    platform: PlatformDep,
    session: Writing,
    dataset_of: DatasetOf,
) -> AccessRequest:
    """By either side. The agreement stays in force until the other side has said yes."""
    await check_terms_of_use(session, caller)
    found, dataset = await visible_agreement(session, agreement_id, caller, dataset_of, lock=True)
    if caller.client.organization_id != found.consumer_id:
        await second_factor_of(caller, platform)  # as with every offer of the provider
    return await negotiation.amend(session, found, dataset, other.proposal(), by=caller.client)
