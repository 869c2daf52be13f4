"""The door to the system inventory: kept by whoever runs a system, read by them and above."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from app.api.access import Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, Slug
from app.api.system_access import (
    READING_CODES,
    SystemsReader,
    SystemsWriter,
    acting_for,
    owner_of,
    owners_for,
)
from app.api.system_findings import SUBJECT, diagnosed, tell_of_plans
from app.api.system_shapes import (
    DiagnosisOut,
    KarteOut,
    NewSystemOut,
    RevisionOut,
    SystemIn,
    SystemOut,
    SystemPut,
)
from app.findings import findings
from app.models.systems import System
from app.procurement import solutions
from app.systems import diagnoses, duplicates, inventory, sheet
from app.systems.description import Business, Function, State
from app.systems.inventory import Wanted
from app.systems.karte import Karte, karte_of

router = APIRouter(prefix="/v1/systems", tags=["Systems"], max_body_size=LONGEST_BODY)
_CHANGING = (*READING_CODES, "system_invalid")
_Weights = Annotated[int | None, Query(ge=0, le=1_000_000, description="Version of the weights")]


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a list of systems is cut down to."""

    organization: str | None
    function: str | None
    business: str | None
    state: State | None

    def wanted(self, owners: Any, after: UUID | None, limit: int | None) -> Wanted:
        return Wanted(
            owners, self.organization, self.function, self.business, self.state, after, limit
        )


def _filter(
    organization: Slug | None = None, function: Function | None = None,
    business: Business | None = None, state: State | None = None,
) -> _Filter:  # fmt: skip
    return _Filter(organization, function, business, state)


@router.post(
    "", status_code=201, response_model=NewSystemOut, summary="Add a system",
    responses=problems(*_CHANGING, "system_not_of_organization"),
)  # fmt: skip
async def add_system(body: SystemIn, caller: SystemsWriter, session: Writing) -> dict[str, Any]:
    """Whether it is connected or not. `similar` warns of systems that do the same already; `shared`
    names what others let you use instead."""
    owner, by = await owner_of(session, caller, body.organization), caller.client.actor
    system = await inventory.add(session, owner, body.description, by=by)
    await tell_of_plans(session, {system: body.description}, by=by)
    similar = await duplicates.similar_to(session, system)
    shared = await solutions.list_solutions(session, system.function)
    return {
        **shown(system), "similar": [brief(each) for each in similar],
        "shared": [each.row for each in shared],
    }  # fmt: skip


@router.get(
    "", response_model=PageOut[SystemOut], summary="List systems",
    responses=problems(*READING_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_systems(
    caller: SystemsReader, session: Reading, only: Annotated[_Filter, Depends(_filter)],
    limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Those of one's own organisation and below it; operators and auditors see all."""
    owners = await owners_for(session, caller)
    wanted = only.wanted(owners, after_id(cursor), limit + 1)
    found = page(await inventory.list_systems(session, wanted), limit, lambda each: each.id)
    return {**found, "items": [shown(each) for each in found["items"]]}


@router.get(
    "/sheet.csv", response_class=Response, summary="All systems as one CSV sheet",
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **problems(*READING_CODES),
    },
)  # fmt: skip
async def show_sheet(
    caller: SystemsReader, session: Reading, only: Annotated[_Filter, Depends(_filter)]
) -> Response:
    """With a BOM, for a spreadsheet. `urbanos system import` reads it back."""
    owners = await owners_for(session, caller)
    found = await inventory.list_systems(session, only.wanted(owners, None, None))
    return Response(sheet.written(found), media_type="text/csv; charset=utf-8")


@router.get(
    "/{system_id}", response_model=SystemOut, summary="Show a system",
    responses=problems(*READING_CODES),
)  # fmt: skip
async def show_system(system_id: UUID, caller: SystemsReader, session: Reading) -> dict[str, Any]:
    """As it is described now."""
    owners = await owners_for(session, caller)
    return shown(await inventory.get(session, system_id, owners))


@router.put(
    "/{system_id}", response_model=SystemOut, summary="Describe a system anew",
    responses=problems(*_CHANGING, "system_changed"),
)  # fmt: skip
async def change_system(
    system_id: UUID, body: SystemPut, caller: SystemsWriter, session: Writing
) -> dict[str, Any]:
    """Whole; what it was before stays in its revisions. The same again changes nothing."""
    mine, by = await acting_for(session, caller), caller.client.actor
    system = await inventory.get(session, system_id, mine, lock=True)
    await inventory.change(session, system, body.description, revision=body.revision, by=by)
    await tell_of_plans(session, {system: body.description}, by=by)
    return shown(system)


@router.get(
    "/{system_id}/revisions", response_model=list[RevisionOut], summary="A system's history",
    responses=problems(*READING_CODES),
)  # fmt: skip
async def list_revisions(system_id: UUID, caller: SystemsReader, session: Reading) -> Any:
    """What it was said to be, newest first."""
    owners = await owners_for(session, caller)
    system = await inventory.get(session, system_id, owners)
    return await inventory.revisions_of(session, system)


@router.post(
    "/{system_id}/diagnoses", status_code=201, response_model=DiagnosisOut,
    summary="Diagnose a system", responses=problems(*READING_CODES),
)  # fmt: skip
async def diagnose_system(
    system_id: UUID, caller: SystemsWriter, session: Writing
) -> diagnoses.Scored:
    """Looks at what is described and proven now, and keeps it; a high score opens a finding."""
    mine, by = await acting_for(session, caller), caller.client.actor
    system = await inventory.get(session, system_id, mine, lock=True)
    return await diagnosed(session, system, by=by)


@router.get(
    "/{system_id}/karte", response_model=KarteOut, summary="The karte of a system",
    responses=problems(*READING_CODES, "lock_in_weights_not_found"),
)  # fmt: skip
async def show_karte(
    system_id: UUID, caller: SystemsReader, session: Reading, weights: _Weights = None
) -> dict[str, Any]:
    """Costs by year, every diagnosis scored by one version of the weights, what would lower the
    score most, who depends on its data, and findings. `karte.html` is the same to print."""
    return await told_karte(session, caller, system_id, weights)


async def told_karte(
    session: Reading, caller: SystemsReader, system_id: UUID, version: int | None
) -> dict[str, Any]:
    """A karte with its findings, for JSON and for the page."""
    owners = await owners_for(session, caller)
    system = await inventory.get(session, system_id, owners)
    karte: Karte = await karte_of(session, system, await diagnoses.weights_of(session, version))
    return {
        "system": shown(karte.system),
        "costs": karte.costs,
        "total_yen": karte.total_yen,
        "weights_version": karte.weights.version,
        "diagnoses": karte.diagnoses,
        "lowers_most": karte.lowers_most,
        "dependants": karte.dependants,
        "findings": await findings.about(session, SUBJECT, str(system.id)),
    }


def shown(system: System) -> dict[str, Any]:
    """A system as it is shown."""
    return {
        "id": system.id,
        "organization": system.organization_id,
        "revision": system.revision,
        "description": system.description,
        "created_at": system.created_at,
        "changed_at": system.changed_at,
        "changed_by": system.changed_by,
    }


def brief(system: System) -> dict[str, Any]:
    """What everybody may know of a system: that it is there, and whose it is."""
    return {"id": system.id, "name": system.name, "organization": system.organization_id}
