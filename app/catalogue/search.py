"""Finding datasets: by words in any kana, by body, place, theme and time. Reads only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Label,
    Select,
    SQLColumnExpression,
    and_,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import extents, lexicon, ranking, standing
from app.catalogue.hits import Place
from app.catalogue.opendata import is_open
from app.models.datasets import Dataset, Version
from app.models.parties import Organization
from app.models.search import DatasetWords
from app.query.geometry import boxes_of
from app.query.question import Box
from app.query.words import Spellings, read_terms, spell


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in the catalogue. `viewer` sees its own hidden entries.

    `after` is a page's `next`; `offset` passes entries over, for standards that page by number.
    """

    words: str | None = None
    theme: str | None = None
    publisher: str | None = None
    data_class: str | None = None
    profile: str | None = None
    license: str | None = None
    municipality: str | None = None  # the publisher or a body above it
    modified_since: datetime | None = None
    box: Box | None = None
    viewer: str | None = None
    only_open: bool = False
    after: str | None = None
    offset: int = 0
    limit: int = 100
    count: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One page. `next` is where the following one begins; `total` is there where it was asked for."""

    datasets: Sequence[Dataset]
    next: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """How many of the entries found have a value."""

    value: str
    count: int


class FacetName(StrEnum):
    """What can be counted by."""

    PUBLISHER = "publisher"
    THEME = "theme"
    LICENSE = "license"
    PROFILE = "profile"


async def search(session: AsyncSession, wanted: Search) -> Found:
    """Entries by id; where words are given, the best first. Raises `InvalidQuestion` (of q)."""
    conditions = [*_conditions(wanted)]
    terms = await _terms(session, wanted)
    if terms:
        return await _ranked(session, wanted, terms, conditions)
    statement = select(Dataset).where(*conditions)
    if wanted.after is not None:
        statement = statement.where(Dataset.id > wanted.after)
    paged = statement.order_by(Dataset.id).offset(wanted.offset).limit(wanted.limit + 1)
    found = (await session.scalars(paged)).all()
    total = None
    if wanted.count:
        total = await session.scalar(select(func.count()).select_from(Dataset).where(*conditions))
    more = len(found) > wanted.limit
    kept = found[: wanted.limit]
    return Found(kept, kept[-1].id if more else None, total)


async def _terms(session: AsyncSession, wanted: Search) -> tuple[Spellings, ...]:
    terms = read_terms(wanted.words or "")
    return spell(terms, await lexicon.look_up(session, terms), related=True)


async def _ranked(
    session: AsyncSession,
    wanted: Search,
    terms: Sequence[Spellings],
    conditions: Sequence[ColumnElement[bool]],
) -> Found:
    after = Place.read(wanted.after) if wanted.after is not None else None
    most = wanted.offset + wanted.limit + 1
    places = (await ranking.ranked(session, terms, conditions, after, most))[wanted.offset :]
    kept = places[: wanted.limit]
    rows = await session.scalars(select(Dataset).where(Dataset.id.in_([each.id for each in kept])))
    by_id = {each.id: each for each in rows}
    total = await ranking.count(session, terms, conditions) if wanted.count else None
    following = str(kept[-1]) if len(places) > wanted.limit else None
    return Found([by_id[each.id] for each in kept], following, total)


async def facets(
    session: AsyncSession, wanted: Search, *names: FacetName
) -> dict[FacetName, tuple[Facet, ...]]:
    """How many of all that `wanted` finds, page or no page, have each value; the most first."""
    conditions = [*_conditions(wanted)]
    if terms := await _terms(session, wanted):
        ids = select(DatasetWords.dataset_id).where(standing.holds(terms))
        conditions.append(Dataset.id.in_(ids))
    found = {}
    for name in names:
        value: Label[Any] = _FACETS[name].label("value")
        valued = select(value).where(*conditions).subquery()
        rows = await session.execute(
            select(valued.c.value, func.count())
            .where(valued.c.value.is_not(None))
            .group_by(valued.c.value)
            .order_by(func.count().desc(), valued.c.value)
        )
        found[name] = tuple(Facet(*row) for row in rows)
    return found


_FACETS: Final[Mapping[FacetName, SQLColumnExpression[Any]]] = {
    FacetName.PUBLISHER: Dataset.publisher_id,
    FacetName.THEME: func.unnest(Dataset.themes),
    FacetName.LICENSE: Dataset.license,
    FacetName.PROFILE: Dataset.profile_name,
}


def _conditions(wanted: Search) -> Iterator[ColumnElement[bool]]:
    yield or_(~Dataset.hidden, Dataset.publisher_id == (wanted.viewer or ""))
    yield from (
        column == value
        for column, value in (
            (Dataset.publisher_id, wanted.publisher),
            (Dataset.data_class, wanted.data_class),
            (Dataset.profile_name, wanted.profile),
            (Dataset.license, wanted.license),
        )
        if value is not None
    )
    if wanted.theme is not None:
        yield Dataset.themes.contains([wanted.theme])
    if wanted.modified_since is not None:
        yield Dataset.modified_at >= wanted.modified_since
    if wanted.municipality is not None:
        yield Dataset.publisher_id.in_(_below(wanted.municipality))
    if wanted.box is not None:
        yield _meets(wanted.box)
    if wanted.only_open:
        yield Dataset.current_version.is_not(None)
        yield from is_open()


def _below(organization_id: str) -> Select[Any]:
    """The body and every unit below it, by either parent."""
    below = select(Organization.id).where(Organization.id == organization_id).cte(recursive=True)
    inner = select(Organization.id).where(
        or_(Organization.parent_id == below.c.id, Organization.second_parent_id == below.c.id)
    )
    return select(below.union(inner).c.id)


def _meets(box: Box) -> ColumnElement[bool]:
    """Datasets whose published version spans some of the box, where that is told at all."""
    spans = [
        and_(
            Version.west <= each.east,
            Version.east >= each.west,
            Version.south <= each.north,
            Version.north >= each.south,
        )
        for each in boxes_of(box)
    ]
    return exists().where(
        Version.dataset_id == Dataset.id,
        Version.number == Dataset.current_version,
        or_(*spans),
        extents.is_told(),
    )
