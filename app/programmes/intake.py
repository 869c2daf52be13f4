"""Takes a sheet of projects into a programme: all of it or nothing, and the same sheet twice is once."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.kit.errors import Fault
from app.models.parties import Organization
from app.models.programmes import Programme, Project, ProjectState
from app.programmes import projects
from app.programmes.description import ProjectDescription
from app.programmes.refusals import ProjectInvalid, SheetInvalid
from app.programmes.sheet import Line


async def take_in(
    session: AsyncSession, programme: Programme, lines: Sequence[Line], *, by: str
) -> dict[str, int]:
    """Each line is a project that was submitted; one that is there already stays as it is, and is
    counted as `differing` where the sheet says something else of it.

    Raises `SheetInvalid` where a line names a body that is not registered, or cannot be.
    """
    faults = [
        Fault(f"{line.number}/local_government_code", "organization_unknown",
              f"{line.number}行目の組織 {line.organization_id} は登録されていません（urbanos org add）。",
              f"Line {line.number}: {line.organization_id} is not registered (urbanos org add).")
        for line in lines
        if await session.get(Organization, line.organization_id) is None
    ]  # fmt: skip
    if faults:
        raise SheetInvalid(faults=faults)
    added: list[Project] = []
    counts = {"unchanged": 0, "differing": 0}
    for line in lines:
        owner, title = line.organization_id, line.said.title
        known = await projects.find(session, programme.id, owner, title, ended=True)
        if known is not None:
            counts["unchanged" if _is_said(line.said, known) else "differing"] += 1
            continue
        try:
            added.append(await projects.enter(
                session, programme, owner, line.said, by=by, state=ProjectState.SUBMITTED
            ))  # fmt: skip
        except ProjectInvalid as wrong:
            faults += [_of(line, each) for each in wrong.faults]
    if faults:
        raise SheetInvalid(faults=faults)
    await projects.note(session, Event.PROJECT_ADDED, *added)
    return {"added": len(added), **counts}


def _is_said(said: ProjectDescription, known: Project) -> bool:
    told = said.model_dump(mode="json", exclude_defaults=True)
    return told.items() <= known.description.items()


def _of(line: Line, fault: Fault) -> Fault:
    return replace(
        fault, pointer=f"{line.number}/{fault.pointer.rpartition('/')[2]}",
        ja=f"{line.number}行目: {fault.ja}", en=f"Line {line.number}: {fault.en}",
    )  # fmt: skip
