"""What a broker that is ill says to the kind `mqtt`, each with its stated outcome."""

import asyncio
import threading

import pytest
from pydantic import ValidationError

from app.connectors import mqtt_session
from app.connectors.errors import SourceBroken, SourceError, SourceRefused, SourceSlow
from app.connectors.mqtt import MqttConnector, MqttSelection, MqttSettings
from tests.connectors.sources import means
from tests.connectors.streaming import until


def _connack(code: int) -> bytes:
    return bytes((0x20, 0x02, 0x00, code))  # MQTT 3.1.1, 3.2


_SUBACK = bytes((0x90, 0x03, 0x00, 0x01, 0x80))
# What a broker says to CONNECT and to SUBSCRIBE (None: nothing, and it stays), and the outcome.
_FAULTS: dict[str, tuple[list[bytes | None], type[SourceError], str]] = {
    "it hangs": ([None], SourceSlow, "silence"),
    "half an answer": ([b"\x20\x02"], SourceBroken, "cut_off"),
    "it closes at once": ([b""], SourceBroken, "cut_off"),
    "no MQTT": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], SourceBroken, "cut_off"),
    "another version": ([_connack(1)], SourceBroken, "cut_off"),
    "a wrong password": ([_connack(4)], SourceRefused, "credentials"),
    "not authorised": ([_connack(5)], SourceRefused, "credentials"),
    "it is busy": ([_connack(3)], SourceBroken, "server"),
    "a topic that we may not hear": ([_connack(0), _SUBACK], SourceRefused, "permission"),
    "silence after the beginning": ([_connack(0), None], SourceSlow, "silence"),
    "an end after the beginning": ([_connack(0), b""], SourceBroken, "cut_off"),
}


@pytest.mark.parametrize("fault", _FAULTS)
async def test_each_fault_is_told_apart_and_leaves_nothing_open(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_session, "_PATIENCE_S", 0.4)
    says, means_class, at = _FAULTS[fault]
    before = asyncio.all_tasks()
    open_now = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        try:
            for said in says:
                await reader.read(1024)
                if said is None:
                    await reader.read()
                else:
                    writer.write(said)
            await writer.drain()
        finally:
            open_now -= 1
            writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server, means() as its:
        told = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        settings = MqttSettings.model_validate({**told, "tls": "off", "version": "3.1.1"})
        with pytest.raises(SourceError) as refused:
            await MqttConnector(settings, its).check(MqttSelection(topic="city/+"))
        await until(lambda: open_now == 0)

    assert (type(refused.value), refused.value.at) == (means_class, at)
    assert asyncio.all_tasks() - before == set()
    assert not [each.name for each in threading.enumerate() if "paho" in each.name]


@pytest.mark.parametrize("topic", ["a/{x}/{x}", "#/a", "a/b+", "$SYS/#", "a/{x/y}", "{a}b"])
def test_a_topic_that_is_no_filter_is_refused(topic: str) -> None:
    with pytest.raises(ValidationError):
        MqttSelection(topic=topic)
