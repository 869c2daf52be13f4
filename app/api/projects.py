"""The door to projects of programmes: their owners say and submit them, the programmes' decide."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from app.api.access import PlatformDep, Reading, Writing, second_factor_of
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.programme_access import (
    PROJECT_CODES,
    ProgrammesReader,
    ProgrammesWriter,
    acting_for,
    check_may_move,
    owner_of,
    owners_for,
)
from app.api.programme_shapes import (
    GateOut,
    ProjectIn,
    ProjectMove,
    ProjectOut,
    ProjectPut,
    ProjectRevisionOut,
)
from app.api.shapes import LONGEST_BODY, Slug
from app.models.programmes import Project, ProjectState
from app.programmes import coverage, programmes, projects
from app.programmes.gate import Lack
from app.programmes.projects import DECIDED, Wanted

router = APIRouter(prefix="/v1/projects", tags=["Programmes"], max_body_size=LONGEST_BODY)
_SAID = ("project_invalid", "project_exists")


@router.post(
    "", status_code=201, response_model=ProjectOut, summary="Add a project",
    responses=problems(
        *PROJECT_CODES, *_SAID, "programme_not_found", "not_for_organization",
        "organization_not_found",
    ),
)  # fmt: skip
async def add_project(body: ProjectIn, caller: ProgrammesWriter, session: Writing) -> Project:
    """As a draft, which only your organisation and those above it see."""
    owner = await owner_of(session, caller, body.organization)
    programme = await programmes.get(session, body.programme, None)
    by = caller.client.actor
    return await projects.add(session, programme, owner, body.description, by=by)


@router.get(
    "", response_model=PageOut[ProjectOut], summary="List projects",
    responses=problems(*PROJECT_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_projects(
    caller: ProgrammesReader, session: Reading, programme: UUID | None = None,
    organization: Slug | None = None, state: ProjectState | None = None, limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Those of one's own organisation and below it, and those submitted to one's own programmes;
    operators and auditors see all."""
    owners = await owners_for(session, caller)
    wanted = Wanted(owners, programme, organization, state, after_id(cursor), limit + 1)
    return page(await projects.list_projects(session, wanted), limit, lambda each: each.id)


@router.get(
    "/{project_id}", response_model=ProjectOut, summary="Show a project",
    responses=problems(*PROJECT_CODES),
)  # fmt: skip
async def show_project(project_id: UUID, caller: ProgrammesReader, session: Reading) -> Project:
    """As it stands now."""
    project, _ = await projects.get(session, project_id, await owners_for(session, caller))
    return project


@router.put(
    "/{project_id}", response_model=ProjectOut, summary="Describe a project anew",
    responses=problems(
        *PROJECT_CODES, *_SAID, "project_changed", "project_fixed", "project_not_covered",
        "not_for_organization",
    ),
)  # fmt: skip
async def change_project(
    project_id: UUID, body: ProjectPut, caller: ProgrammesWriter, session: Writing
) -> Project:
    """Whole; what it was before stays in its revisions. Of an approved one only services and plans
    may change, and not so that anything required is missing."""
    mine, by = await acting_for(session, caller), caller.client.actor
    project, _ = await projects.get(session, project_id, mine, lock=True)
    await owner_of(session, caller, project.organization_id)
    await projects.change(session, project, body.description, revision=body.revision, by=by)
    return project


@router.get(
    "/{project_id}/revisions", response_model=list[ProjectRevisionOut],
    summary="A project's history", responses=problems(*PROJECT_CODES),
)  # fmt: skip
async def list_project_revisions(
    project_id: UUID, caller: ProgrammesReader, session: Reading
) -> Any:
    """What it was said to be and where it stood, newest first. Whoever runs the programme sees it
    from the submission on."""
    owners = await owners_for(session, caller)
    project, _ = await projects.get(session, project_id, owners)
    return await projects.revisions_of(session, project, owners)


@router.get(
    "/{project_id}/gate", response_model=GateOut, summary="What a project lacks for its approval",
    responses=problems(*PROJECT_CODES),
)  # fmt: skip
async def show_gate(project_id: UUID, caller: ProgrammesReader, session: Reading) -> dict[str, Any]:
    """By requirement and service: no valid certificate, and no plan dated today or later."""
    found = await projects.get(session, project_id, await owners_for(session, caller))
    project, programme = found
    lacks = await coverage.lacks_of(session, programme, projects.said_of(project))
    return {
        "gated": programme.gated, "open": not (programme.gated and lacks),
        "required": [*programme.classes, *programme.profiles],
        "missing": [_shown(each) for each in lacks],
    }  # fmt: skip


@router.post(
    "/{project_id}/state", response_model=ProjectOut, summary="Bring a project to another state",
    responses=problems(
        *PROJECT_CODES, "insufficient_user_authentication", "project_not_yours", "project_move_refused",
        "project_changed",
        "project_invalid", "project_not_covered",
    ),
)  # fmt: skip
async def move_project(
    project_id: UUID,
    body: ProjectMove,
    caller: ProgrammesWriter,
    session: Writing,
    platform: PlatformDep,
) -> Project:
    """draft → submitted → approved → completed. The owner submits and withdraws; whoever runs the
    programme approves, rejects, sends back (`draft`) and completes. With the gate on, `approved`
    needs a valid certificate or a dated plan for everything that the programme requires. Whoever
    decides in person proves both factors."""
    mine, move = await acting_for(session, caller), body.told()
    project, programme = await projects.get(session, project_id, mine, lock=True)
    check_may_move(project, programme, move, mine)
    if move.to in DECIDED:
        await second_factor_of(caller, platform)
    await projects.move(session, project, move, by=caller.client.actor)
    return project


def _shown(lack: Lack) -> dict[str, Any]:
    return {
        "requirement": lack.requirement, "service": lack.service_id, "since": lack.since,
        "code": lack.fault.code, "ja": lack.fault.ja, "en": lack.fault.en,
    }  # fmt: skip
