"""The load job: a run's file becomes a version's table, or the run ends with the reason.

Everything that makes the version happens in one transaction, so a process killed at any moment
leaves nothing half-made; the queue hands the job to another worker, which begins again.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from uuid import UUID

import asyncpg
from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import runs
from app.kit import clock
from app.kit.db import Database, Driver
from app.models.datasets import Dataset, Run, RunState, Upload, Version
from app.query.fields import Field
from app.tables import load as loading
from app.tables import uploads
from app.tables.layout import hosted_table, table_name

if TYPE_CHECKING:
    from app.formats.intake import Block, Survey

_FINAL: Final = frozenset({RunState.OK, RunState.DEGRADED, RunState.FAILED})
_REJECT_COLUMNS: Final = (
    "run_id",
    "row",
    "line",
    "field",
    "code",
    "value_class",
    "hint",
    "raw_line",
)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a run asks for, read once."""

    run_id: UUID
    upload_id: UUID
    sha256: str
    declared: tuple[Field, ...] | None
    mapping: list[dict[str, Any]] | None
    base: Version | None  # the version whose rejected rows this file corrects


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    repaired: int = 0


class AlreadyLoaded(Exception):
    """Another run has loaded the same file meanwhile: there is nothing to add."""


class NoRowsAccepted(Exception):
    """Every row was rejected: there is nothing to make a version of."""


async def load(database: Database, run_id: UUID) -> None:
    """Carry out one run. Ends it in ok, degraded or failed; raises only what a retry may mend."""
    from app.formats.guidance import FileRefused  # noqa: PLC0415 - brings polars, workers only

    order = await _begin(database, run_id)
    if order is None:
        return
    with tempfile.TemporaryDirectory(prefix="urbanos-run-") as folder:
        path = Path(folder) / "upload"
        try:
            await _carry_out(database, order, path)
        except FileRefused as refused:
            await _fail(database, run_id, refused.code, refused.words("ja"), refused.words("en"))
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as refused:
            # A value that our rules let through and PostgreSQL does not: told, never lost.
            await _fail(
                database,
                run_id,
                "value_not_storable",
                f"データベースに格納できない値があります（{type(refused).__name__}）。",
                f"A value cannot be stored ({type(refused).__name__}).",
            )


async def _begin(database: Database, run_id: UUID) -> _Order | None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        if run.state in _FINAL:
            return None
        run.state = RunState.RUNNING
        run.phase = "reading"
        run.started_at = run.started_at or clock.now()
        dataset = await session.get_one(Dataset, run.dataset_id)
        upload = await session.get_one(Upload, run.upload_id)
        latest = await _latest(session, dataset.id)
        if run.corrects_run_id is None and latest and _is_same(latest, upload.sha256):
            await runs.finish_unchanged(session, run, latest)
            return None
        base = await _base(session, run)
        fields = base.fields if base else dataset.fields or await _published(session, dataset)
        return _Order(
            run_id=run_id,
            upload_id=run.upload_id,
            sha256=upload.sha256,
            declared=tuple(Field.from_json(each) for each in fields) if fields else None,
            mapping=dataset.mapping,
            base=base,
        )


def _is_same(latest: Version | None, sha256: str) -> bool:
    return latest is not None and latest.source_sha256 == sha256


async def _published(session: AsyncSession, dataset: Dataset) -> list[dict[str, Any]] | None:
    """The fields that readers know. What was only loaded binds no later file."""
    if dataset.current_version is None:
        return None
    return (await session.get_one(Version, (dataset.id, dataset.current_version))).fields


async def _latest(session: AsyncSession, dataset_id: str) -> Version | None:
    newest: Version | None = await session.scalar(
        select(Version)
        .where(Version.dataset_id == dataset_id)
        .order_by(Version.number.desc())
        .limit(1)
    )
    return newest


async def _base(session: AsyncSession, run: Run) -> Version | None:
    if run.corrects_run_id is None:
        return None
    corrected = await runs.get(session, run.corrects_run_id)
    return await session.get_one(Version, (run.dataset_id, corrected.version_number))


async def _carry_out(database: Database, order: _Order, path: Path) -> None:
    from app.formats import intake  # noqa: PLC0415 - brings polars, workers only

    async with database.pool.acquire() as connection:
        with path.open("wb") as file:
            await uploads.copy_to(connection, order.upload_id, file)

    def open_file() -> BinaryIO:
        return path.open("rb")

    found = await asyncio.to_thread(
        intake.survey, open_file, declared=order.declared, mapping=order.mapping
    )
    await _note_survey(database, order.run_id, found)
    try:
        async with database.writing() as session:
            await _make_version(session, database, order, found, open_file)
    except AlreadyLoaded:
        await _end_unchanged(database, order.run_id)
    except NoRowsAccepted:
        await _fail_with_rejects(database, order, found, open_file)


async def _make_version(
    session: AsyncSession, database: Database, order: _Order, found: "Survey", open_file: Any
) -> None:
    """The one transaction: table, rejects, version, the run's end and the log's entry."""
    connection = await database.driver_of(session)
    table = hosted_table(table_name(order.run_id), found.fields)
    await loading.create(connection, table)
    tally = await _fill(database, connection, order, table, found, open_file)
    await _reject_doubles(connection, order, table, found, open_file, tally)
    if order.base is not None:
        await _correct(connection, order, table)
    if tally.accepted == 0:
        raise NoRowsAccepted
    await _note_phase(database, order.run_id, "indexing")
    rows = await loading.finish(connection, table)
    extent = await loading.extent(connection, table, found.fields)
    run = await runs.get(session, order.run_id, lock=True)
    await session.get_one(Dataset, run.dataset_id, with_for_update=True)
    if order.base is None and _is_same(await _latest(session, run.dataset_id), order.sha256):
        raise AlreadyLoaded
    run.rows_read, run.rows_accepted = tally.rows, tally.accepted
    run.rows_rejected, run.cells_repaired = tally.rejected, tally.repaired
    fields = [field.as_json() for field in found.fields]
    loaded = runs.Loaded(table_name=table.name, fields=fields, rows=rows, extent=extent)
    await runs.finish(session, run, loaded)


async def _fill(
    database: Database,
    connection: Driver,
    order: _Order,
    table: Table,
    found: "Survey",
    open_file: Any,
) -> _Tally:
    """COPY block after block; the next block is read while PostgreSQL takes this one."""
    from app.formats import intake  # noqa: PLC0415

    columns = intake.copy_columns(found)
    blocks = intake.blocks(open_file, found)
    tally = _Tally()
    upcoming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
    try:
        while (block := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
            await loading.copy_csv(connection, table, columns, block.csv)
            await _note_rejects(connection, order.run_id, block.rejects)
            tally.rows += block.rows
            tally.accepted += block.accepted
            tally.rejected += block.rows - block.accepted
            tally.repaired += block.repaired
            await _note_progress(database, order.run_id, block, tally)
    finally:
        await asyncio.wait([upcoming])
    return tally


async def _note_rejects(connection: Driver, run_id: UUID, rejects: "Sequence[Any]") -> None:
    if rejects:
        records = [
            (
                run_id,
                one.row,
                one.line,
                one.field,
                one.code,
                one.value_class,
                one.hint,
                one.raw_line,
            )
            for one in rejects
        ]
        await connection.copy_records_to_table(
            "reject", records=records, columns=list(_REJECT_COLUMNS)
        )


async def _reject_doubles(
    connection: Driver,
    order: _Order,
    table: Table,
    found: "Survey",
    open_file: Any,
    tally: _Tally,
) -> None:
    """Of rows with one key the first stays; the others are rejected with their lines."""
    index = loading.key_index(table)
    if index is None or await loading.index_key(connection, index):
        return
    doubles = await loading.take_doubles(connection, table, loading.key_columns(found.fields))
    if not await loading.index_key(connection, index):
        raise LookupError("a key is still there twice")  # a fault of ours: the run ends with it
    tally.accepted -= len(doubles)
    tally.rejected += len(doubles)
    key = ",".join(field.name for field in found.fields if field.key)
    records = await asyncio.to_thread(_double_records, order, found, open_file, doubles, key)
    await connection.copy_records_to_table("reject", records=records, columns=list(_REJECT_COLUMNS))


def _double_records(
    order: _Order, found: "Survey", open_file: Any, doubles: list[tuple[int, int]], key: str
) -> list[tuple[Any, ...]]:
    from app.formats.rawlines import raw_lines  # noqa: PLC0415

    lines = dict(doubles)
    return [
        (order.run_id, row, lines[row], key, "duplicate_key", None, None, raw)
        for row, raw in raw_lines(open_file, found, lines)
    ]


async def _correct(connection: Driver, order: _Order, table: Table) -> None:
    """Put the corrected rows behind those of the version that they mend."""
    base = order.base
    if base is None:
        return
    fields = [Field.from_json(each) for each in base.fields]
    await loading.put_behind(connection, table, hosted_table(base.table_name, fields), fields)


async def _note_survey(database: Database, run_id: UUID, found: "Survey") -> None:
    async with database.writing() as session:
        await session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                phase="loading",
                encoding=found.encoding.label,
                header_line=found.layout.header_line,
                header=_header_line(found),
                notices=[notice.as_json() for notice in found.notices],
            )
        )


def _header_line(found: "Survey") -> str:
    from app.formats.batches import csv_line  # noqa: PLC0415

    return csv_line(list(found.layout.labels))


async def _note_progress(database: Database, run_id: UUID, block: "Block", tally: _Tally) -> None:
    async with database.writing() as session:
        await session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                bytes_done=block.bytes_read,
                rows_read=tally.rows,
                rows_accepted=tally.accepted,
                rows_rejected=tally.rejected,
                cells_repaired=tally.repaired,
                notices=Run.notices.op("||")([notice.as_json() for notice in block.notices]),
            )
        )


async def _note_phase(database: Database, run_id: UUID, phase: str) -> None:
    async with database.writing() as session:
        await session.execute(update(Run).where(Run.id == run_id).values(phase=phase))


async def _end_unchanged(database: Database, run_id: UUID) -> None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        latest = await _latest(session, run.dataset_id)
        if latest is not None:
            await runs.finish_unchanged(session, run, latest)


async def _fail(database: Database, run_id: UUID, code: str, ja: str, en: str) -> None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        await runs.fail(session, run, code, ja, en)


async def _fail_with_rejects(
    database: Database, order: _Order, found: "Survey", open_file: Any
) -> None:
    """End a run of which no row was good, keeping what was wrong with each."""
    from app.formats import intake  # noqa: PLC0415

    blocks = intake.blocks(open_file, found)
    async with database.writing() as session:
        connection = await database.driver_of(session)
        run = await runs.get(session, order.run_id, lock=True)
        run.rows_read = run.rows_rejected = 0
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            await _note_rejects(connection, order.run_id, block.rejects)
            run.rows_read += block.rows
            run.rows_rejected += block.rows
        await runs.fail(
            session,
            run,
            "no_rows_accepted",
            "受け付けられる行がありませんでした。rejects で各行の理由を確認してください。",
            "No row could be accepted. See rejects for the reason of each.",
        )
