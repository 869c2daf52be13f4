"""Whether what a project names is there: services of the public list, systems of one's own, and plans
for what is required. Says what is wrong, and changes nothing."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.kit.clock import TOKYO
from app.kit.errors import Fault
from app.models.conformance import ConformanceService
from app.models.parties import Organization
from app.models.programmes import Programme
from app.models.systems import System
from app.parties import organizations
from app.programmes.description import ProjectDescription

_PLANNED_WITHIN: Final = timedelta(days=731)


async def faults_of(
    session: AsyncSession, programme: Programme, organization_id: str, said: ProjectDescription,
    before: Collection[UUID],
) -> list[Fault]:  # fmt: skip
    """Every wrong place. `before`: the services that the project named already."""
    return [
        *await _unknown_services(session, said, before),
        *await _foreign_systems(session, organization_id, said),
        *_wrong_amounts(said),
        *_wrong_plans(programme, said),
    ]


async def _unknown_services(
    session: AsyncSession, said: ProjectDescription, before: Collection[UUID]
) -> list[Fault]:
    """What was named before may have been withdrawn since: the gate says so."""
    there = set(await session.scalars(
        select(ConformanceService.id).where(
            ConformanceService.id.in_(said.services), ConformanceService.withdrawn_at.is_(None)
        )
    ))  # fmt: skip
    return [
        Fault(f"/description/services/{at}", "certified_service_not_found",
              "GET /v1/certified-services（state=certified または declared）のidを指定してください。",
              "Give an id that GET /v1/certified-services lists, certified or declared.")
        for at, each in enumerate(said.services)
        if each not in there and each not in before
    ]  # fmt: skip


async def _foreign_systems(
    session: AsyncSession, organization_id: str, said: ProjectDescription
) -> list[Fault]:
    """Of the organisation, or above or below it; what it may not know of is not there."""
    if not said.systems:
        return []
    above = await organizations.line_of(session, organization_id)
    line = func.line_of(Organization.id)
    asked = select(System.id, System.organization_id, line).join(
        Organization, Organization.id == System.organization_id
    )
    ours = {
        row[0]
        for row in await session.execute(asked.where(System.id.in_(said.systems)))
        if row[1] in above or organization_id in row[2]
    }
    return [
        Fault(f"/description/systems/{at}", "system_not_of_organization",
              "この組織の情報システム台帳（GET /v1/systems）のidを指定してください。",
              "Give the id of a system of the same organisation (GET /v1/systems).")
        for at, each in enumerate(said.systems)
        if each not in ours
    ]  # fmt: skip


def _wrong_amounts(said: ProjectDescription) -> list[Fault]:
    """Yen among thousands of yen is seen where only one of both amounts is."""
    asked, whole = said.requested_thousand_yen, said.total_cost_thousand_yen
    if asked is None or whole is None or asked <= whole:
        return []
    return [Fault(
        "/description/requested_thousand_yen", "requested_more_than_total",
        f"申請額 {asked} 千円が総事業費 {whole} 千円を超えています。どちらも千円単位です。",
        f"{asked} thousand yen is more than the whole, {whole}. Both are in thousands of yen.",
    )]  # fmt: skip


def _wrong_plans(programme: Programme, said: ProjectDescription) -> list[Fault]:
    last = clock.now().astimezone(TOKYO).date() + _PLANNED_WITHIN
    required = (*programme.classes, *programme.profiles)
    known = ", ".join(required) or "-"
    faults = []
    for at, plan in enumerate(said.plans):
        if plan.requirement not in required:
            faults.append(Fault(
                f"/description/plans/{at}/requirement", "requirement_unknown",
                f"この事業が求めるのは {known} です。", f"The programme requires: {known}.",
            ))  # fmt: skip
        if plan.service is not None and plan.service not in said.services:
            faults.append(Fault(
                f"/description/plans/{at}/service", "service_not_of_project",
                "services にあるidを指定するか、省略してください。",
                "Give one of services, or leave it out.",
            ))  # fmt: skip
        if plan.until > last:
            faults.append(Fault(
                f"/description/plans/{at}/until", "plan_too_far", f"{last} までの期日にしてください。",
                f"Give a day until {last}: what is planned for later is not planned.",
            ))  # fmt: skip
    return faults
