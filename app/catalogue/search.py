"""Finding datasets: by words in any kana, by body, place, theme and time. Reads only."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jaconv
from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.datasets import Dataset, Version
from app.models.parties import Organization
from app.query.geometry import boxes_of
from app.query.question import Box


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in the catalogue. `viewer` sees its own hidden entries."""

    words: str | None = None
    theme: str | None = None
    publisher: str | None = None
    data_class: str | None = None
    profile: str | None = None
    municipality: str | None = None  # the publisher or a body above it
    modified_since: datetime | None = None
    box: Box | None = None
    viewer: str | None = None
    after: str | None = None
    limit: int = 100


async def search(session: AsyncSession, wanted: Search) -> Sequence[Dataset]:
    """Entries by id, one more than asked so that the door knows of a next page."""
    statement = select(Dataset).where(*_conditions(wanted))
    return (await session.scalars(statement.order_by(Dataset.id).limit(wanted.limit + 1))).all()


def _conditions(wanted: Search) -> Iterator[ColumnElement[bool]]:
    yield or_(~Dataset.hidden, Dataset.publisher_id == (wanted.viewer or ""))
    yield from (
        column == value
        for column, value in (
            (Dataset.publisher_id, wanted.publisher),
            (Dataset.data_class, wanted.data_class),
            (Dataset.profile_name, wanted.profile),
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
        # Where records are only counted, a place found by trying would be somebody's.
        yield and_(Dataset.suppression.is_(None), _meets(wanted.box))
    if wanted.after is not None:
        yield Dataset.id > wanted.after
    for word in fold(wanted.words or "").split():
        yield Dataset.search_text.contains(word, autoescape=True)


def _below(organization_id: str) -> Select[Any]:
    """The body and every unit below it, by either parent."""
    below = select(Organization.id).where(Organization.id == organization_id).cte(recursive=True)
    inner = select(Organization.id).where(
        or_(Organization.parent_id == below.c.id, Organization.second_parent_id == below.c.id)
    )
    return select(below.union(inner).c.id)


def _meets(box: Box) -> ColumnElement[bool]:
    """Datasets whose published version spans some of the box."""
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
        Version.dataset_id == Dataset.id, Version.number == Dataset.current_version, or_(*spans)
    )


def fold(text: str) -> str:
    """Text for searching only: width, case and kana folded together (ﾋﾅﾝ, ヒナン, ひなん)."""
    folded: str = jaconv.kata2hira(unicodedata.normalize("NFKC", text).lower())
    return folded
