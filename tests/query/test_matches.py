"""SQL and `matches` are two readings of one condition: on random filters they answer alike."""

import asyncio
import json
import random
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import literal_column
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.types import Text

from app.api.state import Platform
from app.kit.clock import TOKYO
from app.query import cql
from app.query.caseless import folded
from app.query.fields import Field
from app.query.matches import matches
from app.query.question import Folding
from app.query.refusals import InvalidFilter
from app.tables.operands import folded_sql
from tests.conftest import ISSUER
from tests.stock import Spec, declared, path, stocked
from tests.world import World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("n", "integer"), ("m", "integer"), ("x", "decimal"), ("y", "decimal"),
    ("t", "text"), ("u", "text"), ("d", "date"), ("e", "date"), ("at", "datetime"),
    ("until", "datetime"), ("b", "boolean"), ("c", "boolean"), ("mo", "month"),
    ("fy", "fiscal_year"), ("lat", "latitude"), ("lon", "longitude"),
)  # fmt: skip
FIELDS = {each["name"]: Field.from_json(each) for each in declared(SPECS)}
TEXTS = [
    "a",
    "A",
    "Ａ",
    "ab",
    "a%",
    "a_b",
    "a\\b",
    "ｶﾞ",
    "ガ",
    "が",
    "Straße",
    "STRASSE",
    "Ko",
    "Kø",
    "é",
    "e\u0301",
    "髙",
    "１％",
    "㍻",
]
DAYS = [date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 30), date(2024, 2, 29)]
MOMENTS = [
    datetime(2026, 3, 31, 15, tzinfo=UTC),  # midnight in Japan
    datetime(2026, 3, 31, 14, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 4, 30, 23, 59, 59, tzinfo=TOKYO),
    datetime(2026, 4, 1, 12, 30, tzinfo=TOKYO),
]
NUMBERS = [-3, -1, 0, 1, 2, 7, 2**53 + 1, 2**62]
DECIMALS = [
    Decimal("-0.5"),
    Decimal(0),
    Decimal("0.1"),
    Decimal("0.2"),
    Decimal("2.50"),
    Decimal("1e9"),
]
VALUES: dict[str, list[Any]] = {
    "n": NUMBERS, "m": NUMBERS, "x": DECIMALS, "y": DECIMALS, "t": TEXTS, "u": TEXTS, "d": DAYS,
    "e": DAYS, "at": MOMENTS, "until": MOMENTS, "b": [True, False], "c": [True, False],
    "mo": ["2026-03", "2026-04", "2024-02"], "fy": ["2025", "2026"],
    "lat": [34.7, 35.123456789, 34.7 + 1e-13], "lon": [135.5, 139.0],
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    dice = random.Random(20260401)
    return [
        {"no": f"{at:03}"} | {name: dice.choice([None, *one, *one]) for name, one in VALUES.items()}
        for at in range(120)
    ]


ROWS = rows()


def written(value: Any) -> Any:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dataset(platform: Any, client: httpx.AsyncClient) -> str:
    world = World(platform, client)
    await world.start()
    records = [{name: written(value) for name, value in row.items()} for row in ROWS]
    return await stocked(world, records, SPECS)


def node(op: str, *args: Any) -> dict[str, Any]:
    return {"op": op, "args": list(args)}


def props(*names: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([{"property": name} for name in names])


COMPARISONS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
NUMERIC = st.recursive(
    st.one_of(
        props("n", "m", "x", "y", "lat", "lon"),
        st.sampled_from([-2, 0, 0.5, 1, 3, 1e30, 0.1]),
    ),
    lambda inner: st.builds(
        node, st.sampled_from(["+", "-", "*", "/", "%", "div", "^"]), inner, inner
    ),
    max_leaves=4,
)
TEXTUAL = st.recursive(
    st.one_of(props("t", "u"), st.sampled_from(TEXTS)),
    lambda inner: st.builds(node, st.sampled_from(["casei", "accenti"]), inner),
    max_leaves=2,
)
PATTERNS = st.builds(
    lambda text, by: text if by is None else node(by, text),
    st.text("aA%_ガｶﾞé％ø", max_size=4),
    st.sampled_from([None, "casei", "accenti"]),
)
DAY = st.sampled_from([{"date": each.isoformat()} for each in DAYS])
MOMENT = st.sampled_from([{"timestamp": each.isoformat()} for each in MOMENTS])
INSTANTS = st.one_of(props("d", "e", "at", "until"), DAY, MOMENT)
ENDS = st.one_of(
    props("d", "e", "at", "until", "mo", "fy"),
    st.sampled_from(["..", *(written(each) for each in (*DAYS, *MOMENTS))]),
)
INTERVALS = st.one_of(st.builds(lambda a, b: {"interval": [a, b]}, ENDS, ENDS), props("mo", "fy"))
OF_INSTANTS = st.sampled_from(["t_after", "t_before", "t_disjoint", "t_equals", "t_intersects"])
OF_INTERVALS = st.sampled_from(
    ["t_contains", "t_during", "t_finishedBy", "t_finishes", "t_meets", "t_metBy", "t_overlappedBy",
     "t_overlaps", "t_startedBy", "t_starts"]
)  # fmt: skip
LEAVES = st.one_of(
    st.builds(node, COMPARISONS, NUMERIC, NUMERIC),
    st.builds(node, st.sampled_from(["=", "<>"]), TEXTUAL, TEXTUAL),
    st.builds(node, COMPARISONS, INSTANTS, INSTANTS),
    st.builds(node, st.just("between"), NUMERIC, NUMERIC, NUMERIC),
    st.builds(node, st.just("in"), NUMERIC, st.lists(NUMERIC, min_size=1, max_size=3)),
    st.builds(node, st.just("in"), TEXTUAL, st.lists(TEXTUAL, min_size=1, max_size=3)),
    st.builds(node, st.just("in"), INSTANTS, st.lists(INSTANTS, min_size=1, max_size=3)),
    st.builds(node, st.just("like"), TEXTUAL, PATTERNS),
    st.builds(node, st.just("isNull"), st.one_of(NUMERIC, TEXTUAL, props("b", "at", "mo"))),
    st.builds(node, OF_INSTANTS, INSTANTS | INTERVALS, INSTANTS | INTERVALS),
    st.builds(node, OF_INTERVALS, INTERVALS, INTERVALS),
    props("b", "c"),
    st.builds(node, COMPARISONS, props("b"), props("b", "c") | st.booleans()),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one: node("not", one), inner),
        st.builds(node, st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=4,
)


async def numbers(app: FastAPI, dataset: str, tree: Any) -> tuple[int, list[str]]:
    transport = httpx.ASGITransport(app=app)
    asked = {"filter": json.dumps(tree), "filter-lang": "cql2-json", "fields": "no", "limit": "999"}
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
        response = await client.get(path(dataset), params=asked)
    found = response.json().get("records", [])
    return response.status_code, [record["no"] for record in found]


async def test_sql_returns_the_records_that_match(app: FastAPI, dataset: str) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(FILTERS)
    def holds(tree: Any) -> None:
        asking = asyncio.run_coroutine_threadsafe(numbers(app, dataset, tree), loop)
        try:
            condition = cql.parse_json(json.dumps(tree), FIELDS.__getitem__)
        except InvalidFilter:
            assert asking.result()[0] == 400
            return
        expected = [row["no"] for row in ROWS if matches(condition, row) is True]
        assert asking.result() == (200, expected)

    await asyncio.to_thread(holds)


@pytest.mark.parametrize("by", list(Folding))
@pytest.mark.parametrize("around", ["{}", "A{}\u0308"])
async def test_folding_in_sql_is_folding_in_python_for_the_whole_basic_plane(
    platform: Platform, by: Folding, around: str
) -> None:
    # Kanji, Hangul and private use are like one another; what Python does not know yet may differ.
    blocks = (
        range(1, 0x3400),
        range(0x4DC0, 0x4E10),
        range(0xA000, 0xAC10),
        range(0xF900, 0x10000),
    )
    letters = [chr(at) for block in blocks for at in block]
    texts = [around.format(each) for each in letters if unicodedata.category(each) != "Cn"]
    expression = folded_sql(by, literal_column("x", Text()))
    compiled = expression.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})
    statement = f"SELECT {compiled} FROM unnest($1::text[]) WITH ORDINALITY AS t(x, n) ORDER BY n"

    found = await platform.database.pool.fetch(statement, texts)

    assert [row[0] for row in found] == [folded(by, text) for text in texts]


def test_an_unknown_is_neither_true_nor_false() -> None:
    def truth(text: str, **record: Any) -> bool | None:
        return matches(cql.parse_text(text, FIELDS.__getitem__), record)

    assert truth("n = 1") is None
    assert truth("NOT n = 1") is None
    assert truth("n = 1 AND FALSE") is False
    assert truth("n = 1 OR TRUE") is True
    assert truth("n / m = 1", n=1, m=0) is None
    assert truth("t_intersects(d, INTERVAL('..', '..'))") is None
    assert truth("t_intersects(d, INTERVAL('..', '..'))", d=DAYS[0] + timedelta(1)) is True
