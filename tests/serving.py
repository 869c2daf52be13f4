"""The application behind a real socket, in this loop: for what only a socket can show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

RATES = (
    "ADDRESS",
    "CLIENT",
    "CLIENT_DATASET",
    "TOKEN_ADDRESS",
    "TOKEN_CLIENT",
    "SIGN_IN",
    "EXPORTS",
)


@asynccontextmanager
async def served(app: ASGIApp, port: int = 0) -> AsyncIterator[int]:
    """The port of a server for an application whose lifespan has begun; any free one for 0."""
    config = uvicorn.Config(app, port=port, lifespan="off", log_level="critical", access_log=False)
    async with serving_as(config) as taken:
        yield taken


@asynccontextmanager
async def serving_as(config: uvicorn.Config) -> AsyncIterator[int]:
    """The port of a server that is configured as `urbanos serve` does it."""
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving
