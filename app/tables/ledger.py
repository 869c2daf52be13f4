"""Reads the repaired cells of a version: what stood in the file, and what is stored. Changes none.

What it gives are cells: only for those who may see rows of the file.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import JSON, Table, case, cast, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, Text

from app.query.fields import Field
from app.tables.layout import LINE, ORIGINAL, ROW, SINCE, hosted_table


@dataclass(frozen=True, slots=True)
class Cell:
    """One repaired cell. `row` counts in the version's table."""

    row: int
    line: int | None
    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The repaired cells of the rows that a load brought; those it was put behind are not its."""

    name: str
    fields: tuple[Field, ...]
    behind: int = 0  # rows up to this one came with another load


_NAMED_AT_ONCE: Final = 5_000  # (row, field) pairs in one statement


async def cells(
    session: AsyncSession,
    ledger: Ledger,
    *,
    of: Collection[str] | None,
    after: tuple[int, str] | None,
    limit: int,
) -> Sequence[Cell]:
    """At most `limit` cells in the order of rows, then of fields' names, behind `after`.

    `of`: only the cells of these fields.
    """
    if of is not None and not any(each.name in of for each in ledger.fields):
        return []
    statement, row, name = _statement(ledger, of)
    if after is not None:
        # The row alone first: its index finds the place, the pair then cuts within the row.
        statement = statement.where(row >= after[0])
        place = tuple_(literal(after[0], BigInteger()), literal(after[1], Text()))
        statement = statement.where(tuple_(row, name) > place)
    found = await session.execute(statement.order_by(row, name).limit(limit))
    return [Cell(*each) for each in found]


async def named(
    session: AsyncSession, ledger: Ledger, places: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], Cell]:
    """The cells at the given rows and fields, as far as they are there."""
    if not places:
        return {}
    statement, row, name = _statement(ledger, None)
    wanted = places[:_NAMED_AT_ONCE]
    rows = sorted({place[0] for place in wanted})
    statement = statement.where(row.in_(rows), tuple_(row, name).in_(wanted))
    found = [Cell(*each) for each in await session.execute(statement)]
    return {(cell.row, cell.field): cell for cell in found}


def _statement(ledger: Ledger, of: Collection[str] | None) -> tuple[Any, Any, Any]:
    """Each repaired cell of the loaded rows, also of those replaced since."""
    table: Table = hosted_table(ledger.name, ledger.fields)
    pairs = func.json_each_text(cast(table.c[ORIGINAL], JSON))
    cell = pairs.table_valued("key", "value", name="cell").lateral()
    fields = [each for each in ledger.fields if of is None or each.name in of]
    stored = case(
        *((cell.c.key == each.name, cast(table.c[each.column], Text())) for each in fields),
        else_=None,
    )
    statement = (
        select(table.c[ROW], table.c[LINE], cell.c.key, cell.c.value, stored.label("stored"))
        .select_from(table)
        .join(cell, literal(value=True))
        .where(
            table.c[ORIGINAL].is_not(None),
            table.c[ROW] > ledger.behind,
            or_(table.c[SINCE].is_(None), table.c[SINCE] <= 0),
            cell.c.key.in_([each.name for each in fields]),
        )
    )
    return statement, table.c[ROW], cell.c.key
