"""The load job: a run's file becomes a version's table, or the run ends with the reason.

Everything that makes the version happens in one transaction, so a process killed at any moment
leaves nothing half-made; the queue hands the job to another worker, which begins again.
"""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from sqlalchemy import Table, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import measuring, repairs, runs
from app.formats.individual_number import REFUSED as REFUSED_FOR_NUMBER
from app.formats.mapping import refusing
from app.formats.quality.measures import Measures
from app.kit.db import Database
from app.kit.folders import held_folder
from app.models.datasets import Dataset, Run
from app.tables import load as loading
from app.tables import uploads
from app.tables.layout import hosted_table, table_name
from app.tasks.fill import Tally, correct, fill, note_rejects, reject_doubles
from app.tasks.order import Order, is_same, newest_version, take_order

if TYPE_CHECKING:
    from app.formats.guidance import FileRefused
    from app.formats.intake import Survey


class AlreadyLoaded(Exception):
    """Another run has loaded the same file meanwhile: there is nothing to add."""


class NoRowsAccepted(Exception):
    """Every row was rejected: there is nothing to make a version of."""


async def load(database: Database, run_id: UUID) -> None:
    """Carry out one run. Ends it in ok, degraded or failed; raises only what a retry may mend."""
    from app.formats.guidance import FileRefused  # noqa: PLC0415 - brings polars, workers only

    order = await take_order(database, run_id)
    if order is None:
        return
    with held_folder() as folder:
        path = folder / "upload"
        try:
            await _carry_out(database, order, path)
        except FileRefused as refused:
            if refused.code == REFUSED_FOR_NUMBER:
                await _set_apart(database, order, refused)
                return
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


async def _carry_out(database: Database, order: Order, path: Path) -> None:
    from app.formats import intake  # noqa: PLC0415 - brings polars, workers only
    from app.formats.guarding import guarded  # noqa: PLC0415
    from app.formats.stored import StoredFile  # noqa: PLC0415
    from app.formats.told import Told  # noqa: PLC0415

    async with database.pool.acquire() as connection:
        with path.open("wb") as file:
            await uploads.copy_to(connection, order.upload_id, file)
    stored, told = StoredFile(path, path.parent, order.filename), Told.from_json(*order.told)
    survey = partial(
        intake.survey,
        stored,
        declared=order.declared,
        mapping=order.mapping,
        told=told,
        layouts=order.layouts,
        rules=order.rules,
    )
    found = await asyncio.to_thread(guarded, stored, told, survey)
    found = replace(found, sources=refusing(found.sources, order.refused))
    await _note_survey(database, order.run_id, found)
    try:
        async with database.writing() as session:
            await _make_version(session, database, order, found)
    except AlreadyLoaded:
        await _end_unchanged(database, order.run_id)
    except NoRowsAccepted:
        await _fail_with_rejects(database, order, found)


async def _make_version(
    session: AsyncSession, database: Database, order: Order, found: "Survey"
) -> None:
    """The one transaction: table, rejects, version, the run's end and the log's entry."""
    await runs.claim(session, order.run_id)
    connection = await database.driver_of(session)
    table = hosted_table(table_name(order.run_id), found.fields)
    await loading.create(connection, table)
    tally = await fill(database, connection, order, table, found)
    await reject_doubles(connection, order, table, found, tally)
    if order.base is not None:
        await correct(connection, order, table)
    if tally.accepted == 0 and (tally.rows or not found.may_be_empty):
        raise NoRowsAccepted
    await _note_phase(database, order.run_id, "indexing")
    rows = await loading.finish(connection, table)
    extent = await loading.extent(connection, table, found.fields)
    counted = await _count(session, order, table, found, tally)
    run = await runs.get(session, order.run_id, lock=True)
    dataset = await session.get_one(Dataset, run.dataset_id, with_for_update=True)
    latest = await newest_version(session, run.dataset_id)
    if not order.corrects and await is_same(session, latest, order.sha256, order.read_as):
        raise AlreadyLoaded
    run.rows_read, run.rows_accepted = tally.rows, tally.accepted
    run.rows_rejected, run.cells_repaired = tally.rejected, tally.repaired
    fields = [field.as_json() for field in found.fields]
    loaded = runs.Loaded(
        table_name=table.name,
        fields=fields,
        rows=rows,
        extent=extent,
        mapping=order.mapping or found.implied_mapping or None,
        read_as=order.read_as,
    )
    version = await runs.finish(session, run, loaded)
    repairs.note_counts(session, run, tally.repairs)
    await measuring.keep(session, dataset, version, counted)


async def _count(
    session: AsyncSession, order: Order, table: Table, found: "Survey", tally: Tally
) -> Measures:
    """What the version's quality follows from: counted before anything is locked."""
    run = await runs.get(session, order.run_id)
    dataset = await session.get_one(Dataset, run.dataset_id)
    notices = [notice.as_json() for notice in found.notices]
    told = measuring.Loaded(run.id, run.corrects_run_id, tally.rows, tally.rejected, notices)
    made = measuring.Made(run.dataset_id, None, table.name, found.fields, 0, told)
    return await measuring.count(session, dataset, made, None)


async def _note_survey(database: Database, run_id: UUID, found: "Survey") -> None:
    async with database.writing() as session:
        await session.execute(
            update(Run)
            .where(Run.id == run_id)
            .values(
                phase="loading",
                profile=dict(found.profile) if found.profile else None,
                columns=[chosen.as_json() for chosen in found.chosen],
                format=found.table.format,
                table_name=found.table.name or None,
                encoding=found.table.encoding,
                header_line=found.head.header_line,
                header=_header_line(found),
                notices=[notice.as_json() for notice in found.notices],
            )
        )


def _header_line(found: "Survey") -> str:
    from app.formats.raw_lines import csv_line  # noqa: PLC0415

    return csv_line(list(found.head.labels))


async def _note_phase(database: Database, run_id: UUID, phase: str) -> None:
    async with database.writing() as session:
        await session.execute(update(Run).where(Run.id == run_id).values(phase=phase))


async def _end_unchanged(database: Database, run_id: UUID) -> None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        latest = await newest_version(session, run.dataset_id)
        if latest is not None:
            await runs.finish_unchanged(session, run, latest)


async def _fail(database: Database, run_id: UUID, code: str, ja: str, en: str) -> None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        await runs.fail(session, run, code, ja, en)


async def _set_apart(database: Database, order: Order, refused: "FileRefused") -> None:
    """End a run whose file holds an individual number; what was sent is gone in the same commit.

    Kept: who sent a file of which name and size, when, and where the number stood. Not kept: the
    file's hash, from which the number could be found by trying all there are.
    """
    async with database.writing() as session:
        await uploads.forget_bytes(await database.driver_of(session), order.upload_id)
        run = await runs.get(session, order.run_id, lock=True)
        run.columns = run.profile = run.header = run.table_name = None
        run.notices = []  # nor what was noted of its cells before the number was met
        await runs.fail(session, run, refused.code, refused.words("ja"), refused.words("en"))


async def _fail_with_rejects(database: Database, order: Order, found: "Survey") -> None:
    """End a run of which no row was good, keeping what was wrong with each."""
    from app.formats import intake  # noqa: PLC0415

    blocks = intake.blocks(found)
    async with database.writing() as session:
        await runs.claim(session, order.run_id)
        connection = await database.driver_of(session)
        run = await runs.get(session, order.run_id, lock=True)
        run.rows_read = run.rows_rejected = 0
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            await note_rejects(connection, order.run_id, block.rejects)
            run.rows_read += block.rows
            run.rows_rejected += block.rows
        await runs.fail(
            session,
            run,
            "no_rows_accepted",
            "受け付けられる行がありませんでした。rejects で各行の理由を確認してください。",
            "No row could be accepted. See rejects for the reason of each.",
        )
