"""The kind `ngsi` against a broker that keeps to the two specifications."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from pydantic import ValidationError

from app.connectors import ngsi as ngsi_module
from app.connectors.errors import (
    CannotAnswer,
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
)
from app.connectors.frame import Means
from app.connectors.inbox import LONGEST, SECRET_HEADER
from app.connectors.ngsi import NgsiConnector
from app.connectors.ngsi_shapes import NgsiSelection, NgsiSettings
from app.query.fields import Field, FieldType
from app.query.question import Between, Both, Compare, Order, Question
from app.tasks import inbox as inbox_module
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.farm import Farm
from tests.connectors.orion import orion
from tests.connectors.sources import means, reply, web
from tests.connectors.streaming import Streaming, until

ROWS: list[Row] = [
    {"id": "s:1", "type": "Shelter", "name": "架空第一"},
    {"id": "s:2", "type": "Shelter", "name": "架空、第二"},
]
LEVELS: list[dict[str, Any]] = [
    {"name": "id", "column": "c001", "label": "ID", "type": "code", "key": True},
    {"name": "level", "column": "c002", "label": "水位", "type": "decimal", "unit": "m"},
]
ID = Field(name="id", column="id", label="id", type=FieldType.CODE, key=True)
LEVEL = Field(name="level", column="level", label="level", type=FieldType.DECIMAL)
NAME = Field(name="name", column="name", label="name", type=FieldType.TEXT)


def _connector(base: str, its: Means, **more: Any) -> NgsiConnector:
    return NgsiConnector(NgsiSettings.model_validate({"base": base, **more}), its)


class _OfVersion(Contract):
    version: str

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        async with orion(self.version) as broker, means() as its:
            for row in ROWS:
                broker.put(**row)
            broker.expected = {"x-api-key": "hidden-key-9"}
            auth = {"type": "api_key", "key": "hidden-key-9"}
            connector = _connector(broker.base, its, version=self.version, auth=auth)

            async def add(row: Row) -> None:
                broker.put(**{**row, "type": "Shelter"})
                row["type"] = "Shelter"

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9/"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, NgsiSelection(type="Shelter", attributes=[], pushes=[]), ROWS, add,
                go_away, lambda: broker.server.open_now, "hidden-key-9", ["Shelter"],
            )  # fmt: skip
            assert broker.wrong == []


class TestNgsiV2(_OfVersion):
    """As Orion speaks it."""

    version = "v2"


class TestNgsiLd(_OfVersion):
    """As ETSI GS CIM 009 has it."""

    version = "ld"


async def _rows(connector: NgsiConnector, selection: NgsiSelection) -> list[dict[str, Any]]:
    async with connector.harvest(selection) as got:
        assert got is not None
        body = b"".join([piece async for piece in got.pieces])
    return [orjson.loads(line) for line in body.splitlines()]


@pytest.mark.parametrize(
    ("version", "settings", "headers"),
    [
        ("v2", {"service": "sakai", "service_path": "/water"},
         {"fiware-service": "sakai", "fiware-servicepath": "/water"}),
        ("ld", {"tenant": "sakai"},
         {"ngsild-tenant": "sakai", "link": '<https://example.jp/c.jsonld>; rel="http://www.w3.org/'
          'ns/json-ld#context"; type="application/ld+json"'}),
    ],
)  # fmt: skip
async def test_pages_come_whole_for_one_tenant_with_what_stands_beside_a_value(
    version: str, settings: dict[str, str], headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngsi_module, "_PAGE_ROWS", 3)
    async with orion(version) as broker, means() as its:
        broker.expected = headers
        for at in range(7):
            broker.put(id=f"l:{at}", type="Level", level=at + 0.5)
        broker.put(id="x", type="Other")
        told = {"type": "Level", "format": "normalized", "context": "https://example.jp/c.jsonld"}

        rows = await _rows(
            _connector(broker.base, its, version=version, **settings),
            NgsiSelection.model_validate(told),
        )

    assert broker.wrong == []
    assert [(row["id"], row["level"]) for row in rows] == [(f"l:{at}", at + 0.5) for at in range(7)]
    when = "level.TimeInstant" if version == "v2" else "level.observedAt"
    assert {row[when][:10] for row in rows} == {"2026-04-01"}


@pytest.mark.parametrize("version", ["v2", "ld"])
async def test_the_broker_is_asked_for_what_it_can_answer_and_we_do_the_rest(version: str) -> None:
    selection = NgsiSelection.model_validate({"type": "Level", "pushes": ["level", "name"]})
    async with orion(version) as broker, means() as its:
        for at in range(9):
            broker.put(id=f"l:{at}", type="Level", level=at, name=f"架空{at}")
        connector = _connector(broker.base, its, version=version)

        async def answered(question: Question) -> tuple[Question, list[str]]:
            part = connector.part(selection, question)
            async with connector.fetch(selection, part) as got:
                assert got is not None
                return part, [row["id"] async for batch in got.batches for row in batch]

        at_least = Compare(LEVEL, ">=", 3)
        named = Compare(NAME, "=", "架空5")
        paged = Question((ID,), at_least, limit=2, offset=1)
        assert await answered(paged) == (paged, ["l:4", "l:5"])
        both = Question((ID,), Both((at_least, named)), limit=None)
        assert await answered(both) == (both, ["l:5"])
        one = Question((ID, LEVEL), Compare(ID, "=", "l:7"), limit=10)
        assert await answered(one) == (one, ["l:7"])
        for condition in (Between(LEVEL, 3, 4), Compare(NAME, "=", "a;b"), Compare(NAME, ">", "a")):
            part, _ = await answered(Question((ID,), Both((at_least, condition)), limit=1))
            assert part == Question((ID,), at_least, limit=None)
        sorted_, _ = await answered(Question((ID,), at_least, order=(Order(LEVEL),), limit=1))
        assert sorted_ == Question((ID,), at_least, limit=None)
        with pytest.raises(CannotAnswer):
            async with connector.fetch(selection, Question((ID,), Between(LEVEL, 3, 4))):
                pass


_HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[{"
_HUGE = b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n[]"
# What the broker says, and the outcome.
_FAULTS: dict[str, tuple[bytes, type[SourceError], str]] = {
    "half an answer": (_HALF, SourceBroken, "cut_off"),
    "a gigantic header": (_HUGE, SourceBroken, "cut_off"),
    "a web page": (reply(b"<html>", kind="text/html"), SourceBroken, "html"),
    "another charset": (reply("[\"架空\"]".encode("cp932")), SourceBroken, "charset"),
    "no JSON": (reply(b"[1,"), SourceBroken, "format"),
    "no list": (reply({"error": "BadRequest"}), SourceChanged, "shape"),
    "no entities": (reply([{"name": "x"}]), SourceChanged, "shape"),
    "too often": (reply(b"", "429 Too Many", Retry_After="3600"), SourceSlow, "pace"),
    "a wrong key": (reply(b"", "401 Unauthorized"), SourceRefused, "credentials"),
    "no permission": (reply(b"", "403 Forbidden"), SourceRefused, "permission"),
    "an error of its own": (reply(b"", "500 Oops"), SourceBroken, "server"),
    "a filter that it does not take": (reply({}, "400 Bad Request"), SourceBroken, "status"),
    "a redirect in circles": (reply(b"", "302 -", Location="/again"), SourceBroken, "redirect"),
    "the same page again and again": (
        reply([{"id": "1", "type": "T"}], Fiware_Total_Count="5"), SourceBroken, "loop",
    ),
    "fewer than it said": (reply([], Fiware_Total_Count="5"), SourceBroken, "moving"),
}  # fmt: skip


@pytest.mark.parametrize("fault", _FAULTS)
async def test_each_fault_is_told_apart_and_leaves_nothing_open(fault: str) -> None:
    said, means_class, at = _FAULTS[fault]
    before = asyncio.all_tasks()
    async with web(lambda _: said) as server, means() as its:
        with pytest.raises(SourceError) as refused:
            await _rows(_connector(server.base, its), NgsiSelection.model_validate({"type": "T"}))
        await until(lambda: server.open_now == 0)

    assert (type(refused.value), refused.value.at) == (means_class, at)
    assert asyncio.all_tasks() - before == set()


@pytest.mark.parametrize("context", ["https://a/\r\nX: y", "https://a/>; rel=x", "https://架空/"])
def test_a_context_that_would_be_more_than_one_header_is_refused(context: str) -> None:
    with pytest.raises(ValidationError):
        NgsiSelection.model_validate({"type": "T", "context": context})


async def test_a_broker_that_hangs_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngsi_module, "_BOUNDS", replace(ngsi_module._BOUNDS, silent_seconds=0.2))
    async with web(lambda _: b"") as server, means() as its:
        server.hang = True
        with pytest.raises(SourceSlow):
            await _rows(_connector(server.base, its), NgsiSelection.model_validate({"type": "T"}))
        await until(lambda: server.open_now == 0)


async def test_a_subscription_that_is_answered_oddly_is_no_subscription() -> None:
    said = [reply(b"", "201 Created"), reply(b"", "200 OK"), reply({}, "422 -")]

    class Inbox:
        url, headers = "http://urbanos.test/n", {SECRET_HEADER: "s"}

    async with web(lambda _: said.pop()) as server, means() as its:
        connector = _connector(server.base, replace(its, inbox=Inbox()))  # type: ignore[arg-type]
        for _ in range(3):
            with pytest.raises(SourceBroken):
                async with connector.listen(NgsiSelection.model_validate({"type": "T"})):
                    pass
    assert said == []


@pytest_asyncio.fixture(loop_scope="session")
async def streaming(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Streaming]:
    """A worker's listener, which looks often."""
    monkeypatch.setattr(inbox_module, "_LOOK_S", 0.05)
    made = Streaming(farm)
    yield made
    await made.stop()


def _post(farm: Farm) -> Any:
    async def post(url: str, headers: dict[str, str], body: bytes) -> int:
        path = url.removeprefix("http://urbanos.test")
        return int((await farm.world.client.post(path, headers=headers, content=body)).status_code)

    return post


async def _levels(farm: Farm, dataset: str) -> list[tuple[str, float]]:
    party = await farm.world.party("271004-kenko")
    headers = await farm.world.token(party, f"dataset:{dataset}:read")
    got = await farm.world.client.get(
        f"/v1/datasets/{dataset}/records?purpose=own-duty", headers=headers
    )
    return [(row["id"], float(row["level"])) for row in got.json().get("records", ())]


@pytest.mark.parametrize("version", ["v2", "ld"])
async def test_what_a_broker_tells_or_fails_to_tell_becomes_records_while_it_knows_us(
    streaming: Streaming, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngsi_module, "_RENEWED_S", 0.3)
    farm, post = streaming.farm, _post(streaming.farm)
    dataset = await farm.world.dataset(data_class="internal", fields=LEVELS)
    selection = {"type": "Level", "deletions": True, "format": "normalized"}
    feed = {"dataset": dataset, "mode": "stream", "selection": selection}
    async with orion(version) as broker:
        broker.put(id="l:1", type="Level", level=1.5)
        connector = await farm.add("ngsi", {"base": broker.base, "version": version}, feed)
        streaming.start()
        await streaming.until(connector, lambda its: its["received"] == 1)  # what was there

        (name,) = broker.subscriptions
        told = [
            await broker.tell(post, {"id": "l:2", "type": "Level", "level": 2.5}),
            await broker.tell(post, {"id": "l:1", "type": "Level", "level": 1.75}),
            await broker.tell(post, {"id": "l:2", "type": "Level", "level": 2.5}, gone=True),
            await broker.tell(post, {"id": "l:3", "type": "Level", "level": "高い"}),
        ]
        going = await streaming.until(connector, lambda its: its["rejected"] > 0)
        old = broker.notification(name, [{"id": "l:9", "type": "Level", "level": 9}])

        await farm.ask("PATCH", f"/{connector}", {"paused": True})
        await until(lambda: broker.server.open_now == 0)
        refused = await post(*old)
        broker.put(id="l:4", type="Level", level=4)  # told to nobody
        await farm.ask("PATCH", f"/{connector}", {"paused": False})
        await streaming.until(connector, lambda its: its["written"] == 4)
        broker.put(id="l:5", type="Level", level=5)  # what it told was lost on its way
        await streaming.until(connector, lambda its: its["written"] == 5)
        renewed = list(broker.subscriptions)
        broker.subscriptions.clear()  # it has lost them
        await until(lambda: broker.subscriptions != {})
        stale = await post(*old)  # by the secret of before
        await farm.ask("DELETE", f"/{connector}")
        await until(lambda: broker.subscriptions == {})

    assert told == [[204]] * 4
    assert (going["written"], going["deleted"]) == (3, 1)  # what was refused is so at each renewal
    assert (refused, stale) == (401, 401)
    assert renewed == [name]
    assert await _levels(farm, dataset) == [("l:1", 1.75), ("l:4", 4.0), ("l:5", 5.0)]


async def test_a_notification_is_bounded_proved_and_looked_at_like_everything_that_comes_in(
    streaming: Streaming,
) -> None:
    farm, post = streaming.farm, _post(streaming.farm)
    dataset = await farm.world.dataset(data_class="internal", fields=LEVELS)
    feed = {"dataset": dataset, "mode": "stream", "selection": {"type": "Level"}}
    async with orion("v2") as broker:
        connector = await farm.add("ngsi", {"base": broker.base}, feed)
        streaming.start()
        await streaming.until(connector, lambda its: its["state"] == "streaming")
        (name,) = broker.subscriptions
        url, headers, body = broker.notification(name, [{"id": "l:1", "type": "Level", "level": 1}])

        statuses = [
            await post(url, {**headers, SECRET_HEADER: "guessed"}, body),
            await post(url, {"Content-Type": "application/json"}, body),
            await post(url, headers, b"x" * (LONGEST + 1)),
            await post(url, headers, body.replace(b"l:1", b"1234567890" + b"18")),
            await post(url, headers, b"[no json"),
            await post(url, headers, b'{"data": [{"level": 1}]}'),
            await post(url, headers, body),
        ]
        going = await streaming.until(connector, lambda its: its["received"] == 3)
        await streaming.stop()  # no worker is left: what is sent waits
        later = await broker.tell(post, {"id": "l:2", "type": "Level", "level": 2})
        streaming.start()
        await streaming.until(connector, lambda its: its["written"] == 2)

    assert later == [204]
    assert statuses == [401, 401, 413, 422, 204, 204, 204]
    assert [each["code"] for each in going["rejects"]] == ["message_not_json", "message_no_id"]
    assert await _levels(farm, dataset) == [("l:1", 1.0), ("l:2", 2.0)]
    assert headers[SECRET_HEADER] not in (await farm.ask("GET", f"/{connector}")).text
