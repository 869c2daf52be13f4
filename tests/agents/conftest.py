"""What the tests of agents ask for: the platform on a real port, and harvests that do not wait long."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.agents.relay import Patience
from app.api.state import Platform
from app.connectors.kinds import Kinds
from app.tasks.harvest import Harvester
from tests.connectors.farm import Farm
from tests.serving import served
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port(app: FastAPI, platform: Platform) -> AsyncIterator[int]:
    """Where the platform listens."""
    platform.desk.look_seconds = 0.03
    async with served(app) as taken:
        yield taken


@pytest.fixture
def harvester(platform: Platform) -> Harvester:
    """A worker's, that calls an agent dead sooner."""
    made = Harvester(
        platform.database, lambda: platform.sealer, Kinds(), platform.outbound, {}, 64 << 20
    )
    return replace(made, first_wait_seconds=0.01, patience=Patience(5.0, 3.0))


@pytest_asyncio.fixture(loop_scope="session")
async def farm(world: World, harvester: Harvester) -> Farm:
    """A steward's connectors."""
    return await Farm.of(world, harvester)
