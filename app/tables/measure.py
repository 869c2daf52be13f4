"""Counts in hosted tables for the quality of a version: whole sets at once, no cell leaves here.

The exceptions are the first lost keys, which a caller asks for public data only.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from app.formats.quality.measures import ColumnCount
from app.query.fields import Field, FieldType
from app.tables.layout import ORIGINAL, ROW, SINCE, UNTIL, hosted_table

FIRST: Final = 5  # so many rows are named of each fault
# Written where a value is not known: no value, though the cell is not empty.
PLACEHOLDERS: Final = (
    "", "不明", "未定", "未入力", "未記入", "未設定", "調査中", "確認中", "?", "？", "??", "？？",
    "*", "＊", "**", "***", "TBD", "tbd", "n/a", "N/A", "#N/A", "#REF!", "#VALUE!", "nan", "NaN",
)  # fmt: skip
_LONGEST_PLACEHOLDER: Final = max(len(word.encode()) for word in PLACEHOLDERS)
_FREE: Final = frozenset({FieldType.TEXT, FieldType.CODE, FieldType.PHONE, FieldType.KANA})
_COLUMNS_A_STATEMENT: Final = 500  # PostgreSQL takes 1,664 expressions in a list


def in_force(rows: FromClause, revision: int) -> ColumnElement[bool]:
    """The rows that a revision holds."""
    return and_(rows.c[SINCE] <= revision, or_(rows.c[UNTIL].is_(None), rows.c[UNTIL] > revision))


async def count_columns(
    session: AsyncSession, name: str, fields: Sequence[Field], revision: int
) -> tuple[int, tuple[ColumnCount, ...]]:
    """The rows of a revision, and for each field how many of them say something in it."""
    table = hosted_table(name, fields)
    found: list[ColumnCount] = []
    rows = 0
    waiting = iter(fields)
    while batch := list(islice(waiting, _COLUMNS_A_STATEMENT)):
        counted = (await session.execute(_counts(table, batch, revision))).one()
        rows = counted[0]
        filled, unknown = counted[1 : len(batch) + 1], counted[len(batch) + 1 :]
        found += [
            ColumnCount(field.name, filled[at], unknown[at]) for at, field in enumerate(batch)
        ]
    if not fields:
        statement = select(func.count()).select_from(table).where(in_force(table, revision))
        rows = await session.scalar(statement) or 0
    named = {field.name: field for field in fields}
    return rows, tuple(
        [await _with_first(session, table, named[one.name], one, revision) for one in found]
    )


def _counts(table: Table, fields: Sequence[Field], revision: int) -> Select[Any]:
    filled = [func.count(table.c[field.column]) for field in fields]
    unknown = [
        func.count().filter(_is_placeholder(table, field)) if field.type in _FREE else literal(0)
        for field in fields
    ]
    columns: list[ColumnElement[Any]] = [
        each.label(f"n{at}") for at, each in enumerate([func.count(), *filled, *unknown])
    ]
    return select(*columns).select_from(table).where(in_force(table, revision))


def _is_placeholder(table: Table, field: Field) -> ColumnElement[bool]:
    """The length first: it is known without unpacking a long text."""
    column = table.c[field.column]
    return and_(func.octet_length(column) <= _LONGEST_PLACEHOLDER, column.in_(PLACEHOLDERS))


async def _with_first(
    session: AsyncSession, table: Table, field: Field, one: ColumnCount, revision: int
) -> ColumnCount:
    if not one.placeholders:
        return one
    statement = (
        select(table.c[ROW])
        .where(in_force(table, revision), _is_placeholder(table, field))
        .order_by(table.c[ROW])
        .limit(FIRST)
    )
    rows = (await session.scalars(statement)).all()
    return ColumnCount(one.name, one.filled, one.placeholders, tuple(rows))


async def count_repaired(
    session: AsyncSession, name: str, fields: Sequence[Field], revision: int
) -> dict[str, int]:
    """How many cells of each field came in another form than they are stored in."""
    table = hosted_table(name, fields)
    touched = (
        select(func.jsonb_object_keys(cast(table.c[ORIGINAL], JSONB)).label("field"))
        .where(in_force(table, revision), table.c[ORIGINAL].is_not(None))
        .subquery("touched")
    )
    statement = select(touched.c.field, func.count()).group_by(touched.c.field)
    counts = {row[0]: row[1] for row in await session.execute(statement)}
    return {field.name: counts[field.name] for field in fields if field.name in counts}


async def count_keys(
    session: AsyncSession,
    before: tuple[str, Sequence[Field], int],
    now: tuple[str, Sequence[Field], int],
) -> tuple[int, int]:
    """How many records the version before has, and how many of their keys are there now.

    Each version is (table, fields, revision); both have key fields of the same names.
    """
    old, lost = _lost(before, now)
    keys = await session.scalar(
        select(func.count()).select_from(old).where(in_force(old, before[2]))
    )
    gone = await session.scalar(select(func.count()).select_from(lost.subquery("lost")))
    return keys or 0, (keys or 0) - (gone or 0)


async def first_lost(
    session: AsyncSession,
    before: tuple[str, Sequence[Field], int],
    now: tuple[str, Sequence[Field], int],
) -> tuple[str, ...]:
    """The first keys that are gone, as texts."""
    old, lost = _lost(before, now)
    rows = await session.execute(lost.order_by(old.c[ROW]).limit(FIRST))
    return tuple(",".join(map(str, row)) for row in rows)


def _lost(
    before: tuple[str, Sequence[Field], int], now: tuple[str, Sequence[Field], int]
) -> tuple[FromClause, Select[Any]]:
    """The records of the version before whose keys are gone."""
    old = hosted_table(*before[:2]).alias("old")
    new = hosted_table(*now[:2]).alias("new")
    names = {field.name: field for field in now[1] if field.key}
    keys = [field for field in before[1] if field.key]
    same = [_same(old, field, new, names[field.name]) for field in keys]
    still = select(literal(1)).select_from(new).where(*same, in_force(new, now[2])).exists()
    columns = [old.c[field.column].label(f"k{at}") for at, field in enumerate(keys)]
    return old, select(*columns).where(in_force(old, before[2]), ~still)


def _same(old: FromClause, before: Field, new: FromClause, now: Field) -> ColumnElement[bool]:
    left, right = old.c[before.column], new.c[now.column]
    if before.type is now.type:
        return left == right
    return cast(left, Text()) == cast(right, Text())


async def last_row(session: AsyncSession, name: str) -> int:
    """The highest row number of a table: what is put behind it counts on from there."""
    table = hosted_table(name, ())
    return await session.scalar(select(func.coalesce(func.max(table.c[ROW]), 0))) or 0
