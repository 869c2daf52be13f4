"""Aggregates equal a count by hand, whatever is grouped, worked out and asked for."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import httpx
import orjson
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.state import Platform
from app.kit.clock import TOKYO
from app.query.codes import designated_city, prefecture_code
from app.query.mesh import mesh_code
from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.stock import Spec, stocked
from tests.world import World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("part", "code"),
    ("t", "text"),
    ("area", "local_government_code"),
    ("n", "integer"),
    ("x", "decimal"),
    ("b", "boolean"),
    ("d", "date"),
    ("at", "datetime"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
VALUES: Final[dict[str, Sequence[Any]]] = {
    "part": [str(at) for at in range(12)],
    "t": [None, "a", "B", "架空", "ア"],
    "area": [None, "271276", "271411", "131016", "141313", "011002"],
    "n": [None, 0, -7, 5, 5, 2**63 - 1, -(2**63)],
    "x": [None, Decimal("0.1"), Decimal("-0.25"), Decimal("1.50"), Decimal("1234567.000001")],
    "b": [None, True, False],
    "d": [None, date(2026, 3, 31), date(2026, 4, 1), date(2027, 1, 1), date(1999, 12, 31)],
    "at": [
        None, datetime(2026, 4, 1, tzinfo=TOKYO), datetime(2026, 3, 31, 23, 59, 59, tzinfo=TOKYO),
        datetime(2026, 12, 31, 0, 30, tzinfo=TOKYO), datetime(2024, 2, 29, 12, tzinfo=TOKYO),
    ],
    "lat": [34.6625, 34.7, 32.05, 35.008333333333333, 26.2125],
    "lon": [135.0125, 135.4959, 127.6875, 140.125, 139.767125],
}  # fmt: skip
Row = dict[str, Any]
CHANCE: Final = random.Random(20)
ROWS: Final[list[Row]] = [
    {"no": f"{at:03}", **{name: CHANCE.choice(values) for name, values in VALUES.items()}}
    for at in range(250)
]
for _row in ROWS[::9]:
    _row["lat"] = _row["lon"] = None
for _row in ROWS[1::3]:  # anywhere, and on the edges of the smallest squares
    if _row["lat"] is not None:
        _row["lat"] = CHANCE.choice([CHANCE.uniform(26, 44), CHANCE.randint(24_960, 42_240) / 960])
        _row["lon"] = CHANCE.choice(
            [CHANCE.uniform(128, 144), CHANCE.randint(81_920, 92_160) / 640]
        )


def _when(name: str, make: Callable[[Any], Any]) -> Callable[[Row], Any]:
    return lambda row: None if row[name] is None else make(row[name])


def _mesh(level: int) -> Callable[[Row], Any]:
    return (
        _when("lat", lambda _: None)
        if level == 0
        else lambda row: None if row["lat"] is None else mesh_code(row["lat"], row["lon"], level)
    )


def _fiscal(day: date) -> str:
    return str(day.year - (day.month < 4))


# What is asked for, and the same by hand: the value as it is written, which also sorts as it should.
BUCKETS: Final[dict[str, Callable[[Row], Any]]] = {
    **{name: _when(name, lambda value: value) for name in ("t", "area", "n", "x", "b", "part")},
    "d": _when("d", date.isoformat),
    "year(d)": _when("d", lambda day: str(day.year)),
    "month(d)": _when("d", lambda day: f"{day:%Y-%m}"),
    "fiscal_year(d)": _when("d", _fiscal),
    "weekday(d)": _when("d", date.isoweekday),
    "day(at)": _when("at", lambda time: time.date().isoformat()),
    "month(at)": _when("at", lambda time: f"{time:%Y-%m}"),
    "fiscal_year(at)": _when("at", _fiscal),
    "hour(at)": _when("at", lambda time: time.replace(minute=0, second=0).isoformat()),
    "weekday(at)": _when("at", datetime.isoweekday),
    "municipality(area)": _when("area", designated_city),
    "prefecture(area)": _when("area", prefecture_code),
    "bin(n,4)": _when("n", lambda n: Decimal(n - n % 4)),
    "bin(x,0.3)": _when("x", lambda x: Decimal(str(_floor(x)))),
    **{f"mesh{level}(geometry)": _mesh(level) for level in range(1, 7)},
}
METRICS: Final = (
    "count", "count(n)", "sum(n)", "avg(n)", "min(n)", "max(n)", "sum(x)", "avg(x)", "max(x)",
    "min(t)", "distinct(t)", "min(d)", "max(at)", "distinct(x)", "count(b)",
)  # fmt: skip


def _floor(x: Decimal) -> Decimal:
    steps = Fraction(x) / Fraction(3, 10)
    return Decimal(steps.numerator // steps.denominator) * Decimal("0.3")


def figure(metric: str, rows: Sequence[Row]) -> Any:
    """One metric by hand; averages as fractions."""
    work, _, name = metric.rstrip(")").partition("(")
    if not name:
        return len(rows)
    values = [row[name] for row in rows if row[name] is not None]
    if work in ("count", "distinct"):
        return len(values if work == "count" else set(values))
    if not values:
        return None
    if work == "avg":
        return sum(map(Fraction, values)) / len(values)
    if work == "sum":
        return sum(values)
    return min(values) if work == "min" else max(values)


def by_hand(
    by: Sequence[str], metrics: Sequence[str], rows: Sequence[Row]
) -> list[tuple[tuple[Any, ...], list[Any]]]:
    """Groups in order, null last."""
    found: dict[tuple[Any, ...], list[Row]] = {} if by else {(): []}
    for row in rows:
        found.setdefault(tuple(BUCKETS[name](row) for name in by), []).append(row)
    order = sorted(found, key=lambda key: tuple((v is None, 0 if v is None else v) for v in key))
    return [(key, [figure(metric, found[key]) for metric in metrics]) for key in order]


def same(told: Any, expected: Any) -> bool:
    """An average is rounded, but to sixteen digits at least; everything else is exact."""
    if isinstance(expected, Fraction):
        near = abs(Fraction(told) - expected)
        return bool(near <= abs(expected) / 10**12 + Fraction(1, 10**15))
    if isinstance(expected, date):  # a datetime is one too
        return bool(told == expected.isoformat())
    return bool(told == expected)


async def ask(app: FastAPI, dataset: str, **asked: str) -> list[tuple[tuple[Any, ...], list[Any]]]:
    """Every page, with exact numbers."""
    link: str | None = str(httpx.URL(f"/v1/datasets/{dataset}/aggregate", params=asked))
    found = []
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER, event_hooks=HOOKS) as client:
        while link is not None:
            answer = await client.get(link)
            assert answer.status_code == 200, answer.text
            page = json.loads(answer.text, parse_float=Decimal)
            for group in page["groups"]:
                found.append((tuple(group["by"].values()), list(group["values"].values())))
            link = next((x["href"] for x in page["links"] if x["rel"] == "next"), None)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dataset(platform: Platform, client: httpx.AsyncClient) -> str:
    world = World(platform, client)
    await world.start()
    records = [orjson.loads(orjson.dumps(row, default=float)) for row in ROWS]
    return await stocked(world, records, SPECS)


async def test_aggregates_equal_a_count_by_hand(app: FastAPI, dataset: str) -> None:
    loop = asyncio.get_running_loop()
    names = st.lists(st.sampled_from(sorted(BUCKETS)), max_size=4, unique=True)
    metrics = st.lists(st.sampled_from(METRICS), min_size=1, max_size=6, unique=True)
    # A part of the table is a table of its own; part 99 has no rows.
    parts = st.lists(st.sampled_from([*VALUES["part"], "99"]), max_size=3, unique=True)

    @settings(max_examples=50, deadline=None, derandomize=True, database=None)
    @given(names, metrics, parts, st.sampled_from([40, 1000]))
    def holds(by: list[str], worked: list[str], part: list[str], limit: int) -> None:
        asked = {"metrics": ",".join(worked), "limit": str(limit)}
        asked |= {"group_by": ",".join(by)} if by else {}
        asked |= {"part": ",".join(part)} if part else {}
        rows = [row for row in ROWS if not part or row["part"] in part]
        told = asyncio.run_coroutine_threadsafe(ask(app, dataset, **asked), loop).result(60)
        expected = by_hand(by, worked, rows)
        assert [key for key, _ in told] == [key for key, _ in expected]
        for (_, figures), (_, wanted) in zip(told, expected, strict=True):
            assert all(map(same, figures, wanted)), (figures, wanted)

    await asyncio.to_thread(holds)
