"""A harvest becomes a version by the take-in, or leaves readers what they have."""

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app.audit.events import Event
from app.audit.reading import list_entries
from app.catalogue import beginnings, harvests
from app.connectors.errors import SourceSlow
from app.connectors.scripted import Script, ScriptedConnector
from app.kit import clock
from app.kit.crypto import load_sealer
from app.kit.key_places import KeyFile, SecretKeyUnusable
from app.models.connectors import ConnectorEntry, Feed, Harvest
from app.tasks.harvest import Later
from app.tasks.worker import Crew, work
from tests.connectors.databases import foreign_database
from tests.connectors.farm import FIELDS, Farm
from tests.connectors.sources import Asked, reply, web
from tests.database import DatabaseServer

A, B = {"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空第二"}
STEP = [{"to": "no", "from": ["id"]}, {"to": "name", "from": ["facility"]}]


async def test_records_of_an_interface_are_harvested_mapped_published_and_not_asked_for_twice(
    farm: Farm,
) -> None:
    rows = [{"id": 1, "facility": "架空第一"}]

    def answer(asked: Asked) -> bytes:
        tag = f'"{len(rows)}"'
        if asked.headers.get("if-none-match") == tag:
            return reply(b"", "304 Not Modified")
        return reply({"items": rows}, ETag=tag)

    dataset = await farm.dataset()
    async with web(answer) as server:
        feed = {
            "dataset": dataset,
            "selection": {"rows": "/items"},
            "mapping": STEP,
            "publish": True,
        }
        connector = await farm.add("http_json", {"base": server.base}, feed)

        first = await farm.run(connector)
        again = await farm.run(connector)
        rows.append({"id": 2, "facility": "架空第二"})
        third = await farm.run(connector)

    assert (first["state"], first["rows"], first["version_number"], first["published"]) == (
        "ok",
        1,
        1,
        True,
    )
    assert (again["state"], again["version_number"], again["run_id"]) == ("unchanged", 1, None)
    assert (third["state"], third["version_number"]) == ("ok", 2)
    assert await farm.records(dataset) == [A, B]
    ended = await farm.world.log(Event.HARVEST_ENDED)
    assert [each["state"] for each in ended] == ["ok", "unchanged", "ok"]


async def test_rows_that_have_come_since_join_those_that_readers_have(
    farm: Farm, embedded: DatabaseServer
) -> None:
    dataset = await farm.dataset()
    async with foreign_database(embedded) as source:
        await source.owner.execute("CREATE TABLE t (no int, name text, changed timestamptz)")
        await source.owner.execute(f"GRANT SELECT ON t TO {source.user}")
        insert = "INSERT INTO t VALUES ($1, $2, $3::text::timestamptz)"
        await source.owner.execute(insert, 1, "架空第一", "2026-04-01")
        selection = {"table": "t", "columns": ["no", "name"], "watermark": "changed"}
        told = {"dataset": dataset, "publish": True, "selection": selection}
        connector = await farm.add("sql", source.settings(), told)

        await farm.run(connector)
        await source.owner.execute(insert, 2, "架空第二", "2026-04-02")
        second = await farm.run(connector)
        third = await farm.run(connector)

    assert (second["state"], second["rows"]) == (
        "ok",
        2,
    )  # the last one comes again: it may have had a twin
    assert third["state"] == "unchanged"
    assert await farm.records(dataset) == [A, B]


async def test_another_shape_keeps_what_readers_have_and_says_so(farm: Farm) -> None:
    body: list[object] = [[{"no": 1, "name": "架空第一"}]]
    dataset = await farm.dataset()
    async with web(lambda _: reply(body[0])) as server:
        connector = await farm.add(
            "http_json", {"base": server.base}, {"dataset": dataset, "publish": True}
        )
        await farm.run(connector)
        body[0] = [{"number": 1, "title": "架空"}]
        lost = await farm.run(connector)
        body[0] = {"error": "maintenance"}
        gone = await farm.run(connector)
        body[0] = []
        empty = await farm.run(connector)

    assert [
        (each["state"], each["error_class"], each["error_code"]) for each in (lost, gone, empty)
    ] == [
        ("failed", "changed", "column_missing"),
        ("failed", "changed", "source_changed"),
        ("failed", "changed", "file_empty"),
    ]
    assert all(each["error_ja"] and each["error_en"] for each in (lost, gone, empty))
    assert await farm.records(dataset) == [A]


def _script(*rows: dict[str, str]) -> tuple[str, Script]:
    script = Script(list(rows))
    name = f"s{len(ScriptedConnector.scripts)}"
    ScriptedConnector.scripts[name] = script
    return name, script


async def _scripted(farm: Farm, name: str, **feed: object) -> tuple[str, str]:
    """A connector of a kind that the API does not offer; and its dataset."""
    dataset = await farm.dataset()
    now = clock.now()
    entry = ConnectorEntry(
        id=UUID(int=int.from_bytes(os.urandom(16), "big")), organization_id="271004-kenko",
        kind="scripted", name="試験", settings={"script": name}, zone="internet", paused=False,
        created_at=now, created_by="test", changed_at=now, set_by="test",
    )  # fmt: skip
    async with farm.harvester.database.writing() as session:
        session.add(entry)
        await session.flush()
        told = {"schedule": None, "next_at": None, "publish": True, **feed}
        session.add(
            Feed(dataset_id=dataset, connector_id=entry.id, mode="harvest", selection={}, **told)
        )
    return str(entry.id), dataset


async def test_what_passes_is_asked_again_later_and_not_for_ever(farm: Farm) -> None:
    name, script = _script(A)
    script.wrong = SourceSlow(source="s", at="pace", after_seconds=0.5)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)

    waits = []
    for _ in range(harvests.MOST_TRIES - 1):
        with pytest.raises(Later) as later:
            await farm.harvester.harvest(harvest_id)
        waits.append(later.value.after)
    waiting = await farm.shown(connector, harvest_id)
    await farm.harvester.harvest(harvest_id)
    ended = await farm.shown(connector, harvest_id)

    assert waits == [timedelta(seconds=0.5)] * 3  # as the source asks, where that is longer
    assert (waiting["state"], waiting["error_class"], waiting["ended_at"]) == (
        "queued",
        "slow",
        None,
    )
    assert (ended["state"], ended["error_class"], ended["tries"]) == ("failed", "slow", 4)


async def test_a_worker_without_the_key_leaves_a_harvest_to_one_that_has_it(
    farm: Farm, tmp_path: Path
) -> None:
    name, script = _script(A)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)
    early = replace(
        farm.harvester, open_sealer=lambda: load_sealer(KeyFile(tmp_path / "secret.key"))
    )

    with pytest.raises(SecretKeyUnusable):  # which the worker takes for what passes
        await early.harvest(harvest_id)
    waits = await farm.shown(connector, harvest_id)
    KeyFile(tmp_path / "secret.key").make()
    await early.harvest(harvest_id)

    assert (waits["state"], waits["tries"]) == ("queued", 0)
    assert (await farm.shown(connector, harvest_id))["state"] == "loading"
    assert len(script.asked) == 1


async def test_one_harvest_at_a_time_asks_a_source(farm: Farm) -> None:
    name, _ = _script(A)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)
    database = farm.harvester.database
    async with database.writing() as session:
        first = await harvests.claim(session, harvest_id)

    refused = await farm.ask("POST", f"/{connector}/runs", {})
    async with database.writing() as session:  # taken over from a worker that is thought to be dead
        second = await harvests.claim(session, harvest_id)
    assert first is not None and second is not None
    with pytest.raises(harvests.NotMine):
        async with database.writing() as session:
            await harvests.mine(session, first)

    assert refused.json()["code"] == "connector_run_under_way"
    assert first.attempt != second.attempt


async def test_what_is_overdue_is_begun_once_however_many_look(farm: Farm) -> None:
    name, script = _script(A)
    connector, dataset = await _scripted(
        farm, name, schedule="*/5 * * * *", next_at=clock.now() - timedelta(days=3)
    )

    await asyncio.gather(*(farm.harvester.begin_due() for _ in range(4)))
    await farm.harvester.begin_due()

    listed = (await farm.ask("GET", f"/{connector}/runs")).json()["items"]
    async with farm.harvester.database.reading() as session:
        feed = await session.get_one(Feed, dataset)
    assert len(listed) == 1
    assert listed[0]["created_by"] is None
    assert feed.next_at is not None
    assert timedelta(0) < feed.next_at - clock.now() <= timedelta(minutes=5)
    assert script.asked == []


async def test_all_that_is_due_is_begun_however_much(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "_DUE_AT_ONCE", 1)
    name, _ = _script(A)
    due = {"schedule": "0 3 * * *", "next_at": clock.now()}
    made = [await _scripted(farm, name, **due) for _ in range(3)]

    await farm.harvester.begin_due()

    listed = [(await farm.ask("GET", f"/{each}/runs")).json()["items"] for each, _ in made]
    assert [len(each) for each in listed] == [1, 1, 1]


@pytest.mark.parametrize(
    ("state", "created_hours", "started_hours", "ends"),
    [
        ("queued", 20, None, "queued"),  # behind two hundred others of its source
        ("queued", 50, None, "failed"),
        ("fetching", 20, 1, "fetching"),  # at its fourth try
        ("fetching", 20, 3, "failed"),
    ],
)
async def test_a_harvest_is_given_up_once_nobody_can_be_making_it(
    farm: Farm, state: str, created_hours: int, started_hours: int | None, ends: str
) -> None:
    name, _ = _script(A)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)
    ago = [each and clock.now() - timedelta(hours=each) for each in (created_hours, started_hours)]
    await farm.harvester.database.pool.execute(
        "UPDATE harvest SET state = $2, created_at = $3, started_at = $4 WHERE id = $1",
        harvest_id, state, *ago,
    )  # fmt: skip

    await farm.harvester.begin_due()

    assert (await farm.shown(connector, harvest_id))["state"] == ends


async def test_a_harvest_that_hangs_is_cancelled_within_seconds_and_leaves_nothing(
    farm: Farm,
) -> None:
    dataset = await farm.dataset()
    async with web(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nno") as server:
        server.hang = True
        connector = await farm.add(
            "file", {"base": server.base}, {"dataset": dataset, "selection": {"path": "a.csv"}}
        )
        harvest_id = await farm.begin(connector)
        making = asyncio.create_task(farm.harvester.harvest(harvest_id))
        while not server.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        pool = farm.harvester.database.pool
        async with asyncio.timeout(5):  # no connection waits for the source
            while pool.get_idle_size() < pool.get_size():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        asked = await farm.ask("POST", f"/{connector}/runs/{harvest_id}/cancel")
        await asyncio.wait_for(making, 5)
        for _ in range(100):
            if server.open_now == 0:
                break
            await asyncio.sleep(0.01)

        assert server.open_now == 0

    assert asked.status_code == 202
    assert (await farm.shown(connector, harvest_id))["state"] == "cancelled"
    left = await pool.fetchval(
        "SELECT count(*) FROM upload u WHERE NOT EXISTS (SELECT FROM run WHERE upload_id = u.id)"
    )
    assert left == 0


async def test_a_harvest_whose_worker_died_is_cancelled_by_the_next_that_takes_it(
    farm: Farm,
) -> None:
    name, script = _script(A)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)
    async with farm.harvester.database.writing() as session:  # and no more of that worker
        await harvests.claim(session, harvest_id)
    await farm.ask("POST", f"/{connector}/runs/{harvest_id}/cancel")

    await farm.harvester.harvest(harvest_id)

    assert (await farm.shown(connector, harvest_id))["state"] == "cancelled"
    assert script.asked == []


async def test_a_fetched_file_is_handed_over_once_by_whoever_holds_the_harvest(farm: Farm) -> None:
    name, script = _script(A)
    connector, _ = await _scripted(farm, name)
    harvest_id = await farm.begin(connector)

    await asyncio.gather(
        *(farm.harvester.harvest(harvest_id) for _ in range(2)), return_exceptions=True
    )
    async with farm.harvester.database.reading() as session:
        found = await session.get_one(Harvest, harvest_id)

    assert found.run_id is not None
    assert found.state == "loading"
    assert script.open_now == 0


async def test_a_kind_that_breaks_a_promise_ends_its_own_harvest_alone(farm: Farm) -> None:
    connector, _ = await _scripted(farm, "no such script")
    good, dataset = await _scripted(farm, _script(A)[0])
    bad_run, good_run = await farm.begin(connector), await farm.begin(good)
    stop = asyncio.Event()
    working = asyncio.create_task(
        work(farm.harvester.database, stop, Crew(harvester=farm.harvester))
    )
    async with asyncio.timeout(20):
        while {  # noqa: ASYNC110
            (await farm.shown(c, r))["ended_at"] is None
            for c, r in ((connector, bad_run), (good, good_run))
        } != {False}:
            await asyncio.sleep(0.05)
    stop.set()
    await working

    assert (await farm.shown(connector, bad_run))["error_code"] == "internal_error"
    assert (await farm.shown(good, good_run))["state"] == "ok"
    assert await farm.records(dataset) == [A]


async def test_an_organisation_that_lost_the_dataset_feeds_it_no_more(farm: Farm) -> None:
    name, script = _script(A)
    connector, _ = await _scripted(farm, name)
    async with farm.harvester.database.writing() as session:
        await session.execute(
            update(ConnectorEntry)
            .where(ConnectorEntry.id == UUID(connector))
            .values(organization_id="271403")
        )
        entry = await session.get_one(ConnectorEntry, UUID(connector))
        found = await session.scalar(select(Feed.dataset_id).where(Feed.connector_id == entry.id))
        begun = await harvests.ask(session, entry, str(found), by="test")

    await farm.harvester.harvest(begun.id)

    async with farm.harvester.database.reading() as session:
        ended = await session.get_one(Harvest, begun.id)
    assert (ended.state, ended.error_code) == ("failed", "connector_not_of_publisher")
    assert script.asked == []


async def test_where_a_second_person_is_needed_a_version_waits_for_one_who_did_not_say_what_is_asked(
    farm: Farm, drop: Path
) -> None:
    dataset = await farm.world.dataset(data_class="public", fields=FIELDS)
    pool = farm.harvester.database.pool
    await pool.execute("UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", dataset)
    (drop / "alone.csv").write_text("番号,名称\n1,架空第一\n")
    feed = {"dataset": dataset, "selection": {"path": "alone.csv"}}
    other = await Farm.of(farm.world, farm.harvester)
    connector = await other.add("file", {"base": str(drop)}, feed)
    taken_over = await farm.ask("PATCH", f"/{connector}", {"feeds": [{**feed, "publish": True}]})
    assert taken_over.status_code == 200, taken_over.text
    asks = "UPDATE organization SET approval = $1 WHERE id = '271004-kenko'"
    await pool.execute(asks, "second_person")
    try:
        # Who only presses the button says nothing of the source.
        first, again = await other.run(connector), await other.run(connector)
        await farm.ask("DELETE", f"/{connector}")
        publishing = f"/v1/datasets/{dataset}/versions/1/publish"
        alone = await farm.world.client.post(publishing, headers=farm.headers)
        approved = await farm.world.client.post(publishing, headers=other.headers)
    finally:
        await pool.execute(asks, None)

    assert (first["state"], first["published"]) == ("ok", False)
    assert first["error_code"] == "second_person_needed"
    assert again["state"] == "unchanged"
    assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
    assert approved.status_code == 200, approved.text


async def test_no_secret_of_a_connector_stands_in_the_log_or_in_an_answer(farm: Farm) -> None:
    dataset = await farm.dataset()
    async with web(lambda _: reply(b"", "401 Unauthorized")) as server:
        told = {"base": server.base, "auth": {"type": "api_key", "key": "hidden-key-9"}}
        connector = await farm.add("http_json", told, {"dataset": dataset})
        run = await farm.run(connector)
        tested = await farm.ask("POST", f"/{connector}/test")
        shown = await farm.ask("GET", f"/{connector}")

    entries = await list_entries(farm.harvester.database.pool, limit=10_000)
    assert "hidden-key-9" not in shown.text + tested.text + str(run) + str(
        [e.facts for e in entries]
    )
    assert shown.json()["has_secrets"] is True
    assert (run["error_class"], tested.json()["checks"][0]["at"]) == ("refused", "credentials")
    stored = await farm.harvester.database.pool.fetchval(
        "SELECT row_to_json(c)::text FROM connector c WHERE id = $1", UUID(connector)
    )
    assert "hidden-key-9" not in stored
