"""Diagnoses of systems and the weights that make scores of them. What was found is never changed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.kit.clock import TOKYO
from app.models.systems import Diagnosis, LockInWeights, System
from app.systems import inventory, lock_in
from app.systems.lock_in import Score, Signs
from app.systems.refusals import WeightsInvalid, WeightsNotFound

_LOCK: Final = 5_172_001  # of the order in which weights get their numbers


@dataclass(frozen=True, slots=True)
class Weights:
    """One version of the weights; 0 is the one that comes with the platform."""

    version: int
    weights: Mapping[str, int]
    reason: str | None = None
    set_at: datetime | None = None
    set_by: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A diagnosis with the score that some weights make of it."""

    at: datetime
    by: str
    revision: int
    score: Score


@dataclass(frozen=True, slots=True)
class Ranked:
    """A system with its last score by some weights; None where it was never diagnosed."""

    id: UUID
    name: str
    organization_id: str
    score: Decimal | None
    signs: Signs | None
    at: datetime | None

    @property
    def place(self) -> tuple[Decimal, str]:
        """Where it stands in the list, whatever came since."""
        return (-self.score if self.score is not None else Decimal(1)), str(self.id)


async def diagnose(session: AsyncSession, system: System, *, certified: bool, by: str) -> Diagnosis:
    """Look at a system as it is described and proven now, and keep what was found.

    `certified`: a service that it names has a certificate that is in force.
    """
    said, now = inventory.said_of(system), clock.now()
    proof = await inventory.proof_of(session, said)
    signs = lock_in.signs_of(said, proof, now.astimezone(TOKYO).date(), certified=certified)
    found = Diagnosis(
        system_id=system.id, revision=system.revision, signs=signs.as_json(), at=now, by=by
    )
    session.add(found)
    await session.flush()
    await log.append(
        session, Event.SYSTEM_DIAGNOSED, system=str(system.id),
        organization=system.organization_id, revision=system.revision, by=by,
    )  # fmt: skip
    return found


async def history_of(
    session: AsyncSession, system_ids: Sequence[UUID], weights: Weights, *, newest: bool = False
) -> dict[UUID, list[Scored]]:
    """The diagnoses of each system, newest first, scored by one version of the weights.

    `newest`: the last one of each alone.
    """
    statement = select(Diagnosis).where(Diagnosis.system_id.in_(system_ids))
    if newest:
        statement = statement.ext(distinct_on(Diagnosis.system_id))
    statement = statement.order_by(Diagnosis.system_id, Diagnosis.at.desc(), Diagnosis.id.desc())
    found: dict[UUID, list[Scored]] = {}
    for each in await session.scalars(statement):
        score = lock_in.score_of(Signs(**each.signs), weights.weights)
        found.setdefault(each.system_id, []).append(Scored(each.at, each.by, each.revision, score))
    return found


async def ranking(
    session: AsyncSession, owners: Sequence[str] | None, weights: Weights
) -> list[Ranked]:
    """Every system of the owners (None: of anybody), the highest score first and those that were
    never diagnosed last."""
    last = select(Diagnosis.system_id, Diagnosis.signs, Diagnosis.at)
    last = last.ext(distinct_on(Diagnosis.system_id)).order_by(
        Diagnosis.system_id, Diagnosis.at.desc(), Diagnosis.id.desc()
    )
    newest = last.subquery()
    asked = select(
        System.id, System.name, System.organization_id, newest.c.signs, newest.c.at
    ).outerjoin(newest, newest.c.system_id == System.id)
    if owners is not None:
        asked = asked.where(System.organization_id.in_(owners))
    rows = (await session.execute(asked)).all()
    return await asyncio.to_thread(_ranked, rows, weights.weights)


def _ranked(rows: Sequence[Any], weights: Mapping[str, int]) -> list[Ranked]:
    found = []
    for system_id, name, organization_id, told, at in rows:
        signs = Signs(**told) if told is not None else None
        score = lock_in.sum_of(signs, weights) if signs is not None else None
        found.append(Ranked(system_id, name, organization_id, score, signs, at))
    return sorted(found, key=lambda each: each.place)


async def weights_of(session: AsyncSession, version: int | None = None) -> Weights:
    """A version of the weights; the newest where none is named. Raises `WeightsNotFound`."""
    newest = await session.scalar(select(func.max(LockInWeights.version))) or 0
    wanted = newest if version is None else version
    if wanted == 0:
        return Weights(0, lock_in.BUILT_IN)
    found = await session.get(LockInWeights, wanted)
    if found is None:
        raise WeightsNotFound(version=wanted, newest=newest)
    return Weights(wanted, found.weights, found.reason, found.set_at, found.set_by)


async def set_weights(
    session: AsyncSession, weights: Mapping[str, int], *, reason: str, by: str
) -> Weights:
    """Make the weights of all scores from now on; old scores can be had by their version.

    Raises `WeightsInvalid`.
    """
    if not lock_in.checked(weights):
        raise WeightsInvalid(names=", ".join(lock_in.NAMES))
    await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    version = (await weights_of(session)).version + 1
    kept = LockInWeights(
        version=version, weights=dict(weights), reason=reason, set_at=clock.now(), set_by=by
    )
    session.add(kept)
    await session.flush()
    await log.append(
        session, Event.LOCK_IN_WEIGHTS_SET, version=version, weights=dict(weights), by=by
    )
    return Weights(version, kept.weights, reason, kept.set_at, by)
