"""What a dataset is found by: its words in parts of falling weight. Made from its entry alone."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.datasets import Dataset, Version
from app.models.parties import Organization
from app.models.search import DatasetWords
from app.query.fields import Field
from app.query.folding import fold
from app.query.grams import grams

# Names the folding, the parts and the grams. What was made otherwise is made anew by the worker.
MADE_AS: Final = "1"
UNMADE: Final = ""  # an entry of which nothing is made yet
PARTS: Final = ("title", "kana", "keyword", "label", "publisher", "description")
_MOST_CHARACTERS: Final = 4_000  # of a part
_AT_A_TIME: Final = 200


async def keep(session: AsyncSession, dataset: Dataset) -> None:
    """Bring what a dataset is found by up to date with its entry."""
    publisher = await session.get_one(Organization, dataset.publisher_id)
    fields = dataset.fields or []
    if dataset.current_version is not None:
        version = await session.get_one(Version, (dataset.id, dataset.current_version))
        fields = version.fields
    parts = parts_of(dataset, [Field.from_json(each) for each in fields], publisher)
    kept = await session.get(DatasetWords, dataset.id)
    if kept is None:
        kept = DatasetWords(dataset_id=dataset.id)
        session.add(kept)
    kept.length = len(dataset.title_ja)
    kept.title, kept.kana = parts[PARTS.index("title")], parts[PARTS.index("kana")]
    kept.parts = parts
    kept.grams = grams_of_parts(parts)
    kept.made_as = MADE_AS
    kept.read_as = None


def parts_of(dataset: Dataset, fields: Sequence[Field], publisher: Organization) -> list[str]:
    """The folded texts of `PARTS`."""
    said: tuple[Sequence[str | None], ...] = (
        (dataset.title_ja, dataset.title_en),
        (dataset.title_kana,),
        (*dataset.themes, dataset.profile_name, dataset.id),
        [word for field in fields for word in (field.label, field.name)],
        (publisher.name_ja, publisher.name_en),
        (dataset.description_ja, dataset.description_en, dataset.source_system),
    )
    return [fold(" ".join(filter(None, words)))[:_MOST_CHARACTERS] for words in said]


def grams_of_parts(parts: Sequence[str]) -> list[int]:
    """The grams of every part, each with its part."""
    return sorted(set[int]().union(*(grams(text, at) for at, text in enumerate(parts))))


async def behind(session: AsyncSession) -> int:
    """How many datasets are not yet found by what their entries say now."""
    stale = (
        select(func.count())
        .select_from(Dataset)
        .outerjoin(DatasetWords, DatasetWords.dataset_id == Dataset.id)
        .where(_is_stale())
    )
    return (await session.execute(stale)).scalar_one()


def _is_stale() -> ColumnElement[bool]:
    return or_(DatasetWords.dataset_id.is_(None), DatasetWords.made_as != MADE_AS)


async def keep_up(session: AsyncSession) -> int:
    """Make what is missing or was made otherwise, some at a time; how many there were."""
    stale = (
        select(Dataset)
        .outerjoin(DatasetWords, DatasetWords.dataset_id == Dataset.id)
        .where(_is_stale())
        .order_by(Dataset.id)
        .limit(_AT_A_TIME)
        .with_for_update(of=Dataset, skip_locked=True)
    )
    found = (await session.scalars(stale)).all()
    for dataset in found:
        await keep(session, dataset)
    return len(found)
