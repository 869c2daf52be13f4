"""The system inventory (情報システム台帳): kept by revisions, never overwritten, never removed.

Says nothing of findings and judges no caller; commits nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.kit.clock import TOKYO
from app.kit.errors import Fault
from app.models.datasets import Dataset, Run, RunState
from app.models.parties import Organization
from app.models.systems import System, SystemRevision
from app.systems.description import Description
from app.systems.lock_in import Proof
from app.systems.refusals import SystemChanged, SystemInvalid, SystemNotFound


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which systems are listed. `owners` None: everybody's; `after`: the last of the page before."""

    owners: Sequence[str] | None
    organization_id: str | None = None
    function: str | None = None
    business: str | None = None
    state: str | None = None
    after: UUID | None = None
    limit: int | None = 100


async def add(session: AsyncSession, organization_id: str, said: Description, *, by: str) -> System:
    """Keep a system of an organisation. Raises `SystemInvalid`."""
    if await session.get(Organization, organization_id) is None:
        raise SystemInvalid(faults=[_nobodys(organization_id)])
    await _check(session, organization_id, said, None)
    now = clock.now()
    system = System(
        id=uuid4(), organization_id=organization_id, revision=0, created_at=now, created_by=by
    )
    _say(session, system, said, by)
    session.add(system)
    await session.flush()
    await _note(session, Event.SYSTEM_ADDED, system)
    return system


async def change(
    session: AsyncSession, system: System, said: Description, *, revision: int | None, by: str
) -> System:
    """Say anew what a system is; the same as before makes no revision.

    `revision`: the one that the change was made from. Raises `SystemChanged`, `SystemInvalid`.
    """
    if revision is not None and revision != system.revision:
        raise SystemChanged(id=system.id, now=system.revision, given=revision)
    await _check(session, system.organization_id, said, system.id)
    if said == said_of(system):
        return system
    _say(session, system, said, by)
    await session.flush()
    await _note(session, Event.SYSTEM_CHANGED, system)
    return system


async def get(
    session: AsyncSession, system_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> System:
    """A system of one of the owners (None: of anybody). Raises `SystemNotFound`."""
    found = await session.get(System, system_id, with_for_update=lock or None)
    if found is None or (owners is not None and found.organization_id not in owners):
        raise SystemNotFound(id=system_id)
    return found


async def list_systems(session: AsyncSession, wanted: Wanted) -> list[System]:
    """Systems by id."""
    statement = select(System).order_by(System.id).limit(wanted.limit)
    if wanted.owners is not None:
        statement = statement.where(System.organization_id.in_(wanted.owners))
    for column, value in (
        (System.organization_id, wanted.organization_id),
        (System.function, wanted.function),
        (System.state, wanted.state),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.business is not None:
        has_it = System.description.contains({"businesses": [wanted.business]})
        statement = statement.where(has_it)
    if wanted.after is not None:
        statement = statement.where(System.id > wanted.after)
    return list(await session.scalars(statement))


async def revisions_of(session: AsyncSession, system: System) -> Sequence[SystemRevision]:
    """What it was said to be, newest first."""
    its = select(SystemRevision).where(SystemRevision.system_id == system.id)
    return (await session.scalars(its.order_by(SystemRevision.revision.desc()))).all()


async def proof_of(session: AsyncSession, said: Description) -> Proof | None:
    """The load that proves a system's export; None where none was named, or it took in nothing."""
    run = await session.get(Run, said.export.run) if said.export and said.export.run else None
    if run is None or run.state not in (RunState.OK, RunState.DEGRADED) or not run.finished_at:
        return None
    return Proof(run.finished_at.astimezone(TOKYO).date(), run.rows_accepted)


def said_of(system: System) -> Description:
    """What is said of it now."""
    return Description.model_validate(system.description)


def _say(session: AsyncSession, system: System, said: Description, by: str) -> None:
    now, told = clock.now(), said.model_dump(mode="json", exclude_defaults=True)
    system.name, system.function, system.state = said.name, said.function, said.state.value
    system.description, system.revision = told, system.revision + 1
    system.changed_at, system.changed_by = now, by
    session.add(
        SystemRevision(
            system_id=system.id, revision=system.revision, description=told, at=now, by=by
        )
    )


async def _check(
    session: AsyncSession, organization_id: str, said: Description, own: UUID | None
) -> None:
    """A dataset has one source of truth, and the proof of an export is a load of one's own."""
    faults: list[Fault] = []
    for number, dataset_id in enumerate(said.datasets):
        at = f"/description/datasets/{number}"
        dataset = await session.get(Dataset, dataset_id)
        if dataset is None or not await _is_of(session, dataset.publisher_id, organization_id):
            faults.append(_not_yours(at, "dataset"))
            continue
        claims = select(System.name).where(System.description.contains({"datasets": [dataset_id]}))
        if own is not None:
            claims = claims.where(System.id != own)
        other = await session.scalar(claims.limit(1))
        if other is not None:
            faults.append(_claimed(at, other))
    if said.export and said.export.run:
        run = await session.get(Run, said.export.run)
        dataset = await session.get(Dataset, run.dataset_id) if run else None
        if dataset is None or not await _is_of(session, dataset.publisher_id, organization_id):
            faults.append(_not_yours("/description/export/run", "run"))
    if faults:
        raise SystemInvalid(faults=faults)


async def _is_of(session: AsyncSession, publisher_id: str, organization_id: str) -> bool:
    """Whether one of the two is, or is above, the other."""
    lines = await session.execute(select(func.line_of(publisher_id), func.line_of(organization_id)))
    above_publisher, above_organization = lines.one()
    return organization_id in above_publisher or publisher_id in above_organization


def _not_yours(at: str, code: str) -> Fault:
    return Fault(
        at, f"{code}_not_of_organization", "この組織のものを指定してください。",
        "Name one of the same organisation.",
    )  # fmt: skip


def _nobodys(organization_id: str) -> Fault:
    return Fault(
        "/organization", "organization_unknown", f"組織 {organization_id} はありません。",
        f"There is no organisation {organization_id}.",
    )  # fmt: skip


def _claimed(at: str, other: str) -> Fault:
    return Fault(
        at, "dataset_has_source", f"正本は既に「{other}」です。片方から外してください。",
        f"“{other}” is its source of truth already: take it off one of the two.",
    )  # fmt: skip


async def _note(session: AsyncSession, event: Event, system: System, **more: Any) -> None:
    await log.append(
        session, event, system=str(system.id), organization=system.organization_id,
        revision=system.revision, **more, by=system.changed_by,
    )  # fmt: skip
