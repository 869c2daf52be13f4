"""Benchmarks of reading: 100 filtered records never asked before, and the same question again."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import orjson

from app.broker.ask import Ask, Representation
from app.broker.plan import asked_rows, make_plan
from app.catalogue.entries import VersionEntry, load_entry
from app.kit import clock
from app.policy.verdicts import Allow
from app.query.cursor import Cursor, encode
from app.tables.read import TableReader
from app.tables.sql import Reading
from tests.bench.facilities import WARDS
from tests.bench.figures import Figure, rounds
from tests.bench.stage import INTERNAL, PUBLIC, Stage, until_answers
from tests.bench.wrk import Wrk

# So many that the platform has forgotten a question's plan (4,096 held) and its answer (32 MB held,
# 25 KB each) long before wrk comes round to it again; `_distinct` counts the scans to make sure.
QUESTIONS = 20_000
_STATISTICS_S = 11  # an idle session tells its counts after ten seconds
Parameters = list[tuple[str, str]]


def _filtered(at: int, _version: VersionEntry) -> Parameters:
    """An equality and a range; about 130 rows of the ward are looked at for 100."""
    low, high = at // len(WARDS) % 60, 400 + at // len(WARDS) // 60
    parts = [("ward", WARDS[at % len(WARDS)])]
    return [*parts, ("filter", f"capacity BETWEEN {low} AND {high}"), ("limit", "100")]


def _paged(at: int, version: VersionEntry) -> Parameters:
    """An equality and a cursor: somebody pages through the wards."""
    asked = [("ward", WARDS[at % len(WARDS)]), ("limit", "100")]
    order = f"#{asked_rows(asked)}"
    position = Cursor(INTERNAL, version.number, version.revision, order, (at * 13,))
    return [*asked, ("cursor", encode(position))]


async def _questions(
    stage: Stage, made: Any, name: str
) -> tuple[list[str], list[str], VersionEntry]:
    """Paths for the platform and for the bare application, which gets SQL and values in a file."""
    async with stage.database.reading() as session:
        entry = await load_entry(session, INTERNAL)
    version = entry.version
    assert version is not None
    reader = TableReader(stage.database.pool)
    everything = Allow(frozenset(version.fields), "own")
    paths, values, sql = [], [], ""
    for at in range(QUESTIONS):
        parameters = tuple([*made(at, version), ("purpose", "health")])
        ask = Ask(INTERNAL, parameters, Representation.JSON, None, "")
        plan = make_plan(ask, version, everything, {}, stage.issuer)
        reading = Reading(plan.question, plan.revision, (), clock.now())
        prepared = await reader._statement("page", version.source, (), reading, plan.wording)
        assert sql in ("", prepared.sql)  # one shape, one statement
        sql = prepared.sql
        values.append(prepared.values(reading))
        paths.append(f"/v1/datasets/{INTERNAL}/records?{urlencode(parameters)}")
    (stage.folder / f"{name}.json").write_bytes(orjson.dumps([sql, values]))
    return paths, [f"/{at}" for at in range(QUESTIONS)], version


async def _scans(stage: Stage, version: VersionEntry) -> int:
    """How often the version's table was asked, once idle sessions have told it."""
    await asyncio.sleep(_STATISTICS_S)
    return int(
        await stage.database.pool.fetchval(
            "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE relname = $1",
            version.source.table.name,
        )
    )


async def _entries(stage: Stage) -> int:
    return int(await stage.database.pool.fetchval("SELECT seq FROM log_head"))


async def _distinct(stage: Stage, name: str, made: Any) -> Figure:
    """Two loads in turn. No answer came from memory, and each one stands in the log."""
    paths, bare_paths, version = await _questions(stage, made, name)
    bare = stage.spawn("bare", questions=stage.folder / f"{name}.json")
    try:
        await until_answers(bare, "/0")
        headers = await stage.token(stage.reader, f"dataset:{INTERNAL}:read")
        asked = Wrk(stage.folder, name, stage.port, paths, headers)
        limit = Wrk(stage.folder, f"{name}-bare", bare.port, bare_paths, {})
        scans, entries = await _scans(stage, version), await _entries(stage)
        values, limits = await rounds(asked.measure, limit.measure)
        scans, entries = await _scans(stage, version) - scans, await _entries(stage) - entries
    finally:
        bare.stop()
    assert scans >= asked.requests + limit.requests, "answers came from memory"
    assert entries >= asked.requests, "reads are missing in the log"
    what = (
        "100 records, ward = and capacity BETWEEN" if made is _filtered else "100 records, cursor"
    )
    return Figure(
        f"{what}: internal, token, audit", "req/s", values, limits, "bare ASGI, same SQL", 0.5
    )


async def filtered(stage: Stage) -> list[Figure]:
    """100 filtered records of an internal dataset, no question twice."""
    return [await _distinct(stage, "filtered", _filtered)]


async def paged(stage: Stage) -> list[Figure]:
    """100 records behind a cursor of an internal dataset, no question twice."""
    return [await _distinct(stage, "paged", _paged)]


async def again(stage: Stage) -> list[Figure]:
    """The identical question again and again."""
    hello = stage.spawn("hello")
    try:
        await until_answers(hello, "/")
        headers = await stage.token(stage.reader, f"dataset:{INTERNAL}:read")
        question = f"ward={WARDS[0]}&limit=100"
        public = f"/v1/datasets/{PUBLIC}/records?{question}"
        internal = f"/v1/datasets/{INTERNAL}/records?{question}&purpose=health"
        loads = [
            Wrk(stage.folder, "public", stage.port, [public], {}),
            Wrk(stage.folder, "internal", stage.port, [internal], headers),
            Wrk(stage.folder, "hello", hello.port, ["/"], {}),
        ]
        open_, audited, limit = await rounds(*(load.measure for load in loads))
    finally:
        hello.stop()
    return [
        Figure("same question again: public", "req/s", open_, limit, "FastAPI hello", 0.6),
        Figure(
            "same question again: internal, token, audit", "req/s", audited, limit,
            "FastAPI hello", 0.3,
        ),
    ]  # fmt: skip
