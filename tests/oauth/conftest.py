"""Another replica: what is ended in one place must be ended in all."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app
from tests.conftest import ISSUER


@pytest_asyncio.fixture(loop_scope="session")
async def replica_app(database_url: str, settings: Settings) -> AsyncIterator[FastAPI]:
    """Another process's application on the same database, as far as a test can have one."""
    made: FastAPI = create_app(settings, database_url)
    async with made.router.lifespan_context(made):
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def replica(replica_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the other replica."""
    transport = httpx.ASGITransport(app=replica_app)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as asking:
        yield asking
