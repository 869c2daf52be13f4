"""What the tests of citizens can ask for: their provider, a browser, and an app of a city."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.kit.settings import Settings
from tests.citizens.browsing import CitizensBrowser, citizens_provider
from tests.conftest import ISSUER
from tests.oauth.signing_in import an_app
from tests.world import SAKAI, Party, World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A deployment that may ask this machine: its provider runs here."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provider(platform: Platform, client: httpx.AsyncClient) -> AsyncIterator[str]:
    """The citizens' provider of this module."""
    async with citizens_provider(World(platform, client)) as name:
        yield name


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI, world: World, provider: str) -> AsyncIterator[CitizensBrowser]:
    """A browser in which nobody is signed in."""
    transport = httpx.ASGITransport(app=app)
    headers = {"Accept-Language": "en"}
    async with (
        httpx.AsyncClient(transport=transport, base_url=ISSUER, headers=headers) as here,
        httpx.AsyncClient() as there,
    ):
        yield CitizensBrowser(world, provider, here, there)


@pytest_asyncio.fixture(loop_scope="session")
async def city(world: World) -> Party:
    """An app of Sakai's that citizens may sign in to."""
    return await an_app(world, organization=SAKAI, staff_of=(), citizens=True)
