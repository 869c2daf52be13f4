"""A version's rows as they are moved to another platform and back: every revision, every value as
PostgreSQL writes it. Nothing passes through Python but bytes; no name from outside is an identifier.
"""

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final

from sqlalchemy import Table, func, select
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.schema import CreateTable, SetTableComment

from app.kit.db import Driver
from app.query.fields import Field, FieldType, edge_columns
from app.tables import load
from app.tables.differences import RowSet, kept_table
from app.tables.layout import EXTRAS, LINE, ORIGINAL, ROW, SCHEMA, SINCE, UNTIL, hosted_table
from app.tables.sql import Source

_DIALECT: Final = asyncpg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_OWN: Final = (ROW, SINCE, UNTIL, LINE, ORIGINAL, EXTRAS)
_COLUMN: Final = re.compile(r"c[0-9]{3,6}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,69}")
_NUMBERS: Final = ("n", "old_row", "new_row")
_MARK: Final = "came with an archive"
# Tables that an import filled and that nothing names: its process was killed.
_NOBODYS: Final = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'hosted' AND relkind = 'r' AND obj_description(pg_class.oid, 'pg_class') = $1
AND NOT EXISTS (SELECT FROM version WHERE table_name = relname)
AND NOT EXISTS (SELECT FROM edition WHERE differences = relname)
"""
Sink = Callable[[bytes], Coroutine[Any, Any, None]]


class KeyTwice(Exception):
    """Two rows in force have one key: no platform has written this."""


def are_columns_ours(fields: Sequence[Field]) -> bool:
    """Whether the fields are named, and name columns, as ours are, each in another way."""
    columns = {field.column for field in fields if _COLUMN.fullmatch(field.column)}
    names = {field.name for field in fields if _NAME.fullmatch(field.name)}
    return len(columns) == len(names) == len(fields)


async def copy_out(driver: Driver, name: str, fields: Sequence[Field], sink: Sink) -> None:
    """All rows of all revisions as CSV with a header: nothing is null, `""` is the empty text."""
    table = hosted_table(name, fields)
    columns = [table.c[column].label(title) for column, title in _titled(fields)]
    statement = select(*columns).order_by(table.c[ROW], table.c[SINCE])
    await _copy(driver, statement, sink)


async def copy_differences(driver: Driver, name: str, sink: Sink) -> None:
    """What a publication changed, by numbers of rows."""
    table = kept_table(name)
    await _copy(driver, select(*(table.c[each] for each in _NUMBERS)).order_by(table.c.n), sink)


async def _copy(driver: Driver, statement: Any, sink: Sink) -> None:
    await driver.copy_from_query(_sql(statement), output=sink, format="csv", header=True)


def _sql(statement: Any) -> str:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _titled(fields: Sequence[Field]) -> list[tuple[str, str]]:
    """Each column, and what stands above it in the file."""
    found = [(each, each) for each in _OWN]
    for field in fields:
        found.append((field.column, field.name))
        if field.type is FieldType.GEOMETRY:
            edges = edge_columns(field)
            found += [(edge, edge.replace(field.column, field.name, 1)) for edge in edges]
    return found


async def copy_in(
    driver: Driver, name: str, fields: Sequence[Field], pieces: AsyncIterator[bytes]
) -> None:
    """A new table with the rows of such a file, indexed. Raises `KeyTwice`, and what PostgreSQL
    says of a file that is none."""
    table = hosted_table(name, fields)
    await load.create(driver, table)
    await _mark(driver, table)
    await _fill(driver, table, [column for column, _ in _titled(fields)], pieces)
    index = load.key_index(table)
    if index is not None and not await load.index_key(driver, index):
        raise KeyTwice
    await load.finish(driver, table)


async def count_at(driver: Driver, name: str, fields: Sequence[Field], revision: int) -> int:
    """How many rows readers of the revision get."""
    table = hosted_table(name, fields)
    its = RowSet(Source(table, tuple(fields)), revision).in_force(table)
    statement = select(func.count()).select_from(table).where(its)
    found = await driver.fetchval(_sql(statement))
    return int(found)


async def copy_in_differences(driver: Driver, name: str, pieces: AsyncIterator[bytes]) -> None:
    """The same with what a publication changed."""
    table = kept_table(name)
    await driver.execute(_sql(CreateTable(table)))
    await _mark(driver, table)
    await _fill(driver, table, _NUMBERS, pieces)


async def _mark(driver: Driver, table: Table) -> None:
    table.comment = _MARK
    await driver.execute(_sql(SetTableComment(table)))


async def sweep(driver: Driver) -> None:
    """Drop what a killed import left. Only while no other import runs."""
    for row in await driver.fetch(_NOBODYS, _MARK):
        await load.drop(driver, row["relname"])


async def _fill(
    driver: Driver, table: Table, columns: Sequence[str], pieces: AsyncIterator[bytes]
) -> None:
    await driver.copy_to_table(
        table.name, schema_name=SCHEMA, columns=list(columns), source=pieces, format="csv",
        header=True,
    )  # fmt: skip
