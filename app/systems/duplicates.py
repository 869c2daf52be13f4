"""Systems that do the same for several: groups with their reasons, and what was decided of them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Text, any_, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.models.datasets import Dataset
from app.models.systems import DuplicateDecision, System
from app.systems.description import State
from app.systems.refusals import NoSuchGroup

_MOST_SIMILAR: Final = 100
_LIVES: Final = System.state != State.RETIRED


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


async def groups(
    session: AsyncSession, owners: Sequence[str] | None, *, after: str | None, limit: int
) -> list[Group]:
    """Groups by function, of systems that are not retired, with one of an owner at least (None: of
    anybody). None has a single member."""
    function = System.function.collate("C")
    theirs = select(System.function).where(_LIVES).group_by(System.function)
    theirs = theirs.having(func.count() > 1).order_by(function).limit(limit)
    if owners is not None:
        theirs = theirs.having(func.bool_or(System.organization_id.in_(owners)))
    if after is not None:
        theirs = theirs.where(function > after)
    functions = (await session.scalars(theirs)).all()
    its = select(System).where(_LIVES, System.function.in_(functions))
    found = await session.scalars(its.order_by(function, System.name, System.id))
    alike = [tuple(each) for _, each in groupby(found.all(), lambda system: system.function)]
    decided = await _decisions(session, functions)
    profiles = await _profiles(session, [system for members in alike for system in members])
    return await asyncio.to_thread(_grouped, alike, decided, profiles)


def _grouped(
    alike: Sequence[tuple[System, ...]],
    decided: Mapping[str, Sequence[DuplicateDecision]],
    profiles: Mapping[str, str],
) -> list[Group]:
    return [
        Group(
            members[0].function, members, _reasons(members, profiles),
            _covering(decided.get(members[0].function, ()), members),
        )
        for members in alike
    ]  # fmt: skip


async def similar_to(session: AsyncSession, system: System) -> Sequence[System]:
    """The other systems of its function, which whoever registers it is warned of: so many of them."""
    its = select(System).where(_LIVES, System.function == system.function, System.id != system.id)
    return (await session.scalars(its.order_by(System.name, System.id).limit(_MOST_SIMILAR))).all()


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
) -> dict[str, list[DuplicateDecision]]:
    """By function, the newest first."""
    its = select(DuplicateDecision).where(DuplicateDecision.function.in_(functions))
    found: dict[str, list[DuplicateDecision]] = {}
    for each in await session.scalars(its.order_by(DuplicateDecision.at.desc())):
        found.setdefault(each.function, []).append(each)
    return found


def _covering(
    decided: Sequence[DuplicateDecision], members: Sequence[System]
) -> DuplicateDecision | None:
    """The newest decision about all of them."""
    ids = {str(each.id) for each in members}
    return next((each for each in decided if ids <= set(each.members)), None)


async def _profiles(session: AsyncSession, systems: Sequence[System]) -> dict[str, str]:
    """The standard layout of each dataset whose source of truth is one of these."""
    ids = [each for system in systems for each in _said(system, "datasets")]
    named = select(Dataset.id, Dataset.profile_name).where(
        Dataset.id == any_(cast(ids, ARRAY(Text))), Dataset.profile_name.is_not(None)
    )
    return {row.id: row.profile_name for row in await session.execute(named)}


def _reasons(members: Sequence[System], profiles: Mapping[str, str]) -> tuple[Reason, ...]:
    function = members[0].function
    made = [
        Reason(
            "same_function", f"機能が同じです（{function}）。", f"The same function: {function}."
        )
    ]
    layouts = [
        {profiles[each] for each in _said(system, "datasets") if each in profiles}
        for system in members
    ]
    for code, ja, en, parts in (
        ("same_audience", "利用者", "audience", [set(_said(each, "audience")) for each in members]),
        ("same_data", "保有データ", "data held", [set(_said(each, "data_held")) for each in members]),
        ("same_profile", "データの標準レイアウト", "standard layout", layouts),
    ):  # fmt: skip
        shared = _in_several(parts)
        if shared:
            named = ", ".join(shared)
            made.append(
                Reason(code, f"{ja}が重なります（{named}）。", f"They share {en}: {named}.")
            )
    return tuple(made)


def _said(system: System, member: str) -> Sequence[str]:
    listed: Sequence[str] = system.description.get(member, ())
    return listed


def _in_several(parts: Sequence[Collection[str]]) -> list[str]:
    times = Counter(each for part in parts for each in part)
    return sorted(each for each, count in times.items() if count > 1)
