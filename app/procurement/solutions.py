"""The catalogue of solutions that bodies let others use (共同利用). Everybody reads it, owners keep it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance import certificates
from app.conformance.certificates import Held
from app.kit import clock
from app.kit.errors import Fault
from app.models.conformance import ConformanceService
from app.models.parties import Organization
from app.models.procurement import SharedSolution
from app.parties import organizations
from app.procurement.refusals import SolutionInvalid, SolutionNotFound


@dataclass(frozen=True, slots=True)
class Said:
    """What an owner says of a solution. `service`: what it was certified as, if it was."""

    name: str
    function: str
    licence: str
    contact: str
    how_to_join: str
    service: UUID | None = None
    users: Sequence[str] = ()
    terms: str | None = None
    documentation_url: str | None = None


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution with its certificate, where one is in force now."""

    row: SharedSolution
    certificate: Held | None

    @property
    def state(self) -> Literal["certified", "declared", "none"]:
        """`declared`: a service was registered to be judged, and none is certified now."""
        if self.certificate is not None:
            return "certified"
        return "none" if self.row.service_id is None else "declared"


async def add(session: AsyncSession, organization_id: str, said: Said, *, by: str) -> Solution:
    """Raises `OrganizationNotFound`, `SolutionInvalid`."""
    owner = await organizations.get(session, organization_id)
    row = SharedSolution(
        id=uuid4(), organization_id=owner.id, created_at=clock.now(), created_by=by
    )
    await _say(session, row, said, by)
    session.add(row)
    await session.flush()
    await _note(session, Event.SOLUTION_ADDED, row)
    return await _certified(session, row)


async def change(session: AsyncSession, row: SharedSolution, said: Said, *, by: str) -> Solution:
    """Say it anew and whole. Raises `SolutionInvalid`."""
    await _say(session, row, said, by)
    await session.flush()
    await _note(session, Event.SOLUTION_CHANGED, row)
    return await _certified(session, row)


async def withdraw(session: AsyncSession, row: SharedSolution, *, by: str) -> None:
    """Take it off the list."""
    row.withdrawn_at = row.changed_at = clock.now()
    row.changed_by = by
    await session.flush()
    await _note(session, Event.SOLUTION_WITHDRAWN, row)


async def get(
    session: AsyncSession, solution_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> SharedSolution:
    """A solution of one of the owners (None: of anybody). Raises `SolutionNotFound`."""
    row = await session.get(SharedSolution, solution_id, with_for_update=lock or None)
    if row is None or row.withdrawn_at is not None:
        raise SolutionNotFound(id=solution_id)
    if owners is not None and row.organization_id not in owners:
        raise SolutionNotFound(id=solution_id)
    return row


async def show(session: AsyncSession, solution_id: UUID) -> Solution:
    """A solution as everybody sees it. Raises `SolutionNotFound`."""
    return await _certified(session, await get(session, solution_id, None))


async def list_solutions(
    session: AsyncSession, function: str | None = None, *, after: UUID | None = None,
    limit: int = 100,
) -> list[Solution]:  # fmt: skip
    """Solutions by id, those of one function where named."""
    statement = select(SharedSolution).where(SharedSolution.withdrawn_at.is_(None))
    if function is not None:
        statement = statement.where(SharedSolution.function == function)
    if after is not None:
        statement = statement.where(SharedSolution.id > after)
    rows = (await session.scalars(statement.order_by(SharedSolution.id).limit(limit))).all()
    held = await certificates.in_force(
        session, [each.service_id for each in rows if each.service_id]
    )
    return [Solution(each, held.get(each.service_id) if each.service_id else None) for each in rows]


async def _certified(session: AsyncSession, row: SharedSolution) -> Solution:
    if row.service_id is None:
        return Solution(row, None)
    held = await certificates.in_force(session, [row.service_id])
    return Solution(row, held.get(row.service_id))


async def _say(session: AsyncSession, row: SharedSolution, said: Said, by: str) -> None:
    users = list(dict.fromkeys(organizations.meant_id(each) for each in said.users))
    known = set(await session.scalars(select(Organization.id).where(Organization.id.in_(users))))
    faults = [
        Fault(f"/users/{at}", "organization_unknown", f"組織 {each} はありません。",
              f"There is no organisation {each}.")
        for at, each in enumerate(users)
        if each not in known
    ]  # fmt: skip
    service = await session.get(ConformanceService, said.service) if said.service else None
    is_there = service is not None and service.withdrawn_at is None
    if said.service is not None and said.service != row.service_id and not is_there:
        faults.append(Fault(
            "/service", "certified_service_not_found",
            "GET /v1/certified-services（state=certified または declared）のidを指定してください。",
            "Give an id that GET /v1/certified-services lists, certified or declared.",
        ))  # fmt: skip
    if faults:
        raise SolutionInvalid(faults=faults)
    row.name, row.function, row.service_id = said.name, said.function, said.service
    row.users, row.licence, row.terms = users, said.licence, said.terms
    row.contact, row.documentation_url = said.contact, said.documentation_url
    row.how_to_join = said.how_to_join
    row.changed_at, row.changed_by = clock.now(), by


async def _note(session: AsyncSession, event: Event, row: SharedSolution) -> None:
    await log.append(
        session, event, solution=str(row.id), organization=row.organization_id,
        function=row.function, by=row.changed_by,
    )  # fmt: skip
