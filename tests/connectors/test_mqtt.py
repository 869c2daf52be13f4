"""The kind `mqtt` against a real Mosquitto: nothing lost, nothing twice, every fault told apart."""

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from pydantic import ValidationError

from app.connectors import mqtt as mqtt_module
from app.connectors import mqtt_session
from app.connectors.errors import (
    SourceBroken,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Changes, Means
from app.connectors.mqtt import MqttConnector, MqttSelection, MqttSettings
from app.kit.outbound import OutboundRefused
from app.kit.settings import Settings
from app.models.parties import Role
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.farm import Farm
from tests.connectors.mosquitto import PASSWORD, Mosquitto, mosquitto
from tests.connectors.sources import means
from tests.connectors.streaming import Streaming
from tests.database import REPO
from tests.world import KENKO

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]
READINGS: list[dict[str, Any]] = [
    {"name": "sensor", "column": "sensor", "label": "センサー", "type": "code", "key": True},
    {"name": "at", "column": "at", "label": "時刻", "type": "datetime", "key": True},
    {"name": "level", "column": "level", "label": "水位", "type": "decimal", "unit": "m"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mosquitto]:
    """One for all of this file, which restarts with what it has kept."""
    async with mosquitto(tmp_path_factory.mktemp("mosquitto")) as made:
        yield made


@pytest.fixture
def topic() -> str:
    """Below which a test has its topics to itself."""
    return f"city/{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_module, "_QUIET_S", 0.1)
    monkeypatch.setattr(mqtt_session, "_PATIENCE_S", 1.0)


def _connector(broker: Mosquitto, its: Means, **more: Any) -> MqttConnector:
    return MqttConnector(MqttSettings.model_validate(broker.settings(**more)), its)


def _said(row: Row) -> bytes:
    return json.dumps({"name": row["name"]}, ensure_ascii=False).encode()


class TestMqtt(Contract):
    """What a broker has retained, and what its topics say."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, broker: Mosquitto, topic: str) -> AsyncIterator[Stage]:
        async def add(row: Row) -> None:
            await broker.publish((f"{topic}/{row['no']}", _said(row)), retain=True)

        for row in ROWS:
            await add(row)
        async with means() as its:
            connector = _connector(broker, its)

            async def go_away() -> None:
                connector.settings = connector.settings.model_copy(update={"port": 9})

            selection = MqttSelection(topic=f"{topic}/{{no}}")
            yield Stage(connector, selection, ROWS, add, go_away, broker.open_now, PASSWORD)


async def _first(
    connector: MqttConnector, selection: MqttSelection, count: int, *, client: str
) -> list[Changes]:
    """So many batches with something in them; the last one is not acknowledged."""
    found: list[Changes] = []
    position = {"client": client, "subscribed": True}
    async with connector.listen(selection, position) as changes:
        async for each in changes:
            if each.rows or each.gone or each.unusable:
                found.append(each)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_comes_while_we_are_away_waits_in_order_and_what_was_not_kept_comes_again(
    broker: Mosquitto, topic: str, version: str
) -> None:
    selection = MqttSelection(topic=f"{topic}/{{sensor}}/level", payload="value")
    async with means() as its:
        connector = _connector(broker, its, version=version)
        named = connector.first_position(selection)
        async with connector.listen(selection, named) as changes:
            subscribed = (await anext(changes)).position
        assert subscribed is not None
        sent = [(f"{topic}/A-{at}/level", f"{at}.50".encode()) for at in range(40)]
        await broker.publish(*sent)

        lost = await _first(connector, selection, 1, client=named["client"])
        heard: list[Any] = []
        async with connector.listen(selection, subscribed) as changes:
            while len(heard) < 40:
                heard += (await anext(changes)).rows
        await connector.forget(selection, subscribed)
        async with connector.listen(selection, subscribed) as changes:
            again = await anext(changes)  # the session is gone: it has to be made anew

    assert lost[0].rows[0] == {"sensor": "A-0", "value": "0.50"}
    assert heard == [{"sensor": f"A-{at}", "value": f"{at}.50"} for at in range(40)]
    assert subscribed == {**named, "subscribed": True}
    assert (again.rows, again.position) == ((), subscribed)


async def test_what_is_no_row_is_counted_and_an_empty_message_ends_a_record_in_its_place(
    broker: Mosquitto, topic: str
) -> None:
    selection = MqttSelection(topic=f"{topic}/{{no}}/#", empty_deletes=True)
    position = {"client": f"urbanos-{topic[-8:]}"}
    bodies = [
        b'{"v": 1.10, "no": "x"}', "架空".encode("cp932"), b"[1", b"7", b'{"v": NaN}',
        b"[" * 100_000, b"", b'[{"v":1},{"v":2}]',
    ]  # fmt: skip
    found: list[Changes] = []
    async with means() as its, _connector(broker, its).listen(selection, position) as changes:
        await anext(changes)
        await broker.publish(*((f"{topic}/1/a", body) for body in bodies))
        async for each in changes:
            found.append(each)
            if sum(len(each.rows) for each in found) == 3:
                break

    assert [dict(row) for each in found for row in each.gone] == [{"no": "1"}]
    rows = [orjson.loads(orjson.dumps(row)) for each in found for row in each.rows]
    assert rows == [{"v": 1.1, "no": "1"}, {"v": 1, "no": "1"}, {"v": 2, "no": "1"}]
    assert b"1.10" in orjson.dumps(found[0].rows)  # every digit of it
    assert [code for each in found for code in each.unusable] == [
        "message_not_text", "message_not_json", "message_no_object", "message_not_json",
        "message_not_json",
    ]  # fmt: skip


async def test_a_packet_that_is_too_long_is_not_held_and_what_comes_behind_it_is_heard(
    broker: Mosquitto, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_session, "_LONGEST_PACKET", 1_000)
    monkeypatch.setattr(mqtt_session, "_PIECE", 300)
    selection = MqttSelection(topic=f"{topic}/{{no}}", payload="value", empty_deletes=True)
    position = {"client": f"urbanos-{topic[-8:]}"}
    hear, sizes = mqtt_session._Events.hear, list[int]()

    def heard(self: Any, message: Any, **more: Any) -> None:
        sizes.append(len(message.payload))
        hear(self, message, **more)

    monkeypatch.setattr(mqtt_session._Events, "hear", heard)
    found: list[Changes] = []
    async with means() as its:
        # MQTT 3.1.1 has no word for how long a packet may be.
        made = _connector(broker, its, version="3.1.1").listen(selection, position)
        async with made as changes:
            await anext(changes)
            await broker.publish((f"{topic}/1", b"x" * 50_000), (f"{topic}/2", b"y" * 900))
            async for each in changes:
                found.append(each)
                if any(each.rows for each in found):
                    break

    assert max(sizes) <= 1_000 + 300
    assert [code for each in found for code in each.unusable] == ["message_too_long"]
    assert [row for each in found for row in each.rows] == [{"no": "2", "value": "y" * 900}]
    assert [row for each in found for row in each.gone] == []


async def test_a_reader_that_dies_ends_its_connection_and_is_told_without_its_words(
    broker: Mosquitto,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("hidden-word-9")

    monkeypatch.setattr(mqtt_session._Pinned, "_handle_publish", fail)
    async with means() as its:
        listening = _connector(broker, its).listen(
            MqttSelection(topic=f"{topic}/+"), {"client": topic}
        )
        with pytest.raises(SourceBroken) as refused:
            async with asyncio.timeout(3), listening as changes:
                await anext(changes)
                await broker.publish((f"{topic}/1", b"1"))
                await anext(changes)

    assert refused.value.at == "cut_off"
    assert "hidden-word-9" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("more", "means_class", "at"),
    [
        ({"password": "hidden-word-8"}, SourceRefused, "credentials"),
        ({"host": "no-such-host.invalid"}, SourceUnreachable, "name"),
        ({"port": 9}, SourceUnreachable, "connection"),
        ({"tls": "verified"}, SourceUnreachable, "tls"),  # it speaks no TLS there
    ],
)
async def test_what_is_wrong_with_the_settings_is_told(
    broker: Mosquitto, more: dict[str, Any], means_class: type[SourceError], at: str
) -> None:
    async with means("127.0.0.0/8,no-such-host.invalid") as its:
        with pytest.raises(SourceError) as refused:
            await _connector(broker, its, **more).check()

    assert (type(refused.value), refused.value.at) == (means_class, at)
    assert PASSWORD not in refused.value.words("en")


async def test_a_broker_by_tls_is_who_its_authority_says_and_knows_us_by_our_certificate(
    broker: Mosquitto,
) -> None:
    ours = broker.authority.issue("platform")
    own = {"certificate": ours.pem.read_text(), "key": ours.key.read_text()}
    trusted = {"tls": "verified", "authority": broker.authority.pem.read_text()}
    by_tls = {**trusted, "port": broker.tls_port}
    shown = {**trusted, "port": broker.mtls_port, "client": own}
    wrong = [
        {**by_tls, "authority": None},  # nobody vouches for it
        {**by_tls, "host": "localhost"},  # it has another name
        {**trusted, "port": broker.expired_port},
    ]
    told = []
    async with means("127.0.0.0/8,::1/128") as its:
        await _connector(broker, its, **by_tls).check()
        await _connector(broker, its, **shown).check()
        for each in wrong:
            with pytest.raises(SourceUnreachable) as refused:
                await _connector(broker, its, **each).check()
            told.append(refused.value.at)
        with pytest.raises(SourceError):
            await _connector(broker, its, **{**shown, "client": None}).check()
        with pytest.raises(ValidationError, match="key is of another certificate"):
            other = {**own, "key": broker.authority.issue("other").key.read_text()}
            _connector(broker, its, **{**shown, "client": other})

    assert told == ["tls", "tls", "tls"]


async def test_brokers_that_do_not_answer_hold_up_nothing_else_that_needs_a_thread(
    broker: Mosquitto,
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # a hello in TLS; it says none
        await reader.read()
        writer.close()

    trusted = {"tls": "verified", "authority": broker.authority.pem.read_text()}
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, means() as its:
        port = server.sockets[0].getsockname()[1]
        asked = [_connector(broker, its, **trusted, port=port).check() for _ in range(40)]
        asking = asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0.5)
        async with asyncio.timeout(0.4):
            await asyncio.to_thread(int)
        found = await asking

    assert {type(each) for each in found} <= {SourceSlow, SourceUnreachable}


async def test_a_broker_at_an_address_that_is_not_ours_to_ask_is_not_connected_to(
    broker: Mosquitto,
) -> None:
    async with means("10.0.0.0/8") as its:
        with pytest.raises(OutboundRefused):
            _connector(broker, its).check_settings()
        with pytest.raises(OutboundRefused):
            await _connector(broker, its).check()


async def test_a_full_buffer_makes_the_broker_wait_and_loses_nothing(
    broker: Mosquitto, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_session, "_MOST_HELD", 5)
    selection = MqttSelection(topic=f"{topic}/{{no}}", payload="value")
    position = {"client": f"urbanos-{topic[-8:]}"}
    heard: list[Any] = []
    largest = 0
    async with means() as its, _connector(broker, its).listen(selection, position) as changes:
        await anext(changes)
        await broker.publish(*((f"{topic}/{at}", b"x") for at in range(60)))
        while len(heard) < 60:
            batch = (await anext(changes)).rows
            largest = max(largest, len(batch))
            heard += batch

    assert [row["no"] for row in heard] == [str(at) for at in range(60)]
    assert largest <= 5


# As `urbanos work` listens.
_LISTENS = """
import asyncio, sys
from pathlib import Path
from app.connectors.kinds import Kinds
from app.formats import intake
from app.kit.crypto import load_sealer
from app.kit.key_places import KeyFile
from app.kit.db import Database
from app.kit.outbound import Allowed, Outbound
from app.tasks.harvest import Harvester
from app.tasks.stream import Streamer

async def main():
    database = await Database.open(sys.argv[1], connections=4)
    outbound = Outbound(Allowed.parse("127.0.0.0/8"))
    harvester = Harvester(
        database, lambda: load_sealer(KeyFile(Path(sys.argv[2]))), Kinds(), outbound, {}, 1 << 20
    )
    streamer = Streamer(
        harvester, "http://urbanos.test", look_seconds=0.1, lease_seconds=0.5,
        first_wait_seconds=0.1,
    )
    await streamer.run()

asyncio.run(main())
"""


async def test_a_worker_that_is_killed_amid_a_stream_loses_nothing_and_nothing_is_written_twice(
    farm: Farm, settings: Settings, database_url: str, broker: Mosquitto, topic: str
) -> None:
    dataset = await farm.world.dataset(data_class="internal", fields=READINGS)
    feed = {"dataset": dataset, "mode": "stream", "selection": {"topic": f"{topic}/{{sensor}}"}}
    connector = await farm.add("mqtt", broker.settings(), feed)
    streaming = Streaming(farm)
    sent = 0

    async def publish(count: int) -> None:
        nonlocal sent
        for start in range(sent, sent + count, 10):
            told = [
                {"at": f"2026-04-01T00:{at // 60:02}:{at % 60:02}+09:00", "level": 1.5}
                for at in range(start, start + 10)
            ]
            await broker.publish(*((f"{topic}/A-1", json.dumps(each).encode()) for each in told))
        sent += count

    told = [sys.executable, "-c", _LISTENS, database_url, str(settings.secret_key_path)]
    process = subprocess.Popen(told, cwd=REPO)
    try:
        await streaming.until(connector, lambda its: its["state"] == "streaming")
        publishing = asyncio.create_task(publish(60))
        await streaming.until(connector, lambda its: its["received"] > 5)
        process.kill()
        process.wait()
        await publishing
        await publish(20)  # while nobody listens
        streaming.start()  # another worker
        await streaming.until(connector, lambda its: its["written"] >= sent)
        broker.stop()
        await broker.start()
        await publish(20)
        going = await streaming.until(connector, lambda its: its["written"] >= sent)
    finally:
        process.kill()
        process.wait()
        await streaming.stop()

    assert going["written"] == sent == 100
    assert going["rejected"] == 0
    party = await farm.world.party(KENKO, Role.STEWARD)
    headers = await farm.world.token(party, f"dataset:{dataset}:read")
    got = await farm.world.client.get(
        f"/v1/datasets/{dataset}/changes?purpose=own-duty&limit=1000", headers=headers
    )
    changes = got.json()["changes"]
    assert [each["op"] for each in changes] == ["upsert"] * sent
    assert len({each["record"]["at"] for each in changes}) == sent
