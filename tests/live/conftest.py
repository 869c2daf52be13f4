"""What the tests of live datasets ask for: one deployment for all of them, which asks this machine."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.kit.settings import Settings
from app.main import create_app
from tests.bound import HOOKS
from tests.conftest import ISSUER, TEMPLATE
from tests.database import DatabaseServer
from tests.live.stage import Stage, stage_of
from tests.world import World


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def app(
    template: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FastAPI]:
    """Its way out leads to this machine too."""
    name = f"m_{secrets.token_hex(5)}"
    url = await template.make_database(name, template=TEMPLATE)
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8")
    made = create_app(settings, url)
    async with made.router.lifespan_context(made):
        yield made
    await template.drop_database(name)


@pytest.fixture(scope="package")
def platform(app: FastAPI) -> Platform:
    """The objects of the running application."""
    found: Platform = app.state.platform
    return found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the application as a caller from outside does, in English."""
    transport = httpx.ASGITransport(app=app)
    headers = {"Accept-Language": "en"}
    async with httpx.AsyncClient(
        transport=transport, base_url=ISSUER, headers=headers, event_hooks=HOOKS
    ) as asking:
        yield asking


@pytest_asyncio.fixture(loop_scope="session")
async def stage(world: World) -> AsyncIterator[Stage]:
    """A live dataset and its source."""
    async with stage_of(world) as made:
        yield made
