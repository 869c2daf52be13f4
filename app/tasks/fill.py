"""Fills a version's table from a file, block by block; it decides nothing of the run's end."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Table, update

from app.formats.quality.repair_counts import Counts, add_up
from app.kit.db import Database, Driver
from app.models.datasets import Run
from app.query.fields import Field
from app.tables import load as loading
from app.tables.layout import hosted_table
from app.tasks.order import Order

if TYPE_CHECKING:
    from app.formats.intake import Block, Survey

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


@dataclass(slots=True)
class Tally:
    """What a file gave so far."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    repaired: int = 0
    repairs: Counts = field(default_factory=dict)


async def fill(
    database: Database,
    connection: Driver,
    order: Order,
    table: Table,
    found: "Survey",
) -> Tally:
    """COPY block after block; the next block is read while PostgreSQL takes this one."""
    from app.formats import intake  # noqa: PLC0415

    columns = intake.copy_columns(found)
    blocks = intake.blocks(found)
    tally = Tally()
    upcoming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
    try:
        while (block := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, blocks, None))
            await loading.copy_csv(connection, table, columns, block.csv)
            await note_rejects(connection, order.run_id, block.rejects)
            tally.rows += block.rows
            tally.accepted += block.accepted
            tally.rejected += block.rows - block.accepted
            tally.repaired += block.repaired
            add_up(tally.repairs, block.repairs)
            await _note_progress(database, order.run_id, block, tally)
    finally:
        await asyncio.wait([upcoming])
    return tally


async def note_rejects(connection: Driver, run_id: UUID, rejects: "Sequence[Any]") -> None:
    """Keep what was wrong, by row and cell."""
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


async def reject_doubles(
    connection: Driver,
    order: Order,
    table: Table,
    found: "Survey",
    tally: Tally,
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
    records = await asyncio.to_thread(_double_records, order, found, doubles, key)
    await connection.copy_records_to_table("reject", records=records, columns=list(_REJECT_COLUMNS))


def _double_records(
    order: Order, found: "Survey", doubles: list[tuple[int, int]], key: str
) -> list[tuple[Any, ...]]:
    from app.formats.raw_lines import raw_lines  # noqa: PLC0415

    lines = dict(doubles)
    return [
        (order.run_id, row, lines[row], key, "duplicate_key", None, None, raw)
        for row, raw in raw_lines(found.table, lines)
    ]


async def correct(connection: Driver, order: Order, table: Table) -> None:
    """Put the corrected rows behind those of the version that they mend."""
    base = order.base
    if base is None:
        return
    fields = [Field.from_json(each) for each in base.fields]
    await loading.put_behind(connection, table, hosted_table(base.table_name, fields), fields)


async def _note_progress(database: Database, run_id: UUID, block: "Block", tally: Tally) -> None:
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
