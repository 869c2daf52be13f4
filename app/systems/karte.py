"""The karte of a system: what it costs, whom it locks in, who depends on it. Changes nothing."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.models.systems import System
from app.systems import diagnoses, inventory
from app.systems.dependants import Dependant, dependants_of
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
        tuple(heaviest[:_MENDS]), tuple(await dependants_of(session, said.datasets)),
    )  # fmt: skip


def costs_of(said: Description) -> tuple[YearCost, ...]:
    """The sums of the fiscal years, without a gap from the first to the last."""
    if not said.costs:
        return ()
    sums: dict[int, int] = {}
    for cost in said.costs:
        sums[cost.year] = sums.get(cost.year, 0) + cost.yen
    return tuple(YearCost(year, sums.get(year, 0)) for year in range(min(sums), max(sums) + 1))
