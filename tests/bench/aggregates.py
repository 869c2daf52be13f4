"""Benchmark of aggregates: groups of a million rows, beside the same SQL written by hand."""

import asyncio
import statistics
import time
from typing import Any, Final

import asyncpg

from app.catalogue.entries import VersionEntry, load_entry
from app.kit.db import SESSION_SETTINGS, plain_dsn
from tests.bench import facilities
from tests.bench.figures import Figure, rounds
from tests.bench.stage import Stage

ROWS: Final = 1_000_000
DATASET: Final = "bench-aggregates"
_ASKED: Final = 8  # questions a round; no two alike, so that nothing held answers
# What is asked for, the same by hand, and the name of the figure. `{low}` differs each time.
_QUESTIONS: Final = (
    (
        "a code: count, sum, avg",
        {"group_by": "ward", "metrics": "count,sum(capacity),avg(capacity)"},
        """SELECT json_agg(g) FROM (SELECT {ward}, count(*), sum({capacity}), avg({capacity})
        FROM {table} WHERE {capacity} >= $1 GROUP BY 1 ORDER BY 1) g""",
    ),
    (
        "months: count, sum, avg",
        {"group_by": "month(updated)", "metrics": "count,sum(capacity),avg(capacity)"},
        """SELECT json_agg(g) FROM (SELECT date_trunc('month', {updated}::timestamp)::date,
        count(*), sum({capacity}), avg({capacity})
        FROM {table} WHERE {capacity} >= $1 GROUP BY 1 ORDER BY 1) g""",
    ),
)


async def _load(stage: Stage) -> VersionEntry:
    path = stage.folder / "aggregates.csv"
    await asyncio.to_thread(facilities.write, path, 20, rows=ROWS)
    await stage.register(DATASET, "public")
    worker = stage.spawn("worker")
    try:
        await stage.publish(await stage.load(DATASET, path))
    finally:
        worker.stop()
    await stage.database.pool.execute("VACUUM ANALYZE")
    async with stage.database.reading() as session:
        version = (await load_entry(session, DATASET)).version
    assert version is not None
    return version


def _by_hand(statement: str, version: VersionEntry) -> str:
    columns = {name: field.column for name, field in version.fields.items()}
    return statement.format(table=f"hosted.{version.source.table.name}", **columns)


async def aggregates(stage: Stage) -> list[Figure]:
    """A million rows by a code and by months, each question asked once."""
    version = await _load(stage)
    bare = await asyncpg.connect(plain_dsn(stage.url), server_settings=SESSION_SETTINGS)
    figures = []
    try:
        for name, asked, statement in _QUESTIONS:
            values, limits = await _measured(stage, bare, asked, _by_hand(statement, version))
            figures.append(
                Figure(
                    f"aggregate of {ROWS:,} rows by {name}", "req/s", values, limits,
                    "asyncpg, SQL by hand", round(1 / 1.2, 2),
                )
            )  # fmt: skip
    finally:
        await bare.close()
    return figures


async def _measured(
    stage: Stage, bare: Any, asked: dict[str, str], sql: str
) -> list[tuple[float, ...]]:
    """Questions a second, in turn; the median of a round's times."""

    async def ours(at: int) -> float:
        return await _rate(at, lambda low: _ask(stage, {**asked, "filter": f"capacity >= {low}"}))

    async def by_hand(at: int) -> float:
        return await _rate(at, lambda low: bare.fetchval(sql, low))

    await _rate(9, lambda low: bare.fetchval(sql, low))  # pages and plans into memory
    return await rounds(ours, by_hand)


async def _ask(stage: Stage, asked: dict[str, str]) -> None:
    answer = await stage.http.get(f"/v1/datasets/{DATASET}/aggregate", params=asked, timeout=60)
    assert answer.status_code == 200, answer.text


async def _rate(at: int, ask: Any) -> float:
    times = []
    for number in range(_ASKED):
        began = time.perf_counter()
        await ask(at * _ASKED + number)
        times.append(time.perf_counter() - began)
    return 1 / statistics.median(times)
