"""The job of words: what datasets and records are found by, and how their words are read.

It lags behind what is published and changes no answer about records but by its readings.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import indexing, lexicon
from app.kit.db import Database
from app.models.datasets import DataClass, Dataset, Run, RunState, Version, VersionState
from app.models.parties import Organization
from app.models.search import DatasetWords
from app.query.fields import Field, FieldType, Visibility
from app.query.words import known_words, searched
from app.tables import word_index
from app.tables.layout import hosted_table
from app.tables.values import some_values
from app.tasks import readings

_LEAST_ROWS: Final = 2_000  # fewer are looked at as quickly without an index
_AT_A_TIME: Final = 100
_OPEN: Final = frozenset({Visibility.PUBLIC, Visibility.INTERNAL})
_ORDER: Final = {each: at for at, each in enumerate(Visibility)}


async def keep_words(database: Database) -> None:
    """Bring everything that searches go by up to date, some at a time."""
    while await _keep_datasets(database):
        pass
    while not await _is_loading(database) and await _index_version(database):
        pass
    if readings.dictionary() is not None:
        while await _read_datasets(database):
            pass


async def _keep_datasets(database: Database) -> int:
    async with database.writing() as session:
        return await indexing.keep_up(session)


async def _is_loading(database: Database) -> bool:
    """Whether somebody waits for a load: an index, without which every answer is right, goes last."""
    unfinished = exists().where(Run.state.in_((RunState.QUEUED, RunState.RUNNING)))
    async with database.reading() as session:
        return bool(await session.scalar(select(unfinished)))


async def _index_version(database: Database) -> bool:
    """Index one version that readers get; whether there was one."""
    async with database.writing() as session:
        found = await session.execute(_unindexed())
        row = found.first()
        if row is None:
            return False
        version, data_class = row
        fields = [Field.from_json(each) for each in version.fields]
        seen = searched(_below(fields, data_class))
        made = None
        if seen and data_class != DataClass.PERSONAL:
            connection = await database.driver_of(session)
            table = hosted_table(version.table_name, fields)
            made = await word_index.make(connection, table, seen)
        version = await session.get_one(
            Version, (version.dataset_id, version.number), with_for_update=True
        )
        version.words = word_index.as_json(made)
        return True


def _unindexed() -> Select[Version, str]:
    is_current = (Version.dataset_id == Dataset.id) & (Version.number == Dataset.current_version)
    made_as = Version.words["made_as"].as_string()
    return (
        select(Version, Dataset.data_class)
        .join(Dataset, is_current)
        .where(
            Version.state == VersionState.PUBLISHED,
            Version.row_count >= _LEAST_ROWS,
            or_(Version.words.is_(None), made_as != word_index.MADE_AS),
        )
        .limit(1)
    )


def _below(fields: Sequence[Field], data_class: str) -> list[Field]:
    """The fields that whoever may read the dataset may see, unless an agreement says less."""
    most = _ORDER[Visibility(data_class)]
    return [f for f in fields if f.visibility is None or _ORDER[f.visibility] <= most]


async def _read_datasets(database: Database) -> bool:
    """Read the words of some datasets; whether there were any."""
    edition = readings.dictionary()
    async with database.writing() as session:
        waiting = (
            select(Dataset, DatasetWords)
            .join(DatasetWords, DatasetWords.dataset_id == Dataset.id)
            .where(DatasetWords.read_as.is_distinct_from(edition))
            .order_by(Dataset.id)
            .limit(_AT_A_TIME)
            .with_for_update(of=DatasetWords, skip_locked=True)
        )
        rows = (await session.execute(waiting)).all()
        texts: list[str] = known_words() if rows else []
        for dataset, words in rows:
            words.read_as = edition
            # What is hidden may not show in how other things are found.
            if not dataset.hidden:
                texts += await _texts_of(session, dataset)
        await lexicon.keep(session, await asyncio.to_thread(readings.read, texts))
        return bool(rows)


async def _texts_of(session: AsyncSession, dataset: Dataset) -> list[str]:
    """What the catalogue says of a dataset, and values of its open columns."""
    publisher = await session.get_one(Organization, dataset.publisher_id)
    declared = [Field.from_json(each) for each in dataset.fields or []]
    said = [dataset.title_ja, dataset.description_ja, publisher.name_ja, *dataset.themes]
    values: list[str] = []
    # Where records are only counted, a word of one may be somebody's name.
    if dataset.current_version is not None and dataset.suppression is None:
        version = await session.get_one(Version, (dataset.id, dataset.current_version))
        declared = [Field.from_json(each) for each in version.fields]
        told = [field for field in declared if _is_open(field, dataset.data_class)]
        values = await some_values(session, hosted_table(version.table_name, declared), told)
    return [*filter(None, said), *(field.label for field in declared), *values]


def _is_open(field: Field, data_class: str) -> bool:
    seen = field.visibility or Visibility(data_class)
    return field.type is FieldType.TEXT and Visibility(data_class) in _OPEN and seen in _OPEN
