"""The door to the catalogue of shared solutions: everybody reads it, owners keep their own."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from app.api.access import SCOPED_CODES, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.procurement_shapes import SolutionIn, SolutionOut, SolutionSaid
from app.api.programme_access import ProgrammesWriter, acting_for, owner_of
from app.api.shapes import LONGEST_BODY
from app.procurement import solutions
from app.procurement.solutions import Solution
from app.systems.description import Function

router = APIRouter(prefix="/v1/shared-solutions", tags=["Procurement"], max_body_size=LONGEST_BODY)
_FOUND = "shared_solution_not_found"
_SAID = ("shared_solution_invalid",)


@router.get(
    "", response_model=PageOut[SolutionOut], summary="List shared solutions",
    responses=problems("invalid_cursor"),
)  # fmt: skip
async def list_shared_solutions(
    session: Reading, function: Function | None = None, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """What bodies let others use, by its function if one is named. Needs no token."""
    found = await solutions.list_solutions(
        session, function, after=after_id(cursor), limit=limit + 1
    )
    listed = page(found, limit, lambda each: each.row.id)
    return {**listed, "items": [shown(each) for each in listed["items"]]}


@router.post(
    "", status_code=201, response_model=SolutionOut, summary="Add a shared solution",
    responses=problems(*SCOPED_CODES, *_SAID, "not_for_organization", "organization_not_found"),
)  # fmt: skip
async def add_shared_solution(
    body: SolutionIn, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """Everybody reads it at once; whoever registers a system of the same function is told of it."""
    owner = await owner_of(session, caller, body.organization)
    return shown(await solutions.add(session, owner, body.told(), by=caller.client.actor))


@router.get(
    "/{solution_id}", response_model=SolutionOut, summary="Show a shared solution",
    responses=problems(_FOUND),
)  # fmt: skip
async def show_shared_solution(solution_id: UUID, session: Reading) -> dict[str, Any]:
    """With who uses it, on which terms, and how to join. Needs no token."""
    return shown(await solutions.show(session, solution_id))


@router.put(
    "/{solution_id}", response_model=SolutionOut, summary="Describe a shared solution anew",
    responses=problems(*SCOPED_CODES, *_SAID, _FOUND),
)  # fmt: skip
async def change_shared_solution(
    solution_id: UUID, body: SolutionSaid, caller: ProgrammesWriter, session: Writing
) -> dict[str, Any]:
    """Whole, by its owner."""
    mine, by = await acting_for(session, caller), caller.client.actor
    row = await solutions.get(session, solution_id, mine, lock=True)
    return shown(await solutions.change(session, row, body.told(), by=by))


@router.delete(
    "/{solution_id}", status_code=204, summary="Withdraw a shared solution",
    responses=problems(*SCOPED_CODES, _FOUND),
)  # fmt: skip
async def withdraw_shared_solution(
    solution_id: UUID, caller: ProgrammesWriter, session: Writing
) -> None:
    """It is off the list at once."""
    mine = await acting_for(session, caller)
    row = await solutions.get(session, solution_id, mine, lock=True)
    await solutions.withdraw(session, row, by=caller.client.actor)


def shown(found: Solution) -> dict[str, Any]:
    """A solution as everybody sees it."""
    row, held = found.row, found.certificate
    return {
        "id": row.id, "organization": row.organization_id, "name": row.name,
        "function": row.function, "users": row.users, "licence": row.licence, "terms": row.terms,
        "contact": row.contact, "documentation_url": row.documentation_url,
        "how_to_join": row.how_to_join, "service": row.service_id, "state": found.state,
        "certificate": held.row.id if held else None,
        "certified_until": held.ends_at if held else None, "changed_at": row.changed_at,
    }  # fmt: skip
