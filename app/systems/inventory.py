"""The system inventory (情報システム台帳): kept by revisions, never overwritten, never removed.

Says nothing of findings and judges no caller; commits nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
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
    system = await enter(session, organization_id, said, by=by)
    await note(session, [(Event.SYSTEM_ADDED, system)])
    return system


async def enter(
    session: AsyncSession, organization_id: str, said: Description, *, by: str
) -> System:
    """The same without a word in the log: whoever enters many says `note` of all, at the end."""
    if await session.get(Organization, organization_id) is None:
        raise SystemInvalid(faults=[_nobodys(organization_id)])
    await _check(session, organization_id, said, None)
    now = clock.now()
    system = System(
        id=uuid4(), organization_id=organization_id, revision=0, created_at=now, created_by=by
    )
    _say(session, system, said, by)
    session.add(system)
    return system


async def change(
    session: AsyncSession, system: System, said: Description, *, revision: int | None, by: str
) -> System:
    """Say anew what a system is; the same as before makes no revision.

    `revision`: the one that the change was made from. Raises `SystemChanged`, `SystemInvalid`.
    """
    if revision is not None and revision != system.revision:
        raise SystemChanged(id=system.id, now=system.revision, given=revision)
    if await describe(session, system, said, by=by):
        await note(session, [(Event.SYSTEM_CHANGED, system)])
    return system


async def describe(session: AsyncSession, system: System, said: Description, *, by: str) -> bool:
    """The same without a word in the log; whether it is another description than before."""
    await _check(session, system.organization_id, said, system.id)
    if said == said_of(system):
        return False
    _say(session, system, said, by)
    return True


async def note(session: AsyncSession, news: Sequence[tuple[Event, System]]) -> None:
    """Tell the log, which from then on waits for the commit: so it comes last, and once."""
    bodies = [
        log.body_of(
            event, system=str(system.id), organization=system.organization_id,
            revision=system.revision, by=system.changed_by,
        )
        for event, system in news
    ]  # fmt: skip
    await log.append_all(session, bodies)


async def get(
    session: AsyncSession, system_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> System:
    """A system of one of the owners (None: of anybody). Raises `SystemNotFound`."""
    found = await session.get(System, system_id, with_for_update=lock or None)
    if found is None or (owners is not None and found.organization_id not in owners):
        raise SystemNotFound(id=system_id)
    return found


async def locked(
    session: AsyncSession, ids: Collection[UUID], owners: Sequence[str] | None
) -> dict[UUID, System]:
    """Those of the systems that there are, in one order: two who change many wait for each other."""
    its = select(System).where(System.id.in_(ids)).order_by(System.id).with_for_update()
    found = await session.scalars(its)
    return {each.id: each for each in found if owners is None or each.organization_id in owners}


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
    faults = await _wrong_datasets(session, organization_id, said.datasets, own)
    if said.export and said.export.run:
        run = await session.get(Run, said.export.run)
        dataset = await session.get(Dataset, run.dataset_id) if run else None
        publishers = {dataset.publisher_id} if dataset is not None else set()
        if not await _in_line(session, organization_id, publishers):
            faults.append(_not_yours("/description/export/run", "run"))
    if faults:
        raise SystemInvalid(faults=faults)


async def _wrong_datasets(
    session: AsyncSession, organization_id: str, named: Sequence[str], own: UUID | None
) -> list[Fault]:
    """Those that are another's, or whose source of truth is another system."""
    if not named:
        return []
    await session.flush()  # what the lines before have claimed
    # Locked in one order: of two systems that claim a dataset at once the later one is told.
    asked = select(Dataset).where(Dataset.id.in_(named)).order_by(Dataset.id)
    found = (await session.scalars(asked.with_for_update(key_share=True))).all()
    publishers = {each.id: each.publisher_id for each in found}
    ours = await _in_line(session, organization_id, set(publishers.values()))
    claimed = await _claims(session, named, own)
    faults = []
    for number, dataset_id in enumerate(named):
        at = f"/description/datasets/{number}"
        if publishers.get(dataset_id) not in ours:
            faults.append(_not_yours(at, "dataset"))
        elif dataset_id in claimed:
            faults.append(_claimed(at, claimed[dataset_id]))
    return faults


async def _claims(session: AsyncSession, named: Sequence[str], own: UUID | None) -> dict[str, str]:
    """The other systems' names, by the datasets that they say to be the source of truth of."""
    said = System.description["datasets"]
    others = select(System.name, said).where(said.has_any(cast(list(named), ARRAY(Text))))
    if own is not None:
        others = others.where(System.id != own)
    return {each: name for name, datasets in await session.execute(others) for each in datasets}


async def _in_line(
    session: AsyncSession, organization_id: str, publishers: Collection[str]
) -> frozenset[str]:
    """Those publishers that are the organisation, or above or below it."""
    line = func.line_of(Organization.id)
    asked = select(Organization.id, line).where(Organization.id.in_({organization_id, *publishers}))
    lines = {row[0]: row[1] for row in await session.execute(asked)}
    return frozenset(
        each for each in publishers
        if organization_id in lines[each] or each in lines[organization_id]
    )  # fmt: skip


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
