"""The migration board: each body and each of the 20 businesses, and where its system stands (R18)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.parties import Organization, OrganizationKind
from app.models.systems import System
from app.systems.description import BUSINESSES, Hosting, State
from app.systems.inventory import said_of

_BODIES: Final = (
    OrganizationKind.DESIGNATED_CITY, OrganizationKind.CITY, OrganizationKind.TOWN,
    OrganizationKind.VILLAGE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One business of one body, by one of its systems. `unexplained`: ranks passed over silently."""

    business: str
    system: System
    hosting: Hosting | None
    planned: Hosting | None
    unexplained: tuple[Hosting, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A body; a business that stands in no cell has no system here."""

    organization: Organization
    cells: tuple[Cell, ...]


async def board(session: AsyncSession, owners: Sequence[str] | None) -> list[Row]:
    """The bodies among the owners (None: all), each with its cells in the order of businesses.

    A system of a unit (a bureau, a ward) stands in the row of its body.
    """
    bodies = select(Organization).where(Organization.kind.in_(_BODIES)).order_by(Organization.id)
    systems = select(System).where(System.state != State.RETIRED).order_by(System.name, System.id)
    if owners is not None:
        bodies = bodies.where(Organization.id.in_(owners))
        systems = systems.where(System.organization_id.in_(owners))
    found = (await session.scalars(systems)).all()
    above = await _bodies_above(session, {each.organization_id for each in found})
    cells: dict[str, list[Cell]] = {}
    for system in found:
        cells.setdefault(above[system.organization_id], []).extend(_cells(system))
    order = {code: at for at, code in enumerate(BUSINESSES)}
    return [
        Row(body, tuple(sorted(cells.get(body.id, ()), key=lambda cell: order[cell.business])))
        for body in await session.scalars(bodies)
    ]


async def _bodies_above(session: AsyncSession, organizations: Collection[str]) -> dict[str, str]:
    """The body that each organisation is, or is a part of; the organisation itself, if of none."""
    asked = select(Organization.id, func.line_of(Organization.id)).where(
        Organization.id.in_(organizations)
    )
    lines = {row[0]: row[1] for row in await session.execute(asked)}
    every = {each for line in lines.values() for each in line}
    bodies = set(
        await session.scalars(
            select(Organization.id).where(
                Organization.id.in_(every), Organization.kind.in_(_BODIES)
            )
        )
    )
    return {own: min(bodies.intersection(line), default=own) for own, line in lines.items()}


def _cells(system: System) -> list[Cell]:
    said = said_of(system)
    planned = said.plan.hosting if said.plan else None
    unexplained = tuple(said.plan.unexplained()) if said.plan else ()
    return [
        Cell(business, system, said.hosting, planned, unexplained) for business in said.businesses
    ]
