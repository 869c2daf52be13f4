"""What is open data: public, licensed, published, in force, of the internet zone. Reads only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn
from app.formats.shelf.facts import OpenDataset
from app.kit.clock import TOKYO
from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, DatasetState, Version
from app.models.parties import Organization, Zone


class NotOpenData(AppError):
    """The dataset exists, and is not (or not yet) given to everybody."""

    kind = Kind.NOT_FOUND
    code = "not_open_data"
    ja = "データセット {id} はオープンデータではありません。ライセンスを設定して公開すると掲載されます。"
    en = (
        "The dataset {id} is not open data: it is listed once it is public, licensed and published."
    )


async def list_open(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> list[OpenDataset]:
    """Open datasets by id, one more than asked so that the door knows of a next page."""
    found = statement().where(*is_open()).order_by(Dataset.id).limit(limit + 1)
    if after is not None:
        found = found.where(Dataset.id > after)
    return [told(*row) for row in await session.execute(found)]


async def get_open(session: AsyncSession, dataset_id: str) -> OpenDataset:
    """One of them. Raises `NotOpenData`, `DatasetNotFound`, `DatasetWithdrawn`."""
    found = await session.execute(statement().where(Dataset.id == dataset_id, *is_open()))
    row = found.one_or_none()
    if row is not None:
        return told(*row)
    dataset = await session.get(Dataset, dataset_id)
    if dataset is None or dataset.hidden:
        raise DatasetNotFound(id=dataset_id)
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset_id, reason=dataset.withdrawn_reason)
    raise NotOpenData(id=dataset_id)


def statement() -> Select[Dataset, Version, Organization, datetime | None]:
    """Datasets with the version that readers get, their publisher, and when they were issued."""
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    return (
        select(Dataset, Version, Organization, issued_at())
        .join(Version, current)
        .join(Organization, Organization.id == Dataset.publisher_id)
    )


def issued_at() -> ColumnElement[datetime | None]:
    """When a version of the dataset was first given to readers."""
    every = aliased(Version)
    return (
        select(func.min(every.published_at)).where(every.dataset_id == Dataset.id).scalar_subquery()
    )


def created_at() -> ColumnElement[datetime]:
    """The same, of a version that nobody has published too."""
    return func.coalesce(issued_at(), Version.created_at)


def modified_at() -> ColumnElement[datetime]:
    """When the description or the records of a dataset of `statement` last changed."""
    return func.greatest(Dataset.modified_at, Version.changed_at)


def is_open() -> Sequence[ColumnElement[bool]]:
    """What makes a dataset of `statement` open data."""
    return (
        Dataset.data_class == DataClass.PUBLIC.value,
        Dataset.zone == Zone.INTERNET.value,
        Dataset.state == DatasetState.ACTIVE.value,
        Dataset.license.is_not(None),
        Dataset.license != "",
        ~Dataset.hidden,
    )


def told(
    dataset: Dataset, version: Version, publisher: Organization, issued: datetime | None
) -> OpenDataset:
    """A row of `statement` as the shelf tells it."""
    same: dict[str, Any] = {
        name: getattr(dataset, name)
        for name in (
            "id", "title_ja", "title_en", "description_ja", "description_en", "publisher_id",
            "steward_name", "steward_email", "update_frequency",
        )
    }  # fmt: skip
    named = dataset.profile_name and dataset.profile_version
    return OpenDataset(
        **same,
        publisher_ja=publisher.name_ja,
        publisher_en=publisher.name_en,
        license=dataset.license or "",
        keywords=tuple(dataset.themes),
        profile=(dataset.profile_name or "", dataset.profile_version or 0) if named else None,
        temporal=(dataset.temporal_start, dataset.temporal_end),
        extent=_extent(version),
        rows=version.row_count,
        version=version.number,
        issued_at=(issued or version.created_at).astimezone(TOKYO),
        modified_at=max(dataset.modified_at, version.changed_at).astimezone(TOKYO),
    )


def _extent(version: Version) -> tuple[float, float, float, float] | None:
    west, south, east, north = version.west, version.south, version.east, version.north
    if west is None or south is None or east is None or north is None:
        return None
    return west, south, east, north
