"""Datasets with a place on the map, described for readers of maps. Reads only, and no record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of_value
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import datasets, extents
from app.catalogue.refusals import DatasetWithdrawn
from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, DatasetState, Version
from app.models.parties import Zone
from app.query.fields import Field, FieldType, geometry_of, place_of

_OF_TYPE: Final = "$[*] ? (@.type == {type}{seen})"
# Who has no token sees what is public of a dataset that is public.
_SEEN_BY_ALL: Final = ' && !exists(@.visibility ? (@ != null && @ != "public"))'


class NotOnTheMap(AppError):
    """The dataset's records have no place, so that it is no collection of features."""

    kind = Kind.NOT_FOUND
    code = "dataset_has_no_place"
    ja = (
        "データセット {id} は位置（緯度・経度またはジオメトリ）を持たないため、地物コレクションではありません。"
        "GET /v1/datasets/{id}/records で取得できます。"
    )
    en = (
        "The records of the dataset {id} have no place (coordinates or a geometry): it is no"
        " collection of features. Read it at GET /v1/datasets/{id}/records."
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """What is told of a dataset on the map. `extent` is west, south, east, north in degrees, where
    everybody may know it."""

    id: str
    title_ja: str
    title_en: str | None
    description_ja: str | None
    description_en: str | None
    data_class: str
    license: str | None
    temporal: tuple[date | None, date | None]
    extent: tuple[float, float, float, float] | None


async def list_placed(
    session: AsyncSession, *, zone: str, everybody: bool, after: str | None, limit: int
) -> list[Placed]:
    """By id, one more than asked so that the door knows of a next page.

    `zone` is the listener's; with `everybody` only what needs no token.
    """
    statement = _statement().where(*_listed(zone, everybody))
    if after is not None:
        statement = statement.where(Dataset.id > after)
    rows = await session.execute(statement.order_by(Dataset.id).limit(limit + 1))
    return [_told(row) for row in rows]


async def get_placed(
    session: AsyncSession, dataset_id: str, *, viewer: str | None
) -> tuple[Placed, Mapping[str, Field]]:
    """One of them with the fields that readers get.

    Raises `DatasetNotFound`, `DatasetWithdrawn`, `NotOnTheMap`.
    """
    dataset = await datasets.get_visible(session, dataset_id, viewer=viewer)
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset_id, reason=dataset.withdrawn_reason)
    row = (await session.execute(_statement().where(Dataset.id == dataset_id))).one_or_none()
    fields = (await datasets.fields_of(session, dataset))[dataset_id]
    check_placed(dataset_id, fields)
    if row is None:  # nothing published yet, or declared only
        raise NotOnTheMap(id=dataset_id)
    return _told(row), {field.name: field for field in fields}


def check_placed(dataset_id: str, fields: Sequence[Field]) -> None:
    """Raises `NotOnTheMap` for records without coordinates or a geometry."""
    if not is_placed(fields):
        raise NotOnTheMap(id=dataset_id)


def is_placed(fields: Sequence[Field]) -> bool:
    """Whether records of these fields have a place."""
    return geometry_of(fields) is not None or place_of(fields) is not None


_TOLD: Final[tuple[Any, ...]] = (
    Dataset.id, Dataset.title_ja, Dataset.title_en, Dataset.description_ja,
    Dataset.description_en, Dataset.data_class, Dataset.license, Dataset.temporal_start,
    Dataset.temporal_end, Version.west, Version.south, Version.east, Version.north, Dataset.suppression,
)  # fmt: skip


def _statement() -> Select[Any]:
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    return select(*_TOLD, extents.is_told().label("is_told")).join(Version, current)


def _listed(zone: str, everybody: bool) -> Iterator[ColumnElement[bool]]:
    public = Dataset.data_class == DataClass.PUBLIC.value
    yield ~Dataset.hidden
    yield Dataset.state == DatasetState.ACTIVE.value
    yield Dataset.suppression.is_(None)  # its records are only counted
    yield or_(Dataset.zone == zone, and_(public, Dataset.zone == Zone.INTERNET.value))
    if everybody:
        yield public
    else:
        yield Dataset.data_class != DataClass.SPECIFIC_PERSONAL.value  # never brokered
    seen = _SEEN_BY_ALL if everybody else ""
    coordinates = [_has(FieldType.LATITUDE, seen), _has(FieldType.LONGITUDE, seen)]
    yield or_(_has(FieldType.GEOMETRY, seen), and_(*coordinates))


def _has(field_type: FieldType, seen: str) -> ColumnElement[bool]:
    wanted = _OF_TYPE.format(type=f'"{field_type.value}"', seen=seen)
    found: ColumnElement[bool] = Version.fields.path_exists(wanted)
    return found


def _told(row: Row[Any]) -> Placed:
    edges = (row.west, row.south, row.east, row.north)
    same = {each.name: getattr(row, each.name) for each in fields_of_value(Placed)[:-2]}
    return Placed(
        **same,
        temporal=(row.temporal_start, row.temporal_end),
        extent=edges if row.is_told and None not in edges else None,
    )
