"""What happened on the open-data shelf, newest first: each dataset by its newest event. Reads only."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.catalogue.opendata import is_shown
from app.formats.shelf.facts import Announced, plain
from app.kit.clock import TOKYO
from app.models.datasets import Dataset, DatasetState, Version
from app.models.parties import Organization


async def list_announced(
    session: AsyncSession,
    *,
    publisher: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> Sequence[Announced]:
    """Published, renewed and withdrawn datasets, one more than asked."""
    newest_first = (Dataset.announced_at.desc(), Dataset.id.desc())
    statement = _statement().order_by(*newest_first).limit(limit + 1)
    if publisher is not None:
        statement = statement.where(Dataset.publisher_id == publisher)
    if after is not None:
        statement = statement.where(tuple_(Dataset.announced_at, Dataset.id) < after)
    return [_told(*row) for row in await session.execute(statement)]


def _statement() -> Select[Dataset, Organization, datetime | None]:
    current = and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version)
    every = aliased(Version)
    issued = (
        select(func.min(every.published_at)).where(every.dataset_id == Dataset.id).scalar_subquery()
    )
    return (
        select(Dataset, Organization, issued)
        .join(Version, current)
        .join(Organization, Organization.id == Dataset.publisher_id)
        .where(*is_shown(), Dataset.announced_at.is_not(None))
    )


def _told(dataset: Dataset, publisher: Organization, issued: datetime | None) -> Announced:
    at = dataset.announced_at or dataset.modified_at
    is_withdrawn = dataset.state == DatasetState.WITHDRAWN
    return Announced(
        id=dataset.id,
        title_ja=plain(dataset.title_ja),
        title_en=plain(dataset.title_en) if dataset.title_en else None,
        description_ja=plain(dataset.description_ja) if dataset.description_ja else None,
        publisher_id=dataset.publisher_id,
        publisher_ja=plain(publisher.name_ja),
        version=dataset.current_version or 0,
        issued_at=(issued or at).astimezone(TOKYO),
        at=at.astimezone(TOKYO),
        withdrawn=plain(dataset.withdrawn_reason or "") if is_withdrawn else None,
    )
