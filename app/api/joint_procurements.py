"""The door to joint procurements: kept by their lead, read by those who take part."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.access import SCOPED_CODES, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.procurement_shapes import CandidateOut, JointIn, JointOut, JointPut, ParticipantIn
from app.api.programme_access import (
    ProgrammesReader,
    ProgrammesWriter,
    acting_for,
    owner_of,
    owners_for,
)
from app.api.shapes import LONGEST_BODY, Slug
from app.parties.organizations import meant_id
from app.policy.facts import Caller
from app.procurement import joint
from app.procurement.joint import Joint
from app.procurement.overlap import Candidate, candidates

router = APIRouter(
    prefix="/v1/joint-procurements", tags=["Procurement"], max_body_size=LONGEST_BODY
)
_READING = (*SCOPED_CODES, "joint_procurement_not_found")
_SAID = ("joint_procurement_invalid", "requirements_invalid")
_LEADING = (*_READING, "not_for_organization")
_Window = Annotated[int, Query(ge=1, le=1830, description="Days before and after the beginning")]


@router.post(
    "", status_code=201, response_model=JointOut, summary="Add a joint procurement",
    responses=problems(*SCOPED_CODES, *_SAID, "not_for_organization", "organization_not_found"),
)  # fmt: skip
async def add_joint_procurement(
    body: JointIn, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """With its lots, what it requires, and what others should know who buy the same."""
    lead = await owner_of(session, caller, body.lead)
    return shown(await joint.add(session, lead, body.description, by=caller.client.actor))


@router.get(
    "", response_model=PageOut[JointOut], summary="List joint procurements",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_joint_procurements(
    caller: ProgrammesReader, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Those that one's own organisation, or one below it, leads or takes part in; operators and
    auditors see all."""
    owners, after = await owners_for(session, caller), after_id(cursor)
    found = await joint.list_joint(session, owners, after=after, limit=limit + 1)
    listed = page(found, limit, lambda each: each.row.id)
    return {**listed, "items": [shown(each) for each in listed["items"]]}


@router.get(
    "/{joint_id}", response_model=JointOut, summary="Show a joint procurement",
    responses=problems(*_READING),
)  # fmt: skip
async def show_joint_procurement(
    joint_id: UUID, caller: ProgrammesReader, session: Reading
) -> dict[str, Any]:
    """Whoever joins later sees it from the day on that it was entered."""
    return shown(await joint.get(session, joint_id, await owners_for(session, caller)))


@router.put(
    "/{joint_id}", response_model=JointOut, summary="Describe a joint procurement anew",
    responses=problems(*_LEADING, *_SAID, "joint_procurement_changed"),
)  # fmt: skip
async def change_joint_procurement(
    joint_id: UUID, body: JointPut, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """Whole, by its lead."""
    found, by = await _led(session, caller, joint_id), caller.client.actor
    await joint.change(session, found, body.description, revision=body.revision, by=by)
    return shown(found)


@router.post(
    "/{joint_id}/participants", status_code=201, response_model=JointOut,
    summary="Let a body take part",
    responses=problems(
        *_LEADING, "joint_procurement_invalid", "already_participant", "organization_not_found",
        "organization_closed",
    ),
)  # fmt: skip
async def add_participant(
    joint_id: UUID, body: ParticipantIn, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """From the beginning, or from a later day of the contract on."""
    found, by = await _led(session, caller, joint_id), caller.client.actor
    return shown(await joint.join(session, found, body.organization, body.since, by=by))


@router.delete(
    "/{joint_id}/participants/{organization}", response_model=JointOut,
    summary="Take a participant out", responses=problems(*_LEADING, "not_a_participant"),
)  # fmt: skip
async def remove_participant(
    joint_id: UUID, organization: Slug, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """One that does not take part after all, by the lead or by itself: nobody has to stay that was
    named without being asked. The log keeps that it was."""
    mine, by = await acting_for(session, caller), caller.client.actor
    found = await joint.get(session, joint_id, mine, lock=True)
    if mine is None or meant_id(organization) not in mine:
        await owner_of(session, caller, found.row.lead_id)
    return shown(await joint.leave(session, found, organization, by=by))


@router.get(
    "/{joint_id}/candidates", response_model=list[CandidateOut],
    summary="Who could join next", responses=problems(*_READING),
)  # fmt: skip
async def list_candidates(
    joint_id: UUID, caller: ProgrammesReader, session: Reading, window_days: _Window = 365
) -> list[dict[str, Any]]:
    """Systems of others that do the same as one of the lots and whose contract ends within the
    window around the beginning, the nearest 200 first. Nothing of them is told but their name, whose
    they are, and the end of their contract."""
    found = await joint.get(session, joint_id, await owners_for(session, caller))
    listed = await candidates(session, found, timedelta(days=window_days))
    return [_candidate(each) for each in listed]


async def _led(session: Writing, caller: Caller, joint_id: UUID) -> Joint:
    """One that the caller may keep, locked. Raises `JointNotFound`, `NotForOrganization`."""
    mine = await acting_for(session, caller)
    found = await joint.get(session, joint_id, mine, lock=True)
    await owner_of(session, caller, found.row.lead_id)
    return found


def shown(found: Joint) -> dict[str, Any]:
    """A joint procurement as it is shown."""
    row = found.row
    return {
        "id": row.id, "lead": row.lead_id, "revision": row.revision,
        "description": row.description, "participants": found.participants,
        "created_at": row.created_at, "changed_at": row.changed_at, "changed_by": row.changed_by,
    }  # fmt: skip


def _candidate(each: Candidate) -> dict[str, Any]:
    system = each.system
    return {
        "system": system.id, "name": system.name, "organization": system.organization_id,
        "function": system.function, "contract_until": each.contract_until,
        "joins_on": each.joins_on, "reasons": each.reasons,
    }  # fmt: skip
