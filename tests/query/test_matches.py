"""SQL and `matches` are two readings of one condition: on random filters they answer alike."""

import asyncio
import json
import random
import unicodedata
from dataclasses import dataclass
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
from app.query.params import Known, read_words
from app.query.question import Both, Folding, Relation
from app.query.refusals import InvalidFilter, InvalidQuestion
from app.tables.operands import folded_sql
from tests.bound import HOOKS
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
SHAPED: tuple[Spec, ...] = (*SPECS, ("g", "geometry"))
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
DAYS = [
    date(2026, 3, 31),
    date(2026, 4, 1),
    date(2026, 4, 30),
    date(2024, 2, 29),
    date(1, 1, 1),
    date(9999, 12, 31),
]
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
    "mo": ["2026-03", "2026-04", "2024-02", "0000-01", "9999-12"], "fy": ["2025", "2026"],
    "lat": [34.7, 35.123456789, 34.7 + 1e-13], "lon": [135.5, 139.0],
}  # fmt: skip
SHAPES: list[dict[str, Any]] = [
    {"type": "Point", "coordinates": [135.5, 34.7]},
    {"type": "Point", "coordinates": [139.0, 35.5]},
    {"type": "LineString", "coordinates": [[135.0, 34.0], [136.0, 35.0]]},
    {"type": "LineString", "coordinates": [[135.0, 34.0], [140.0, 34.0]]},
    {"type": "Polygon", "coordinates": [[[135, 34], [136, 34], [136, 35], [135, 34]]]},
    {"type": "Polygon", "coordinates": [[[135, 34], [140, 34], [140, 36], [135, 36], [135, 34]]]},
    {"type": "MultiPoint", "coordinates": [[135.0, 34.0], [136.0, 35.0]]},
]


def rows() -> list[dict[str, Any]]:
    dice = random.Random(20260401)
    return [
        {"no": f"{at:03}"} | {name: dice.choice([None, *one, *one]) for name, one in VALUES.items()}
        for at in range(120)
    ]


ROWS = rows()


def shaped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with geometries, as they are held: GeoJSON texts."""
    dice = random.Random(20260402)
    return [row | {"g": dice.choice([None, *map(json.dumps, SHAPES)])} for row in rows]


def written(name: str, value: Any) -> Any:
    if name == "g":
        return value and json.loads(value)
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


@dataclass
class Stocked:
    """A dataset, what is in it, and what stands for the place of its records."""

    dataset: str
    rows: list[dict[str, Any]]
    fields: dict[str, Field]
    place: tuple[Field, Field] | None

    def matching(self, tree: Any, words: str | None) -> list[str]:
        """The numbers of the records that match, as Python says."""
        known = Known(self.fields, frozenset(self.fields), {})
        parts = [cql.parse_json(json.dumps(tree), known.find, known.place)]
        if words is not None:
            parts.append(read_words(words, known))
        whole = Both(tuple(parts))
        return [row["no"] for row in self.rows if matches(whole, row, place=self.place) is True]


@pytest_asyncio.fixture(
    scope="module", loop_scope="session", params=[SPECS, SHAPED], ids=["points", "shapes"]
)
async def hosted(
    platform: Platform, client: httpx.AsyncClient, request: pytest.FixtureRequest
) -> Stocked:
    world = World(platform, client)
    await world.start()
    specs, fields = (
        request.param,
        {f.name: f for f in map(Field.from_json, declared(request.param))},
    )
    held = ROWS if specs is SPECS else shaped(ROWS)
    records = [{name: written(name, value) for name, value in row.items()} for row in held]
    place = (fields["lat"], fields["lon"]) if specs is SPECS else None
    return Stocked(await stocked(world, records, specs), held, fields, place)


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
DAY = st.sampled_from([{"date": each.isoformat()} for each in DAYS[:4]])
MOMENT = st.sampled_from([{"timestamp": each.isoformat()} for each in MOMENTS])
INSTANTS = st.one_of(props("d", "e", "at", "until"), DAY, MOMENT)
ENDS = st.one_of(
    props("d", "e", "at", "until", "mo", "fy"),
    st.sampled_from(["..", *(written("", each) for each in (*DAYS[:4], *MOMENTS))]),
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
    st.builds(
        node,
        st.sampled_from([each.value for each in Relation if each is not Relation.DWITHIN]),
        props("geometry"),
        st.sampled_from(SHAPES),
    ),
    st.builds(
        lambda shape, metres: node("s_dwithin", {"property": "geometry"}, shape, metres),
        st.sampled_from(SHAPES),
        st.sampled_from([0, 30_000, 500_000]),
    ),
)
WORDS = st.none() | st.lists(
    st.sampled_from([*TEXTS, "A", "カ", "st", "-", "202"]), min_size=1, max_size=2
).map(" ".join)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one: node("not", one), inner),
        st.builds(node, st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=4,
)


async def numbers(
    app: FastAPI, dataset: str, tree: Any, words: str | None
) -> tuple[int, list[str]]:
    transport = httpx.ASGITransport(app=app)
    asked = {"filter": json.dumps(tree), "filter-lang": "cql2-json", "fields": "no", "limit": "999"}
    if words is not None:
        asked["q"] = words
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER, event_hooks=HOOKS) as client:
        response = await client.get(path(dataset), params=asked)
    found = response.json().get("records", [])
    return response.status_code, [record["no"] for record in found]


async def test_sql_returns_the_records_that_match(app: FastAPI, hosted: Stocked) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(FILTERS, WORDS)
    def holds(tree: Any, words: str | None) -> None:
        asking = asyncio.run_coroutine_threadsafe(numbers(app, hosted.dataset, tree, words), loop)
        try:
            expected = hosted.matching(tree, words)
        except (InvalidFilter, InvalidQuestion):
            assert asking.result()[0] == 400
            return
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
    compiled = expression.compile(
        dialect=dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
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
