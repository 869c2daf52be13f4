"""Drafts: requests that only the asking organisation sees, until one is submitted.

Nothing of a draft is told to anybody: neither notice nor entry of the log, which providers read.
"""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.proposals import Proposal, check_terms, merged
from app.agreements.requests import announce, new_request, require_requester
from app.agreements.standing import note, offer
from app.agreements.terms import AskedTerms, DatasetTerms, TermsInvalid, require_zone
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.agreements import AccessRequest, RequestState, Side
from app.policy.facts import ClientFacts


class NotDraft(AppError):
    """The request has been submitted, or the draft withdrawn."""

    kind = Kind.CONFLICT
    code = "access_request_not_a_draft"
    ja = "利用申請 {request} は {state} で、下書きではありません。条件の変更は counter で提示します。"
    en = "The access request {request} is {state}, no draft. Offer other terms with counter."


async def write(
    session: AsyncSession, dataset: DatasetTerms, asked: AskedTerms, *, by: ClientFacts
) -> AccessRequest:
    """A draft on behalf of the caller's organisation. Raises `TermsInvalid` or `ZoneNotAllowed`."""
    request, terms = await new_request(session, dataset, asked, by=by)
    request.state, request.offer_number, request.offers = RequestState.DRAFT.value, 0, []
    note(request, terms, by)
    session.add(request)
    return request


async def edit(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    proposal: Proposal,
    *,
    by: ClientFacts,
) -> AccessRequest:
    """Word a draft otherwise. Raises `NotDraft`, `NotRequester` or `TermsInvalid`."""
    _require_draft(request, by)
    terms = merged(request, proposal)
    faults = await check_terms(session, terms, dataset.fields)
    if faults:
        raise TermsInvalid(faults=faults)
    note(request, replace(terms, reason=terms.reason or request.reason), by)
    return request


async def submit(
    session: AsyncSession, request: AccessRequest, dataset: DatasetTerms, *, by: ClientFacts
) -> AccessRequest:
    """Make the draft the first offer, which the provider must answer.

    The terms and the zone are looked at again. Raises `NotDraft`, `NotRequester`,
    `TermsInvalid` or `ZoneNotAllowed`.
    """
    _require_draft(request, by)
    terms = replace(merged(request, Proposal()), reason=request.reason)
    faults = await check_terms(session, terms, dataset.fields)
    if faults:
        raise TermsInvalid(faults=faults)
    await require_zone(session, dataset, by.client_id)
    offer(request, terms, Side.CONSUMER, by)
    await announce(session, request, by=by)
    return request


async def withdraw(
    session: AsyncSession, request: AccessRequest, *, by: ClientFacts
) -> AccessRequest:
    """Give a draft up. Raises `NotDraft` or `NotRequester`."""
    _require_draft(request, by)
    request.state = RequestState.WITHDRAWN.value
    request.decided_by, request.decided_at = by.actor, clock.now()
    return request


def _require_draft(request: AccessRequest, by: ClientFacts) -> None:
    if request.state != RequestState.DRAFT:
        raise NotDraft(request=request.id, state=request.state)
    require_requester(request, by)
