"""The bare applications that are the limits: a FastAPI hello, and SQL with nothing around it."""

import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.kit.db import SESSION_SETTINGS, plain_dsn


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


def main(name: str, port: str, questions: str) -> None:
    """Run one of them until it is told to stop, with the settings of `urbanos serve`."""
    url = os.environ["URBANOS_DATABASE_URL"]
    app: Any = hello() if name == "hello" else Bare(url, Path(questions))
    uvicorn.run(
        app, port=int(port), loop="uvloop", http="httptools", ws="none", workers=1,
        log_config=None, access_log=False, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:4])
