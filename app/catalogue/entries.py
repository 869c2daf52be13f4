"""A dataset as the broker needs it: facts for the rules, and where its rows stand. Read-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import editions, versions
from app.catalogue.refusals import DatasetNotFound, VersionNotFound
from app.catalogue.views import find_key, list_views, view_facts
from app.models.connectors import ConnectorEntry, Feed, Mode
from app.models.datasets import Dataset, Version
from app.models.editions import Edition
from app.policy.facts import DatasetFacts
from app.policy.suppression import Suppression
from app.query.fields import Field
from app.tables.layout import hosted_table
from app.tables.sql import Source
from app.tables.word_index import WordIndex


@dataclass(frozen=True, slots=True, eq=False)
class LiveFeed:
    """What answers for a dataset at request time: a connector, and what of its source."""

    connector: ConnectorEntry = field(repr=False)  # it may hold a sealed secret
    selection: Mapping[str, Any]
    mapping: Sequence[Mapping[str, Any]] | None
    stale_for_seconds: int | None


@dataclass(frozen=True, slots=True, eq=False)
class VersionEntry:
    """One version: its fields and the table that holds its rows.

    Where `live` is, it is none that is stored: number 0, no row here, and a table that is nowhere.
    """

    number: int
    revision: int
    row_count: int
    fields: "MappingProxyType[str, Field]"
    source: Source
    published: bool
    changed_at: datetime
    live: LiveFeed | None = None

    @classmethod
    def of_source(cls, fields: Sequence[Field], live: LiveFeed) -> "VersionEntry":
        """The entry of what a source holds, whatever that is now."""
        return cls(
            number=0,
            revision=0,
            row_count=0,
            fields=MappingProxyType({field.name: field for field in fields}),
            source=Source(hosted_table("live", tuple(fields)), tuple(fields), None),
            published=True,
            changed_at=live.connector.changed_at,
            live=live,
        )

    @classmethod
    def of(cls, version: Version) -> "VersionEntry":
        """The entry of a stored version."""
        fields = tuple(Field.from_json(each) for each in version.fields)
        return cls(
            number=version.number,
            revision=version.revision,
            row_count=version.row_count,
            fields=MappingProxyType({field.name: field for field in fields}),
            source=Source(
                hosted_table(version.table_name, fields), fields, WordIndex.from_json(version.words)
            ),
            published=version.published_at is not None,
            changed_at=version.changed_at,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DatasetEntry:
    """One dataset, as of the moment it was loaded."""

    id: str
    facts: DatasetFacts
    hidden: bool
    withdrawn_reason: str | None
    joins: tuple[dict[str, Any], ...]
    version: VersionEntry | None  # what readers get without asking for another
    fields: "MappingProxyType[str, Field]"  # of that version, else as declared
    suppression: Suppression | None = None  # records are only counted, by these rules
    released: int = 0  # the revision of the version that is counted then
    sealed_key: bytes | None = None  # of stand-ins
    is_live: bool = False  # its source answers, and no stored version does

    def columns_of(self, version: VersionEntry) -> tuple[tuple[str, str], ...]:
        """The fields of a version with the data class that sees each."""
        return _columns(list(version.fields.values()), self.facts.data_class)


def _columns(fields: list[Field], data_class: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (field.name, field.visibility.value if field.visibility else data_class) for field in fields
    )


async def load_entry(session: AsyncSession, dataset_id: str) -> DatasetEntry:
    """The dataset with its current version. Raises `DatasetNotFound`."""
    # PostgreSQL takes no NUL, not even in a question.
    dataset = await session.get(Dataset, dataset_id) if "\x00" not in dataset_id else None
    if dataset is None:
        raise DatasetNotFound(id=dataset_id)
    declared = [Field.from_json(each) for each in dataset.fields or []]
    live, version = await _live_feed(session, dataset), None
    if live is not None:
        version = VersionEntry.of_source(declared, live) if declared else None
    elif dataset.current_version is not None:
        stored = await session.get_one(Version, (dataset.id, dataset.current_version))
        version = VersionEntry.of(stored)
    fields = list(version.fields.values()) if version else declared
    body = await session.scalar(select(func.body_of(dataset.publisher_id)))
    views = await list_views(session, dataset.id)
    facts = DatasetFacts(
        id=dataset.id,
        data_class=dataset.data_class,
        zone=dataset.zone,
        publisher_id=dataset.publisher_id,
        body_id=body or dataset.publisher_id,
        columns=_columns(fields, dataset.data_class),
        withdrawn=dataset.state == "withdrawn",
        aggregate_only=dataset.suppression is not None,
        views=tuple(
            view_facts(view.purpose, view.columns, view.rows, view.consent, view.masks)
            for view in views
        ),
        subject=dataset.subject,
    )
    rules = Suppression.from_json(dataset.suppression) if dataset.suppression is not None else None
    is_counted = rules is not None and version is not None and live is None
    return DatasetEntry(
        id=dataset.id,
        facts=facts,
        hidden=dataset.hidden,
        withdrawn_reason=dataset.withdrawn_reason,
        joins=tuple(dataset.joins or ()),
        version=version,
        fields=MappingProxyType({field.name: field for field in fields}),
        suppression=rules,
        released=await _released(session, dataset) if is_counted else 0,
        sealed_key=await find_key(session, dataset.id) if views else None,
        is_live=live is not None,
    )


async def _live_feed(session: AsyncSession, dataset: Dataset) -> LiveFeed | None:
    found = await session.execute(
        select(Feed, ConnectorEntry)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .where(Feed.dataset_id == dataset.id, Feed.mode == Mode.LIVE)
    )
    row = found.one_or_none()
    if row is None:
        return None
    feed, connector = row
    mapping = feed.mapping if feed.mapping is not None else dataset.mapping
    return LiveFeed(connector, feed.selection, mapping, feed.stale_for_seconds)


async def _released(session: AsyncSession, dataset: Dataset) -> int:
    """The revision that was last published: what is written since must not be told apart."""
    version = await session.get_one(Version, (dataset.id, dataset.current_version))
    if version.released_revision is not None:
        return version.released_revision
    first = await session.scalar(
        select(func.min(Edition.revision)).where(
            Edition.dataset_id == dataset.id, Edition.version_number == version.number
        )
    )
    return first or 0


async def load_version(session: AsyncSession, dataset_id: str, number: int) -> VersionEntry:
    """One version by number. Raises `VersionNotFound`, `VersionDropped`."""
    found = await session.scalar(
        select(Version).where(Version.dataset_id == dataset_id, Version.number == number)
    )
    if found is None:
        raise VersionNotFound(dataset=dataset_id, number=number)
    versions.check_kept(found)
    return VersionEntry.of(found)


async def load_version_at(session: AsyncSession, dataset_id: str, moment: datetime) -> VersionEntry:
    """What readers got at a moment. Raises `NothingAtThatTime`, `VersionDropped`."""
    edition = await editions.at(session, dataset_id, moment)
    stood = await load_version(session, dataset_id, edition.version_number)
    return replace(
        stood,
        revision=edition.revision,
        row_count=edition.row_count,
        changed_at=edition.began_at,
    )
