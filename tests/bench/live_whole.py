"""Memory of the server while whole answers of a live dataset go through it, passed on and mapped.

The source makes its pages as they are asked for: a gigabyte stands nowhere but on its way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson
import psutil

from tests.bench.figures import Figure
from tests.bench.loads import peak_of
from tests.bench.stage import Process, Stage, free_port, spawn, until_answers

_MB: Final = 1 << 20
_PAGE: Final = 1_000  # records
_TEXT: Final = "計測用の本文。" * 195  # 4 KB
_FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "no", "label": "no", "type": "code", "key": True},
    {"name": "name", "label": "name", "type": "text"},
    {"name": "size", "label": "size", "type": "integer"},
]
_PAGING: Final = {"style": "offset", "size": _PAGE}
_WAYS: Final[dict[str, dict[str, Any]]] = {
    "passed on": {"selection": {"path": "own", "rows": "/records", "paging": _PAGING}},
    "mapped": {
        "selection": {"path": "other", "rows": "/records", "paging": _PAGING},
        "mapping": [{"to": "name", "from": ["title"]}, {"to": "size", "from": ["extent"]}],
    },
}


async def whole(stage: Stage) -> list[Figure]:
    """1 GB for a soak, 64 MB otherwise, each of a process that has answered nothing large."""
    megabytes = 1_024 if stage.is_soak else 64
    async with _source(megabytes) as port:
        return [await _grown(stage, way, megabytes, port) for way in _WAYS]


async def _grown(stage: Stage, way: str, megabytes: int, port: int) -> Figure:
    platform = spawn(
        stage.folder, stage.url, stage.issuer, "platform", free_port(), None,
        URBANOS_OUTBOUND_ALLOW="127.0.0.0/8",
    )  # fmt: skip
    try:
        await until_answers(platform)
        stage.http.base_url = f"http://127.0.0.1:{platform.port}"
        dataset = f"bench-whole-{way.replace(' ', '-')}"
        await stage.register(dataset, "public", _FIELDS)
        await _connect(stage, dataset, port, _WAYS[way])
        await _taken(platform, f"/v1/datasets/{dataset}/records?f=ndjson&limit=1")
        before = psutil.Process(platform.child.pid).memory_info().rss
        watching = asyncio.create_task(peak_of(platform))
        size = await _taken(platform, f"/v1/datasets/{dataset}/records?f=ndjson")
        watching.cancel()
        grown = await watching - before
        assert size >= megabytes * _MB, f"only {size} bytes came"
    finally:
        stage.http.base_url = stage.issuer
        platform.stop()
    name = f"server's growth, {size // _MB:,} MB live, {way}"
    return Figure(name, "MB", (grown / _MB,), wanted_below=256)


async def _connect(stage: Stage, dataset: str, port: int, feed: dict[str, Any]) -> None:
    settings = {"base": f"http://127.0.0.1:{port}/"}
    feeds = [{"dataset": dataset, "mode": "live", **feed}]
    body = {"kind": "http_json", "name": dataset, "settings": settings, "feeds": feeds}
    headers = await stage.stewards_token()
    answer = await stage.http.post("/v1/connectors", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


async def _taken(platform: Process, path: str) -> int:
    """How many bytes come, all of them let go at once."""
    asking, writer = await asyncio.open_connection("127.0.0.1", platform.port, limit=_MB)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    size, first, end = 0, b"", b""
    while piece := await asking.read(_MB):
        size, first, end = size + len(piece), first or piece, (end + piece)[-5:]
    writer.close()
    assert first.startswith(b"HTTP/1.1 200"), first[:500]
    assert end == b"0\r\n\r\n", "the answer broke off"
    return size


@asynccontextmanager
async def _source(megabytes: int) -> AsyncIterator[int]:
    """Pages of records, 4 KB each, until there are so many megabytes of them."""
    records = megabytes * _MB // len(_TEXT.encode()) + 1

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await asyncio.to_thread(_page, head.split(b" ")[1].decode(), records)
                length = f"Content-Length: {len(body)}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(length + b"\r\n\r\n" + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _page(target: str, records: int) -> bytes:
    parts = urlsplit(target)
    asked = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
    name, size = ("name", "size") if parts.path == "/own" else ("title", "extent")
    first = asked["offset"]
    numbers = range(first, min(first + asked["limit"], records))
    made = [{"no": f"N-{number}", name: _TEXT, size: number} for number in numbers]
    return orjson.dumps({"records": made})
