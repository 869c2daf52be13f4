"""Projects of programmes: said, moved from state to state, kept by revisions. Never removed.

A state changes under the lock of the project's row. It judges no caller and commits nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import Fault
from app.models.programmes import Programme, Project, ProjectRevision, ProjectState
from app.parties import organizations
from app.programmes import checks, coverage
from app.programmes.description import ProjectDescription
from app.programmes.refusals import (
    ProjectChanged,
    ProjectExists,
    ProjectFixed,
    ProjectInvalid,
    ProjectMoveRefused,
    ProjectNotCovered,
    ProjectNotFound,
)

_S = ProjectState
MOVES: Final[Mapping[str, tuple[ProjectState, ...]]] = {
    _S.DRAFT: (_S.SUBMITTED, _S.WITHDRAWN),
    _S.SUBMITTED: (_S.APPROVED, _S.REJECTED, _S.DRAFT, _S.WITHDRAWN),
    _S.APPROVED: (_S.COMPLETED, _S.WITHDRAWN),
}
# Decided by whoever runs the programme; the rest by the project's owner. `draft`: sent back.
DECIDED: Final = frozenset({_S.APPROVED, _S.REJECTED, _S.DRAFT, _S.COMPLETED})
_OPEN: Final = (_S.DRAFT, _S.SUBMITTED)
_MOVABLE: Final = ("services", "plans")  # of what was approved
_ENDED: Final = (_S.REJECTED, _S.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Move:
    """Where a project is to go. `granted`: with an approval; none: what was asked for. `revision`:
    the one that was read."""

    to: ProjectState
    granted: int | None = None
    note: str | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which projects are listed. `owners` None: everybody's; `after`: the last of the page before."""

    owners: Sequence[str] | None
    programme_id: UUID | None = None
    organization_id: str | None = None
    state: str | None = None
    after: UUID | None = None
    limit: int = 100


async def add(
    session: AsyncSession, programme: Programme, organization_id: str, said: ProjectDescription, *,
    by: str,
) -> Project:  # fmt: skip
    """Raises `OrganizationNotFound`, `ProjectExists`, `ProjectInvalid`."""
    project = await enter(session, programme, organization_id, said, by=by)
    await note(session, Event.PROJECT_ADDED, project)
    return project


async def enter(
    session: AsyncSession, programme: Programme, organization_id: str, said: ProjectDescription, *,
    by: str, state: ProjectState = ProjectState.DRAFT,
) -> Project:  # fmt: skip
    """The same without a word in the log: whoever enters many says `note` of all, at the end."""
    owner = await organizations.get(session, organization_id)
    project = Project(
        id=uuid4(), programme_id=programme.id, organization_id=owner.id, state=state.value,
        revision=0, created_at=clock.now(), created_by=by,
    )  # fmt: skip
    await _check(session, programme, project, said)
    project.description = _told(said)
    session.add(project)
    await _keep(session, project, None, by)
    return project


async def change(
    session: AsyncSession,
    project: Project,
    said: ProjectDescription,
    *,
    revision: int | None,
    by: str,
) -> None:
    """Say it anew and whole; the same as before makes no revision. Of what was approved only the
    services and plans may change, and the gate stays shut for them.

    Raises `ProjectChanged`, `ProjectFixed`, `ProjectInvalid`, `ProjectNotCovered`.
    """
    if revision is not None and revision != project.revision:
        raise ProjectChanged(id=project.id, now=project.revision, given=revision)
    if said == said_of(project):
        return
    _check_open(project, said)
    programme = await _programme_of(session, project)
    await _check(session, programme, project, said)
    if project.state == ProjectState.APPROVED:
        await _check_gate(session, programme, project, said)
    project.description = _told(said)
    await _keep(session, project, None, by)
    await note(session, Event.PROJECT_CHANGED, project)


async def move(session: AsyncSession, project: Project, move: Move, *, by: str) -> None:
    """Bring it to another state; the caller holds its lock.

    Raises `ProjectChanged`, `ProjectMoveRefused`, `ProjectInvalid`, `ProjectNotCovered`.
    """
    if move.revision is not None and move.revision != project.revision:
        raise ProjectChanged(id=project.id, now=project.revision, given=move.revision)
    known = MOVES.get(project.state, ())
    if move.to not in known:
        raise ProjectMoveRefused(
            id=project.id, state=project.state, to=move.to, known=", ".join(known) or "-"
        )
    if move.granted is not None and move.to is not ProjectState.APPROVED:
        raise _wrong("/granted_thousand_yen", "granted_without_approval",
                     "交付額は approved にするときだけ指定します。",
                     "An amount is granted with an approval only.")  # fmt: skip
    if move.to is ProjectState.APPROVED:
        await _approve(session, project, move)
    project.state = move.to.value
    await _keep(session, project, move.note, by)
    await note(session, Event.PROJECT_MOVED, project)


async def note(session: AsyncSession, event: Event, *projects: Project) -> None:
    """Tell the log, which from then on waits for the commit: so it comes last, and once."""
    bodies = [
        log.body_of(
            event, project=str(each.id), programme=str(each.programme_id),
            organization=each.organization_id, state=each.state, revision=each.revision,
            granted_thousand_yen=each.granted_thousand_yen, by=each.changed_by,
        )
        for each in projects
    ]  # fmt: skip
    await log.append_all(session, bodies)


async def _approve(session: AsyncSession, project: Project, move: Move) -> None:
    said = said_of(project)
    programme = await _programme_of(session, project)
    await _check_gate(session, programme, project, said)
    asked = said.requested_thousand_yen
    if move.granted is not None and asked is not None and move.granted > asked:
        raise _wrong("/granted_thousand_yen", "granted_more_than_requested",
                     f"申請額 {asked} 千円以下にしてください。",
                     f"Grant {asked} thousand yen at most: that was asked for.")  # fmt: skip
    project.granted_thousand_yen = asked if move.granted is None else move.granted


async def _programme_of(session: AsyncSession, project: Project) -> Programme:
    """As it is now, and stays until the commit: nobody switches its gate meanwhile."""
    return await session.get_one(
        Programme, project.programme_id, with_for_update={"read": True}, populate_existing=True
    )


async def get(
    session: AsyncSession, project_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> tuple[Project, Programme]:
    """A project with its programme, of one of the owners (None: of anybody). Whoever runs the
    programme sees what was submitted to it, and no drafts. Raises `ProjectNotFound`."""
    found = await session.get(Project, project_id, with_for_update=lock or None)
    if found is None:
        raise ProjectNotFound(id=project_id)
    programme = await session.get_one(Programme, found.programme_id)
    if owners is not None:
        its = select(Project.id).join(Programme, Programme.id == Project.programme_id)
        seen = await session.scalar(its.where(Project.id == project_id, _is_seen_by(owners)))
        if seen is None:
            raise ProjectNotFound(id=project_id)
    return found, programme


async def list_projects(session: AsyncSession, wanted: Wanted) -> list[Project]:
    """Projects by id."""
    statement = (
        select(Project)
        .join(Programme, Programme.id == Project.programme_id)
        .order_by(Project.id)
        .limit(wanted.limit)
    )
    if wanted.owners is not None:
        statement = statement.where(_is_seen_by(wanted.owners))
    for column, value in (
        (Project.programme_id, wanted.programme_id),
        (Project.organization_id, wanted.organization_id),
        (Project.state, wanted.state),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.after is not None:
        statement = statement.where(Project.id > wanted.after)
    return list(await session.scalars(statement))


def _is_seen_by(owners: Sequence[str]) -> ColumnElement[bool]:
    was_submitted = exists().where(
        ProjectRevision.project_id == Project.id, ProjectRevision.state == ProjectState.SUBMITTED
    )
    runs_it = and_(
        Programme.organization_id.in_(owners), Project.state != ProjectState.DRAFT, was_submitted
    )
    return or_(Project.organization_id.in_(owners), runs_it)


async def find(
    session: AsyncSession, programme_id: UUID, organization_id: str, title: str, *,
    ended: bool = False,
) -> Project | None:  # fmt: skip
    """The one of this title; `ended`: one that was rejected or withdrawn will do as well."""
    its = select(Project).where(
        Project.programme_id == programme_id, Project.organization_id == organization_id,
        Project.title == title,
    )  # fmt: skip
    if not ended:
        its = its.where(Project.state.not_in(_ENDED))
    found: Project | None = await session.scalar(its.limit(1))
    return found


async def revisions_of(
    session: AsyncSession, project: Project, owners: Sequence[str] | None
) -> Sequence[ProjectRevision]:
    """What it was said to be and where it stood, newest first; drafts for its owners alone."""
    its = select(ProjectRevision).where(ProjectRevision.project_id == project.id)
    if owners is not None and project.organization_id not in owners:
        its = its.where(ProjectRevision.state != ProjectState.DRAFT)
    return (await session.scalars(its.order_by(ProjectRevision.revision.desc()))).all()


def said_of(project: Project) -> ProjectDescription:
    """What is said of it now."""
    return ProjectDescription.model_validate(project.description)


def _check_open(project: Project, said: ProjectDescription) -> None:
    if project.state in _OPEN:
        return
    before = said_of(project)
    same = before.model_copy(update={name: getattr(said, name) for name in _MOVABLE}) == said
    if project.state != ProjectState.APPROVED:
        raise ProjectFixed(id=project.id, state=project.state, members="-")
    if not same:
        raise ProjectFixed(id=project.id, state=project.state, members=", ".join(_MOVABLE))


async def _check_gate(
    session: AsyncSession, programme: Programme, project: Project, said: ProjectDescription
) -> None:
    if not programme.gated:
        return
    found = await coverage.lacks_of(session, programme, said)
    if found:
        faults = [each.fault for each in found]
        raise ProjectNotCovered(id=project.id, count=len(found), faults=faults)


async def _check(
    session: AsyncSession, programme: Programme, project: Project, said: ProjectDescription
) -> None:
    other = await find(session, programme.id, project.organization_id, said.title)
    if other is not None and other.id != project.id:
        raise ProjectExists(organization=project.organization_id, title=said.title, id=other.id)
    before = set(said_of(project).services) if project.revision else set()
    faults = await checks.faults_of(session, programme, project.organization_id, said, before)
    if faults:
        raise ProjectInvalid(faults=faults)
    project.title = said.title


def _told(said: ProjectDescription) -> dict[str, object]:
    return said.model_dump(mode="json", exclude_defaults=True)


async def _keep(session: AsyncSession, project: Project, note: str | None, by: str) -> None:
    project.revision += 1
    project.changed_at, project.changed_by = clock.now(), by
    await session.flush()
    session.add(
        ProjectRevision(
            project_id=project.id, revision=project.revision, state=project.state,
            granted_thousand_yen=project.granted_thousand_yen, description=project.description,
            note=note, at=project.changed_at, by=by,
        )
    )  # fmt: skip
    await session.flush()


def _wrong(pointer: str, code: str, ja: str, en: str) -> ProjectInvalid:
    return ProjectInvalid(faults=[Fault(pointer, code, ja, en)])
