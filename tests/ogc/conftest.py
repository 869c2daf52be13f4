"""A server that listens where its links lead, for clients that follow them."""

import socket
from collections.abc import AsyncIterator
from urllib.parse import unquote_plus, urlsplit

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.state import Platform
from app.kit.settings import Settings
from tests.ogc.town import points
from tests.serving import served
from tests.world import World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a server whose public address is a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(home=tmp_path_factory.mktemp("home"), public_url=f"http://127.0.0.1:{port}")


class Door:
    """The OGC door of a listening server: its address, and what it was asked."""

    def __init__(self, app: FastAPI, address: str) -> None:
        self._app = app
        self.address = address
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = unquote_plus(scope["query_string"].decode())
        self.asked.append(scope["path"] + (f"?{query}" if query else ""))
        await self._app(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(app: FastAPI, settings: Settings) -> AsyncIterator[Door]:
    """The door, open."""
    made = Door(app, f"{settings.issuer}/ogc")
    async with served(made, urlsplit(settings.issuer).port or 0):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dozen(platform: Platform, client: httpx.AsyncClient) -> str:
    """A dozen points that no test changes."""
    world = World(platform, client)
    await world.start()
    return await points(world, 12)
