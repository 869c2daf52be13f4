"""Benchmarks of live datasets: what the platform costs between a reader and a source.

The source is nginx with a page of 7 KB, and the limit is nginx as a plain proxy to the same source.
No question is asked twice at once, and nothing of the source may be kept: each one is asked of it.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.bench.figures import Figure, rounds
from tests.bench.stage import Stage, free_port, spawn, until_answers
from tests.bench.wrk import Wrk

_RELAYED, _MAPPED, _FAST, _SLOW = "bench-relayed", "bench-mapped", "bench-fast", "bench-slow"
_RECORDS = 45
_SLOW_AT_ONCE = 500
_PAUSE_MS = 50
_SOURCE = """
{user} worker_processes 1; daemon off; pid {folder}/source.pid; error_log {folder}/source.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; etag off; keepalive_requests 10000000; default_type application/json;
  upstream source {{ server 127.0.0.1:{source}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{source}; root {folder}/www;
    if_modified_since off; add_header Last-Modified "";
  }}
  server {{
    listen 127.0.0.1:{proxy};
    location / {{
      proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""

_ALL = httpx.Limits(max_connections=_SLOW_AT_ONCE)
# Each a dataset and a connector of its own, made of one that the interface has made.
_MANY = """
WITH made AS (SELECT n, gen_random_uuid() AS id FROM generate_series(0, $2::int - 1) n),
datasets AS (
    INSERT INTO dataset SELECT (jsonb_populate_record(d, jsonb_build_object('id', $1 || '-' || n))).*
    FROM made, dataset d WHERE d.id = $1 RETURNING id
),
connectors AS (
    INSERT INTO connector SELECT (jsonb_populate_record(c, jsonb_build_object('id', made.id))).*
    FROM made, connector c JOIN connector_feed f ON f.connector_id = c.id WHERE f.dataset_id = $1
    RETURNING id
)
INSERT INTO connector_feed SELECT (jsonb_populate_record(f, jsonb_build_object(
    'dataset_id', $1 || '-' || n, 'connector_id', made.id))).*
FROM made, connector_feed f WHERE f.dataset_id = $1
"""


@dataclass(slots=True)
class Sources:
    """Where they listen: the source, the proxy before it, one that thinks for five seconds."""

    source: int
    proxy: int
    slow: int


def _record(at: int) -> dict[str, Any]:
    return {
        "no": f"F-{at:05}", "name": f"計測用の施設 第{at}号", "ward": "堺区", "capacity": at * 7,
        "address": f"大阪府堺市堺区南瓦町{at}番{at % 9}号", "lat": 34.5 + at / 1e4, "lon": 135.5,
    }  # fmt: skip


_FIELDS: list[dict[str, Any]] = [
    {"name": "no", "label": "no", "type": "code", "key": True},
    {"name": "name", "label": "name", "type": "text"},
    {"name": "ward", "label": "ward", "type": "text"},
    {"name": "capacity", "label": "capacity", "type": "integer"},
    {"name": "address", "label": "address", "type": "text"},
    {"name": "lat", "label": "lat", "type": "latitude"},
    {"name": "lon", "label": "lon", "type": "longitude"},
]


@asynccontextmanager
async def _sources(stage: Stage) -> AsyncIterator[Sources]:
    made = Sources(free_port(), free_port(), free_port())
    folder: Path = stage.folder / "live"
    (folder / "www").mkdir(parents=True)
    page = {
        "dataset": "d", "version": 1, "numberReturned": _RECORDS,
        "records": [_record(at) for at in range(_RECORDS)],
        "links": [], "meta": {"source": "hosted", "stale": False, "age_seconds": 0, "revision": 0},
    }  # fmt: skip
    (folder / "www" / "records").write_bytes(orjson.dumps(page))
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # whose folder it is
    config.write_text(
        _SOURCE.format(user=user, folder=folder, source=made.source, proxy=made.proxy)
    )
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)])
    slow = await asyncio.start_server(_think, "127.0.0.1", made.slow, backlog=1_024)
    try:
        yield made
    finally:
        nginx.terminate()
        nginx.wait(10)
        slow.close()


async def _think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _connect(stage: Stage, dataset: str, port: int, selection: dict[str, Any]) -> None:
    feed = {"dataset": dataset, "mode": "live", "selection": selection}
    settings = {"base": f"http://127.0.0.1:{port}/"}
    body = {"kind": "http_json", "name": dataset, "settings": settings, "feeds": [feed]}
    headers = await stage.stewards_token()
    answer = await stage.http.post("/v1/connectors", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


async def live(stage: Stage) -> list[Figure]:
    """Pages passed on and pages made anew, and both while others wait for slow sources."""
    async with _sources(stage) as at:
        platform = spawn(
            stage.folder, stage.url, stage.issuer, "platform", free_port(), None,
            URBANOS_OUTBOUND_ALLOW="127.0.0.0/8",
        )  # fmt: skip
        try:
            await until_answers(platform)
            stage.http.base_url = f"http://127.0.0.1:{platform.port}"
            relayed = {"path": "records", "rows": "/records", "linkage": True}
            for dataset, selection in (
                (_RELAYED, relayed), (_MAPPED, {"path": "records", "rows": "/records"}),
            ):  # fmt: skip
                await stage.register(dataset, "internal", _FIELDS)
                await stage.agree(dataset)
                await _connect(stage, dataset, at.source, selection)
            figures = await _measured(stage, at, platform.port)
            return [*figures, *await _beside_slow_ones(stage, at, platform.port)]
        finally:
            stage.http.base_url = stage.issuer
            platform.stop()


async def _measured(stage: Stage, at: Sources, port: int) -> list[Figure]:
    scope = f"dataset:{_RELAYED}:read dataset:{_MAPPED}:read"
    headers = await stage.token(stage.reader, scope)
    for dataset in (_RELAYED, _MAPPED):
        answer = await stage.http.get(_paths(dataset)[0], headers=headers)
        assert answer.status_code == 200, answer.text
    passed = Wrk(stage.folder, "relayed", port, _paths(_RELAYED), headers)
    mapped = Wrk(stage.folder, "mapped", port, _paths(_MAPPED), headers)
    limit = Wrk(stage.folder, "proxy", at.proxy, ["/records"], {})
    one, other, limits = await rounds(passed.measure, mapped.measure, limit.measure)
    added = [
        *await _added(passed, limit, "asking again at once"),
        *await _added(
            Wrk(stage.folder, "relayed-paced", port, _paths(_RELAYED), headers, pause_ms=_PAUSE_MS),
            Wrk(stage.folder, "proxy-paced", at.proxy, ["/records"], {}, pause_ms=_PAUSE_MS),
            f"each after {_PAUSE_MS} ms",
        ),
    ]
    return [
        *added,
        Figure("live page passed on: internal, token, audit", "req/s", one, limits, "nginx proxy", 0.2),
        Figure("live page made anew: internal, token, audit", "req/s", other, limits, "nginx proxy", 0.06),
    ]  # fmt: skip


async def _added(load: Wrk, limit: Wrk, how: str) -> list[Figure]:
    """What the platform adds to what the plain proxy takes, for 16 readers at the same time."""
    medians, slowest = [], []
    for round_ in range(3):
        await load.measure(round_)
        await limit.measure(round_)
        medians.append(load.latency_ms[0] - limit.latency_ms[0])
        slowest.append(load.latency_ms[1] - limit.latency_ms[1])
    name = f"live page passed on, added to the proxy's latency, 16 {how}"
    return [
        Figure(f"{name}: p50", "ms", tuple(medians), wanted_below=3),
        Figure(f"{name}: p99", "ms", tuple(slowest), wanted_below=15),
    ]


async def _beside_slow_ones(stage: Stage, at: Sources, port: int) -> list[Figure]:
    """A fast source alone, and while each of 500 others keeps a reader waiting for five seconds."""
    for dataset, where in ((_FAST, at.source), (_SLOW, at.slow)):
        await stage.register(dataset, "public", _FIELDS)
        selection = {"path": "records", "rows": "/records" if dataset == _FAST else ""}
        await _connect(stage, dataset, where, selection)
    await stage.database.pool.execute(_MANY, _SLOW, _SLOW_AT_ONCE)
    for number in range(_SLOW_AT_ONCE):  # what is known of a dataset is not what is measured
        await stage.http.get(f"/v1/datasets/{_SLOW}-{number}/schema")
    fast = Wrk(stage.folder, "fast", port, _paths(_FAST), {})
    alone, beside = [], []
    for round_ in range(3):
        alone.append(await fast.measure(round_))
        async with httpx.AsyncClient(limits=_ALL, timeout=60) as asking:
            waiting = [
                asyncio.create_task(_wait(asking, f"http://127.0.0.1:{port}", number))
                for number in range(_SLOW_AT_ONCE)
            ]
            await asyncio.sleep(1)
            beside.append(await fast.measure(round_ + 1))
            await asyncio.gather(*waiting)
    return [
        Figure(
            "a fast source beside 500 slow ones", "req/s", tuple(beside), tuple(alone), "alone", 0.9
        )
    ]


async def _wait(asking: httpx.AsyncClient, base: str, number: int) -> None:
    """One reader of one slow source."""
    answer = await asking.get(f"{base}/v1/datasets/{_SLOW}-{number}/records")
    assert answer.status_code in (200, 504), answer.text


def _paths(dataset: str) -> list[str]:
    """Questions of which no two are the same, and all of them have the whole page for an answer."""
    return [
        f"/v1/datasets/{dataset}/records?limit={number}&purpose=health"
        for number in range(_RECORDS + 1, 1_000)
    ]
