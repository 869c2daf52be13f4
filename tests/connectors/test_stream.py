"""What a source tells becomes records at once: each row once, in order, and nothing stops it."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from app.api import stream_metrics
from app.api.state import Platform
from app.audit import log as audit
from app.audit.events import Event
from app.catalogue import streams
from app.connectors.errors import SourceUnreachable
from app.connectors.frame import Changes
from app.connectors.inbox import SECRET_HEADER
from app.connectors.scripted import Script, ScriptedConnector
from app.kit import clock
from app.kit.db import Database, DatabaseUnavailable
from app.models.datasets import DataClass, Dataset
from app.tasks import inbox as inbox_module
from app.tasks import stream as stream_module
from app.tasks.harvest import Harvester
from app.tasks.stream import Streamer
from tests.connectors.farm import Farm
from tests.connectors.streaming import Streaming, until
from tests.world import KENKO

A, B = {"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空第二"}


@pytest_asyncio.fixture(loop_scope="session")
async def streaming(
    farm: Farm, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Streaming]:
    """A worker's listener, quick enough to be waited for."""
    monkeypatch.setattr(platform, "kinds", farm.harvester.kinds)
    made = Streaming(farm)
    yield made
    await made.stop()


@dataclass(slots=True)
class Told:
    """A stream of a scripted source."""

    script: Script
    name: str
    dataset: str
    connector: str


async def _told(streaming: Streaming, *tells: Changes, **feed: Any) -> Told:
    name = secrets.token_hex(4)
    script = ScriptedConnector.scripts[name] = Script(tells=list(tells))
    dataset = await streaming.farm.dataset()
    connector = await streaming.farm.add(
        "scripted", {"script": name}, {"dataset": dataset, "mode": "stream", **feed}
    )
    return Told(script, name, dataset, connector)


async def test_rows_are_mapped_typed_replaced_and_ended_each_batch_with_its_entry_in_the_log(
    streaming: Streaming,
) -> None:
    step = [{"to": "no", "from": ["id"]}, {"to": "name", "from": ["facility"]}]
    told = await _told(
        streaming,
        Changes(rows=[{"id": 1, "facility": " 架空第零 "}, {"id": 2, "facility": "架空第二"}]),
        Changes(rows=[{"id": 1, "facility": "古い"}, {"id": 1, "facility": "架空第一"}]),
        Changes(rows=[{"id": 3, "facility": "架空第三"}], gone=[{"id": 3}]),
        Changes(gone=[{"id": 2}], unusable=["message_not_json"]),
        mapping=step,
    )
    streaming.start()

    going = await streaming.until(told.connector, lambda its: its["received"] == 8)

    assert await streaming.farm.records(told.dataset) == [A]
    assert (going["state"], going["written"], going["deleted"], going["rejected"]) == (
        "streaming", 3, 1, 1,
    )  # fmt: skip
    written = await streaming.farm.world.log(Event.RECORDS_WRITTEN)
    assert [(each["rows"], each["deleted"], each["rejected"]) for each in written] == [
        (2, 0, 0), (1, 0, 0), (0, 1, 1),
    ]  # fmt: skip
    assert {each["by"] for each in written} == {f"connector:{told.connector}"}


async def test_a_bad_row_is_kept_out_and_shown_without_its_value_and_stops_no_other(
    streaming: Streaming,
) -> None:
    number = "1234567890" + "18"
    told = await _told(
        streaming,
        Changes(rows=[A, {"no": "5", "name": number}, {"name": "番号なし"}, {"x": [1]}, B]),
        Changes(
            rows=[{"no": secrets.token_hex(4_000), "name": "長い"}, {"no": "7", "name": "\x00"}]
        ),
    )
    streaming.start()

    going = await streaming.until(told.connector, lambda its: its["received"] == 7)

    assert await streaming.farm.records(told.dataset) == [A, B]
    assert going["rejected"] == 5
    assert "individual_number_refused" in {each["code"] for each in going["rejects"]}
    assert all(each["ja"] and each["en"] for each in going["rejects"])
    assert number not in str(going)


async def test_a_source_that_breaks_is_tried_again_from_where_it_was_kept(
    streaming: Streaming,
) -> None:
    told = await _told(streaming, Changes(rows=[A]))
    streaming.start()
    await streaming.until(told.connector, lambda its: its["received"] == 1)

    told.script.wrong = SourceUnreachable(source="scripted", at="connection")
    broken = await streaming.until(told.connector, lambda its: its["state"] == "waiting")
    told.script.tells.append(Changes(rows=[B]))
    told.script.wrong = None
    going = await streaming.until(told.connector, lambda its: its["received"] == 2)

    assert (broken["error_class"], broken["since"]) == ("unreachable", None)
    assert broken["next_try_at"] is not None
    assert going["since"] is not None
    assert going["written"] == 2  # the first was not told twice


async def test_whoever_watches_sees_who_listens_what_breaks_off_and_what_waits(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await _told(streaming, Changes(rows=[A, {"name": "番号なし"}]))
    farm, pool = streaming.farm, streaming.farm.harvester.database.pool
    streaming.start()
    await streaming.until(told.connector, lambda its: its["received"] == 2)
    for _ in range(200):  # a slow machine loses its lease, and begins again
        well = await _figures(farm, told.connector)
        if (well["streams streaming"], well["streams_unheld"]) == (1, 0):
            break
        await asyncio.sleep(0.05)
    told.script.wrong = SourceUnreachable(source="scripted", at="connection")
    await streaming.until(told.connector, lambda its: its["state"] == "waiting")
    told.script.wrong = None
    await streaming.until(told.connector, lambda its: its["state"] == "streaming")
    await streaming.stop()
    await pool.execute(
        "INSERT INTO stream_message (dataset_id, body, received_at) VALUES ($1, '{}', $2)",
        told.dataset, clock.now() - timedelta(minutes=10),
    )  # fmt: skip
    night = await _figures(farm, told.connector)
    monkeypatch.setattr(stream_metrics, "_MOST_NAMED", 0)
    together = await _figures(farm, "other")

    rows = [well[f"stream_rows_total {each}"] for each in ("received", "written", "rejected")]
    assert (rows, well["streams_unheld"]) == ([2, 1, 1], 0)
    assert (night["streams waiting"], night["streams_unheld"]) == (1, 1)
    assert night["stream_connections_total"] > well["stream_connections_total"] > 0
    assert night["stream_messages_waiting"] == 1
    assert 600 <= night["stream_waiting_seconds"] < 660
    assert 0 < night["stream_silent_seconds"] < 60
    assert together["streams_unheld"] >= 1


async def _figures(farm: Farm, connector: str) -> dict[str, float]:
    """What is shown of a connector's streams now."""
    metrics = farm.world.client._transport.app.state.metrics  # type: ignore[attr-defined]
    metrics._work._looked_at = float("-inf")
    text = (await farm.world.client.get("/metrics")).text
    shown = re.findall(
        r'^urbanos_(streams?\w*){connector="(.+?)"(?:,\w+="(\w+)")?} (.+)$', text, re.M
    )
    return {f"{name} {more}".strip(): float(n) for name, its, more, n in shown if its == connector}


async def test_a_database_that_is_lost_is_no_fault_of_the_source(
    streaming: Streaming, database_url: str
) -> None:
    lost = await Database.open(database_url, connections=1)
    await lost.close()
    with pytest.raises(DatabaseUnavailable) as unavailable:
        await inbox_module.FeedInbox(lost, "d", "", {}).next(0, 0)
    told = await _told(streaming, Changes(rows=[A]))
    told.script.wrong = unavailable.value  # type: ignore[assignment]
    streaming.start()

    going = await streaming.until(told.connector, lambda its: its["state"] == "waiting")
    told.script.wrong = None
    await streaming.until(told.connector, lambda its: its["received"] == 1)

    assert (going["error_class"], going["error_code"]) == (None, None)


async def test_pausing_changing_and_removing_stop_it_within_seconds_and_the_source_is_told(
    streaming: Streaming,
) -> None:
    told = await _told(streaming, Changes(rows=[A]))
    streaming.start()
    farm, script = streaming.farm, told.script
    await streaming.until(told.connector, lambda its: its["received"] == 1)

    await farm.ask("PATCH", f"/{told.connector}", {"paused": True})
    await until(lambda: script.open_now == 0)
    script.tells.append(Changes(rows=[B]))
    paused = await streaming.going(told.connector)
    kept_while_paused = list(script.forgotten)
    await farm.ask("PATCH", f"/{told.connector}", {"paused": False})
    await streaming.until(told.connector, lambda its: its["received"] == 2)
    await farm.ask("DELETE", f"/{told.connector}")
    await until(lambda: script.open_now == 0 and script.forgotten != [])

    assert (paused["state"], kept_while_paused) == ("paused", [])
    assert script.forgotten == [{"told": 2}]
    assert await farm.records(told.dataset) == [A, B]


async def test_a_harvested_dataset_that_is_listened_to_keeps_its_ids_and_shows_no_false_change(
    streaming: Streaming,
) -> None:
    farm, name = streaming.farm, secrets.token_hex(4)
    script = ScriptedConnector.scripts[name] = Script([A, B], tells=[Changes(rows=[A, B])])
    dataset = await farm.dataset()
    feed = {"dataset": dataset, "publish": True}
    connector = await farm.add("scripted", {"script": name}, feed)
    await farm.run(connector)
    changed = await farm.ask("PATCH", f"/{connector}", {"feeds": [{**feed, "mode": "stream"}]})
    streaming.start()

    going = await streaming.until(connector, lambda its: its["received"] == 2)
    refused = await farm.ask("POST", f"/{connector}/runs", {})

    assert changed.status_code == 200, changed.text
    assert going["written"] == 0
    headers = await farm.world.token(await farm.world.party(KENKO), f"dataset:{dataset}:read")
    got = await farm.world.client.get(
        f"/v1/datasets/{dataset}/changes?purpose=own-duty", headers=headers
    )
    assert [each["op"] for each in got.json()["changes"]] == ["upsert", "upsert"]
    assert (refused.status_code, refused.json()["code"]) == (409, "connector_feed_streams")
    assert script.asked.count("harvest") == 1


async def test_what_keeps_records_out_keeps_those_of_a_stream_out_and_says_so(
    streaming: Streaming,
) -> None:
    told = await _told(streaming, Changes(rows=[A]))
    async with streaming.farm.world.platform.database.writing() as session:
        dataset = await session.get_one(Dataset, told.dataset)
        dataset.data_class, dataset.license = DataClass.PUBLIC, None  # and no licence to be public
    streaming.start()

    going = await streaming.until(told.connector, lambda its: its["error_code"] is not None)

    assert (going["state"], going["error_class"]) == ("waiting", "ours")
    assert going["error_code"] == "license_missing"
    assert (going["received"], going["written"]) == (0, 0)  # it waits at its source


async def test_a_fault_of_a_kind_ends_its_own_stream_alone_and_tells_none_of_its_words(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await _told(streaming, Changes(rows=[A]))
    broken = await _told(streaming, Changes(rows=[A]))

    told_by = ScriptedConnector._told

    async def tell(self: ScriptedConnector, script: Script, at: int) -> AsyncIterator[Changes]:
        if script is broken.script:
            raise ValueError("hidden-word-9")
        async for each in told_by(self, script, at):
            yield each

    monkeypatch.setattr(ScriptedConnector, "_told", tell)
    streaming.start()

    ended = await streaming.until(broken.connector, lambda its: its["error_code"] is not None)
    await streaming.until(told.connector, lambda its: its["received"] == 1)

    assert ended["error_code"] == "connector_kind_broken"
    assert "hidden-word-9" not in str(ended)


async def test_one_process_listens_at_a_time_and_another_takes_over_a_silent_one(
    streaming: Streaming, harvester: Harvester
) -> None:
    told = await _told(streaming, Changes(rows=[A]))
    streaming.start()
    await streaming.until(told.connector, lambda its: its["received"] == 1)
    second = Streamer(harvester, "http://urbanos.test", look_seconds=0.05, lease_seconds=0.6)
    running = asyncio.create_task(second.run())
    await asyncio.sleep(0.3)
    listened = told.script.asked.count("listen")

    streaming.freeze()  # it says nothing any more, and believes that it listens
    await until(lambda: told.script.asked.count("listen") == 2)
    told.script.tells.append(Changes(rows=[B]))  # both hear it
    await until(lambda: told.script.open_now == 1)  # one finds that it is no longer the one
    await streaming.until(told.connector, lambda its: its["received"] == 2)
    running.cancel()
    await asyncio.wait({running})

    assert listened == 1
    going = await streaming.going(told.connector)
    assert (going["received"], going["written"]) == (2, 2)


@pytest.mark.parametrize(
    ("feed", "code"),
    [({"schedule": "0 3 * * *"}, "schedule_of_stream"), ({"dataset": None}, "dataset_has_no_key")],
)
async def test_a_stream_that_cannot_be_is_refused(
    streaming: Streaming, feed: dict[str, Any], code: str
) -> None:
    farm = streaming.farm
    fields = [{"name": "no", "column": "no", "label": "番号", "type": "code"}]
    keyless = await farm.dataset(fields=fields)
    told = {"dataset": await farm.dataset(), "mode": "stream", **feed}
    told["dataset"] = told["dataset"] or keyless

    refused = await farm.ask(
        "POST", "",
        {"kind": "scripted", "name": "-", "settings": {"script": "-"}, "feeds": [told]},
    )  # fmt: skip

    assert refused.status_code == 422
    assert [each["code"] for each in refused.json()["errors"]] == [code]


async def test_a_kind_that_cannot_listen_is_not_listened_to(farm: Farm) -> None:
    feed = {"dataset": await farm.dataset(), "mode": "stream"}

    refused = await farm.ask(
        "POST", "",
        {"kind": "http_json", "name": "-", "settings": {"base": "http://127.0.0.1:9"},
         "feeds": [feed]},
    )  # fmt: skip

    assert [each["code"] for each in refused.json()["errors"]] == ["mode_not_offered"]


async def test_what_is_sent_at_once_is_read_in_the_order_of_its_numbers_and_a_little_at_a_time(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "_MOST_BYTES", 3)
    told = await _told(streaming)
    database = streaming.farm.harvester.database
    async with database.writing() as session:
        await streams.claim(session, timedelta(seconds=60), most=50)
    inbox = inbox_module.FeedInbox(database, told.dataset, "", {})

    async def put(body: bytes) -> None:
        async with database.writing() as session:
            await streams.put(session, told.dataset, body)

    async with database.writing() as slow:
        await streams.put(slow, told.dataset, b"1st")
        other = asyncio.create_task(put(b"2nd"))
        await asyncio.sleep(0.1)
        early = await inbox.next(0, 0)  # the second has a larger number
    await other
    first = await inbox.next(0, 0)
    second = await inbox.next(first[-1].number, 0)

    assert early == []
    assert [[each.body for each in found] for found in (first, second)] == [[b"1st"], [b"2nd"]]


async def test_the_secret_of_before_is_good_until_the_source_knows_the_new_one(
    streaming: Streaming,
) -> None:
    told = await _told(streaming)
    database = streaming.farm.harvester.database
    async with database.writing() as session:
        (work,) = await streams.claim(session, timedelta(seconds=60), most=50)
        stream = await streams.mine(session, work)

        def opened() -> str:
            its = inbox_module.open_inbox(database, "http://u.test", work.kept.entry.id, stream)
            return its.headers[SECRET_HEADER]

        async def is_heard(secret: str) -> bool:
            await session.flush()
            found = await streams.find_listening(session, work.kept.entry.id, secret)
            return found == told.dataset

        first = opened()
        streams.begin(stream)
        later = [opened() for _ in range(3)]  # the source is not there to be told
        meanwhile = [await is_heard(each) for each in (first, later[-1], "guessed")]
        streams.begin(stream)
        at_last = [await is_heard(each) for each in (first, later[-1])]

    assert (meanwhile, at_last) == ([True, True, False], [False, True])


async def test_a_connector_is_removed_while_a_batch_of_its_stream_is_written(
    streaming: Streaming,
) -> None:
    told = await _told(streaming)
    database = streaming.farm.harvester.database
    async with database.writing() as session:
        (work,) = await streams.claim(session, timedelta(seconds=60), most=50)
    async with database.writing() as session:
        await streams.mine(session, work)
        removing = asyncio.create_task(streaming.farm.ask("DELETE", f"/{told.connector}"))
        await asyncio.sleep(0.2)
        await audit.append(session, Event.RECORDS_WRITTEN, dataset=told.dataset, rows=0)

    assert (await removing).status_code == 204


async def test_many_rows_at_once_are_written_a_few_at_a_time_in_their_order(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_ROWS", 1)
    told = await _told(
        streaming, Changes(rows=[A, B], gone=[{"no": "1"}], unusable=["message_not_json"])
    )
    streaming.start()

    await streaming.until(told.connector, lambda its: its["received"] == 4)

    written = await streaming.farm.world.log(Event.RECORDS_WRITTEN)
    assert [(each["rows"], each["deleted"], each["rejected"]) for each in written] == [
        (1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1),
    ]  # fmt: skip
    assert await streaming.farm.records(told.dataset) == [B]
