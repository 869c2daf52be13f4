"""Retention: which versions a dataset lets go of, and letting one go. Never one that is in use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import files
from app.kit import clock
from app.models.datasets import (
    Dataset,
    Reject,
    Run,
    RunState,
    UploadChunk,
    Version,
    VersionState,
)
from app.models.editions import Edition, VersionPin
from app.query.fields import Field
from app.tables import differences
from app.tables.word_index import index_name

# CHANGE-06: changes can be followed for a week.
_FOLLOWED: Final = timedelta(days=7)
# Cursors and readers that began with a version may go on with it for a day; pins are noted hourly.
_READ_ON: Final = timedelta(hours=24)
_PINNED: Final = timedelta(hours=25)
_UNFINISHED: Final = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the choice needs to know of one version. `ended_at`: readers got it until then."""

    number: int
    created_at: datetime
    ended_at: datetime | None
    has_key: bool
    pinned_at: datetime | None
    is_current: bool
    is_being_corrected: bool


def let_go(versions: Sequence[Kept], policy: Mapping[str, int | None], now: datetime) -> list[int]:
    """The numbers of the versions that the policy lets go and nobody uses, oldest first. Pure.

    `keep_versions` keeps the newest so many, `keep_days` what was made or read from within so many
    days; what either keeps stays. A policy that says neither keeps all.
    """
    newest, days = policy.get("keep_versions"), policy.get("keep_days")
    if newest is None and days is None:
        return []
    ordered = sorted(versions, key=lambda one: -one.number)
    kept = {one.number for one in ordered[: newest or 0]}
    if days is not None:
        since = now - timedelta(days=days)
        kept |= {one.number for one in ordered if max(_times(one)) > since}
    return [
        one.number for one in reversed(ordered) if one.number not in kept and not is_used(one, now)
    ]


def _times(one: Kept) -> list[datetime]:
    return [one.created_at, *([one.ended_at] if one.ended_at else [])]


def is_used(one: Kept, now: datetime) -> bool:
    """Whether somebody may still need the version's rows, whatever the policy says."""
    if one.is_current or one.is_being_corrected:
        return True
    if max(_times(one)) > now - _READ_ON:
        return True
    if one.pinned_at is not None and one.pinned_at > now - _PINNED:
        return True
    # Both sides of a publication are needed to tell a consumer what it changed.
    return one.has_key and one.ended_at is not None and one.ended_at > now - _FOLLOWED


async def datasets_with_policy(session: AsyncSession) -> Sequence[str]:
    """The datasets that do not keep everything."""
    statement = select(Dataset.id).where(Dataset.retention.is_not(None)).order_by(Dataset.id)
    return (await session.scalars(statement)).all()


async def candidates(session: AsyncSession, dataset_id: str) -> list[int]:
    """The versions that the dataset's policy lets go now."""
    dataset = await session.get_one(Dataset, dataset_id)
    stored = await session.scalars(
        select(Version).where(
            Version.dataset_id == dataset_id, Version.state != VersionState.DROPPED
        )
    )
    facts = await _facts(session, dataset, stored.all())
    return let_go(facts, dataset.retention or {}, clock.now())


async def _facts(
    session: AsyncSession, dataset: Dataset, versions: Sequence[Version]
) -> list[Kept]:
    ended = await _ended_at(session, dataset.id)
    pins = await session.execute(
        select(VersionPin.number, VersionPin.pinned_at).where(VersionPin.dataset_id == dataset.id)
    )
    pinned = {number: pinned_at for number, pinned_at in pins}
    corrected = await _being_corrected(session, dataset.id)
    return [
        Kept(
            number=one.number,
            created_at=one.created_at,
            ended_at=ended.get(one.number),
            has_key=any(Field.from_json(each).key for each in one.fields),
            pinned_at=pinned.get(one.number),
            is_current=one.number == dataset.current_version,
            is_being_corrected=one.number in corrected,
        )
        for one in versions
    ]


async def _ended_at(session: AsyncSession, dataset_id: str) -> dict[int, datetime]:
    """When readers last ceased to get each version."""
    last = (
        select(Edition.version_number, func.max(Edition.number).label("number"))
        .where(Edition.dataset_id == dataset_id)
        .group_by(Edition.version_number)
        .subquery()
    )
    rows = await session.execute(
        select(last.c.version_number, Edition.began_at)
        .join(Edition, Edition.number == last.c.number + 1)
        .where(Edition.dataset_id == dataset_id)
    )
    return {number: began_at for number, began_at in rows}


async def _being_corrected(session: AsyncSession, dataset_id: str) -> set[int]:
    """Versions whose rejected rows a run that has not ended is putting right."""
    correcting = select(Run.corrects_run_id).where(
        Run.dataset_id == dataset_id, Run.state.in_(_UNFINISHED)
    )
    numbers = await session.scalars(
        select(Run.version_number).where(Run.id.in_(correcting), Run.version_number.is_not(None))
    )
    return {number for number in numbers if number is not None}


async def drop(session: AsyncSession, dataset_id: str, number: int) -> bool:
    """Let one version's rows, file and rejected rows go; its entry stays. False if it is used now.

    With the dataset and the version locked, what was judged before is judged again.
    """
    await session.get_one(Dataset, dataset_id, with_for_update=True)
    version = await session.get_one(Version, (dataset_id, number), with_for_update=True)
    if number not in await candidates(session, dataset_id):
        return False
    await _forget_differences(session, dataset_id, number)
    await _forget_files(session, version)
    await files.end(session, dataset_id, number)
    await differences.drop(session, version.table_name)
    await differences.drop(session, index_name(version.table_name))
    version.state = VersionState.DROPPED
    version.dropped_at = clock.now()
    await log.append(
        session, Event.VERSION_DROPPED, dataset=dataset_id, version=number, rows=version.row_count
    )
    return True


async def _forget_differences(session: AsyncSession, dataset_id: str, number: int) -> None:
    """Let go what publications changed to or from the version: one side of it goes."""
    before = select(Edition.number + 1).where(
        Edition.dataset_id == dataset_id, Edition.version_number == number
    )
    touched = await session.scalars(
        select(Edition).where(
            Edition.dataset_id == dataset_id,
            Edition.differences.is_not(None),
            or_(Edition.version_number == number, Edition.number.in_(before)),
        )
    )
    for edition in touched.all():
        if edition.differences is not None:
            await differences.drop(session, edition.differences)
            edition.differences = None


async def _forget_files(session: AsyncSession, version: Version) -> None:
    """The raw bytes and rejected rows of the runs that led to the version; the runs stay."""
    led = select(Run.id).where(
        Run.dataset_id == version.dataset_id,
        Run.version_number == version.number,
        Run.state.not_in(_UNFINISHED),
    )
    others = select(Run.upload_id).where(Run.dataset_id == version.dataset_id, Run.id.not_in(led))
    uploads = select(Run.upload_id).where(Run.id.in_(led), Run.upload_id.not_in(others))
    await session.execute(delete(Reject).where(Reject.run_id.in_(led)))
    await session.execute(delete(UploadChunk).where(UploadChunk.upload_id.in_(uploads)))
    await session.execute(
        delete(VersionPin).where(
            VersionPin.dataset_id == version.dataset_id, VersionPin.number == version.number
        )
    )


async def pin(session: AsyncSession, dataset_id: str, number: int) -> None:
    """Note that a cursor was given for a version just now."""
    now = clock.now()
    statement = insert(VersionPin).values(dataset_id=dataset_id, number=number, pinned_at=now)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[VersionPin.dataset_id, VersionPin.number], set_={"pinned_at": now}
        )
    )
