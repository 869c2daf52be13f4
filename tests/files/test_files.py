"""Files of versions: who gets them, when they are made, and when they go."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.audit.events import Event
from app.jobs.queue import FILES, enqueue
from app.models.parties import Role
from app.tasks import worker as worker_module
from app.tasks.files import keep_up, make_files
from tests.files.ready import ROWS, SPECS, address, made
from tests.stock import PURPOSE, Spec, against_the_rules, path, put, stocked
from tests.world import KENKO, SAKAI, World


async def test_withdrawn_is_gone_at_once_and_hidden_is_not_found(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS[:1], SPECS)
    await made(world, dataset)
    secret = await stocked(world, ROWS[:1], SPECS, data_class="internal", hidden=True)
    await make_files(world.platform.database, world.platform.store, secret, 1)
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '誤り' WHERE id = $1", dataset
    )
    world.platform.live.changed("dataset", dataset)

    gone = await client.get(address(dataset, ".csv"))
    unlisted = await client.get(f"/v1/datasets/{dataset}/files")
    unknown = await client.get(address(secret, ".csv"))

    assert (gone.status_code, gone.json()["code"]) == (410, "dataset_withdrawn")
    assert unlisted.status_code == 410
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dataset_not_found")


async def test_an_internal_file_needs_its_right_and_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    await make_files(world.platform.database, world.platform.store, dataset, 1)
    scope = f"dataset:{dataset}:read"
    url, purpose = address(dataset, ".csv"), {"purpose": PURPOSE}

    nobody = await client.get(url, params=purpose)
    stranger = await client.get(
        url,
        params=purpose,
        headers=await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write"),
    )
    own = await world.token(await world.party(KENKO), scope)
    first = await client.get(url, params=purpose, headers=own)
    without = await client.get(url, headers=own)
    head = await client.head(url, params=purpose, headers=own)

    assert [nobody.status_code, stranger.status_code, first.status_code] == [401, 403, 200]
    assert "resource_metadata" in nobody.headers["www-authenticate"]
    assert without.json()["code"] == "purpose_required"
    assert "inside" in first.text
    assert first.headers["cache-control"] == "private, no-cache"
    reads = await world.log(Event.RECORDS_READ)
    assert [(read["rows"], read["file"]) for read in reads] == [
        (3, f"{dataset}-v1-r1.csv"), (0, f"{dataset}-v1-r1.csv"),
    ]  # fmt: skip
    assert first.headers["linkage-receipt"] and head.status_code == 200
    assert len(await world.log(Event.RECORDS_REFUSED)) == 3


async def test_no_files_of_restricted_data_are_kept(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    platform = world.platform
    await make_files(platform.database, platform.store, dataset, 1)
    own = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")

    listed = await client.get(
        f"/v1/datasets/{dataset}/files", params={"purpose": PURPOSE}, headers=own
    )
    asked = await client.get(address(dataset, ".csv"), params={"purpose": PURPOSE}, headers=own)

    assert listed.json()["files"] == []
    assert {each["code"] for each in listed.json()["absent"]} == {"class_not_kept"}
    assert (asked.status_code, asked.json()["code"]) == (404, "file_not_made")
    assert not list(Path(platform.store.place).glob(f"{dataset}/**/*.csv"))


async def test_what_becomes_restricted_loses_its_files(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS[:1], SPECS)
    await made(world, dataset)
    platform = world.platform
    kept = list(Path(platform.store.place).glob(f"{dataset}/**/*.csv"))
    await platform.database.pool.execute(
        "UPDATE dataset SET data_class = 'restricted' WHERE id = $1", dataset
    )
    platform.live.changed("dataset", dataset)

    at_once = await client.get(address(dataset, ".csv"))
    await keep_up(platform.database, platform.store)

    assert at_once.status_code == 401
    assert kept and not Path(platform.store.place, dataset).exists()


async def test_records_without_a_place_have_no_map_forms_and_the_list_says_why(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "長" * 40_000}])

    listed = await made(world, dataset)
    asked = await client.get(address(dataset, ".gpkg"))

    assert {file["format"] for file in listed["files"]} == {"csv", "csv-excel", "parquet"}
    assert {each["format"]: each["code"] for each in listed["absent"]} == {
        "geojson": "no_geometry", "geopackage": "no_geometry", "pmtiles": "no_geometry",
        "xlsx": "cell_too_long",
    }  # fmt: skip
    assert asked.json()["code"] == "file_not_made"


async def test_written_records_get_new_files_and_the_old_ones_stay_for_a_while(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "前"}])
    before = await made(world, dataset)
    await put(world, dataset, [{"no": "2", "name": "後"}])
    pool = world.platform.database.pool

    still = (await client.get(address(dataset, ".csv"))).text
    await keep_up(world.platform.database, world.platform.store)  # too early: made just now
    soon = (await client.get(address(dataset, ".csv"))).text
    await pool.execute(
        "UPDATE version_file SET made_at = made_at - interval '1 hour' WHERE dataset_id = $1",
        dataset,
    )
    await keep_up(world.platform.database, world.platform.store)
    world.platform.live.changed("dataset", dataset)
    after = (await client.get(address(dataset, ".csv"))).text
    old = await client.get(before["files"][0]["href"])
    await pool.execute(
        "UPDATE version_file SET made_at = made_at - interval '2 days' WHERE dataset_id = $1",
        dataset,
    )
    await keep_up(world.platform.database, world.platform.store)
    world.platform.live.changed("dataset", dataset)
    older = await client.get(before["files"][0]["href"])

    assert "後" not in still and soon == still
    assert "後" in after
    assert (old.status_code, older.status_code) == (200, 404)


@pytest.mark.usefixtures("files_worker")
async def test_publishing_has_the_files_made_and_letting_the_version_go_removes_them(
    client: httpx.AsyncClient, world: World
) -> None:
    from tests.versioned import publish  # noqa: PLC0415

    dataset = await world.dataset(data_class="public", columns=())
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    await publish(world, steward, dataset)
    name = f"/v1/datasets/{dataset}/files/{dataset}-v1.csv"

    async with asyncio.timeout(30):
        while (answer := await client.get(name)).status_code != 200:
            assert answer.json()["code"] in ("file_not_found", "file_not_ready")
            await asyncio.sleep(0.05)
    await pool.execute("UPDATE version_file SET removed_at = now() WHERE dataset_id = $1", dataset)
    world.platform.live.changed("dataset", dataset)
    ended = await client.get(name)

    assert answer.text.startswith("no,name,size\n1,a,1\n")
    assert ended.status_code == 404


@pytest.mark.usefixtures("files_worker")
async def test_makings_without_end_hold_up_no_load(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.versioned import publish  # noqa: PLC0415

    making, dataset = [], await world.dataset(data_class="public", columns=())
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )

    async def for_ever(*given: object) -> None:
        making.append(given)
        await asyncio.sleep(3_600)

    with monkeypatch.context() as slow:
        slow.setattr(worker_module, "make_files", for_ever)
        async with pool.acquire() as driver:
            for _ in range(3):
                await enqueue(driver, FILES, dataset=dataset, version=1)
        async with asyncio.timeout(20):
            while len(making) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
            await publish(world, steward, dataset)

    assert (await client.get(path(dataset))).json()["numberReturned"] > 0
    assert len(making) == 2


async def test_what_others_may_not_see_is_in_no_file_that_they_get(
    client: httpx.AsyncClient, world: World
) -> None:
    hidden: tuple[Spec, ...] = (
        *SPECS[:7],
        ("lat", "latitude", {"visibility": "internal"}),
        ("lon", "longitude", {"visibility": "internal"}),
    )
    rows = [{name: value for name, value in ROWS[0].items() if name != "inside"}]
    dataset = await stocked(world, rows, hidden)

    listed = await made(world, dataset)
    await against_the_rules(  # what was public is so no longer
        world,
        """UPDATE version SET fields = jsonb_set(fields, '{1,visibility}', '"internal"')
        WHERE dataset_id = $1""",
        dataset,
    )
    world.platform.live.changed("dataset", dataset)
    after = await client.get(address(dataset, ".csv"))
    relisted = (await client.get(f"/v1/datasets/{dataset}/files")).json()

    assert {each["format"] for each in listed["absent"]} == {"geojson", "geopackage", "pmtiles"}
    assert (after.status_code, after.json()["code"]) == (403, "column_not_visible")
    assert relisted["files"] == []
    assert len(await world.log(Event.RECORDS_REFUSED)) == 1


async def test_a_worker_told_to_stop_breaks_off_the_making_and_another_does_it(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    database, store = world.platform.database, world.platform.store
    begun, stop = asyncio.Event(), asyncio.Event()

    async def for_ever(*_given: object) -> None:
        begun.set()
        await asyncio.sleep(3_600)

    async with database.pool.acquire() as driver:
        await enqueue(driver, FILES, dataset=dataset, version=1)
    crew = worker_module.Crew(store=store)
    with monkeypatch.context() as slow:
        slow.setattr(worker_module, "make_files", for_ever)
        working = asyncio.create_task(worker_module.work(database, stop, crew))
        async with asyncio.timeout(20):
            await begun.wait()
            stop.set()
            await working
    again = asyncio.Event()
    quick = timedelta(seconds=0.5)
    working = asyncio.create_task(worker_module.work(database, again, crew, heartbeat=quick))
    async with asyncio.timeout(30):
        while (await client.get(address(dataset, ".csv"))).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    again.set()
    await working
