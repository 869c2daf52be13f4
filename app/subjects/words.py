"""What consents and reads are about, in words that a citizen understands. Looks up no person."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.agreements import Purpose
from app.models.datasets import Dataset
from app.models.parties import Organization


@dataclass(frozen=True, slots=True)
class Named:
    """A thing by its id, as it is called; in English where it has such a name."""

    id: str
    ja: str
    en: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """What things are called that some consents or reads speak of."""

    organizations: Mapping[str, Named]
    datasets: Mapping[str, Named]
    purposes: Mapping[str, Named]
    labels: Mapping[str, Mapping[str, str]]  # of fields, by dataset

    def fields(self, dataset_id: str, names: Collection[str]) -> list[Named]:
        """The fields of a dataset, by their labels where they have any."""
        labels = self.labels.get(dataset_id, {})
        return [Named(name, labels.get(name, name), None) for name in names]


async def words_of(
    session: AsyncSession,
    *,
    datasets: Collection[str],
    organizations: Collection[str],
    purposes: Collection[str],
) -> Words:
    """What all of these are called."""
    of_datasets = list(await session.scalars(select(Dataset).where(Dataset.id.in_(datasets))))
    return Words(
        organizations={
            each.id: Named(each.id, each.name_ja, each.name_en)
            for each in await session.scalars(
                select(Organization).where(Organization.id.in_(organizations))
            )
        },
        datasets={each.id: Named(each.id, each.title_ja, each.title_en) for each in of_datasets},
        purposes={
            each.code: Named(each.code, each.name_ja, each.name_en)
            for each in await session.scalars(select(Purpose).where(Purpose.code.in_(purposes)))
        },
        labels={
            each.id: {field["name"]: field["label"] for field in each.fields or ()}
            for each in of_datasets
        },
    )
