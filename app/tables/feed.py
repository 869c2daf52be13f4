"""The change feed's rows: what a revision, or a publication, did to each record, in order.

Nothing is copied for it: within a version the rows say when they began and ended, between versions
only the numbers of the rows that differ are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    false,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, Text

from app.query.fields import Field
from app.query.question import Condition
from app.tables.differences import Pair, RowSet, differs, kept_table, pairs_of
from app.tables.encode import plain_record
from app.tables.layout import ROW, SINCE, UNTIL
from app.tables.permitted import meets
from app.tables.sql import Source


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of one record. `record` is JSON text, None where it was deleted."""

    revision: int
    place: int  # the row, or the number of the difference
    key: tuple[Any, ...]
    record: str | None


def _keys(fields: Sequence[Field]) -> list[str]:
    return [field.column for field in fields if field.key]


def _visible(source: Source, visible: frozenset[str]) -> list[Field]:
    return [field for field in source.fields if field.name in visible]


async def present(
    session: AsyncSession, rows: RowSet, visible: frozenset[str], *, after: int, limit: int
) -> list[Happened]:
    """The records of a set as they are, behind row `after`; one more than `limit`."""
    table = rows.source.table
    statement = (
        select(
            table.c[SINCE],
            table.c[ROW],
            plain_record(table, _visible(rows.source, visible)),
            *(table.c[key] for key in _keys(rows.source.fields)),
        )
        .where(rows.in_force(table), table.c[ROW] > after)
        .order_by(table.c[ROW])
        .limit(limit + 1)
    )
    found = await session.execute(statement)
    return [Happened(since, row, tuple(key), record) for since, row, record, *key in found]


async def batches(
    session: AsyncSession,
    source: Source,
    visible: frozenset[str],
    where: Condition | None,
    *,
    after: tuple[int, int],
    until: int,
    limit: int,
) -> list[Happened]:
    """What the revisions up to `until` did, behind `after` (revision, row); one more than `limit`.

    A record whose visible fields stayed as they were has not changed for this reader. One that
    meets `where` no longer is deleted, as far as this reader knows, and one that never did is none.
    """
    found = [_begun(source, visible, where, after, until), _ended(source, where, after, until)]
    if where is not None:
        found.append(_left(source, where, after, until))
    arms = [each.order_by("revision", "place").limit(limit + 1).subquery() for each in found]
    both = union_all(*(select(arm) for arm in arms)).subquery("changes")
    statement = select(both).order_by(both.c.revision, both.c.place).limit(limit + 1)
    return [
        Happened(revision, place, tuple(key), record)
        for revision, place, record, *key in await session.execute(statement)
    ]


def _behind(
    revision: ColumnElement[Any], row: ColumnElement[Any], after: tuple[int, int], until: int
) -> ColumnElement[bool]:
    place = tuple_(literal(after[0], BigInteger()), literal(after[1], BigInteger()))
    return and_(tuple_(revision, row) > place, revision >= after[0], revision <= until)


def _begun(
    source: Source,
    visible: frozenset[str],
    where: Condition | None,
    after: tuple[int, int],
    until: int,
) -> Select[Any]:
    """Rows that a revision wrote, with what stood there before."""
    rows, before = source.table.alias("rows"), source.table.alias("before")
    fields = _visible(source, visible)
    changed = [differs((field, field), before, rows) for field in fields]
    same_record = and_(
        before.c[ROW] == rows.c[ROW], before.c[UNTIL] == rows.c[SINCE], meets(before, where)
    )
    return (
        select(
            rows.c[SINCE].label("revision"),
            rows.c[ROW].label("place"),
            plain_record(rows, fields).label("record"),
            *(rows.c[key].label(f"key_{at}") for at, key in enumerate(_keys(source.fields))),
        )
        .select_from(rows.outerjoin(before, same_record))
        .where(
            rows.c[SINCE] > literal(0, literal_execute=True),  # as the index says
            _behind(rows.c[SINCE], rows.c[ROW], after, until),
            or_(before.c[ROW].is_(None), *changed),
            meets(rows, where),
        )
    )


def _left(
    source: Source, where: Condition | None, after: tuple[int, int], until: int
) -> Select[Any]:
    """Rows that a revision wrote so that they meet the condition no longer."""
    rows, before = source.table.alias("rows"), source.table.alias("before")
    same_record = and_(before.c[ROW] == rows.c[ROW], before.c[UNTIL] == rows.c[SINCE])
    return (
        select(
            rows.c[SINCE].label("revision"),
            rows.c[ROW].label("place"),
            literal(None, Text()).label("record"),
            *(rows.c[key].label(f"key_{at}") for at, key in enumerate(_keys(source.fields))),
        )
        .select_from(rows.join(before, same_record))
        .where(
            rows.c[SINCE] > literal(0, literal_execute=True),  # as the index says
            _behind(rows.c[SINCE], rows.c[ROW], after, until),
            meets(before, where),
            ~meets(rows, where),
        )
    )


def _ended(
    source: Source, where: Condition | None, after: tuple[int, int], until: int
) -> Select[Any]:
    """Rows that a revision ended and put nothing in the place of."""
    rows, following = source.table.alias("rows"), source.table.alias("following")
    replaced = (
        select(literal(1))
        .select_from(following)
        .where(following.c[ROW] == rows.c[ROW], following.c[SINCE] == rows.c[UNTIL])
        .exists()
    )
    return select(
        rows.c[UNTIL].label("revision"),
        rows.c[ROW].label("place"),
        literal(None, Text()).label("record"),
        *(rows.c[key].label(f"key_{at}") for at, key in enumerate(_keys(source.fields))),
    ).where(
        rows.c[UNTIL].is_not(None),
        _behind(rows.c[UNTIL], rows.c[ROW], after, until),
        ~replaced,
        meets(rows, where),
    )


async def publication(
    session: AsyncSession,
    differences: str,
    sides: tuple[RowSet, RowSet],
    visible: tuple[frozenset[str], frozenset[str]],
    *,
    after: int,
    limit: int,
) -> list[Happened]:
    """What one publication did, behind difference `after`; one more than `limit`."""
    old, new = sides
    kept = kept_table(differences)
    before, now = old.source.table.alias("before"), new.source.table.alias("now")
    seen: list[Pair] = pairs_of(_visible(old.source, visible[0]), _visible(new.source, visible[1]))
    statement = (
        select(
            kept.c.n,
            now.c[ROW].is_(None),
            plain_record(now, _visible(new.source, visible[1])),
            *(before.c[key].label(f"old_{key}") for key in _keys(old.source.fields)),
            *(now.c[key].label(f"new_{key}") for key in _keys(new.source.fields)),
        )
        .select_from(kept)
        .outerjoin(before, and_(before.c[ROW] == kept.c.old_row, old.in_force(before)))
        .outerjoin(now, and_(now.c[ROW] == kept.c.new_row, new.in_force(now)))
        .where(kept.c.n > after, _is_seen(seen, before, now))
        .order_by(kept.c.n)
        .limit(limit + 1)
    )
    keys = len(_keys(old.source.fields))
    return [
        Happened(
            new.revision, n, tuple(key[:keys] if gone else key[keys:]), None if gone else record
        )
        for n, gone, record, *key in await session.execute(statement)
    ]


def _is_seen(pairs: Sequence[Pair], before: FromClause, now: FromClause) -> ColumnElement[bool]:
    """Whether the reader has, or had, a row of it, and sees another one or none now."""
    was_there, is_there = before.c[ROW].is_not(None), now.c[ROW].is_not(None)
    changed = [differs(pair, before, now) for pair in pairs]
    return or_(was_there != is_there, and_(was_there, is_there, or_(false(), *changed)))
