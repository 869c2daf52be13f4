"""What the tests of live datasets ask for: a deployment that asks this machine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.kit.settings import Settings
from tests.conftest import ISSUER
from tests.live.stage import Stage, stage_of
from tests.world import World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Whose way out leads to this machine too."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.0/8")


@pytest_asyncio.fixture(loop_scope="session")
async def stage(world: World) -> AsyncIterator[Stage]:
    """A live dataset and its source."""
    async with stage_of(world) as made:
        yield made
