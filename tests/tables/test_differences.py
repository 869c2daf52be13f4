"""Differences found by PostgreSQL are those that Python's sets find, on any two tables."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.query.fields import Field, FieldType
from app.tables import differences, feed
from app.tables.differences import Difference, RowSet, pairs_of
from app.tables.layout import ROW, SINCE, hosted_table
from app.tables.sql import Source
from app.tables.write import create_empty

KEYED = (
    Field("no", "c001", "番号", FieldType.CODE, key=True),
    Field("name", "c002", "名称", FieldType.TEXT),
    Field("size", "c003", "定員", FieldType.DECIMAL),
    Field("open", "c004", "公開", FieldType.BOOLEAN),
)
# The same fields, in another order and with other columns.
MOVED = (
    Field("size", "c001", "定員", FieldType.DECIMAL),
    Field("no", "c002", "番号", FieldType.CODE, key=True),
    Field("open", "c003", "公開", FieldType.BOOLEAN),
    Field("name", "c004", "名称", FieldType.TEXT),
)
KEYLESS = tuple(Field(f.name, f.column, f.label, f.type) for f in KEYED)
ALL = frozenset(field.name for field in KEYED)

_VALUES = st.tuples(
    st.sampled_from(["a", "b", '"', ",(", "", None, "〓"]),
    st.sampled_from([Decimal(1), Decimal("1.0"), Decimal("1.00"), Decimal("2.5"), None]),
    st.sampled_from([True, False, None]),
)
_TABLES = st.dictionaries(st.sampled_from([f"{at:03}" for at in range(8)]), _VALUES, max_size=8)
_ROWS = st.lists(_VALUES, max_size=8)
_SETTINGS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, connections=2)
    yield opened
    await opened.close()


async def table_of(
    session: AsyncSession, fields: Sequence[Field], rows: Sequence[dict[str, Any]]
) -> RowSet:
    """A hosted table with the rows (by field name), at revision 0."""
    table = hosted_table(f"v_{secrets.token_hex(8)}", fields)
    await create_empty(session, table)
    if rows:
        stored = [
            {ROW: at, SINCE: 0, **{field.column: row[field.name] for field in fields}}
            for at, row in enumerate(rows, start=1)
        ]
        await session.execute(insert(table), stored)
    return RowSet(Source(table, tuple(fields)), 0)


def records(found: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [
        {"no": key, "name": name, "size": size, "open": is_open}
        for key, (name, size, is_open) in found.items()
    ]


@_SETTINGS
@given(old=_TABLES, new=_TABLES, moved=st.booleans())
async def test_rows_of_a_key_differ_as_dictionaries_do(
    database: Database,
    old: dict[str, tuple[Any, ...]],
    new: dict[str, tuple[Any, ...]],
    moved: bool,
) -> None:
    async with database.reading() as session:
        before = await table_of(session, KEYED, records(old))
        after = await table_of(session, MOVED if moved else KEYED, records(new))
        pairs = pairs_of(before.source.fields, after.source.fields)
        compared = differences.compare(before, after, pairs, by_key=True)
        counted = await differences.count(session, compared)
        listed = await differences.page(
            session, (before, after), pairs, ALL, after=(0, 0), limit=100, by_key=True
        )
        await session.rollback()

    expected = {
        Difference.REMOVED: old.keys() - new.keys(),
        Difference.CHANGED: {key for key in old.keys() & new.keys() if old[key] != new[key]},
        Difference.ADDED: new.keys() - old.keys(),
    }
    assert counted == {kind: len(keys) for kind, keys in expected.items()}
    told = {
        kind: {str((each.key or ("",))[0]) for each in listed if each.kind is kind}
        for kind in Difference
    }
    assert told == expected
    for each in listed:
        if each.kind is Difference.CHANGED and each.key is not None:
            key = each.key[0]
            names = ("name", "size", "open")
            was, now = (dict(zip(names, rows[key], strict=True)) for rows in (old, new))
            assert set(each.fields) == {name for name in names if was[name] != now[name]}


@_SETTINGS
@given(old=_ROWS, new=_ROWS)
async def test_rows_without_a_key_differ_as_multisets_do(
    database: Database, old: list[tuple[Any, ...]], new: list[tuple[Any, ...]]
) -> None:
    def rows_of(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        return [{"no": "x", "name": n, "size": s, "open": o} for n, s, o in rows]

    async with database.reading() as session:
        before = await table_of(session, KEYLESS, rows_of(old))
        after = await table_of(session, KEYLESS, rows_of(new))
        pairs = pairs_of(before.source.fields, after.source.fields)
        counted = await differences.count(
            session, differences.compare(before, after, pairs, by_key=False)
        )
        listed = await differences.page(
            session, (before, after), pairs, ALL, after=(0, 0), limit=100, by_key=False
        )
        await session.rollback()

    was, now = Counter(old), Counter(new)  # Decimal("1.0") is Decimal("1.00") here too
    assert counted == {
        Difference.REMOVED: (was - now).total(),
        Difference.CHANGED: 0,
        Difference.ADDED: (now - was).total(),
    }
    assert Counter(each.kind for each in listed) == +Counter(counted)
    assert all(each.key is None and each.record is not None for each in listed)


@_SETTINGS
@given(old=_TABLES, new=_TABLES, limit=st.integers(1, 3))
async def test_differences_are_paged_through_without_loss(
    database: Database,
    old: dict[str, tuple[Any, ...]],
    new: dict[str, tuple[Any, ...]],
    limit: int,
) -> None:
    async with database.reading() as session:
        sides = (
            await table_of(session, KEYED, records(old)),
            await table_of(session, KEYED, records(new)),
        )
        pairs = pairs_of(KEYED, KEYED)
        whole = await differences.page(
            session, sides, pairs, ALL, after=(0, 0), limit=100, by_key=True
        )
        paged: list[differences.Found] = []
        more = True
        while more:
            last = (differences.rank_of(paged[-1].kind), paged[-1].row) if paged else (0, 0)
            found = await differences.page(
                session, sides, pairs, ALL, after=last, limit=limit, by_key=True
            )
            more = len(found) > limit
            paged += found[:limit]
        await session.rollback()

    assert paged == whole


@_SETTINGS
@given(old=_TABLES, new=_TABLES, visible=st.sampled_from([ALL, frozenset({"no", "open"})]))
async def test_a_replica_that_takes_what_a_publication_changed_equals_it(
    database: Database,
    old: dict[str, tuple[Any, ...]],
    new: dict[str, tuple[Any, ...]],
    visible: frozenset[str],
) -> None:
    def seen(rows: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        return rows if visible == ALL else {key: (values[2],) for key, values in rows.items()}

    async with database.reading() as session:
        before = await table_of(session, KEYED, records(old))
        after = await table_of(session, MOVED, records(new))
        name = f"d_{secrets.token_hex(8)}"
        await differences.keep(session, name, before, after)
        told = await feed.publication(
            session, name, (before, after), (visible, visible), after=0, limit=100
        )
        await session.rollback()

    deleted = {each.key[0] for each in told if each.record is None}
    upserted = {each.key[0] for each in told if each.record is not None}
    was, now = seen(old), seen(new)
    assert deleted == was.keys() - now.keys()
    assert upserted == {key for key in now if was.get(key, "-") != now[key]}
    assert [each.place for each in told] == sorted(each.place for each in told)


@pytest.mark.parametrize(
    ("old", "new", "was", "is_now", "changed"),
    [
        (FieldType.TEXT, FieldType.INTEGER, "12", 12, True),  # "12" is not 12 to who reads JSON
        (FieldType.INTEGER, FieldType.DECIMAL, 12, Decimal(12), False),
        (FieldType.TEXT, FieldType.CODE, "012", "012", False),
        (FieldType.TEXT, FieldType.INTEGER, None, None, False),
    ],
)
async def test_a_field_of_another_type_differs_where_its_json_does(
    database: Database, old: FieldType, new: FieldType, was: object, is_now: object, changed: bool
) -> None:
    fields = [(KEYED[0], Field("value", "c002", "値", kind)) for kind in (old, new)]
    async with database.reading() as session:
        before = await table_of(session, fields[0], [{"no": "1", "value": was}])
        after = await table_of(session, fields[1], [{"no": "1", "value": is_now}])
        pairs = pairs_of(fields[0], fields[1])
        counted = await differences.count(
            session, differences.compare(before, after, pairs, by_key=True)
        )
        await session.rollback()

    assert counted[Difference.CHANGED] == int(changed)


async def test_a_field_that_is_new_changes_the_records_that_hold_a_value_in_it(
    database: Database,
) -> None:
    extended = (*KEYED, Field("note", "c005", "備考", FieldType.TEXT))
    row = {"name": "a", "size": None, "open": None}
    rows = [{"no": str(at), **row} for at in range(3)]
    async with database.reading() as session:
        before = await table_of(session, KEYED, rows)
        noted = [{**each, "note": "x" if each["no"] == "1" else None} for each in rows]
        after = await table_of(session, extended, noted)
        name = f"d_{secrets.token_hex(8)}"
        await differences.keep(session, name, before, after)
        visible = frozenset(field.name for field in extended)
        told = await feed.publication(
            session, name, (before, after), (ALL, visible), after=0, limit=10
        )
        await session.rollback()

    assert [each.key for each in told] == [("1",)]
