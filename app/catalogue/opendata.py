"""What is open data: public, licensed, published, in force, of the internet zone. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, defer

from app.catalogue import extents, files
from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn
from app.formats.shelf.facts import EarlierVersion, File, OpenDataset, plain
from app.kit.clock import TOKYO
from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, DatasetState, Version, VersionState
from app.models.parties import Organization, Zone
from app.models.quality import Quality
from app.query.fields import Field, Visibility

_MOST_VERSIONS: Final = 100  # told of one dataset
_AT_A_TIME: Final = 100  # datasets are read: others have their turn between
# What only the page of one dataset tells is not read for thousands.
LIGHT: Final = (defer(Version.fields), defer(Version.mapping), defer(Dataset.fields))


class NotOpenData(AppError):
    """The dataset exists, and is not (or not yet) given to everybody."""

    kind = Kind.NOT_FOUND
    code = "not_open_data"
    ja = "データセット {id} はオープンデータとして掲載していません。{why_ja}"
    en = "The dataset {id} is not listed as open data. {why_en}"

    @classmethod
    def of(cls, dataset: Dataset) -> "NotOpenData":
        """The refusal of a dataset that the asker may know of."""
        if dataset.suppression is None:
            ja = "公開データとして、ライセンスを設定して公開すると掲載されます。"
            en = "It will be once it is public, licensed and published."
        else:
            path = f"GET /v1/datasets/{dataset.id}/aggregate"
            ja = f"レコードは提供せず、集計（{path}）だけを提供しています。"
            en = f"Its records are only counted: ask for aggregates ({path})."
        return cls(id=dataset.id, why_ja=ja, why_en=en)


@dataclass(frozen=True, slots=True)
class State:
    """What the shelf as a whole is at: another `mark` once anything on it is told otherwise."""

    count: int
    mark: str
    modified_at: datetime | None


async def list_open(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> list[OpenDataset]:
    """Open datasets by id, one more than asked so that the door knows of a next page."""
    found: list[OpenDataset] = []
    every = statement().where(*is_open()).order_by(Dataset.id).options(*LIGHT)
    while len(found) <= limit:
        some = min(_AT_A_TIME, limit + 1 - len(found))
        page = every.limit(some)
        if after is not None:
            page = page.where(Dataset.id > after)
        rows = (await session.execute(page)).all()
        found += await told(session, rows)
        if len(rows) < some:
            break
        after = found[-1].id
    return found


async def get_open(session: AsyncSession, dataset_id: str) -> OpenDataset:
    """One of them, with fields and versions.

    Raises `NotOpenData`, `DatasetNotFound`, and `DatasetWithdrawn` for what was on the shelf.
    """
    found = await session.execute(statement().where(Dataset.id == dataset_id, *is_shown()))
    row = found.one_or_none()
    if row is None:
        dataset = await session.get(Dataset, dataset_id)
        if dataset is None or dataset.hidden:
            raise DatasetNotFound(id=dataset_id)
        raise NotOpenData.of(dataset)
    dataset, version = row[0], row[1]
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset_id, reason=dataset.withdrawn_reason)
    (open_dataset,) = await told(session, [row])
    return replace(
        open_dataset,
        fields=_seen_by_all(version),
        versions=await _earlier(session, version),
        absent=await files.absent(session, version),
    )


async def state(session: AsyncSession) -> State:
    """The state of the shelf, by which a client's copy is judged."""
    told = func.concat_ws(
        "\x1f", Dataset.id, Dataset.modified_at, Version.number, Version.changed_at,
        Version.row_count, Organization.name_ja, Organization.name_en,
    )  # fmt: skip
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    row = (
        await session.execute(
            select(
                func.count(),
                func.sum(func.hashtextextended(told, 0)),
                func.max(func.greatest(Dataset.modified_at, Version.changed_at)),
            )
            .select_from(Dataset)
            .join(Version, current)
            .join(Organization, Organization.id == Dataset.publisher_id)
            .where(*is_open())
        )
    ).one()
    return State(row[0], f"{row[0]}-{row[1]}", row[2])


async def addresses(session: AsyncSession, *, page: int, size: int) -> list[tuple[str, datetime]]:
    """Ids by id with the time of their last change, a page of them from 0."""
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    rows = await session.execute(
        select(Dataset.id, modified_at())
        .join(Version, current)
        .where(*is_open())
        .order_by(Dataset.id)
        .limit(size)
        .offset(page * size)
    )
    return [(dataset_id, at.astimezone(TOKYO)) for dataset_id, at in rows]


def statement() -> Select[Dataset, Version, Organization, Decimal | None, datetime | None, bool]:
    """Datasets with the version that readers get, who publishes them, how good and how old, and
    whether everybody may know where their records lie."""
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    measured = and_(Quality.dataset_id == Version.dataset_id, Quality.number == Version.number)
    return (
        select(Dataset, Version, Organization, Quality.score, issued_at(), extents.is_told())
        .join(Version, current)
        .join(Organization, Organization.id == Dataset.publisher_id)
        .outerjoin(Quality, measured)
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
    return (*is_shown(), Dataset.state == DatasetState.ACTIVE.value)


def is_shown() -> Sequence[ColumnElement[bool]]:
    """On the shelf, or withdrawn from it: what is hidden or not public was never there."""
    return (
        Dataset.data_class == DataClass.PUBLIC.value,
        Dataset.zone == Zone.INTERNET.value,
        Dataset.license.is_not(None),
        Dataset.license != "",
        ~Dataset.hidden,
        Dataset.suppression.is_(None),  # no record of it is given, nor how many there are
    )


def is_told(dataset: Dataset) -> bool:
    """The same as `is_open`, of a dataset at hand whose version readers get."""
    return (
        dataset.data_class == DataClass.PUBLIC
        and dataset.zone == Zone.INTERNET
        and bool(dataset.license)
        and not dataset.hidden
        and dataset.suppression is None
        and dataset.state == DatasetState.ACTIVE
    )


async def told(
    session: AsyncSession,
    rows: Sequence[Row[Dataset, Version, Organization, Decimal | None, datetime | None, bool]],
) -> list[OpenDataset]:
    """Rows of `statement` as the shelf tells them, with their ready-made files."""
    made = await files.current(session, [row[1] for row in rows])
    return [_told(*row, made.get(row[0].id, ())) for row in rows]


def _told(
    dataset: Dataset,
    version: Version,
    publisher: Organization,
    score: Decimal | None,
    issued: datetime | None,
    is_placed: bool,
    made: Sequence[File],
) -> OpenDataset:
    same: dict[str, Any] = {
        name: _plain(getattr(dataset, name))
        for name in (
            "id", "title_ja", "title_en", "description_ja", "description_en", "publisher_id",
            "steward_name", "steward_email", "update_frequency", "legal_basis", "source_system",
        )
    }  # fmt: skip
    named = dataset.profile_name and dataset.profile_version
    return OpenDataset(
        **same,
        publisher_ja=plain(publisher.name_ja),
        publisher_en=_plain(publisher.name_en),
        license=plain(dataset.license or ""),
        keywords=tuple(plain(theme) for theme in dataset.themes),
        profile=(dataset.profile_name or "", dataset.profile_version or 0) if named else None,
        temporal=(dataset.temporal_start, dataset.temporal_end),
        extent=_extent(version) if is_placed else None,
        rows=version.row_count,
        version=version.number,
        issued_at=(issued or version.created_at).astimezone(TOKYO),
        modified_at=max(dataset.modified_at, version.changed_at).astimezone(TOKYO),
        score=score,
        files=made,
    )


def _plain(text: str | None) -> str | None:
    return plain(text) if text is not None else None


def _seen_by_all(version: Version) -> tuple[Field, ...]:
    """The columns that a reader without a token gets. The others are not named."""
    fields = (Field.from_json(each) for each in version.fields)
    return tuple(
        replace(
            field,
            label=plain(field.label),
            unit=_plain(field.unit),
            description=_plain(field.description),
        )
        for field in fields
        if field.visibility in (None, Visibility.PUBLIC)
    )


async def _earlier(session: AsyncSession, version: Version) -> tuple[EarlierVersion, ...]:
    rows = await session.execute(
        select(Version.number, Version.published_at)
        .where(
            Version.dataset_id == version.dataset_id,
            Version.state == VersionState.PUBLISHED.value,
            Version.published_at.is_not(None),
        )
        .order_by(Version.number.desc())
        .limit(_MOST_VERSIONS)
    )
    return tuple(
        EarlierVersion(number, at.astimezone(TOKYO)) for number, at in rows if at is not None
    )


def _extent(version: Version) -> tuple[float, float, float, float] | None:
    west, south, east, north = version.west, version.south, version.east, version.north
    if west is None or south is None or east is None or north is None:
        return None
    return west, south, east, north
