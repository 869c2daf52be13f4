"""What every test can ask for: a database, a running platform, a client, and a world of things."""

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest
import pytest_asyncio
import structlog
from alembic import command
from alembic.config import Config
from fastapi import FastAPI

from app.api.state import Platform
from app.catalogue.profile_seed import seed as seed_profiles
from app.kit import embedded as kit
from app.kit.db import Database
from app.kit.embedded import EmbeddedServer
from app.kit.settings import Settings
from app.main import create_app
from app.parties.seed import seed
from app.tasks.worker import work
from tests.bound import HOOKS
from tests.database import REPO, SETTINGS, DatabaseServer, embedded
from tests.secret_watch import SecretWatch
from tests.serving import RATES
from tests.world import World

# Every test asks from one address: limits are for the tests that are about them.
os.environ.update({f"URBANOS_RATE_{name}": "0" for name in RATES})

# A busy machine is no failure: what a property costs is not what it says.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

__all__ = ["embedded"]  # the fixture that the others stand on


# As the server does once it serves: what was read at the start stays for ever.
gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Spare the collector a look at all the code and all the tests, each time it looks."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first: no process of several is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def secret_watch() -> Iterator[SecretWatch]:
    """Hears every line that this process logs, at DEBUG."""
    watch = SecretWatch()
    watch.start()
    structlog.configure(processors=[watch.event, *structlog.get_config()["processors"]])
    yield watch
    assert watch.take() == []


@pytest.fixture(autouse=True)
def _no_secret_in_any_log(secret_watch: SecretWatch) -> Iterator[None]:
    """Fails a test that logged a token or a private key (threats: secrets in logs)."""
    yield
    assert secret_watch.take() == []


TEMPLATE = "template_seeded"
ISSUER = "http://urbanos.test"


def migrate(url: str) -> None:
    """Bring a database up to date. Blocks, and runs a loop of its own: call it in a thread."""
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(REPO / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


async def restartable(folder: Path) -> EmbeddedServer:
    """A migrated and seeded server of a test's own, for tests that stop and start it."""
    server = await kit.start(folder, settings=SETTINGS)
    await asyncio.to_thread(migrate, server.url)
    database = await Database.open(server.url, connections=2)
    async with database.writing() as session:
        await seed(session)
        await seed_profiles(session)
    await database.close()
    return server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(embedded: DatabaseServer) -> DatabaseServer:
    """The server, with a migrated and seeded database to copy."""
    url = await embedded.make_database(TEMPLATE)
    await asyncio.to_thread(migrate, url)
    database = await Database.open(url, connections=2)
    async with database.writing() as session:
        await seed(session)
        await seed_profiles(session)
    await database.close()
    return embedded


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database_url(template: DatabaseServer) -> AsyncIterator[str]:
    """A database of this module's own, with all organisations and nothing else."""
    name = f"m_{secrets.token_hex(5)}"
    yield await template.make_database(name, template=TEMPLATE)
    await template.drop_database(name)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a server on the internet segment. A module may have its own."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(database_url: str, settings: Settings) -> AsyncIterator[FastAPI]:
    """The running application of this module."""
    made = create_app(settings, database_url)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture(scope="module")
def platform(app: FastAPI) -> Platform:
    """The objects of the running application."""
    found: Platform = app.state.platform
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the application as a caller from outside does, in English.

    A token that is bound to a key is sent with its proof.
    """
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url=ISSUER,
        headers={"Accept-Language": "en"},
        event_hooks=HOOKS,
    ) as asking:
        yield asking


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(platform: Platform) -> AsyncIterator[None]:
    """A real worker on the real queue, for modules that load files."""
    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop))
    yield
    stop.set()
    await working


@pytest_asyncio.fixture(loop_scope="session")
async def world(platform: Platform, client: httpx.AsyncClient) -> World:
    """Makes things, each with a name of its own, and reads the log from this test's start on."""
    made = World(platform, client)
    await made.start()
    return made
