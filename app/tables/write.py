"""Writes records into a hosted version as a new revision. Rows of older revisions stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Table, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import BigInteger

from app.query.fields import Field
from app.tables.layout import ROW, SINCE, UNTIL, value_columns

_STORED = "stored"


class Outcome(StrEnum):
    """What became of one record."""

    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Written:
    """Outcomes in the order of the records, and how many rows there are more than before."""

    outcomes: tuple[Outcome, ...]
    added: int

    @property
    def has_changes(self) -> bool:
        """Whether the revision differs from the one before it."""
        return any(outcome is not Outcome.UNCHANGED for outcome in self.outcomes)


async def create_empty(session: AsyncSession, table: Table) -> None:
    """Make an empty table with its indexes, for a dataset that begins with records."""
    await session.execute(CreateTable(table))
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        await session.execute(CreateIndex(index))


async def upsert(
    session: AsyncSession,
    table: Table,
    fields: Sequence[Field],
    records: Sequence[Mapping[str, Any]],
    revision: int,
) -> Written:
    """Insert or replace records by key, as of `revision`. Keys in `records` are distinct.

    A column that a record leaves out keeps what is stored. The caller holds the version's lock.
    """
    stored = await find_stored(session, table, fields, records)
    keys = [field.column for field in fields if field.key]
    highest = await session.scalar(select(func.coalesce(func.max(table.c[ROW]), 0)))
    outcomes: list[Outcome] = []
    fresh: list[dict[str, Any]] = []
    ended: list[int] = []
    empty = dict.fromkeys(value_columns(fields))
    for given in records:
        before = stored.get(tuple(given[key] for key in keys))
        kept = empty if before is None else {name: before[name] for name in empty}
        record = {**kept, **given}
        outcome = _outcome(before, record, fields)
        outcomes.append(outcome)
        if outcome is Outcome.INSERTED:
            highest = (highest or 0) + 1
            fresh.append({**record, ROW: highest, SINCE: revision})
        elif outcome is Outcome.UPDATED and before is not None:
            ended.append(before[ROW])
            fresh.append({**record, ROW: before[ROW], SINCE: revision})
    await _end(session, table, ended, revision)
    if fresh:
        await session.execute(insert(table), fresh)
    return Written(tuple(outcomes), outcomes.count(Outcome.INSERTED))


def _outcome(
    before: Mapping[str, Any] | None, record: Mapping[str, Any], fields: Sequence[Field]
) -> Outcome:
    if before is None:
        return Outcome.INSERTED
    same = all(before[field.column] == record[field.column] for field in fields)
    return Outcome.UNCHANGED if same else Outcome.UPDATED


async def delete(
    session: AsyncSession,
    table: Table,
    fields: Sequence[Field],
    key: Mapping[str, Any],
    revision: int,
) -> bool:
    """End the record with this key (values by column) as of `revision`; False if there is none."""
    stored = await find_stored(session, table, fields, [key])
    await _end(session, table, [row[ROW] for row in stored.values()], revision)
    return bool(stored)


async def find_stored(
    session: AsyncSession,
    table: Table,
    fields: Sequence[Field],
    records: Sequence[Mapping[str, Any]],
) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """The rows in force that have the records' keys, by key."""
    keys = [field.column for field in fields if field.key]
    wanted = (
        func.unnest(
            *(
                bindparam(f"k{at}", [record[key] for record in records], ARRAY(table.c[key].type))
                for at, key in enumerate(keys)
            )
        )
        .table_valued(*keys)
        .render_derived(name=_STORED)
    )
    same = [table.c[key] == wanted.c[key] for key in keys]
    columns = [table.c[name] for name in value_columns(fields)]
    rows = await session.execute(
        select(table.c[ROW], *columns)
        .join_from(table, wanted, and_(*same))
        .where(table.c[UNTIL].is_(None))
    )
    return {tuple(row[key] for key in keys): dict(row) for row in rows.mappings()}


async def _end(session: AsyncSession, table: Table, rows: Sequence[int], revision: int) -> None:
    if rows:
        numbers = bindparam("rows", list(rows), ARRAY(BigInteger()))
        await session.execute(
            update(table)
            .where(table.c[ROW] == func.any(numbers), table.c[UNTIL].is_(None))
            .values({table.c[UNTIL]: revision})
        )
