"""Systems that do the same for several: groups with their reasons, and what was decided of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.models.datasets import Dataset
from app.models.systems import DuplicateDecision, System
from app.systems.description import State
from app.systems.inventory import said_of
from app.systems.refusals import NoSuchGroup


@dataclass(frozen=True, slots=True)
class Reason:
    """Why systems are thought to be alike."""

    code: str  # same_function, same_audience, same_data, same_profile
    ja: str
    en: str


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more systems of one function. `decision`: that all of them are no duplicates."""

    function: str
    members: tuple[System, ...]
    reasons: tuple[Reason, ...]
    decision: DuplicateDecision | None


async def groups(session: AsyncSession, function: str | None = None) -> list[Group]:
    """All groups by function, of systems that are not retired. None has a single member."""
    statement = select(System).where(System.state != State.RETIRED)
    if function is not None:
        statement = statement.where(System.function == function)
    found = await session.scalars(statement.order_by(System.function, System.name, System.id))
    alike = [tuple(each) for _, each in groupby(found.all(), lambda system: system.function)]
    alike = [members for members in alike if len(members) > 1]
    decided = await _decisions(session, [members[0].function for members in alike])
    profiles = await _profiles(session, [system for members in alike for system in members])
    return [
        Group(
            members[0].function, members, _reasons(members, profiles),
            _covering(decided, members),
        )
        for members in alike
    ]  # fmt: skip


async def similar_to(session: AsyncSession, system: System) -> Sequence[System]:
    """The other systems of its function, which whoever registers it is warned of."""
    for group in await groups(session, system.function):
        return [each for each in group.members if each.id != system.id]
    return []


async def decide(
    session: AsyncSession, function: str, members: Collection[UUID], *, reason: str, by: str
) -> DuplicateDecision:
    """Say that these are no duplicates of each other. A system that comes later opens the group
    again. Raises `NoSuchGroup`."""
    named = sorted({str(each) for each in members})
    known = await session.scalars(
        select(System.id).where(System.id.in_([UUID(each) for each in named]),
                                System.function == function)
    )  # fmt: skip
    if len(named) < 2 or len(known.all()) != len(named):
        raise NoSuchGroup(function=function)
    made = DuplicateDecision(
        id=uuid4(), function=function, members=named, reason=reason, at=clock.now(), by=by
    )
    session.add(made)
    await session.flush()
    await log.append(session, Event.DUPLICATE_DECIDED, function=function, systems=named, by=by)
    return made


async def _decisions(
    session: AsyncSession, functions: Sequence[str]
) -> Sequence[DuplicateDecision]:
    its = select(DuplicateDecision).where(DuplicateDecision.function.in_(functions))
    return (await session.scalars(its.order_by(DuplicateDecision.at.desc()))).all()


def _covering(
    decided: Sequence[DuplicateDecision], members: Sequence[System]
) -> DuplicateDecision | None:
    """The newest decision about all of them."""
    ids = {str(each.id) for each in members}
    return next((each for each in decided if ids <= set(each.members)), None)


async def _profiles(session: AsyncSession, systems: Sequence[System]) -> dict[str, str]:
    """The standard layout of each dataset whose source of truth is one of these."""
    ids = [each for system in systems for each in system.description.get("datasets", ())]
    named = select(Dataset.id, Dataset.profile_name).where(
        Dataset.id.in_(ids), Dataset.profile_name.is_not(None)
    )
    return {row.id: row.profile_name for row in await session.execute(named)}


def _reasons(members: Sequence[System], profiles: dict[str, str]) -> tuple[Reason, ...]:
    said = [said_of(each) for each in members]
    function = said[0].function
    made = [
        Reason(
            "same_function", f"機能が同じです（{function}）。", f"The same function: {function}."
        )
    ]
    for code, ja, en, parts in (
        ("same_audience", "利用者", "audience", [set(each.audience) for each in said]),
        ("same_data", "保有データ", "data held", [set(each.data_held) for each in said]),
        ("same_profile", "データの標準レイアウト", "standard layout",
         [{profiles[d] for d in each.datasets if d in profiles} for each in said]),
    ):  # fmt: skip
        shared = _in_several(parts)
        if shared:
            named = ", ".join(shared)
            made.append(
                Reason(code, f"{ja}が重なります（{named}）。", f"They share {en}: {named}.")
            )
    return tuple(made)


def _in_several(parts: Sequence[Collection[str]]) -> list[str]:
    every = [each for part in parts for each in part]
    return sorted({each for each in every if every.count(each) > 1})
