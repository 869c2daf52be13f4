"""Who depends on the data of a system: by an agreement that stands, or because it was read lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import report
from app.kit import clock
from app.kit.clock import TOKYO
from app.models.agreements import Agreement, AgreementState

DAYS: Final = 90  # that a read counts as use


@dataclass(frozen=True, slots=True)
class Dependant:
    """A consumer of a dataset. `agreement` and `purpose`: by which it may, None where nothing but
    its reads tells of it. `reads`: of the dataset by the consumer within the last 90 days, however
    many agreements it has."""

    dataset: str
    consumer: str
    agreement: str | None
    purpose: str | None
    reads: int
    last_read_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Use:
    reads: int = 0
    last_at: datetime | None = None


async def dependants_of(session: AsyncSession, datasets: Sequence[str]) -> list[Dependant]:
    """In the order of datasets and consumers. Readers without a token are nobody's name, and the
    owner's own reads are not of another."""
    uses = await _uses(session, datasets)
    agreements = await _standing(session, datasets)
    found = [
        _dependant(each.dataset_id, each.consumer_id, uses, str(each.id), each.purpose)
        for each in agreements
    ]
    agreed = {(each.dataset_id, each.consumer_id) for each in agreements}
    found += [_dependant(*key, uses) for key in uses if key not in agreed]
    return sorted(found, key=lambda each: (each.dataset, each.consumer, each.agreement or ""))


def _dependant(
    dataset: str,
    consumer: str,
    uses: dict[tuple[str, str], _Use],
    agreement: str | None = None,
    purpose: str | None = None,
) -> Dependant:
    use = uses.get((dataset, consumer), _Use())
    return Dependant(dataset, consumer, agreement, purpose, use.reads, use.last_at)


async def _standing(session: AsyncSession, datasets: Sequence[str]) -> Sequence[Agreement]:
    now = clock.now()
    standing = select(Agreement).where(
        Agreement.dataset_id.in_(datasets), Agreement.state == AgreementState.ACTIVE,
        Agreement.valid_from <= now, Agreement.valid_until > now,
    )  # fmt: skip
    return (await session.scalars(standing)).all()


async def _uses(session: AsyncSession, datasets: Sequence[str]) -> dict[tuple[str, str], _Use]:
    since = clock.now().astimezone(TOKYO).date() - timedelta(days=DAYS)
    found = await report.read_by(session, datasets, since=since)
    return {(dataset, consumer): _Use(reads, at) for dataset, consumer, reads, at in found}
