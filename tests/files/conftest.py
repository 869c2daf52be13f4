"""A public dataset with its files made, and a worker that makes files."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from app.api.state import Platform
from tests.files.ready import ROWS, SPECS, made
from tests.stock import stocked
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def parks(platform: Platform, client: httpx.AsyncClient) -> str:
    """A public dataset with its files made."""
    world = World(platform, client)
    await world.start()
    dataset = await stocked(world, ROWS, SPECS)
    await platform.database.pool.execute(
        "UPDATE dataset SET title_ja = '公園一覧' WHERE id = $1", dataset
    )
    await made(world, dataset)
    return dataset


@pytest_asyncio.fixture(loop_scope="session")
async def files_worker(platform: Platform) -> AsyncIterator[None]:
    """A worker that makes files too. It ends with its test: another might look for its jobs."""
    from app.tasks.worker import Crew, work  # noqa: PLC0415

    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop, Crew(store=platform.store)))
    yield
    stop.set()
    await working
