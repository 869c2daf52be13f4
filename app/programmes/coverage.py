"""What services are certified for, as the gate wants to know it. Judges no project."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.conformance import certificates
from app.conformance.certificates import Held
from app.kit import clock
from app.kit.clock import TOKYO
from app.models.conformance import ConformanceService
from app.models.programmes import Programme, Project
from app.programmes.description import ProjectDescription
from app.programmes.gate import Ended, Lack, Service, lacks


async def services_of(session: AsyncSession, named: Collection[UUID]) -> dict[UUID, Service]:
    """The services, those that are withdrawn too."""
    found = await session.scalars(
        select(ConformanceService).where(ConformanceService.id.in_(named))
    )
    held = await certificates.of_services(session, named)
    return {each.id: _service(each, held.get(each.id, [])) for each in found}


async def lacks_of(
    session: AsyncSession, programme: Programme, said: ProjectDescription
) -> list[Lack]:
    """What is missing of what the programme requires, whether its gate is on or off."""
    services = await services_of(session, said.services)
    return _lacks(programme, said, services)


async def lacks_of_all(
    session: AsyncSession, projects: Sequence[tuple[Project, Programme]]
) -> list[list[Lack]]:
    """The same of many, in their order."""
    said = [ProjectDescription.model_validate(project.description) for project, _ in projects]
    services = await services_of(session, {each for one in said for each in one.services})
    return [
        _lacks(programme, one, services) for one, (_, programme) in zip(said, projects, strict=True)
    ]


def _lacks(
    programme: Programme, said: ProjectDescription, services: dict[UUID, Service]
) -> list[Lack]:
    named = [services[each] for each in said.services]
    required = (*programme.classes, *programme.profiles)
    return lacks(required, said, named, clock.now().astimezone(TOKYO).date())


def _service(row: ConformanceService, held: Sequence[Held]) -> Service:
    covers: set[str] = set()
    ended: dict[str, Ended] = {}
    for each in held:
        names = (*each.row.claims["classes"], *each.row.claims["profiles"])
        if each.state == "valid":
            covers.update(names)
            continue
        end = Ended("expired", each.ends_at)
        if each.row.revoked_at is not None:
            end = Ended("revoked", each.row.revoked_at)
        for name in names:
            ended[name] = max(end, ended.get(name, end), key=lambda one: one.at)
    is_withdrawn = row.withdrawn_at is not None
    return Service(row.id, row.name, frozenset(covers), ended, is_withdrawn)
