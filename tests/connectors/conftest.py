"""What the tests of connectors ask for: this machine as a source, and a folder that is lent."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from app.api.state import Platform
from app.connectors.kinds import Kinds
from app.connectors.places import choosing
from app.connectors.scripted import ScriptedConnector
from app.kit.settings import Settings
from app.tasks.harvest import Harvester
from tests.conftest import ISSUER, TEMPLATE
from tests.connectors.farm import Farm
from tests.connectors.other import Other, other_platform
from tests.database import DatabaseServer
from tests.world import KENKO, World


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look at a file follows at once."""
    monkeypatch.setattr(choosing, "PAUSE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is lent to the steward's organisation."""
    return tmp_path_factory.mktemp("drop")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, drop: Path) -> Settings:
    """A deployment that asks this machine, and lends a folder."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(
        home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8", file_roots=f"{KENKO}={drop}"
    )


@pytest.fixture
def harvester(platform: Platform) -> Harvester:
    """What harvests are made with: as a worker's, with waits that a test can wait for."""
    made = Harvester(
        platform.database, lambda: platform.sealer, Kinds({"scripted": ScriptedConnector}),
        platform.outbound, platform.lent_folders, 64 << 20,
    )  # fmt: skip
    return replace(made, first_wait_seconds=0.01)


@pytest_asyncio.fixture(loop_scope="session")
async def farm(world: World, harvester: Harvester) -> Farm:
    """A steward's connectors."""
    return await Farm.of(world, harvester)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def other(
    template: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Other]:
    """Another platform, as a source of this one."""
    async with other_platform(template, TEMPLATE, tmp_path_factory.mktemp("other")) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def third(
    template: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Other]:
    """A platform that brokers what the other has."""
    async with other_platform(template, TEMPLATE, tmp_path_factory.mktemp("third")) as made:
        yield made
