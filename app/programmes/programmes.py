"""Support and subsidy programmes, and what of the standard they require. Judges no caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance import requirements
from app.kit import clock
from app.models.programmes import Programme, ProgrammeKind
from app.parties import organizations
from app.programmes.refusals import ProgrammeChanged, ProgrammeExists, ProgrammeNotFound


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a programme. `gated` None: as its kind has it."""

    title: str
    kind: ProgrammeKind
    fiscal_year: int
    classes: Sequence[str] = ()
    profiles: Sequence[str] = ()
    gated: bool | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which programmes are listed; `after` is the last one of the page before."""

    organization_id: str | None = None
    kind: str | None = None
    fiscal_year: int | None = None
    after: UUID | None = None
    limit: int = 100


async def add(session: AsyncSession, organization_id: str, said: Said, *, by: str) -> Programme:
    """Raises `OrganizationNotFound`, `ProgrammeExists`, `RequirementsInvalid`."""
    owner = await organizations.get(session, organization_id)
    now = clock.now()
    programme = Programme(
        id=uuid4(), organization_id=owner.id, revision=0, created_at=now, created_by=by
    )
    await _say(session, programme, said, by)
    session.add(programme)
    await session.flush()
    await _note(session, Event.PROGRAMME_ADDED, programme)
    return programme


async def change(
    session: AsyncSession, programme: Programme, said: Said, *, revision: int | None, by: str
) -> None:
    """Say it anew and whole. Projects that were approved are measured by it from now on.

    Raises `ProgrammeChanged`, `ProgrammeExists`, `RequirementsInvalid`.
    """
    if revision is not None and revision != programme.revision:
        raise ProgrammeChanged(id=programme.id, now=programme.revision, given=revision)
    await _say(session, programme, said, by)
    await session.flush()
    await _note(session, Event.PROGRAMME_CHANGED, programme)


async def get(
    session: AsyncSession, programme_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> Programme:
    """A programme of one of the owners (None: of anybody). Raises `ProgrammeNotFound`."""
    found = await session.get(Programme, programme_id, with_for_update=lock or None)
    if found is None or (owners is not None and found.organization_id not in owners):
        raise ProgrammeNotFound(id=programme_id)
    return found


async def find(session: AsyncSession, organization_id: str, said: Said) -> Programme | None:
    """The one of this title and year."""
    its = select(Programme).where(
        Programme.organization_id == organization_id,
        Programme.fiscal_year == said.fiscal_year, Programme.title == said.title,
    )  # fmt: skip
    found: Programme | None = await session.scalar(its)
    return found


async def list_programmes(session: AsyncSession, wanted: Wanted) -> list[Programme]:
    """Programmes by id."""
    statement = select(Programme).order_by(Programme.id).limit(wanted.limit)
    for column, value in (
        (Programme.organization_id, wanted.organization_id),
        (Programme.kind, wanted.kind),
        (Programme.fiscal_year, wanted.fiscal_year),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.after is not None:
        statement = statement.where(Programme.id > wanted.after)
    return list(await session.scalars(statement))


async def _say(session: AsyncSession, programme: Programme, said: Said, by: str) -> None:
    held = await requirements.checked(session, said.classes, said.profiles)
    other = await find(session, programme.organization_id, said)
    if other is not None and other.id != programme.id:
        raise ProgrammeExists(
            organization=programme.organization_id, year=said.fiscal_year, title=said.title,
            id=other.id,
        )  # fmt: skip
    programme.title, programme.kind = said.title, said.kind.value
    programme.fiscal_year = said.fiscal_year
    programme.classes, programme.profiles = list(held.classes), list(held.profiles)
    is_support = said.kind is ProgrammeKind.SUPPORT
    programme.gated = is_support if said.gated is None else said.gated
    programme.revision += 1
    programme.changed_at, programme.changed_by = clock.now(), by


async def _note(session: AsyncSession, event: Event, programme: Programme) -> None:
    await log.append(
        session, event, programme=str(programme.id), organization=programme.organization_id,
        revision=programme.revision, requires=[*programme.classes, *programme.profiles],
        gated=programme.gated, by=programme.changed_by,
    )  # fmt: skip
