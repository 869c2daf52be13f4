"""A database's answer, filtered again, is what filtering all rows gives: on any condition, in each."""

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.connectors import sql_mysql_wire, sql_postgresql, sql_sqlite
from app.connectors.errors import CannotAnswer, SourceChanged
from app.connectors.frame import Known
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.connectors.sql_reading import Holds, Reading
from app.formats.text import NO_CODE, NULLS
from app.kit.clock import TOKYO
from app.live.typed import read_of
from app.query.fields import Field, FieldType
from app.query.matches import matches
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Order,
    Question,
    Words,
)
from tests.connectors.databases import foreign_database
from tests.connectors.sources import means
from tests.connectors.sql.mariadb import MariaDb
from tests.database import DatabaseServer

TEXTS = [
    "a", "A", "á", "Ａ", "a ", " a", "ab", "aB", "a%", "a_b", "a\\b", "a*", "[a]", "?", "", "-", "ß",
    "ss", "Ａ１", "A1", "\u3000a", "N/A", "区域外", "ガ", "が", "ｶﾞ", "髙", "高", "𠮷", "﨑", "\t", "a\tb", "'; DROP TABLE t; --", '"', "%s", "10",
]  # fmt: skip
NUMBERS = [-3, 0, 1, 2, 10, 2**53 + 1, 2**62]
DECIMALS = [Decimal("-0.50"), Decimal("0.00"), Decimal("0.10"), Decimal("2.50"), Decimal(10)]
DOUBLES = [0.1, 34.7, 35.123456789, 34.7 + 1e-13, 0.0, -1e20]
DAYS = [
    date(2026, 3, 31),
    date(2026, 4, 1),
    date(2024, 2, 29),
    date(1000, 1, 1),
    date(9999, 12, 31),
]
MOMENTS = [
    datetime(2026, 3, 31, 15, tzinfo=UTC), datetime(2026, 3, 31, 14, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 4, 1, 12, 30, tzinfo=TOKYO), datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
]  # fmt: skip
VALUES: dict[str, tuple[FieldType, list[Any]]] = {
    "t": (FieldType.TEXT, TEXTS), "c": (FieldType.CODE, TEXTS), "n": (FieldType.INTEGER, NUMBERS),
    "x": (FieldType.DECIMAL, DECIMALS), "lat": (FieldType.LATITUDE, DOUBLES),
    "b": (FieldType.BOOLEAN, [True, False]), "d": (FieldType.DATE, DAYS),
    "at": (FieldType.DATETIME, MOMENTS), "until": (FieldType.DATETIME, MOMENTS),
}  # fmt: skip
FIELDS = {
    name: Field(name, name, name, type_)
    for name, type_ in [("no", FieldType.INTEGER), *((n, v[0]) for n, v in VALUES.items())]
}
_DICE = random.Random(20260404)
ROWS: dict[int, dict[str, Any]] = {
    no: {"no": no, **{n: _DICE.choice([None, *v, *v]) for n, (_, v) in VALUES.items()}}
    for no in range(90)
}
COLUMNS = {
    "postgresql": "no int PRIMARY KEY, t text, c varchar(40), n bigint, x numeric(12,2), lat float8,"
    " b boolean, d date, at timestamp, until timestamptz",
    "mysql": "no int PRIMARY KEY, t varchar(40), c varchar(40) CHARACTER SET utf8mb3 COLLATE"
    " utf8mb3_unicode_ci, n bigint, x decimal(12,2), lat double, b tinyint(1), d date,"
    " at datetime(6), until timestamp(6) NULL",
    "sqlite": "no INTEGER PRIMARY KEY, t TEXT COLLATE NOCASE, c VARCHAR(40), n BIGINT, x DECIMAL,"
    " lat REAL, b BOOLEAN, d DATE, at DATETIME, until TIMESTAMP",
}
for row in ROWS.values():  # of three bytes at most: what utf8mb3 has
    row["c"] = None if row["c"] == "𠮷" else row["c"]


_MODULES = {"postgresql": sql_postgresql, "mysql": sql_mysql_wire, "sqlite": sql_sqlite}


class _Kept(SqlConnector):
    """Signs in once for all questions."""

    open: Reading

    @asynccontextmanager
    async def _reading(self, *_: Any) -> AsyncIterator[Reading]:
        yield self.open


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connectors(
    embedded: DatabaseServer, mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, _Kept]]:
    """The same table in each database, behind a connector."""
    folder = tmp_path_factory.mktemp("lent")
    naive = [
        {**row, "at": row["at"] and row["at"].astimezone(TOKYO).replace(tzinfo=None)}
        for row in ROWS.values()
    ]
    async with foreign_database(embedded) as source, means("127.0.0.0/8", folder) as its:
        await source.owner.execute(f"CREATE TABLE t ({COLUMNS['postgresql']})")
        await source.owner.execute(f"GRANT SELECT ON t TO {source.user}")
        await source.owner.copy_records_to_table("t", records=[tuple(r.values()) for r in naive])
        database = mariadb.database("questions")
        mariadb.owner.select_db(database)
        mariadb.run(f"CREATE TABLE t ({COLUMNS['mysql']})")
        mariadb.run("SET time_zone = '+00:00'")
        marks = ", ".join(["%s"] * len(FIELDS))
        _put(folder / "t.sqlite3", [*map(_as_sqlite, naive)])
        with mariadb.owner.cursor() as cursor:
            utc = [{**r, "until": r["until"] and r["until"].astimezone(UTC)} for r in naive]
            cursor.executemany(f"INSERT INTO t VALUES ({marks})", [tuple(r.values()) for r in utc])
        told: dict[str, dict[str, object]] = {
            "postgresql": source.settings(),
            "mysql": mariadb.settings(database),
            "sqlite": {"dialect": "sqlite", "database": str(folder / "t.sqlite3")},
        }
        made = {n: _Kept(SqlSettings.model_validate(t), its) for n, t in told.items()}
        async with AsyncExitStack() as stack:
            for each in made.values():
                each.open = await stack.enter_async_context(SqlConnector._reading(each, 60))
            yield made


def _as_sqlite(row: dict[str, Any]) -> tuple[Any, ...]:
    plain = {date: str, datetime: str, Decimal: float, bool: int}
    return tuple(plain.get(type(v), lambda each: each)(v) for v in row.values())


def _put(path: Path, rows: list[tuple[Any, ...]]) -> None:
    owner = sqlite3.connect(path)
    owner.execute(f"CREATE TABLE t ({COLUMNS['sqlite']})")
    owner.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(FIELDS))})", rows)
    owner.commit()
    owner.close()


def _near(value: Any) -> st.SearchStrategy[Any]:
    match value:
        case bool() | str():
            return st.just(value)
        case int():
            return st.sampled_from([value, value + 1, Decimal(value) + Decimal("0.5"), 2**70])
        case Decimal():
            return st.sampled_from([value, value + Decimal("0.001"), int(value)])
        case float():
            return st.sampled_from([value, value + 1e-12, value * 2])
        case datetime():
            return st.sampled_from([value, value + timedelta(microseconds=1)])
        case _:
            return st.just(value)


def _literal(name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(VALUES[name][1]).flatmap(_near)


@st.composite
def _alone(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(sorted(VALUES)))
    field, value = FIELDS[name], _literal(name)
    ops = ["=", "<>"] if name == "b" else ["=", "<>", "<", "<=", ">", ">="]
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return OneOf(field, tuple(draw(st.lists(value, min_size=1, max_size=3))))
    if kind == 1:
        return IsNull(field)
    if kind == 2 and name != "b":
        return Between(field, draw(value), draw(value))
    if kind == 3 and name in ("t", "c"):
        parts = st.lists(st.sampled_from(["%", "_", "\\%", "\\\\", "a", "A", "[", "*", "ガ", "ß"]))
        return Like(field, "".join(draw(parts)))
    if kind == 4 and name not in ("n", "x", "lat"):
        return Match(Given(draw(value)), draw(st.sampled_from(ops)), field)
    if kind == 5:
        odd: list[Condition] = [Constant(True), Words((FIELDS["t"],), (("a",),))]
        return draw(st.sampled_from(odd))
    return Compare(field, draw(st.sampled_from(ops)), draw(value))


CONDITIONS = st.recursive(
    _alone(),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=1, max_size=3).map(lambda p: Both(tuple(p))),
        st.lists(inner, min_size=1, max_size=3).map(lambda p: Either(tuple(p))),
    ),
    max_leaves=5,
)


async def _numbers(
    connector: SqlConnector, selection: SqlSelection, question: Question
) -> list[int]:
    async with connector.fetch(selection, question) as got:
        assert got is not None
        return [row["no"] async for batch in got.batches for row in batch]


_SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_SETTINGS
@given(condition=CONDITIONS)
@example(condition=Compare(FIELDS["c"], "=", "𠮷"))
async def test_no_row_that_meets_a_condition_is_lost(
    connectors: dict[str, _Kept], condition: Condition
) -> None:
    selection = SqlSelection(table="t")
    meant = {no for no, row in ROWS.items() if matches(condition, _as_made(row))}
    for connector in connectors.values():
        part = connector.part(selection, Question((FIELDS["no"],), where=condition))

        found = await _numbers(connector, selection, part)

        assert meant <= set(found)
        assert len(found) == len(set(found))


def _as_made(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the platform makes it: texts without blanks around them, codes in ASCII."""
    text, code = read_of(FIELDS["t"]), read_of(FIELDS["c"])
    return {**row, "t": text(row["t"]), "c": code(row["c"])}


def _as_said(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose texts already stand so, as `types` says of them; words for nothing are none."""
    none = {"t": NULLS, "c": NULLS | {NO_CODE}}
    return {**row, **{n: None if row[n] in words else row[n] for n, words in none.items()}}


TYPES = {
    "no": "integer", "t": "text", "c": "text", "n": "integer", "x": "decimal", "d": "date",
    "at": "moment", "until": "instant",
}  # fmt: skip
_SORTABLE = st.builds(Order, st.sampled_from([FIELDS[n] for n in TYPES]), st.booleans())


def _types(name: str) -> dict[str, str]:
    if name == "sqlite":  # which has neither decimals nor days
        return {n: t for n, t in TYPES.items() if t in ("integer", "text")}
    return {**TYPES, **({"b": "boolean"} if name == "postgresql" else {})}


def _sorted(rows: list[dict[str, Any]], order: tuple[Order, ...]) -> list[dict[str, Any]]:
    """In the order of the platform: what is unknown comes last, what is alike by its key."""
    rows = sorted(rows, key=lambda row: row["no"])
    for each in reversed(order):
        name = each.field.name
        known = [row for row in rows if row[name] is not None]
        known.sort(key=lambda row: row[name], reverse=each.descending)
        rows = known + [row for row in rows if row[name] is None]
    return rows


@_SETTINGS
@given(
    condition=CONDITIONS,
    order=st.lists(_SORTABLE, min_size=1, max_size=2).map(tuple),
    page=st.tuples(st.integers(0, 12), st.integers(0, 20)),
)
async def test_an_order_and_a_page_are_kept_only_as_the_platform_has_them(
    connectors: dict[str, _Kept],
    condition: Condition,
    order: tuple[Order, ...],
    page: tuple[int, int],
) -> None:
    limit, offset = page
    said = [_as_said(row) for row in ROWS.values()]
    rows = _sorted([row for row in said if matches(condition, row)], order)
    asked = Question((FIELDS["no"],), where=condition, order=order, limit=limit, offset=offset)
    for name, connector in connectors.items():
        selection = SqlSelection.model_validate({"table": "t", "types": _types(name)})
        part = connector.part(selection, asked)

        found = await _numbers(connector, selection, part)

        if part.order:
            assert found == [row["no"] for row in rows][offset : offset + limit]
            assert (part.limit, part.offset) == page
        else:
            assert {row["no"] for row in rows} <= set(found)


def _compare(name: str, op: str, value: Any) -> Compare:
    return Compare(FIELDS[name], op, value)


@pytest.mark.parametrize("name", ["postgresql", "mysql", "sqlite"])
async def test_what_a_database_can_hold_is_held_by_it(
    connectors: dict[str, _Kept], name: str
) -> None:
    selection = SqlSelection.model_validate({"table": "t", "types": _types(name)})
    conditions: list[Condition] = [
        _compare("t", "=", "a"), _compare("t", "<>", "A"), _compare("t", "<", "が"),
        _compare("n", ">", Decimal("1.5")), OneOf(FIELDS["c"], ("a", "ガ")),
        Like(FIELDS["t"], "a\\_%"), Not(Like(FIELDS["t"], "%a%")), IsNull(FIELDS["n"]),
        Not(Either((_compare("t", "=", "a"), Between(FIELDS["n"], 0, 2)))),
    ]  # fmt: skip
    if name != "sqlite":
        conditions += [_compare("d", "=", DAYS[0]), _compare("at", "<=", MOMENTS[1])]
        conditions += [_compare("until", ">", MOMENTS[1]), _compare("x", "=", Decimal("2.5"))]
    for condition in conditions:
        asked = Question((FIELDS["no"],), where=condition, order=(Order(FIELDS["no"]),), limit=5)

        part = connectors[name].part(selection, asked)

        assert part == asked
        held = await _numbers(connectors[name], selection, replace(part, limit=None))
        assert held == [no for no, row in ROWS.items() if matches(condition, _as_said(row))]


async def test_what_no_database_can_hold_is_left_to_the_platform(
    connectors: dict[str, _Kept],
) -> None:
    connector, selection = connectors["sqlite"], SqlSelection(table="t")
    hopeless = Words((FIELDS["t"],), (("a",),))
    held = _compare("n", "=", 1)
    order = (Order(FIELDS["no"]),)
    asked = Question((FIELDS["no"],), where=Both((hopeless, held)), order=order, limit=1)

    part = connector.part(selection, asked)

    assert part == Question((FIELDS["no"],), where=held, limit=None)
    with pytest.raises(CannotAnswer):
        await _numbers(connector, selection, asked)
    with pytest.raises(CannotAnswer):
        await _numbers(connector, selection, replace(part, count=True))


async def test_a_column_that_holds_something_else_than_was_said_is_told(
    connectors: dict[str, _Kept],
) -> None:
    selection = SqlSelection(table="t", types={"t": Holds.INTEGER})

    with pytest.raises(SourceChanged) as refused:
        await _numbers(connectors["mysql"], selection, Question((FIELDS["no"],), limit=None))

    assert "t" in refused.value.words("en")


async def test_a_column_that_is_not_selected_can_be_neither_had_nor_asked_by(
    connectors: dict[str, _Kept],
) -> None:
    connector = connectors["mysql"]
    selection = SqlSelection.model_validate(
        {"table": "t", "columns": ["no"], "types": _types("mysql")}
    )
    asked = Question((FIELDS["no"],), where=_compare("n", "=", 1), limit=None)

    assert connector.part(selection, replace(asked, limit=1)).limit is None
    assert len(await _numbers(connector, selection, asked)) == len(ROWS)
    for refused in (
        replace(asked, fields=(FIELDS["no"], FIELDS["n"])),
        replace(asked, order=(Order(FIELDS["n"]),)),
    ):
        with pytest.raises((SourceChanged, CannotAnswer)):
            await _numbers(connector, selection, refused)


async def test_a_row_is_what_the_dataset_means_by_it(connectors: dict[str, _Kept]) -> None:
    asked = Question(tuple(FIELDS.values()), limit=None)
    for name in ("postgresql", "mysql"):
        async with connectors[name].fetch(SqlSelection(table="t"), asked) as got:
            assert got is not None
            rows = {row["no"]: dict(row) async for batch in got.batches for row in batch}

        assert rows == ROWS


@pytest.mark.parametrize(
    ("name", "column", "overlap"),
    [
        ("postgresql", "n", 9), ("postgresql", "x", 2), ("postgresql", "d", 86_400 * 2),
        ("postgresql", "at", 5), ("postgresql", "until", 5), ("mysql", "n", 9), ("mysql", "x", 2),
        ("mysql", "d", 86_400 * 2), ("mysql", "until", 5), ("sqlite", "n", 9),
    ],
)  # fmt: skip
async def test_what_came_late_is_harvested_within_the_overlap(
    connectors: dict[str, _Kept], name: str, column: str, overlap: int
) -> None:
    later = MOMENTS[0] + timedelta(seconds=5)
    marks: dict[str, tuple[str, Any]] = {
        "n": ("10", 1), "x": ("2", Decimal(0)), "d": ("2026-04-01", date(2026, 3, 30)),
        "at": (str(later.astimezone(TOKYO).replace(tzinfo=None)), MOMENTS[0]),
        "until": (str(later) if name == "postgresql" else str(later)[:-6], MOMENTS[0]),
    }  # fmt: skip
    told, least = marks[column]
    selection = SqlSelection(table="t", columns=["no"], watermark=column, overlap=overlap)

    async with connectors[name].harvest(selection, Known({"watermark": told})) as got:
        assert got is not None
        lines = b"".join([piece async for piece in got.pieces]).decode().split()[1:]

    assert got.delta
    assert {int(line) for line in lines} == {
        no for no, row in ROWS.items() if row[column] is not None and row[column] >= least
    }


async def test_no_more_is_held_at_once_than_rows_of_so_many_bytes(
    connectors: dict[str, _Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_postgresql, "_FIRST_BATCH", 9)
    longest = {}
    for name, module in _MODULES.items():
        monkeypatch.setattr(module, "MOST_AT_ONCE", 30)
        asked = Question((FIELDS["no"], FIELDS["t"], FIELDS["c"]), limit=None)
        async with connectors[name].fetch(SqlSelection(table="t"), asked) as got:
            assert got is not None
            sizes = [len(batch) async for batch in got.batches]
        assert sum(sizes) == len(ROWS)
        longest[name] = max(sizes)

    assert all(each < 40 for each in longest.values())
