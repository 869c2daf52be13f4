"""The processes that are measured: the platform, its worker, and the bare applications as limits."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.kit.db import SESSION_SETTINGS, Database, plain_dsn
from app.kit.settings import Settings
from app.main import create_app, set_up_logging


def hello() -> FastAPI:
    """What FastAPI costs when nothing is done."""
    app = FastAPI()

    @app.get("/")
    async def greet() -> dict[str, str]:
        return {"hello": "world"}

    return app


class Bare:
    """`GET /{n}` runs the same SQL as the platform with the n-th list of values; sends the text."""

    def __init__(self, url: str, questions: Path) -> None:
        self._dsn = plain_dsn(url)
        self._sql: str
        self._values: list[list[Any]]
        self._sql, self._values = orjson.loads(questions.read_bytes())
        self._pool: asyncpg.Pool[Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        pool = self._pool
        assert pool is not None
        values = self._values[int(scope["path"][1:])]
        async with pool.acquire() as connection:
            row = await connection.fetchrow(self._sql, *values)
        assert row is not None
        body = (row[0] or "").encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=1, max_size=10, server_settings=SESSION_SETTINGS
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    try:
        yield database
    finally:
        await database.close()


async def _work(url: str) -> None:
    from app.tasks.worker import work_for_ever  # noqa: PLC0415 - brings the queue, worker only

    async with _database(url) as database:
        await work_for_ever(database)


def main(name: str, port: str, questions: str) -> None:
    """Run one of them until it is told to stop. The database's address is in the environment."""
    url = os.environ["URBANOS_DATABASE_URL"]
    if name == "worker":
        set_up_logging("INFO")
        asyncio.run(_work(url))
        return
    if name == "platform":
        set_up_logging("INFO")  # with the access log, as in service
        app: Any = create_app(Settings(), url)
    else:
        app = hello() if name == "hello" else Bare(url, Path(questions))
    uvicorn.run(
        app, port=int(port), loop="uvloop", http="httptools", workers=1, access_log=False,
        log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:4])
