"""What differs between two sets of rows, found by PostgreSQL: no row is ever compared in Python.

Rows are matched by their key; without one, by their whole contents, each as often as it comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateTable, DropTable

from app.query.fields import Field, FieldType
from app.query.question import Condition
from app.tables.encode import json_text, plain_record
from app.tables.layout import ROW, SCHEMA, SINCE, UNTIL, sql_type
from app.tables.permitted import meets
from app.tables.sql import Source

# A field as the old and the new rows have it; None where only the other has it.
Pair = tuple[Field | None, Field | None]


class Difference(StrEnum):
    """How a row of one set stands to the other, in the order in which they are listed."""

    REMOVED = "removed"
    CHANGED = "changed"
    ADDED = "added"


_RANKS: Final[Mapping[int, Difference]] = dict(enumerate(Difference))


@dataclass(frozen=True, slots=True)
class RowSet:
    """A version's rows at one revision, those that meet `where` alone: they never change."""

    source: Source
    revision: int
    where: Condition | None = None

    def in_force(self, rows: FromClause) -> ColumnElement[bool]:
        """The condition that `rows`, of this set's table, belong to it."""
        return and_(
            rows.c[SINCE] <= self.revision,
            or_(rows.c[UNTIL].is_(None), rows.c[UNTIL] > self.revision),
            meets(rows, self.where),
        )

    def seen_by(self, visible: frozenset[str]) -> list[Field]:
        """The fields that may leave."""
        return [field for field in self.source.fields if field.name in visible]


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. JSON texts as PostgreSQL wrote them; `fields` are (before, after) by name."""

    kind: Difference
    row: int
    key: tuple[Any, ...] | None
    record: str | None  # of a row that was added or removed
    fields: Mapping[str, tuple[str, str]]


def pairs_of(
    old: Sequence[Field], new: Sequence[Field], visible: frozenset[str] | None = None
) -> list[Pair]:
    """The fields of both by name, those of the new first; only visible ones where told."""
    before = {field.name: field for field in old}
    after = {field.name: field for field in new}
    names = [*after, *(name for name in before if name not in after)]
    return [
        (before.get(name), after.get(name)) for name in names if visible is None or name in visible
    ]


def key_names(fields: Sequence[Field]) -> list[str]:
    """The names of the key's fields, in their order."""
    return [field.name for field in fields if field.key]


def has_same_key(old: Sequence[Field], new: Sequence[Field]) -> bool:
    """Whether both have a key, of the same fields: only then is a record the same record."""
    names = key_names(new)
    return bool(names) and sorted(names) == sorted(key_names(old))


def differs(pair: Pair, old: FromClause, new: FromClause) -> ColumnElement[bool]:
    """Whether a field's value differs. One that only one side has differs where it is not null."""
    before, after = pair
    if before is None or after is None:
        kept, rows = (before, old) if after is None else (after, new)
        return rows.c[kept.column].is_not(None) if kept is not None else false()
    left, right = _alike(before, after, old, new)
    return left.is_distinct_from(right)


def _alike(
    before: Field, after: Field, old: FromClause, new: FromClause
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Both values as they can be compared: of two types, as they look in JSON."""
    left, right = old.c[before.column], new.c[after.column]
    if type(sql_type(before.type)) is type(sql_type(after.type)):
        return left, right
    return cast(func.to_json(left), Text()), cast(func.to_json(right), Text())


def _full_pairs(pairs: Sequence[Pair]) -> list[tuple[Field, Field]]:
    return [(old, new) for old, new in pairs if old is not None and new is not None]


def compare(old: RowSet, new: RowSet, pairs: Sequence[Pair], *, by_key: bool) -> Select[Any]:
    """Every difference: `rank` (as `Difference` is ordered), `old_row`, `new_row`."""
    if not by_key:
        return _compare_contents(old, new, _full_pairs(pairs))
    before, after = (
        select(side.source.table).where(side.in_force(side.source.table)).subquery(name)
        for side, name in ((old, "old"), (new, "new"))
    )
    same = []
    for pair in _full_pairs(pairs_of(old.source.fields, new.source.fields)):
        if pair[1].key:
            left, right = _alike(*pair, before, after)
            same.append(left == right)
    changed = or_(false(), *(differs(pair, before, after) for pair in pairs))
    return _ranked(before, after, and_(*same), changed)


def _ranked(
    before: FromClause,
    after: FromClause,
    same: ColumnElement[bool],
    changed: ColumnElement[bool],
) -> Select[Any]:
    gone, fresh = after.c[ROW].is_(None), before.c[ROW].is_(None)
    rank = case(
        (gone, literal(0, literal_execute=True)),
        (fresh, literal(2, literal_execute=True)),
        else_=literal(1, literal_execute=True),
    )
    return (
        select(
            cast(rank, Integer()).label("rank"),
            before.c[ROW].label("old_row"),
            after.c[ROW].label("new_row"),
        )
        .select_from(before.join(after, same, full=True))
        .where(or_(gone, fresh, changed))
    )


def _compare_contents(
    old: RowSet, new: RowSet, pairs: Sequence[tuple[Field, Field]]
) -> Select[Any]:
    """A row that comes three times here and once there was removed twice (EXCEPT ALL, both ways)."""
    before, after = (
        _numbered(side, [_content(pair, at, side.source.table) for pair in pairs])
        for at, side in enumerate((old, new))
    )
    same = and_(before.c.content == after.c.content, before.c.copy == after.c.copy)
    return _ranked(before, after, same, false())


def _content(pair: tuple[Field, Field], at: int, table: Table) -> ColumnElement[Any]:
    """A value as text that is the same for the same value, on whichever side."""
    before, after = pair
    column = table.c[pair[at].column]
    if before.type is after.type is FieldType.DECIMAL:
        return func.trim_scale(column)  # 1.0 is 1.00
    if type(sql_type(before.type)) is type(sql_type(after.type)):
        return column
    return cast(func.to_json(column), Text())


def _numbered(side: RowSet, contents: Sequence[ColumnElement[Any]]) -> FromClause:
    """Rows with a digest of their contents, and which copy of it each is."""
    table = side.source.table
    whole = cast(func.row(*contents), Text())
    digest = func.sha256(func.convert_to(whole, "UTF8")).label("content")
    hashed = select(table.c[ROW], digest).where(side.in_force(table)).subquery()
    copy = func.row_number().over(partition_by=hashed.c.content, order_by=hashed.c[ROW])
    return select(hashed.c[ROW], hashed.c.content, copy.label("copy")).subquery()


async def count(session: AsyncSession, compared: Select[Any]) -> dict[Difference, int]:
    """How many differences there are of each kind."""
    found = compared.subquery("found")
    rows = await session.execute(select(found.c.rank, func.count()).group_by(found.c.rank))
    counted = {_RANKS[rank]: number for rank, number in rows}
    return {kind: counted.get(kind, 0) for kind in Difference}


def rank_of(kind: Difference) -> int:
    """The place of a kind in the order in which differences are listed."""
    return list(Difference).index(kind)


async def page(
    session: AsyncSession,
    sides: tuple[RowSet, RowSet],
    pairs: Sequence[Pair],
    visible: frozenset[str],
    *,
    after: tuple[int, int],
    limit: int,
    by_key: bool,
) -> list[Found]:
    """Differences behind `after` (rank, row), removed ones first, one more than `limit`."""
    old, new = sides
    found = compare(old, new, pairs, by_key=by_key).subquery("found")
    row = func.coalesce(found.c.new_row, found.c.old_row).label("row")
    place = tuple_(found.c.rank, row)
    on_page = (
        select(found, row)
        .where(place > tuple_(literal(after[0]), literal(after[1])))
        .order_by(found.c.rank, row)
        .limit(limit + 1)
        .subquery("page")
    )
    before, now = old.source.table.alias("before"), new.source.table.alias("now")
    both = _full_pairs(pairs)
    keys = _full_pairs(pairs_of(old.source.fields, new.source.fields)) if by_key else []
    keyed = [pair for pair in keys if pair[1].key]
    statement = (
        select(
            on_page.c.rank,
            on_page.c.row,
            plain_record(before, old.seen_by(visible)),
            plain_record(now, new.seen_by(visible)),
            _list([differs(pair, before, now) for pair in both], Boolean()),
            _list([json_text(pair[0], before.c[pair[0].column]) for pair in both], Text()),
            _list([json_text(pair[1], now.c[pair[1].column]) for pair in both], Text()),
            *(before.c[pair[0].column].label(f"old_key_{at}") for at, pair in enumerate(keyed)),
            *(now.c[pair[1].column].label(f"new_key_{at}") for at, pair in enumerate(keyed)),
        )
        .select_from(on_page)
        .outerjoin(before, and_(before.c[ROW] == on_page.c.old_row, old.in_force(before)))
        .outerjoin(now, and_(now.c[ROW] == on_page.c.new_row, new.in_force(now)))
        .order_by(on_page.c.rank, on_page.c.row)
    )
    names = [pair[1].name for pair in both]
    return [_found(each, names, len(keyed)) for each in await session.execute(statement)]


def _list(items: Sequence[ColumnElement[Any]], kind: Any) -> ColumnElement[Any]:
    return cast(array(items), ARRAY(kind)) if items else cast(array([], type_=kind), ARRAY(kind))


def _found(row: Any, names: Sequence[str], keys: int) -> Found:
    rank, position, before, now, flags, old_values, new_values, *key = row
    kind = _RANKS[rank]
    removed = kind is Difference.REMOVED
    changed = zip(names, flags, old_values, new_values, strict=True)
    return Found(
        kind=kind,
        row=position,
        key=tuple(key[:keys] if removed else key[keys:]) if keys else None,
        record={Difference.REMOVED: before, Difference.ADDED: now}.get(kind),
        fields={name: (old, new) for name, flag, old, new in changed if flag}
        if kind is Difference.CHANGED
        else {},
    )


# --- kept for the change feed ----------------------------------------------------------------------


def kept_table(name: str) -> Table:
    """The differences that a publication made, numbered: row numbers only, no copy of a row."""
    return Table(
        name,
        MetaData(schema=SCHEMA),
        Column("n", BigInteger(), primary_key=True, autoincrement=False),
        Column("old_row", BigInteger()),
        Column("new_row", BigInteger()),
    )


async def keep(session: AsyncSession, name: str, old: RowSet, new: RowSet) -> None:
    """Find what a publication changes of each record, by key, and keep it: removals first."""
    pairs = pairs_of(old.source.fields, new.source.fields)
    found = compare(old, new, pairs, by_key=True).subquery("found")
    order = [found.c.rank, func.coalesce(found.c.new_row, found.c.old_row)]
    number = func.row_number().over(order_by=order)
    table = kept_table(name)
    await session.execute(CreateTable(table))
    await session.execute(
        insert(table).from_select(
            ["n", "old_row", "new_row"], select(number, found.c.old_row, found.c.new_row)
        )
    )


async def drop(session: AsyncSession, name: str) -> None:
    """Let kept differences, or a version's rows, go."""
    await session.execute(DropTable(Table(name, MetaData(schema=SCHEMA)), if_exists=True))
