"""Editions: what readers got of a dataset from when on. Added to under its lock, never changed."""

from datetime import datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.refusals import NothingAtThatTime
from app.jobs import queue
from app.kit import clock
from app.kit.db import Database, DatabaseUnavailable
from app.models.datasets import Dataset, Version, VersionState
from app.models.editions import Edition
from app.models.subscriptions import Subscription, SubscriptionState
from app.query.fields import Field
from app.tables import differences
from app.tables.layout import hosted_table
from app.tables.sql import Source

_LOCK_NOT_GOT: Final = "55P03"


async def begin(session: AsyncSession, version: Version) -> None:
    """Note that readers get the version as it is now from this transaction on.

    The caller holds the dataset's lock: so the numbers have no gap, rise in the order of commits,
    and their times never go back. What a publication changes of each record is found here, once.
    """
    before = await newest(session, version.dataset_id)
    number, kept = 1, None
    if before is not None:
        if (before.version_number, before.revision) == (version.number, version.revision):
            return
        number = before.number + 1
        if before.version_number != version.number:
            kept = await _keep_differences(session, before, version)
    now = clock.now()
    session.add(
        Edition(
            dataset_id=version.dataset_id,
            number=number,
            version_number=version.number,
            revision=version.revision,
            row_count=version.row_count,
            began_at=max(now, before.began_at) if before is not None else now,
            differences=kept,
        )
    )
    await session.flush()
    await _tell_subscribers(session, version.dataset_id)


async def _tell_subscribers(session: AsyncSession, dataset_id: str) -> None:
    """Have a worker look who wants to be told, where anybody does, once this commits."""
    told = Subscription.state != SubscriptionState.STOPPED.value
    wanted = select(Subscription.id).where(Subscription.dataset_id == dataset_id, told)
    if await session.scalar(wanted.limit(1)) is not None:
        await queue.enqueue(await Database.driver_of(session), queue.CHANGED, dataset=dataset_id)


async def _keep_differences(session: AsyncSession, before: Edition, version: Version) -> str | None:
    """The table with what changes from `before` to `version`; None without a key in common."""
    stood = await session.get_one(Version, (before.dataset_id, before.version_number))
    old, new = rows_of(stood, before.revision), rows_of(version, version.revision)
    comparable = differences.has_same_key(old.source.fields, new.source.fields)
    if stood.state == VersionState.DROPPED or not comparable:
        return None
    name = f"d_{uuid4().hex}"
    await differences.keep(session, name, old, new)
    return name


def rows_of(version: Version, revision: int) -> differences.RowSet:
    """The rows of a version at a revision."""
    fields = tuple(Field.from_json(each) for each in version.fields)
    source = Source(hosted_table(version.table_name, fields), fields)
    return differences.RowSet(source, revision)


async def newest(session: AsyncSession, dataset_id: str) -> Edition | None:
    """What readers get now; None before anything was published."""
    found: Edition | None = await session.scalar(
        select(Edition)
        .where(Edition.dataset_id == dataset_id)
        .order_by(Edition.number.desc())
        .limit(1)
    )
    return found


async def find(session: AsyncSession, dataset_id: str, number: int) -> Edition | None:
    """One edition by number."""
    return await session.get(Edition, (dataset_id, number))


async def last_of_version(session: AsyncSession, first: Edition) -> Edition:
    """The last of the editions from `first` on that are of the same version, one after another."""
    following = select(func.min(Edition.number)).where(
        Edition.dataset_id == first.dataset_id,
        Edition.number > first.number,
        Edition.version_number != first.version_number,
    )
    end = await session.scalar(following)
    statement = select(Edition).where(
        Edition.dataset_id == first.dataset_id, Edition.number >= first.number
    )
    if end is not None:
        statement = statement.where(Edition.number < end)
    found: Edition = (
        await session.scalars(statement.order_by(Edition.number.desc()).limit(1))
    ).one()
    return found


async def at(session: AsyncSession, dataset_id: str, moment: datetime) -> Edition:
    """What readers got at a moment that has passed. Raises `NothingAtThatTime`.

    Waits for a change that is being committed: its time may lie before the moment, and the same
    question must not be answered in two ways.
    """
    if not await _is_settled(session, dataset_id, moment):
        await _wait_for_change(session, dataset_id)
    found: Edition | None = await session.scalar(
        select(Edition)
        .where(Edition.dataset_id == dataset_id, Edition.began_at <= moment)
        .order_by(Edition.number.desc())
        .limit(1)
    )
    if found is None:
        first = await session.get(Edition, (dataset_id, 1))
        known = first.began_at.astimezone(clock.TOKYO).isoformat() if first else "-"
        raise NothingAtThatTime(dataset=dataset_id, moment=moment.isoformat(), first=known)
    return found


async def _is_settled(session: AsyncSession, dataset_id: str, moment: datetime) -> bool:
    """Whether something has begun since: no change to come can then lie before the moment."""
    later = select(Edition.number).where(
        Edition.dataset_id == dataset_id, Edition.began_at > moment
    )
    return (await session.scalar(later.limit(1))) is not None


async def _wait_for_change(session: AsyncSession, dataset_id: str) -> None:
    """Wait for the dataset's lock, which every change holds. Raises `DatabaseUnavailable`."""
    share = select(Dataset.id).where(Dataset.id == dataset_id)
    try:
        await session.execute(share.with_for_update(read=True, key_share=True))
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != _LOCK_NOT_GOT:
            raise
        raise DatabaseUnavailable from exc


async def times_of(
    session: AsyncSession, dataset_id: str, version_number: int, revisions: set[int]
) -> dict[int, datetime]:
    """When readers first got each of these revisions of a version, as far as is known."""
    rows = await session.execute(
        select(Edition.revision, func.min(Edition.began_at))
        .where(
            Edition.dataset_id == dataset_id,
            Edition.version_number == version_number,
            Edition.revision.in_(revisions),
        )
        .group_by(Edition.revision)
    )
    return {revision: began_at for revision, began_at in rows}
