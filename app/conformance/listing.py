"""The public list: services with a certificate in force, and those that are only declared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.conformance import certificates
from app.conformance.certificates import Held
from app.conformance.refusals import ServiceNotListed
from app.models.conformance import ConformanceService
from app.models.parties import Organization

State = Literal["certified", "declared"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A service as everybody sees it. What is certified is what the certificate says."""

    service: ConformanceService
    vendor: str
    certificate: Held | None

    @property
    def state(self) -> State:
        """`declared`: its vendor says so, and nobody else."""
        return "declared" if self.certificate is None else "certified"

    @property
    def name(self) -> str:
        """As certified, where it is."""
        return str(self.certificate.row.claims["service"]["name"]
                   if self.certificate else self.service.name)  # fmt: skip

    @property
    def classes(self) -> Sequence[str]:
        """As certified, or as declared."""
        told: Sequence[str] = (
            self.certificate.row.claims["classes"] if self.certificate else self.service.classes
        )
        return told

    @property
    def municipalities(self) -> Sequence[str]:
        """Served: as certified, or as declared."""
        told: Sequence[str] = (
            self.certificate.row.claims["municipalities"]
            if self.certificate
            else self.service.municipalities
        )
        return told


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which services are listed; `after` is the last one of the page before."""

    state: State = "certified"
    municipality: str | None = None
    conformance: str | None = None
    after: UUID | None = None
    limit: int = 100


async def list_services(session: AsyncSession, wanted: Wanted) -> list[Listed]:
    """By id."""
    held = await certificates.in_force(session)
    statement = _services().order_by(ConformanceService.id)
    is_held = ConformanceService.id.in_(held)
    statement = statement.where(is_held if wanted.state == "certified" else ~is_held)
    if wanted.after is not None:
        statement = statement.where(ConformanceService.id > wanted.after)
    found: list[Listed] = []
    for service, vendor in await session.execute(statement):
        listed = _listed(service, vendor, held.get(service.id))
        if _is_wanted(listed, wanted):
            found.append(listed)
            if len(found) >= wanted.limit:
                break
    return found


async def get(session: AsyncSession, service_id: UUID) -> Listed:
    """One service, certified or declared. Raises `ServiceNotListed`."""
    statement = _services().where(ConformanceService.id == service_id)
    found = (await session.execute(statement)).first()
    if found is None:
        raise ServiceNotListed(id=service_id)
    held = await certificates.in_force(session, [service_id])
    return _listed(*found, held.get(service_id))


def _services() -> Select[ConformanceService, str]:
    return (
        select(ConformanceService, Organization.name_ja)
        .join(Organization, Organization.id == ConformanceService.organization_id)
        .where(ConformanceService.withdrawn_at.is_(None))
    )


def _listed(service: ConformanceService, vendor: str, held: Held | None) -> Listed:
    return Listed(service, held.row.claims["vendor"]["name"] if held else vendor, held)


def _is_wanted(listed: Listed, wanted: Wanted) -> bool:
    return (
        wanted.municipality is None or wanted.municipality in listed.municipalities
    ) and (wanted.conformance is None or wanted.conformance in listed.classes)  # fmt: skip
