"""The karte of a system: what it costs, whom it locks in, who depends on it. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.models.agreements import Agreement, AgreementState
from app.models.systems import System
from app.systems import diagnoses, inventory
from app.systems.description import Description
from app.systems.diagnoses import Scored, Weights
from app.systems.lock_in import Part

_MENDS: Final = 3


@dataclass(frozen=True, slots=True)
class YearCost:
    """What a fiscal year cost, in yen."""

    year: int
    yen: int


@dataclass(frozen=True, slots=True)
class Dependant:
    """Who reads a dataset of the system's under an agreement that stands."""

    dataset: str
    consumer: str
    agreement: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Karte:
    """Everything about one system, as it stands now."""

    system: System
    said: Description
    costs: tuple[YearCost, ...]
    total_yen: int
    weights: Weights
    diagnoses: tuple[Scored, ...]  # newest first
    lowers_most: tuple[Part, ...]
    dependants: tuple[Dependant, ...]


async def karte_of(session: AsyncSession, system: System, weights: Weights) -> Karte:
    """The karte, its scores by the given weights."""
    said = inventory.said_of(system)
    found = await diagnoses.history_of(session, [system.id], weights)
    scored = tuple(found.get(system.id, ()))
    heaviest = [part for part in scored[0].score.parts if part.points] if scored else []
    return Karte(
        system, said, costs_of(said), sum(each.yen for each in said.costs), weights, scored,
        tuple(heaviest[:_MENDS]), tuple(await _dependants(session, said.datasets)),
    )  # fmt: skip


def costs_of(said: Description) -> tuple[YearCost, ...]:
    """The sums of the fiscal years, without a gap from the first to the last."""
    if not said.costs:
        return ()
    sums: dict[int, int] = {}
    for cost in said.costs:
        sums[cost.year] = sums.get(cost.year, 0) + cost.yen
    return tuple(YearCost(year, sums.get(year, 0)) for year in range(min(sums), max(sums) + 1))


async def _dependants(session: AsyncSession, datasets: Sequence[str]) -> list[Dependant]:
    now = clock.now()
    standing = (
        select(Agreement)
        .where(
            Agreement.dataset_id.in_(datasets), Agreement.state == AgreementState.ACTIVE,
            Agreement.valid_from <= now, Agreement.valid_until > now,
        )
        .order_by(Agreement.dataset_id, Agreement.consumer_id, Agreement.id)
    )  # fmt: skip
    return [
        Dependant(each.dataset_id, each.consumer_id, str(each.id), each.purpose)
        for each in await session.scalars(standing)
    ]
