"""What is open data: public, licensed, published, in force, of the internet zone. Reads only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.catalogue.dcat import OpenDataset
from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn
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
    statement = _statement().where(*_is_open()).order_by(Dataset.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(Dataset.id > after)
    return [_told(*row) for row in await session.execute(statement)]


async def get_open(session: AsyncSession, dataset_id: str) -> OpenDataset:
    """One of them. Raises `NotOpenData`, `DatasetNotFound`, `DatasetWithdrawn`."""
    found = await session.execute(_statement().where(Dataset.id == dataset_id, *_is_open()))
    row = found.one_or_none()
    if row is not None:
        return _told(*row)
    dataset = await session.get(Dataset, dataset_id)
    if dataset is None or dataset.hidden:
        raise DatasetNotFound(id=dataset_id)
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset_id, reason=dataset.withdrawn_reason)
    raise NotOpenData(id=dataset_id)


def _statement() -> Select[Dataset, Version, Organization, datetime | None]:
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    every = aliased(Version)
    issued = (
        select(func.min(every.published_at)).where(every.dataset_id == Dataset.id).scalar_subquery()
    )
    return (
        select(Dataset, Version, Organization, issued)
        .join(Version, current)
        .join(Organization, Organization.id == Dataset.publisher_id)
    )


def _is_open() -> Sequence[ColumnElement[bool]]:
    return (
        Dataset.data_class == DataClass.PUBLIC.value,
        Dataset.zone == Zone.INTERNET.value,
        Dataset.state == DatasetState.ACTIVE.value,
        Dataset.license.is_not(None),
        Dataset.license != "",
        ~Dataset.hidden,
        Dataset.suppression.is_(None),  # no record of it is given, nor how many there are
    )


def _told(
    dataset: Dataset, version: Version, publisher: Organization, issued: datetime | None
) -> OpenDataset:
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
