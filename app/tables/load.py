"""Builds the table of a version: made, filled by COPY, freed of double keys, indexed.

A table is nobody's until its version is written: what fails half-way is dropped, and a new try
begins from nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Index, Select, Table, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from app.kit.db import Driver
from app.query.fields import Field
from app.tables.layout import (
    LINE,
    ROW,
    SCHEMA,
    SINCE,
    UNTIL,
    geometry_edges,
    hosted_table,
    place_columns,
)

_DIALECT: Final = asyncpg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def _sql(statement: Any) -> str:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
    return str(compiled)


async def create(connection: Driver, table: Table) -> None:
    """Make the bare table, dropping what an earlier try may have left."""
    await connection.execute(_sql(DropTable(table, if_exists=True)))
    await connection.execute(_sql(CreateTable(table)))


async def drop(connection: Driver, name: str) -> None:
    """Drop a table that no version owns."""
    await connection.execute(_sql(DropTable(hosted_table(name, ()), if_exists=True)))


async def copy_csv(connection: Driver, table: Table, columns: Sequence[str], csv: bytes) -> None:
    """Append one block of CSV (no header, NULL is the unquoted empty)."""
    await connection.copy_to_table(
        table.name,
        schema_name=SCHEMA,
        columns=list(columns),
        source=_pieces(csv),
        format="csv",
    )


async def _pieces(csv: bytes) -> Any:
    yield csv


async def put_behind(
    connection: Driver, table: Table, base: Table, fields: Sequence[Field]
) -> None:
    """Give `table` the base's rows in force, its own rows behind them and in place of their keys."""
    own = table.alias("own")
    shift = select(func.coalesce(func.max(base.c[ROW]), 0)).scalar_subquery()
    await connection.execute(_sql(update(table).values({table.c[ROW]: table.c[ROW] + shift})))
    shared = [column.name for column in base.columns if column.name not in (SINCE, UNTIL)]
    kept = select(*(base.c[name] for name in shared)).where(base.c[UNTIL].is_(None))
    keys = key_columns(fields)
    if keys:
        same = [own.c[key] == base.c[key] for key in keys]
        kept = kept.where(~select(literal(1)).select_from(own).where(*same).exists())
    await connection.execute(_sql(insert(table).from_select(shared, kept)))


def _numbered(table: Table, keys: Sequence[str]) -> Select[Any]:
    """Each row's place among the rows of its key, in file order: 1 stays."""
    place = func.row_number().over(
        partition_by=[table.c[key] for key in keys], order_by=table.c[ROW].asc()
    )
    known = [table.c[key].is_not(None) for key in keys]
    return select(table.c[ROW], table.c[LINE], place.label("place")).where(*known)


async def take_doubles(
    connection: Driver, table: Table, keys: Sequence[str]
) -> list[tuple[int, int]]:
    """Remove the second and later rows of each key; gives their (row, line) in file order."""
    numbered = _numbered(table, keys).subquery("numbered")
    doubles = select(numbered.c[ROW]).where(numbered.c.place > literal(1))
    statement = (
        delete(table).where(table.c[ROW].in_(doubles)).returning(table.c[ROW], table.c[LINE])
    )
    rows = await connection.fetch(_sql(statement))
    return sorted((row[0], row[1]) for row in rows)


async def index_key(connection: Driver, index: Index) -> bool:
    """Make the unique index on the key: the quickest proof that no key comes twice.

    False, with nothing made, where one does.
    """
    try:
        async with connection.transaction():
            await connection.execute(_sql(CreateIndex(index)))
    except asyncpg.UniqueViolationError:
        return False
    return True


def key_index(table: Table) -> Index | None:
    """The unique index on the key, where the dataset has one."""
    return next((index for index in table.indexes if index.unique), None)


def key_columns(fields: Sequence[Field]) -> list[str]:
    """The physical columns of the key."""
    return [field.column for field in fields if field.key]


def _other_indexes(table: Table) -> Iterator[Index]:
    yield from sorted(
        (index for index in table.indexes if not index.unique), key=lambda index: str(index.name)
    )


async def finish(connection: Driver, table: Table) -> int:
    """Index and analyse; returns the number of rows. The key's index is made by `index_key`."""
    for index in _other_indexes(table):
        await connection.execute(_sql(CreateIndex(index)))
    await connection.execute(f"ANALYZE {_DIALECT.identifier_preparer.format_table(table)}")
    count: int = await connection.fetchval(_sql(select(func.count()).select_from(table)))
    return count


Extent = tuple[float | None, float | None, float | None, float | None]


async def extent(connection: Driver, table: Table, fields: Sequence[Field]) -> Extent:
    """West, south, east and north of the records' places; nulls where there are none."""
    edges = geometry_edges(fields)
    if edges is None:
        place = place_columns(fields)
        if place is None:
            return (None, None, None, None)
        edges = (place[1], place[0], place[1], place[0])
    west, south, east, north = (table.c[edge] for edge in edges)
    row = await connection.fetchrow(
        _sql(select(func.min(west), func.min(south), func.max(east), func.max(north)))
    )
    return tuple(row) if row is not None else (None, None, None, None)
