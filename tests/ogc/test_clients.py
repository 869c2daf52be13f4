"""Clients as people have them, on a listening server: GDAL and OWSLib, unchanged."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from tests.ogc import gdal
from tests.ogc.town import points, squares
from tests.world import World

MANY = 2_500
Gdal = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(platform: Platform, client: httpx.AsyncClient) -> tuple[str, str]:
    """Many points and some squares, made once for this module."""
    world = World(platform, client)
    await world.start()
    return await points(world, MANY), await squares(world, 40)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


async def asked(process: ProcessPoolExecutor, what: Callable[..., Any], *given: Any) -> Any:
    """What GDAL says, within a time that no answer should take."""
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.run_in_executor(process, what, *given), 30)


async def test_gdal_lists_the_layers_and_reads_every_point_once_over_many_pages(
    door: str, town: tuple[str, str], process: ProcessPoolExecutor
) -> None:
    address = f"OAPIF:{door}"

    listed = await asked(process, gdal.layers, address)
    found = await asked(process, gdal.read, address, town[0], {"PAGE_SIZE": "400"})
    known = await asked(process, gdal.count, address, town[0])

    assert set(town) <= set(listed)
    assert sorted(each["no"] for each in found) == [f"{at:04}" for at in range(1, MANY + 1)]
    assert found[0]["wkt"] == "POINT (135 34.51)"
    assert known["features"] == MANY
