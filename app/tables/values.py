"""Some of the values that columns of a version hold, for what is learned of their words."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.query.fields import Field
from app.tables.layout import ROW, UNTIL

_ROWS: Final = 50_000
_MOST: Final = 2_000  # of a column
_LONGEST: Final = 100  # longer ones are sentences, whose words come elsewhere too


async def some_values(session: AsyncSession, table: Table, fields: Sequence[Field]) -> list[str]:
    """The most frequent short values of each column among the first rows."""
    found: list[str] = []
    for field in fields:
        column = table.c[field.column]
        begun = select(column.label("value")).where(table.c[UNTIL].is_(None))
        first = begun.order_by(table.c[ROW]).limit(_ROWS).subquery()
        rows = await session.scalars(
            select(first.c.value)
            .where(func.length(first.c.value) <= _LONGEST)
            .group_by(first.c.value)
            .order_by(func.count().desc(), first.c.value)
            .limit(_MOST)
        )
        found += rows.all()
    return found
