"""A server that listens where its links lead, for clients that follow them."""

import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.kit.settings import Settings
from tests.serving import served


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a server whose public address is a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(home=tmp_path_factory.mktemp("home"), public_url=f"http://127.0.0.1:{port}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(app: FastAPI, settings: Settings) -> AsyncIterator[str]:
    """The address of the OGC door of a listening server."""
    async with served(app, urlsplit(settings.issuer).port or 0):
        yield f"{settings.issuer}/ogc"
