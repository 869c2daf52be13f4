"""Counter-offers and amendments: one side proposes, the other answers. Nobody answers themselves."""

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.agreements import require_party, require_state
from app.agreements.conclusion import Taken, conclude
from app.agreements.proposals import Proposal, check_terms, merged
from app.agreements.requests import require_author, require_other_person, require_requester
from app.agreements.standing import Terms, offer, require_open, require_turn
from app.agreements.terms import (
    DatasetTerms,
    TermsInvalid,
    check_period,
    require_steward,
    require_zone,
)
from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import Fault
from app.models.agreements import AccessRequest, Agreement, AgreementState, RequestState, Side
from app.policy.facts import ClientFacts


async def counter(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    proposal: Proposal,
    *,
    by: ClientFacts,
) -> AccessRequest:
    """Answer the other side's offer with other terms; then it is the other side's turn.

    Raises `RequestDecided`, `RequestExpired`, `NotSteward`, `NotRequester`, `TermsInvalid` or
    `ZoneNotAllowed`.
    """
    require_open(request)
    if request.state == RequestState.REQUESTED:
        side = Side.PROVIDER
        require_steward(dataset, by)
    else:
        side = Side.CONSUMER
        await _require_consumer(session, request, dataset, by)
    terms = await _proposed(
        session, request, dataset, proposal, amending=request.amends is not None
    )
    offer(request, terms, side, by)
    await audit.append(
        session, Event.ACCESS_COUNTERED, request=str(request.id), dataset=dataset.id,
        organization=request.consumer_id, side=side.value, offer=request.offer_number,
        purpose=request.purpose, actions=request.actions, by=by.actor,
    )  # fmt: skip
    return request


async def accept(
    session: AsyncSession,
    request: AccessRequest,
    dataset: DatasetTerms,
    number: int,
    *,
    by: ClientFacts,
) -> Agreement:
    """Take the provider's offer `number`: it counts as approved by the steward who made it.

    Raises `RequestDecided`, `RequestExpired`, `OtherSideAnswers`, `OfferReplaced`, `NotRequester`,
    `SamePerson`, `TermsInvalid`, `RequesterGone`, `ZoneNotAllowed` or `WrongAgreementState`.
    """
    require_turn(request, Side.CONSUMER, number)
    await _require_consumer(session, request, dataset, by)
    require_other_person(request, by)
    faults = check_period(request.valid_from, request.valid_until)
    if faults:
        raise TermsInvalid(faults=faults)
    await require_author(session, request)
    taken = Taken(
        requested_by=by.actor,
        approved_by=request.offered_by,
        decided_by=by.actor,
        columns=tuple(request.columns),
        rows=request.rows,
        per_day=request.per_day,
        valid_from=request.valid_from,
        valid_until=request.valid_until,
        decision="accepted",
    )
    return await conclude(session, request, dataset, taken)


async def amend(
    session: AsyncSession,
    agreement: Agreement,
    dataset: DatasetTerms,
    proposal: Proposal,
    *,
    by: ClientFacts,
) -> AccessRequest:
    """Propose other terms for an agreement in force, which stays so until they are taken.

    Raises `WrongAgreementState`, `NotParty`, `TermsInvalid` or `ZoneNotAllowed`.
    """
    require_state(agreement, AgreementState.ACTIVE)
    require_party(agreement, dataset, by)
    side = Side.CONSUMER if by.organization_id == agreement.consumer_id else Side.PROVIDER
    if side is Side.CONSUMER:
        await require_zone(session, dataset, by.client_id)
    terms = await _proposed(session, agreement, dataset, proposal, amending=True)
    request = AccessRequest(
        id=uuid4(),
        dataset_id=agreement.dataset_id,
        provider_id=agreement.provider_id,
        consumer_id=agreement.consumer_id,
        group_id=agreement.group_id,
        amends=agreement.id,
        requested_by=by.actor,
        requested_at=clock.now(),
    )
    offer(request, terms, side, by)
    session.add(request)
    await audit.append(
        session, Event.ACCESS_REQUESTED, request=str(request.id), dataset=dataset.id,
        organization=request.consumer_id, client=by.client_id, by=by.actor,
        purpose=request.purpose, actions=request.actions, amends=str(agreement.id),
        side=side.value,
    )  # fmt: skip
    return request


async def _require_consumer(
    session: AsyncSession, request: AccessRequest, dataset: DatasetTerms, by: ClientFacts
) -> None:
    require_requester(request, by)
    await require_zone(session, dataset, by.client_id)


async def _proposed(
    session: AsyncSession,
    standing: AccessRequest | Agreement,
    dataset: DatasetTerms,
    proposal: Proposal,
    *,
    amending: bool,
) -> Terms:
    """The terms that stand, with what is proposed instead. Raises `TermsInvalid`."""
    terms = merged(standing, proposal)
    faults = [
        *await check_terms(session, terms, dataset.fields),
        *_check_start(standing, terms, amending=amending),
        *_check_other(standing, terms),
    ]
    if faults:
        raise TermsInvalid(faults=faults)
    return terms


def _check_start(
    standing: AccessRequest | Agreement, terms: Terms, *, amending: bool
) -> list[Fault]:
    # A later start would leave days on which neither version is in force.
    if not amending or terms.valid_from == standing.valid_from:
        return []
    return [Fault(
        "/valid_from", "amended_start", "変更は承認と同時に有効になります。開始日は変更できません。",
        "An amendment takes force when it is approved: the start cannot be changed.",
    )]  # fmt: skip


def _check_other(standing: AccessRequest | Agreement, terms: Terms) -> list[Fault]:
    same = (
        (terms.purpose, terms.legal_basis) == (standing.purpose, standing.legal_basis)
        and set(terms.actions) == set(standing.actions)
        and set(terms.columns) == set(standing.columns)
        and (terms.rows, terms.per_day) == (standing.rows, standing.per_day)
        and (terms.valid_from, terms.valid_until) == (standing.valid_from, standing.valid_until)
    )
    if not same:
        return []
    return [Fault(
        "", "nothing_changed", "現在の条件と同じです。変更する項目を指定してください。",
        "These are the terms that stand. Name what is to change.",
    )]  # fmt: skip
