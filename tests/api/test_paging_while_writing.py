"""Readers keep the rows they began with, however much is written and published meanwhile."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.stock import Spec, path, stocked
from tests.world import KENKO, World

pytestmark = pytest.mark.usefixtures("worker")
SPECS: tuple[Spec, ...] = (("no", "code", {"key": True}), ("name", "text"), ("size", "integer"))
MANY = 10_000


def file(rows: int, name: str = "first") -> bytes:
    lines = [f"{at:05},{name},{at % 7}" for at in range(rows)]
    return "\n".join(["no,name,size", *lines]).encode()


async def tokens(world: World, dataset: str) -> tuple[dict[str, str], dict[str, str]]:
    """The steward's token for files, and one for records."""
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    writer = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")
    return steward, writer


async def published(world: World, dataset: str, steward: dict[str, str], content: bytes) -> None:
    run = await world.load(steward, dataset, content)
    assert run["state"] == "ok", run
    await world.publish(steward, run)


async def disturb(
    client: httpx.AsyncClient, dataset: str, writer: dict[str, str], stop: asyncio.Event
) -> int:
    """Update, insert and delete records until told to stop; how many writes there were."""
    writes = 0
    while not stop.is_set():
        at = writes * 37 % MANY
        records = [{"no": f"{at + step:05}", "name": "changed"} for step in range(20)]
        records.append({"no": f"new-{writes}", "name": "new"})
        sent = await client.post(path(dataset), json=records, headers=writer)
        assert sent.status_code == 200, sent.text
        gone = await client.delete(path(dataset, f"{(at + 5_000) % MANY:05}"), headers=writer)
        assert gone.status_code in (204, 404)
        writes += 1
        await asyncio.sleep(0)
    return writes


@pytest.mark.parametrize("sort", [None, "-size,name"])
async def test_ten_thousand_rows_are_paged_through_while_others_write_and_publish(
    client: httpx.AsyncClient, world: World, sort: str | None
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, writer = await tokens(world, dataset)
    await published(world, dataset, steward, file(MANY))
    stop = asyncio.Event()
    asked = {"limit": "500", **({"sort": sort} if sort else {})}
    first = (await client.get(path(dataset), params=asked)).json()
    writing = asyncio.create_task(disturb(client, dataset, writer, stop))

    found, pages = list(first["records"]), 1
    link = next(each["href"] for each in first["links"] if each["rel"] == "next")
    while link:
        await asyncio.sleep(0.05)  # let others write between the pages
        page = (await client.get(link)).json()
        found += page["records"]
        pages += 1
        if pages == 10:
            await published(world, dataset, steward, file(100, "second"))
        link = next((each["href"] for each in page["links"] if each["rel"] == "next"), None)
    stop.set()

    assert await writing > 1
    assert pages == 20
    assert sorted(record["no"] for record in found) == [f"{at:05}" for at in range(MANY)]
    assert {record["name"] for record in found} == {"first"}


async def test_a_whole_file_streams_one_revision_while_others_write(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, writer = await tokens(world, dataset)
    await published(world, dataset, steward, file(MANY))
    stop = asyncio.Event()
    writing = asyncio.create_task(disturb(client, dataset, writer, stop))

    revisions: set[int] = set()
    give_up_at = time.monotonic() + 60  # however slowly the others write on a busy machine
    while len(revisions) < 8 and time.monotonic() < give_up_at:
        before = (await client.get(path(dataset), params={"limit": "1", "count": "true"})).json()
        response = await client.get(path(dataset), params={"f": "csv"})
        rows = list(csv.DictReader(io.StringIO(response.content.decode())))
        numbers = [row["no"] for row in rows]
        assert len(numbers) == len(set(numbers))
        assert abs(len(rows) - before["numberMatched"]) < 500
        revisions.add(before["meta"]["revision"])
    stop.set()

    assert await writing > 1
    assert len(revisions) == 8


@pytest_asyncio.fixture
async def replica(database_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another process's application on the same database, as far as a test can have one."""
    app: FastAPI = create_app(settings, database_url)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=ISSUER, event_hooks=HOOKS
        ) as asking,
    ):
        live: Any = app.state.platform.live
        assert live._task is not None
        live._task.cancel()  # it hears of nothing: as in the moment before a notification comes
        await live._connection.remove_listener("urbanos", live._heard)
        yield asking


async def test_a_replica_that_has_not_heard_of_a_write_answers_as_before_it(
    client: httpx.AsyncClient, replica: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, writer = await tokens(world, dataset)
    await published(world, dataset, steward, file(3))
    before = (await replica.get(path(dataset), params={"fields": "name,no"})).json()["records"]

    records = [{"no": "00001", "name": "changed"}, {"no": "new"}]
    assert (await client.post(path(dataset), json=records, headers=writer)).status_code == 200
    await client.delete(path(dataset, "00002"), headers=writer)

    for asked in ({"fields": "name,no", "count": "true"}, {"fields": "name,no", "limit": "10"}):
        page = (await replica.get(path(dataset), params=asked)).json()
        assert page["records"] == before
        assert page.get("numberMatched", 3) == 3
    one = (await replica.get(path(dataset, "00001"))).json()
    assert (one["record"]["name"], one["meta"]["revision"]) == ("first", 0)
    as_csv = await replica.get(path(dataset), params={"f": "csv"})
    assert len(as_csv.text.splitlines()) == 4


async def test_two_uploads_at_once_make_two_versions_and_readers_keep_theirs(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, _ = await tokens(world, dataset)
    await published(world, dataset, steward, file(5))

    runs = await asyncio.gather(
        *(world.load(steward, dataset, file(10 + at, f"n{at}")) for at in range(3))
    )

    assert sorted(run["version_number"] for run in runs) == [2, 3, 4]
    current = (await client.get(path(dataset))).json()
    assert (current["version"], current["numberReturned"]) == (1, 5)
    unseen = await client.get(path(dataset), params={"version": "3"})
    assert (unseen.status_code, unseen.json()["code"]) == (404, "version_not_found")
    await world.publish(steward, runs[0])
    newest = (await client.get(path(dataset))).json()
    assert (newest["version"], newest["numberReturned"]) == (runs[0]["version_number"], 10)
    old = (await client.get(path(dataset), params={"version": "1"})).json()
    assert (old["version"], old["numberReturned"]) == (1, 5)


async def test_the_same_file_twice_at_once_makes_one_version(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, _ = await tokens(world, dataset)

    runs = await asyncio.gather(*(world.load(steward, dataset, file(500)) for _ in range(4)))

    listed = await client.get(f"/v1/datasets/{dataset}/versions", headers=steward)
    assert [version["number"] for version in listed.json()] == [1]
    assert {run["version_number"] for run in runs} == {1}


async def test_a_failed_run_has_nothing_to_publish(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [], SPECS)
    steward, _ = await tokens(world, dataset)
    await published(world, dataset, steward, file(5))

    failed = await world.load(steward, dataset, b"%PDF-1.7\nno,name,size")
    refused = await client.post(f"/v1/datasets/{dataset}/versions/2/publish", headers=steward)

    assert (failed["state"], failed["version_number"]) == ("failed", None)
    assert (refused.status_code, refused.json()["code"]) == (404, "version_not_found")
    assert (await client.get(path(dataset))).json()["version"] == 1
