"""The door to support and subsidy programmes: everybody with the scope reads, its owner keeps."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from app.api.access import SCOPED_CODES, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.programme_access import (
    PROGRAMME_CODES,
    ProgrammesReader,
    ProgrammesWriter,
    acting_for,
    owner_of,
)
from app.api.programme_shapes import ProgrammeIn, ProgrammeOut, ProgrammePut
from app.api.shapes import LONGEST_BODY, Slug
from app.models.programmes import Programme, ProgrammeKind
from app.programmes import programmes
from app.programmes.programmes import Wanted
from app.systems.description import Year

router = APIRouter(prefix="/v1/programmes", tags=["Programmes"], max_body_size=LONGEST_BODY)
_SAID = ("requirements_invalid", "programme_exists")


@router.post(
    "", status_code=201, response_model=ProgrammeOut, summary="Add a programme",
    responses=problems(*SCOPED_CODES, *_SAID, "not_for_organization", "organization_not_found"),
)  # fmt: skip
async def add_programme(body: ProgrammeIn, caller: ProgrammesWriter, session: Writing) -> Programme:
    """With the conformance classes and layouts that its projects must have certified."""
    owner = await owner_of(session, caller, body.organization)
    return await programmes.add(session, owner, body.told(), by=caller.client.actor)


@router.get(
    "", response_model=PageOut[ProgrammeOut], summary="List programmes",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_programmes(
    _caller: ProgrammesReader, session: Reading, organization: Slug | None = None,
    kind: ProgrammeKind | None = None, fiscal_year: Year | None = None, limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Of all organisations: whoever may apply sees what is offered."""
    wanted = Wanted(organization, kind, fiscal_year, after_id(cursor), limit + 1)
    found = await programmes.list_programmes(session, wanted)
    return page(found, limit, lambda each: each.id)


@router.get(
    "/{programme_id}", response_model=ProgrammeOut, summary="Show a programme",
    responses=problems(*PROGRAMME_CODES),
)  # fmt: skip
async def show_programme(
    programme_id: UUID, _caller: ProgrammesReader, session: Reading
) -> Programme:
    """With what it requires, and whether its gate is on."""
    return await programmes.get(session, programme_id, None)


@router.put(
    "/{programme_id}", response_model=ProgrammeOut, summary="Describe a programme anew",
    responses=problems(*PROGRAMME_CODES, *_SAID, "programme_changed"),
)  # fmt: skip
async def change_programme(
    programme_id: UUID, body: ProgrammePut, caller: ProgrammesWriter, session: Writing
) -> Programme:
    """Whole. Projects that are approved already are measured by it from now on: what they lack is
    found within a minute."""
    mine, by = await acting_for(session, caller), caller.client.actor
    programme = await programmes.get(session, programme_id, mine, lock=True)
    await programmes.change(session, programme, body.told(), revision=body.revision, by=by)
    return programme
