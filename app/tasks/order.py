"""What a run asks for, read once: its file, its fields, and every word on how to read it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import profiles, repairs, runs
from app.formats.profiles.layout import ProfileLayout
from app.kit import clock
from app.kit.db import Database
from app.models.datasets import Dataset, Run, RunState, Upload, Version, VersionState
from app.query.fields import Field


@dataclass(frozen=True, slots=True)
class Order:
    """What a run asks for, read once."""

    run_id: UUID
    upload_id: UUID
    sha256: str
    declared: tuple[Field, ...] | None
    mapping: list[dict[str, Any]] | None
    read_as: str  # what was said of how the file is read, as a digest
    rules: Sequence[Mapping[str, Any]]  # of the profile that the dataset follows
    layouts: Sequence[ProfileLayout]  # that a file of which nothing is known may have
    filename: str | None
    told: tuple[dict[str, Any] | None, ...]  # how to read the file: with the dataset, with the run
    refused: dict[str, frozenset[str]]  # by field: the repairs that the steward does not want
    base: Version | None  # the version whose rows stay where this file has none of their key
    corrects: bool  # the file holds the rejected rows of the run that made the base


async def take_order(database: Database, run_id: UUID) -> Order | None:
    """Begin a run: what it asks for; None where it has ended, or ends here as unchanged."""
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        if run.state in runs.FINAL:
            return None
        run.state = RunState.RUNNING
        run.phase = "reading"
        run.started_at = run.started_at or clock.now()
        dataset = await session.get_one(Dataset, run.dataset_id)
        upload = await session.get_one(Upload, run.upload_id)
        latest = await newest_version(session, dataset.id)
        read_as = _read_as(dataset, run)
        if (
            run.corrects_run_id is None
            and latest
            and await is_same(session, latest, upload.sha256, read_as)
        ):
            await runs.finish_unchanged(session, run, latest)
            return None
        base = await _base(session, run)
        like = base or (None if dataset.fields else await _published(session, dataset))
        fields = like.fields if like else dataset.fields
        return Order(
            run_id=run_id,
            upload_id=run.upload_id,
            sha256=upload.sha256,
            declared=tuple(Field.from_json(each) for each in fields) if fields else None,
            mapping=run.mapping or dataset.mapping or (like.mapping if like else None),
            read_as=read_as,
            rules=await profiles.rules_of(session, dataset),
            layouts=[] if fields else await profiles.layouts(session),
            filename=upload.filename,
            # What is sent to correct a run is the CSV of its rejects, whatever the file was.
            told=() if run.corrects_run_id else (dataset.reading, run.told),
            refused=await repairs.refused(session, dataset.id),
            base=base,
            corrects=run.corrects_run_id is not None,
        )


def _read_as(dataset: Dataset, run: Run) -> str:
    """A digest of all that was said of how the file is read: other words, another version."""
    said = [dataset.fields, run.mapping or dataset.mapping, dataset.reading, run.told, run.delta]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def is_same(session: AsyncSession, latest: Version | None, sha256: str, read_as: str) -> bool:
    """Whether the newest version holds this very file (and still holds its rows), as it would be
    read today: what the steward has decided on repairs since lets it be read anew."""
    if latest is None or latest.state == VersionState.DROPPED or latest.source_sha256 != sha256:
        return False
    if latest.read_as not in (None, read_as):
        return False
    made_by = await session.get(Run, latest.run_id) if latest.run_id else None
    since = (made_by.started_at if made_by else None) or latest.created_at
    return not await repairs.is_read_otherwise(session, latest.dataset_id, since)


async def _published(session: AsyncSession, dataset: Dataset) -> Version | None:
    """The version that readers know. What was only loaded binds no later file."""
    if dataset.current_version is None:
        return None
    return await session.get_one(Version, (dataset.id, dataset.current_version))


async def newest_version(session: AsyncSession, dataset_id: str) -> Version | None:
    """The version with the highest number, whatever its state."""
    newest: Version | None = await session.scalar(
        select(Version)
        .where(Version.dataset_id == dataset_id)
        .order_by(Version.number.desc())
        .limit(1)
    )
    return newest


async def _base(session: AsyncSession, run: Run) -> Version | None:
    if run.delta:
        dataset = await session.get_one(Dataset, run.dataset_id)
        return await _published(session, dataset)
    if run.corrects_run_id is None:
        return None
    corrected = await runs.get(session, run.corrects_run_id)
    return await session.get_one(Version, (run.dataset_id, corrected.version_number))
