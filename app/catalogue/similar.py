"""Datasets that may hold the same things twice: one layout, overlapping places, shared keys (R17).

Only datasets that everybody knows of are compared, public ones and internal ones of one's own, and
only shares are told: no key leaves. Whoever may add datasets could otherwise find the keys of another's
internal one by guessing them. Bounded: so many datasets, and of each pair so many keys of the smaller one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Text, and_, cast, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.measuring import fields_of
from app.catalogue.refusals import DatasetNotFound
from app.models.datasets import DataClass, Dataset, DatasetState, Version
from app.query.fields import Field
from app.tables.layout import ROW, hosted_table
from app.tables.measure import in_force

MOST: Final = 50
_KEYS: Final = 1_000
_MUCH: Final = 0.5  # of the smaller area, where the keys say nothing
_SOME: Final = 0.05  # of the keys
_PUBLIC: Final = frozenset({DataClass.PUBLIC.value})
_OPEN: Final = frozenset({DataClass.PUBLIC.value, DataClass.INTERNAL.value})


@dataclass(frozen=True, slots=True)
class Similar:
    """A dataset that is like another. `area`: how much of the smaller extent both share, `keys`:
    how many of the smaller one's first thousand keys the other has too, each 0 to 1; None where
    one of them has no places, or other key fields."""

    dataset: str
    title: str
    publisher: str
    layout: str
    area: float | None
    keys: float | None


async def similar_to(
    session: AsyncSession, dataset_id: str, owners: Sequence[str] | None
) -> list[Similar]:
    """Those that are like it, most keys first; internal ones of the owners alone (None: of anybody).
    Raises `DatasetNotFound`.

    One that is not compared, has no layout, or was never published, is like none.
    """
    asked = await session.get(Dataset, dataset_id)
    if asked is None or asked.hidden:
        raise DatasetNotFound(id=dataset_id)
    its = await session.get(Version, (asked.id, asked.current_version or 0))
    if not _is_open(asked, owners) or asked.profile_name is None or its is None:
        return []
    found = [
        await _similar(session, its, dataset, version)
        for dataset, version in await _candidates(session, asked, its, owners)
    ]
    alike = [each for each in found if each is not None]
    return sorted(alike, key=lambda each: (-(each.keys or 0), -(each.area or 0), each.dataset))


def _is_open(dataset: Dataset, owners: Sequence[str] | None) -> bool:
    is_ours = owners is None or dataset.publisher_id in owners
    return (
        not dataset.hidden and dataset.suppression is None
        and dataset.state == DatasetState.ACTIVE and dataset.classes <= (_OPEN if is_ours else _PUBLIC)
    )  # fmt: skip


async def _candidates(
    session: AsyncSession, asked: Dataset, its: Version, owners: Sequence[str] | None
) -> list[tuple[Dataset, Version]]:
    """Of the same layout, and not known to lie elsewhere."""
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    is_public = Dataset.data_class == DataClass.PUBLIC
    ours = true() if owners is None else or_(is_public, Dataset.publisher_id.in_(owners))
    near = or_(
        Version.west.is_(None),
        and_(
            Version.west <= its.east, Version.east >= its.west,
            Version.south <= its.north, Version.north >= its.south,
        ),
    )  # fmt: skip
    statement = (
        select(Dataset, Version)
        .join(Version, current)
        .where(
            Dataset.profile_name == asked.profile_name, Dataset.id != asked.id,
            Dataset.state == DatasetState.ACTIVE, Dataset.hidden.is_(False),
            Dataset.data_class.in_(_OPEN), ours,
        )
        .order_by(Dataset.id)
        .limit(MOST)
    )  # fmt: skip
    if its.west is not None:
        statement = statement.where(near)
    return [
        (row[0], row[1]) for row in await session.execute(statement) if _is_open(row[0], owners)
    ]


async def _similar(
    session: AsyncSession, its: Version, dataset: Dataset, version: Version
) -> Similar | None:
    area, keys = _shared_area(its, version), await _shared_keys(session, its, version)
    is_alike = (keys is not None and keys >= _SOME) or (area or 0) >= _MUCH
    if not is_alike:
        return None
    layout = f"{dataset.profile_name}/{dataset.profile_version}"
    return Similar(dataset.id, dataset.title_ja, dataset.publisher_id, layout, area, keys)


def _shared_area(one: Version, other: Version) -> float | None:
    """How much of the smaller box lies in the other. A box without an area, of one place, lies
    inside whole or not at all."""
    ours, theirs = _box(one), _box(other)
    if ours is None or theirs is None:
        return None
    west, south = max(ours[0], theirs[0]), max(ours[1], theirs[1])
    east, north = min(ours[2], theirs[2]), min(ours[3], theirs[3])
    if east < west or north < south:
        return 0.0
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (ours, theirs))
    return round(min((east - west) * (north - south) / smaller, 1.0), 2) if smaller else 1.0


def _box(version: Version) -> tuple[float, float, float, float] | None:
    west, south, east, north = version.west, version.south, version.east, version.north
    if west is None or south is None or east is None or north is None:
        return None
    return west, south, east, north


async def _shared_keys(session: AsyncSession, one: Version, other: Version) -> float | None:
    """Of the first keys of the one with fewer rows, how many the other has."""
    few, many = sorted((one, other), key=lambda each: each.row_count)
    few_keys, many_keys = _keys(few), _keys(many)
    if not few_keys or [each.name for each in few_keys] != [each.name for each in many_keys]:
        return None
    small = hosted_table(few.table_name, fields_of(few))
    large = hosted_table(many.table_name, fields_of(many))
    sample = (
        select(*(small.c[each.column].label(each.name) for each in few_keys))
        .where(in_force(small, few.revision)).order_by(small.c[ROW]).limit(_KEYS)
        .subquery("sample")
    )  # fmt: skip
    same = [
        large.c[theirs.column] == sample.c[ours.name] if ours.type == theirs.type
        else cast(large.c[theirs.column], Text) == cast(sample.c[ours.name], Text)
        for ours, theirs in zip(few_keys, many_keys, strict=True)
    ]  # fmt: skip
    is_there = exists().where(in_force(large, many.revision), *same)
    asked = select(func.count(), func.count().filter(is_there)).select_from(sample)
    rows, shared = (await session.execute(asked)).one()
    return round(shared / rows, 2) if rows else None


def _keys(version: Version) -> Sequence[Field]:
    return sorted((each for each in fields_of(version) if each.key), key=lambda each: each.name)
