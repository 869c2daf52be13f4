"""Who could join a joint procurement next: systems elsewhere that do the same and whose contract ends
about when it begins. Tells of them what is public anyway: their name, whose they are, and that day."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Date, Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.parties import Organization
from app.models.systems import System
from app.procurement.joint import Joint, Lot, members, said_of
from app.systems.description import State
from app.systems.inventory import said_of as system_of

_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a system's organisation could join."""

    code: str  # same_function, ends_before, ends_after
    ja: str
    en: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A system that could be replaced by the joint contract. `joins_on`: from when on."""

    system: System
    contract_until: date
    joins_on: date
    reasons: tuple[Reason, ...]


async def candidates(session: AsyncSession, joint: Joint, window: timedelta) -> list[Candidate]:
    """Those of nobody who takes part already, the nearest end of a contract first: so many of them.

    A bureau of a city that takes part is in it too.
    """
    said = said_of(joint.row)
    start, last = said.starts_on, said.ends_on
    lots = {each.function: each for each in said.lots}
    ends = System.description["contract"]["until"].astext
    inside = func.line_of(Organization.id).bool_op("&&")(cast(list(members(joint)), ARRAY(Text)))
    asked = (
        select(System)
        .where(
            System.function.in_(lots),
            System.state != State.RETIRED,
            # Dates of ISO 8601, which are ordered as texts are.
            ends.between((start - window).isoformat(), (start + window).isoformat()),
            ends < last.isoformat(),
            System.organization_id.not_in(select(Organization.id).where(inside)),
        )
        .order_by(func.abs(cast(ends, Date) - start), System.name, System.id)
        .limit(_MOST)
    )
    return [
        _candidate(system, lots[system.function], start) for system in await session.scalars(asked)
    ]


def _candidate(system: System, lot: Lot, start: date) -> Candidate:
    contract = system_of(system).contract
    until = contract.until if contract and contract.until else start  # there: it was asked for
    joins_on = max(start, until + timedelta(days=1))
    same = Reason(
        "same_function", f"機能が「{lot.name}」と同じです（{lot.function}）。",
        f"The same function as “{lot.name}”: {lot.function}.",
    )  # fmt: skip
    return Candidate(system, until, joins_on, (same, _ending(until, start, joins_on)))


def _ending(until: date, start: date, joins_on: date) -> Reason:
    days = (until - start).days
    if days < -1:
        gap = -days - 1
        return Reason(
            "ends_before",
            f"現契約は共同契約の開始（{start}）より前の {until} に終わります。"
            f"{gap}日間をつなぐ契約があれば、開始日から参加できます。",
            f"Its contract ends on {until}, before the joint one begins on {start}. With a contract"
            f" for the {gap} days between it can join on that day.",
        )  # fmt: skip
    return Reason(
        "ends_after", f"現契約は {until} に終わり、{joins_on} から参加できます。",
        f"Its contract ends on {until}: it can join on {joins_on}.",
    )  # fmt: skip
