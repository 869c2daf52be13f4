"""Takes a sheet of projects into a programme: all of it or nothing, and the same sheet twice is once."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import Fault
from app.models.parties import Organization
from app.models.programmes import Programme, ProjectState
from app.programmes import projects
from app.programmes.refusals import SheetInvalid
from app.programmes.sheet import Line


async def take_in(
    session: AsyncSession, programme: Programme, lines: Sequence[Line], *, by: str
) -> dict[str, int]:
    """Each line is a project that was submitted; one that is there already stays as it is.

    Raises `SheetInvalid` where a line names a body that is not registered.
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
    counts = {"added": 0, "unchanged": 0}
    for line in lines:
        owner, title = line.organization_id, line.said.title
        known = await projects.find(session, programme.id, owner, title, ended=True)
        if known is not None:
            counts["unchanged"] += 1
            continue
        await projects.add(
            session, programme, line.organization_id, line.said, by=by,
            state=ProjectState.SUBMITTED,
        )  # fmt: skip
        counts["added"] += 1
    return counts
