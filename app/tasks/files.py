"""The job that makes a published version's files. It lists none that is not whole in the store.

It may be killed at any moment and begun again: what is listed is not made twice.
"""

import asyncio
import hashlib
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
import structlog

from app.broker.ask import Ask, Representation
from app.broker.plan import Plan, make_plan
from app.broker.shape import stream_body
from app.catalogue import files
from app.catalogue.entries import VersionEntry
from app.catalogue.files import FORMATS, Made
from app.formats.writers.geojson import write_geojson
from app.formats.writers.order import Column, Layout, Order
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.folders import held_folder
from app.kit.store import Store
from app.models.datasets import Dataset, DatasetState, Version
from app.policy.rules import RANK
from app.policy.verdicts import Allow
from app.query.fields import geometry_of, place_of
from app.tables.read import TableReader
from app.tables.sql import Reading

log = structlog.get_logger()
_CHILD: Final = "app.formats.writers.making"
_NICENESS: Final = "10"  # after all that somebody waits for
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


@dataclass(frozen=True, slots=True)
class Task:
    """One version's rows and what is still to be made of them."""

    dataset_id: str
    title: str
    version: VersionEntry
    visible: frozenset[str]
    wanted: tuple[str, ...]

    @property
    def has_place(self) -> bool:
        """Whether the place may be seen by everybody who may have the files."""
        try:
            self.plan(Representation.GEOJSON)
        except AppError:
            return False
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the fields in the files."""
        return tuple(name for name in self.version.fields if name in self.visible)

    def plan(self, representation: Representation) -> Plan:
        """How the broker would read all of it. Raises what `make_plan` raises."""
        ask = Ask(self.dataset_id, (), representation, caller=None, request_id="")
        return make_plan(ask, self.version, Allow(self.visible, "public"), {}, "")

    def layout(self) -> Layout:
        """The columns of the cells, and which are the place."""
        fields = [self.version.fields[name] for name in self.columns]
        columns = tuple(Column(field.name, field.type) for field in fields)
        if not self.has_place:
            return Layout(columns)
        geometry, place = geometry_of(fields), place_of(fields)
        if geometry is not None:
            return Layout(columns, geometry=fields.index(geometry))
        point = (fields.index(place[0]), fields.index(place[1])) if place else None
        return Layout(columns, point=point)


async def make_files(database: Database, store: Store, dataset_id: str, number: int) -> None:
    """Make what is missing. Whoever finds another at it leaves it to that one."""
    name = f"files:{dataset_id}:{number}"
    async with database.pool.acquire() as connection:
        if not await connection.fetchval(_TRY_LOCK, name):
            return
        try:
            task = await _task(database, dataset_id, number)
            if task is not None:
                await _make(database, store, task)
        finally:
            await connection.execute(_UNLOCK, name)


async def _task(database: Database, dataset_id: str, number: int) -> Task | None:
    """What there is to make, if anything."""
    async with database.reading() as session:
        dataset = await session.get_one(Dataset, dataset_id)
        version = await session.get_one(Version, (dataset_id, number))
        if files.has_none(dataset) or dataset.state != DatasetState.ACTIVE:
            return None
        if version.published_at is None or version.dropped_at is not None:
            return None
        wanted = await files.missing(session, version)
    if not wanted:
        return None
    entry = VersionEntry.of(version)
    rank = RANK[dataset.data_class]
    visible = frozenset(
        name
        for name, field in entry.fields.items()
        if RANK[field.visibility or dataset.data_class] <= rank
    )
    if not visible:
        return None
    return Task(dataset_id, dataset.title_ja, entry, visible, tuple(wanted))


async def _make(database: Database, store: Store, task: Task) -> None:
    reader = TableReader(database.pool)
    with held_folder() as folder:
        async with aclosing(_formats(reader, task, folder)) as formats:
            async for form, reason in formats:
                await _keep(database, store, task, form, folder / form, reason)


async def _formats(
    reader: TableReader, task: Task, folder: Path
) -> AsyncGenerator[tuple[str, str | None], None]:
    """Each format once its file stands in the folder, or with the reason why it does not."""
    if "csv" in task.wanted:
        await _copy(reader, task.plan(Representation.CSV), folder / "csv")
        yield "csv", None
    if "geojson" in task.wanted:
        reason = None if task.has_place else "no_geometry"
        if reason is None:
            await _copy(reader, task.plan(Representation.GEOJSON), folder / "features")
            await asyncio.to_thread(_collect, folder / "features", folder / "geojson")
        yield "geojson", reason
    others = [each for each in task.wanted if each not in ("csv", "geojson")]
    if not others:
        return
    cells = folder / "cells"
    await _copy(reader, task.plan(Representation.PARQUET), cells)
    targets = tuple((each, folder / each) for each in others)
    order = Order(
        cells, task.layout(), targets, layer=task.dataset_id, title=task.title,
        changed_at=task.version.changed_at.isoformat(),
    )  # fmt: skip
    async with aclosing(_beside(order)) as told:
        async for form, reason in told:
            others.remove(form)
            yield form, reason
    for form in others:
        log.error("file.failed", dataset=task.dataset_id, version=task.version.number, format=form)
        yield form, "failed"


async def _copy(reader: TableReader, plan: Plan, target: Path) -> None:
    """The rows as PostgreSQL writes them, into a file."""
    reading = Reading(plan.question, plan.revision, (), clock.now())
    rows = reader.stream(plan.version.source, (), reading, plan.wording)
    is_csv = plan.representation is Representation.CSV
    with target.open("wb") as file:
        async with aclosing(rows), aclosing(stream_body(plan, rows) if is_csv else rows) as pieces:
            async for piece in pieces:
                file.write(piece)


def _collect(features: Path, target: Path) -> None:
    with features.open("rb") as lines, target.open("wb") as file:
        write_geojson(lines, file)
    features.unlink()


async def _beside(order: Order) -> AsyncGenerator[tuple[str, str | None], None]:
    """What a child process makes of the cells. One that dies has told what it made."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _CHILD, _NICENESS,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None  # noqa: S101 - both are pipes
    try:
        child.stdin.write(order.as_json())
        child.stdin.close()
        async for line in child.stdout:
            if line.endswith(b"\n"):  # a killed process may leave half a line
                form, reason = orjson.loads(line)
                yield form, reason
    except BaseException:  # nobody waits for the rest
        child.kill()
        raise
    finally:
        await child.wait()


async def _keep(
    database: Database, store: Store, task: Task, form: str, path: Path, reason: str | None
) -> None:
    """Put a file into the store, then list it; where it is not to be listed, take it out again."""
    version = task.version
    made = Made(form, version.revision, task.columns, version.row_count, reason=reason)
    key = files.store_key(task.dataset_id, version.number, version.revision, form)
    if reason is None:
        size, sha256 = await asyncio.to_thread(_measure, path)
        made = Made(
            form, version.revision, task.columns, version.row_count, size=size, sha256=sha256
        )
        named = quote(f"{task.title}{FORMATS[form].suffix}", safe="")
        await store.put(
            key, path, media_type=FORMATS[form].media_type,
            disposition=f"attachment; filename*=UTF-8''{named}",
        )  # fmt: skip
    async with database.writing() as session:
        is_listed = await files.add(session, task.dataset_id, version.number, made)
    if not is_listed and reason is None:
        await store.remove(key)
    await asyncio.to_thread(path.unlink, True)


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return path.stat().st_size, digest.hexdigest()


async def keep_up(database: Database, store: Store) -> None:
    """Make files anew where records were written, or a job was lost; remove what is unwanted."""
    async with database.writing() as session:
        await files.end_unwanted(session)
    async with database.reading() as session:
        ended = await files.ended(session)
        waiting = await files.behind(session)
    for file in ended:
        if file.reason is None:
            await store.remove(
                files.store_key(file.dataset_id, file.version_number, file.revision, file.format)
            )
        async with database.writing() as session:
            await files.forget(session, file)
    for dataset_id, number in waiting:
        try:
            await make_files(database, store, dataset_id, number)
        except AppError as refusal:  # let go meanwhile, or a store that is away: the next look
            log.warning(
                "files.put_off", dataset=dataset_id, version=number, code=refusal.code,
                why=refusal.words("en"),
            )  # fmt: skip
