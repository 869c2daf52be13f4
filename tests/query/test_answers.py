"""SQL's answer to any condition is the answer of a plain reading of it, with SQL's three values."""

import asyncio
import base64
import itertools
import json
import math
import operator
import re
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.stock import Spec, path, stocked
from tests.world import World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("n", "integer"),
    ("x", "decimal"),
    ("t", "text"),
    ("d", "date"),
    ("b", "boolean"),
)
NUMBERS = [None, -2, 0, 1, 2, 2**53 + 1]
DECIMALS = [None, -0.5, 0, 0.1, 2.5]
TEXTS = [None, "a", "A", "ab", "a%", "a_b", "架空", "髙", "'"]
DATES = [None, "2026-03-31", "2026-04-01"]
BOOLEANS = [None, True, False]
VALUES: dict[str, list[Any]] = {"n": NUMBERS, "x": DECIMALS, "t": TEXTS, "d": DATES, "b": BOOLEANS}
ROWS = [
    {"no": f"{at:03}", "n": n, "x": x, "t": t, "d": DATES[at % 3], "b": BOOLEANS[at // 3 % 3]}
    for at, (n, x, t) in enumerate(itertools.product(NUMBERS[::2], DECIMALS[1::2], TEXTS))
] + [{"no": f"n{at}", "n": n} for at, n in enumerate(NUMBERS)]
Truth = bool | None
COMPARE = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dataset(platform: Any, client: httpx.AsyncClient) -> str:
    world = World(platform, client)
    await world.start()
    return await stocked(world, [dict(row) for row in ROWS], SPECS)


def literal(name: str, value: Any) -> Any:
    return {"date": value} if name == "d" else value


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(VALUES)))
    one = st.sampled_from([value for value in VALUES[name] if value is not None])
    prop = {"property": name}
    kind = draw(st.sampled_from(["compare", "in", "between", "isNull", "like"]))
    if kind == "isNull":
        return {"op": "isNull", "args": [prop]}
    if kind == "in":
        values = draw(st.lists(one, min_size=1, max_size=3))
        return {"op": "in", "args": [prop, [literal(name, value) for value in values]]}
    if kind == "between" and name != "t":
        low, high = draw(one), draw(one)
        return {"op": "between", "args": [prop, literal(name, low), literal(name, high)]}
    if kind == "like" and name == "t":
        pattern = draw(st.text("aAb%_架", max_size=3))
        if draw(st.booleans()):
            return {"op": "like", "args": [{"op": "casei", "args": [prop]},
                                           {"op": "casei", "args": [pattern]}]}  # fmt: skip
        return {"op": "like", "args": [prop, pattern]}
    # Texts are ordered by the database's collation: only equality has one meaning everywhere.
    ops = ["=", "<>"] if name == "t" else ["=", "<>", "<", "<=", ">", ">="]
    args = [prop, literal(name, draw(one))]
    op = draw(st.sampled_from(ops))
    return {"op": op, "args": args[:: draw(st.sampled_from([1, -1]))]}


CONDITIONS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        inner.map(lambda one: {"op": "not", "args": [one]}),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)).map(
            lambda made: {"op": made[0], "args": made[1]}
        ),
    ),
    max_leaves=6,
)


def logic(op: str, found: list[Truth]) -> Truth:
    if op == "not":
        return None if found[0] is None else not found[0]
    decisive = op == "or"
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def truth(tree: dict[str, Any], row: dict[str, Any]) -> Truth:
    op, args = tree["op"], tree["args"]
    if op in ("not", "and", "or"):
        return logic(op, [truth(each, row) for each in args])
    if op == "isNull":
        return row.get(args[0]["property"]) is None
    values = [value_of(each, row) for each in args]
    if op == "like":
        folded = isinstance(args[0], dict) and "op" in args[0]
        return None if values[0] is None else like(values[0], values[1], folded)
    if op == "in":
        return None if values[0] is None else values[0] in [value_of(v, row) for v in args[1]]
    if None in values:
        return None
    left, right, *more = values
    if op == "between":
        return bool(right <= left <= more[0])
    return bool(COMPARE[op](left, right))


def value_of(node: Any, row: dict[str, Any]) -> Any:
    if not isinstance(node, dict):
        return node
    if "op" in node:
        return value_of(node["args"][0], row)
    return row.get(node["property"]) if "property" in node else node["date"]


def like(text: str, pattern: str, folded: bool) -> bool:
    if folded:
        text, pattern = text.lower(), pattern.lower()
    made = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(made, text, re.DOTALL) is not None


async def numbers(app: FastAPI, dataset: str, **asked: str) -> list[str]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER, event_hooks=HOOKS) as client:
        response = await client.get(
            path(dataset), params={"fields": "no", "limit": "1000", **asked}
        )
    assert response.status_code == 200, response.text
    return [record["no"] for record in response.json()["records"]]


async def test_sql_answers_every_condition_as_a_plain_reading_does(
    app: FastAPI, dataset: str
) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(CONDITIONS)
    def holds(tree: dict[str, Any]) -> None:
        asked = {"filter": json.dumps(tree), "filter-lang": "cql2-json"}
        asking = asyncio.run_coroutine_threadsafe(numbers(app, dataset, **asked), loop)
        expected = [row["no"] for row in ROWS if truth(tree, row) is True]
        assert asking.result() == expected

    await asyncio.to_thread(holds)


async def test_every_sort_is_total_and_pages_without_loss_or_double(
    app: FastAPI, client: httpx.AsyncClient, dataset: str
) -> None:
    for sort in ("n", "-n", "x,-t", "-d,b", "b,-d,n", "-t", "d,-x,t,n,b"):
        whole = await numbers(app, dataset, sort=sort)
        found: list[str] = []
        link: str | None = str(httpx.URL(path(dataset), params={"sort": sort, "limit": "7"}))
        while link:
            page = (await client.get(link)).json()
            found += [record["no"] for record in page["records"]]
            link = next((each["href"] for each in page["links"] if each["rel"] == "next"), None)
        assert found == whole, sort
        assert sorted(found) == sorted(str(row["no"]) for row in ROWS)


@pytest.mark.parametrize("name", ["n", "x", "d", "b"])
async def test_nulls_come_last_both_ways(
    client: httpx.AsyncClient, dataset: str, name: str
) -> None:
    for sign in ("", "-"):
        asked = {"sort": sign + name, "limit": "1000", "fields": name}
        records = (await client.get(path(dataset), params=asked)).json()["records"]
        values: list[Any] = [record[name] for record in records]
        known: list[Any] = [value for value in values if value is not None]
        assert values == [*known, *[None] * (len(values) - len(known))]
        assert known == sorted(known, reverse=bool(sign))


async def cursor_of(client: httpx.AsyncClient, dataset: str, **asked: str) -> tuple[str, list[Any]]:
    page = (await client.get(path(dataset), params={"limit": "3", **asked})).json()
    link = next(each["href"] for each in page["links"] if each["rel"] == "next")
    cursor = httpx.URL(link).params["cursor"]
    parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return cursor, parts


def forged(parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


async def test_a_forged_cursor_is_refused_or_names_a_position_and_nothing_else(
    client: httpx.AsyncClient, dataset: str, world: World
) -> None:
    other = await stocked(world, [{"no": "1"}])
    _, parts = await cursor_of(client, dataset, sort="n")
    [name, version, revision, order, n, row] = parts
    wrong: list[Any] = [
        "", "x", "%", "=" * 5_000, "AAAA", forged(None), forged({}), forged([]), forged(parts[:4]),
        forged([other, *parts[1:]]), forged([name, 99, *parts[2:]]), forged([name, 2**40, *parts[2:]]),
        forged([name, version, revision + 1, *parts[3:]]), forged([name, version, -1, *parts[3:]]),
        forged([name, version, 2**70, *parts[3:]]), forged([name, version, revision, "-n", n, row]),
        forged([name, version, revision, order, n]), forged([*parts, 1]),
        forged([name, version, revision, order, "x", row]), forged([name, version, revision, order, {}, row]),
        forged([name, version, revision, order, "1; DROP TABLE dataset", row]),
        forged([name, version, revision, order, n, 2**63]), forged([name, version, revision, order, n, -1]),
        forged([name, version, revision, order, n, 1.5]), forged([name, version, revision, order, 2**80, row]), forged([name, version, revision, order, n, "1"]),
        forged([name, version, revision, order, n, True]), forged([name, version, revision, order, [n], row]), "[" * 9_000, forged("[" * 5_000),
    ]  # fmt: skip

    for cursor in wrong:
        response = await client.get(path(dataset), params={"sort": "n", "cursor": cursor})
        assert response.status_code in (400, 404), (cursor[:80], response.text)


async def test_pages_of_a_search_by_distance_follow_each_other(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (
        ("no", "code", {"key": True}),
        ("lat", "latitude"),
        ("lon", "longitude"),
    )
    rows = [
        {"no": str(at), "lat": 34.7 + (at % 10) / 100, "lon": 135.5 + (at // 20) / 100}
        for at in range(60)
    ]
    dataset = await stocked(world, [*rows, {"no": "nowhere"}], specs)
    asked = {"filter": "lat > 0", "limit": "7", "count": "true"}
    link: str | None = str(httpx.URL(path(dataset), params={**asked} | {"f": "json"}))
    link = f"{link}&lat=34.70&lon=135.50&radius=9000"
    found: list[dict[str, Any]] = []
    matched = set()
    while link:
        response = await client.get(link)
        assert response.status_code == 200, response.text
        found += response.json()["records"]
        matched.add(response.json()["numberMatched"])
        link = next((e["href"] for e in response.json()["links"] if e["rel"] == "next"), None)

    near = {row["no"]: haversine(row) for row in rows}
    expected = {no: metres for no, metres in near.items() if metres <= 9_000}
    assert {record["no"] for record in found} == set(expected)
    assert len(found) == len(expected) and matched == {len(expected)}
    for record in found:
        assert record["distance"] == pytest.approx(expected[record["no"]], abs=0.2)
    distances = [record["distance"] for record in found]
    assert distances == sorted(distances)


def haversine(row: dict[str, Any], lat: float = 34.70, lon: float = 135.50) -> float:
    one, two = math.radians(lat), math.radians(float(row["lat"]))
    across = math.radians(float(row["lon"]) - lon)
    angle = math.acos(
        min(1, math.sin(one) * math.sin(two) + math.cos(one) * math.cos(two) * math.cos(across))
    )
    return 6_371_008.8 * angle
