"""Whole downloads: slow takers, a database that is away, joins, and cursors that wander."""

import asyncio
from contextlib import AsyncExitStack, suppress

import httpx
import pytest
from fastapi import FastAPI

from app.api import pace
from app.kit.db import DatabaseUnavailable
from app.tables.read import TableReader
from tests.serving import served
from tests.stock import Spec, path, stocked
from tests.world import World

SLOW_TAKERS = 12  # thrice as many as may copy at once


async def hang_up(giving: asyncio.StreamWriter) -> None:
    giving.transport.abort()
    giving.close()
    with suppress(ConnectionError):
        await giving.wait_closed()


async def test_takers_that_do_not_take_stop_nobody_else(
    app: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    rows = [{"no": f"{at}", "name": "長" * 300} for at in range(10_000)]
    dataset = await stocked(world, rows)
    query = f"GET {path(dataset)}?f=csv HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with served(app) as port, AsyncExitStack() as slow:
        for _ in range(SLOW_TAKERS):
            taking, giving = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
            slow.push_async_callback(hang_up, giving)
            giving.write(query)
            await taking.readexactly(100)  # the answer has begun, and is then left alone

        async with asyncio.timeout(20):
            whole = await client.get(path(dataset), params={"f": "csv"})
            page = await client.get(path(dataset), params={"limit": "1"})

    assert len(whole.content.splitlines()) == 10_001
    assert page.status_code == 200


@pytest.mark.parametrize("door", ["/v1/datasets/{}/records?f=csv", "/datastore/dump/{}"])
async def test_a_taker_that_does_not_take_is_cut_off(
    app: FastAPI, world: World, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    rows = [{"no": f"{at}", "name": "長" * 300} for at in range(10_000)]
    dataset = await stocked(world, rows)
    monkeypatch.setattr(pace, "SLOWEST_S", 0.1)
    query = f"GET {door.format(dataset)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with served(app) as port:
        taking, giving = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
        giving.write(query)
        await taking.readexactly(100)
        assert world.platform.broker._exports == 1

        async with asyncio.timeout(10):
            while world.platform.broker._exports:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)

        await hang_up(giving)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_an_export_that_cannot_begin_says_so(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    dataset = await stocked(world, [{"no": "1"}])

    async def away(self: TableReader, *_given: object) -> None:
        _given[-1].finish()  # type: ignore[attr-defined]
        raise DatabaseUnavailable

    monkeypatch.setattr(TableReader, "_copy", away)

    response = await client.get(path(dataset), params={"f": form})

    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")


async def test_a_cursor_belongs_to_the_conditions_it_was_made_for(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [{"no": f"{at:02}", "name": "架空", "size": at % 2} for at in range(10)]
    dataset = await stocked(world, rows)
    first = await client.get(path(dataset), params={"limit": "2", "size": "1"})
    cursor = httpx.URL(first.json()["links"][1]["href"]).params["cursor"]

    same = await client.get(path(dataset), params={"limit": "3", "size": "1", "cursor": cursor})
    other = await client.get(path(dataset), params={"limit": "2", "size": "0", "cursor": cursor})

    assert [record["no"] for record in same.json()["records"]] == ["05", "07", "09"]
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")


async def joined(world: World, specs: tuple[Spec, ...]) -> str:
    beside = await stocked(world, [{"no": "1"}], specs)
    dataset = await stocked(world, [{"no": "1"}, {"no": "2"}])
    join = f'[{{"name": "beside", "dataset": "{beside}", "here": "no", "there": "no"}}]'
    await world.platform.database.pool.execute(
        "UPDATE dataset SET joins = $2::jsonb WHERE id = $1", dataset, join
    )
    world.platform.live.changed("dataset", dataset)
    return dataset


async def test_a_joined_dataset_may_have_more_fields_than_a_function_takes_arguments(
    client: httpx.AsyncClient, world: World
) -> None:
    many: tuple[Spec, ...] = (
        ("no", "code", {"key": True}),
        *((f"f{at}", "text") for at in range(80)),
    )
    dataset = await joined(world, many)

    found = await client.get(path(dataset), params={"expand": "beside"})

    records = found.json()["records"]
    assert len(records[0]["beside"]) == 81
    assert records[1]["beside"] is None


async def test_an_unchanged_joined_answer_is_304(client: httpx.AsyncClient, world: World) -> None:
    dataset = await joined(world, (("no", "code", {"key": True}),))
    first = await client.get(path(dataset), params={"expand": "beside"})

    again = await client.get(
        path(dataset), params={"expand": "beside"}, headers={"If-None-Match": first.headers["etag"]}
    )

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_asking_for_the_head_of_an_export_leaves_nothing_running(
    client: httpx.AsyncClient, world: World, form: str
) -> None:
    rows = [{"no": f"{at}", "name": "長" * 100} for at in range(5_000)]
    dataset = await stocked(world, rows)

    response = await client.head(path(dataset), params={"f": form})

    assert (response.status_code, response.content) == (200, b"")
    assert world.platform.broker._exports == 0
