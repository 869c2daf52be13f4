"""Pages in the very words of their source: passed on as they stand, and only where they may."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import orjson
import pytest
import pytest_asyncio

from app.connectors.errors import SourceError
from app.connectors.linkage_page import linkage_page
from app.kit import trace
from tests.connectors.sources import reply
from tests.live.stage import Stage, stage_of
from tests.rows.town import consumer_of
from tests.stock import PURPOSE, Spec
from tests.world import World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}), ("name", "text"), ("fee", "decimal"), ("ward", "text"),
)  # fmt: skip
# As no writer of ours would write it: so it shows whose words they are.
WORDS = (
    b'{"no":"A-1","name":"a],\\"links\\":[]","fee":1.50,"ward":"north"} ,'
    b'{"no":"A-2", "name":null, "fee":12345678901234567890.1, "ward":"south"}'
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest_asyncio.fixture(loop_scope="session")
async def linked(world: World) -> AsyncIterator[Stage]:
    """A source that speaks as we do."""
    selection = {"path": "records", "rows": "/records", "linkage": True}
    async with stage_of(world, SPECS, selection=selection) as made:
        made.source.answer = lambda _: page(WORDS)
        yield made


def page(records: bytes, count: int = 2, *, more: bool = False) -> bytes:
    """An answer of the Linkage Interface."""
    links = [{"rel": "next", "href": "https://source.example/?cursor=x"}] if more else []
    tail = orjson.dumps({"links": links, "meta": {"source": "hosted"}})
    head = f'{{"dataset":"d","version":4,"numberReturned":{count},"records": ['.encode()
    return reply(head + records + b"]," + tail[1:])


async def test_a_page_is_passed_on_in_the_words_of_its_source(linked: Stage) -> None:
    answer = await linked.read(limit="10")

    told = answer.json()
    assert WORDS in answer.content
    assert (told["dataset"], told["version"], told["numberReturned"]) == (linked.dataset, 0, 2)
    assert (told["meta"]["source"], told["meta"]["done_here"]) == ("live", [])
    assert linked.source.asked[0].query == {"limit": "10", "fields": "no,name,fee,ward"}
    assert len(linked.source.asked) == 1


async def test_only_the_fields_that_are_asked_for_are_asked_for(linked: Stage) -> None:
    linked.source.answer = lambda _: page(b'{"no":"A-1"}', 1, more=True)

    answer = (await linked.read(fields="no", limit="1")).json()

    assert answer["records"] == [{"no": "A-1"}]
    assert linked.source.asked[0].query["fields"] == "no"
    assert [each["rel"] for each in answer["links"]] == ["self", "next"]


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        (b'{"no":"A-1","name":"a","fee":1,"ward":"n","secret":"x"}', {"name": "a", "fee": 1}),
        (b'{"no":"A-1","name":"a","fee":"\xef\xbc\x91","ward":"n"}', {"name": "a", "fee": 1}),
        (b'{"no":"A-1","name":"a","ward":"n"}', {"name": "a", "fee": None}),
        (b'{"no":"A-1","name":"a","fee" :"secret","fee":1,"ward":"n"}', {"name": "a", "fee": 1}),
        (
            b'{"no":"A-1","name":"\\u003a","fee":{"secret":1},"fee":1,"ward":"n"}',
            {"name": ":", "fee": 1},
        ),
    ],
    ids=["a field too many", "another type", "a field too few", "one twice", "one twice, hidden"],
)
async def test_what_is_not_of_the_datasets_shape_is_made_so_and_nothing_else_leaves(
    linked: Stage, records: bytes, shown: dict[str, Any]
) -> None:
    linked.source.answer = lambda _: page(records, 1)

    answer = await linked.read()

    assert answer.json()["records"] == [{"no": "A-1", **shown, "ward": "n"}]
    assert "secret" not in answer.text
    assert len(linked.source.asked) == 1


async def test_a_page_that_is_not_of_now_says_since_when(linked: Stage) -> None:
    stale = reply({"numberReturned": 0, "records": [], "links": [],
                   "meta": {"stale": True, "age_seconds": 90.5}})  # fmt: skip
    linked.source.answer = lambda _: stale

    told = (await linked.read()).json()["meta"]

    age = datetime.fromisoformat(told["answered_at"]) - datetime.fromisoformat(told["as_of"])
    assert 90 <= age.total_seconds() < 100


async def test_a_page_of_no_record_leads_to_no_other(linked: Stage) -> None:
    linked.source.answer = lambda _: page(b"", 0, more=True)

    answer = (await linked.read()).json()

    assert [each["rel"] for each in answer["links"]] == ["self"]


async def test_who_may_not_have_all_of_it_is_not_given_the_sources_words(
    linked: Stage, world: World
) -> None:
    columns = ["no", "name", "fee"]
    _, bounded = await consumer_of(world, linked.dataset, "ward = 'north'", columns=columns)

    answer = await linked.read(who=bounded, purpose=PURPOSE)

    assert [each["no"] for each in answer.json()["records"]] == ["A-1"]
    assert "ward" not in answer.json()["records"][0]


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b'{"records":[', b'{"numberReturned":1,"records":[{}]}', b'{"records":[],"links":[]}',
        b'{"numberReturned":1,"records":[{}],"links":[', b'{"numberReturned":"1","records":[],"links":[]}',
        b'{"numberReturned":0,"records":[],"links":[]}{"records":[],"links":[]}x',
    ],
)  # fmt: skip
def test_what_is_no_page_of_ours_is_refused(body: bytes) -> None:
    with pytest.raises(SourceError):
        linkage_page("source", body)


async def test_more_records_than_are_announced_are_not_passed_on(linked: Stage) -> None:
    linked.source.answer = lambda _: page(WORDS, 1)

    answer = await linked.read()

    assert (answer.status_code, answer.json()["code"]) == (502, "live_source_broken")


@pytest.mark.parametrize("is_linkage", [True, False])
async def test_the_trace_of_a_request_goes_on_to_the_source(
    linked: Stage, stage: Stage, is_linkage: bool
) -> None:
    asked_of = linked if is_linkage else stage
    who = {**asked_of.reader, "traceparent": PARENT, "tracestate": "a=1"}

    await asked_of.read(who=who)
    await asked_of.read(who={**asked_of.reader, "traceparent": "00-nothing"}, limit="7")

    first, second = (each.headers for each in asked_of.source.asked)
    assert first["traceparent"].split("-")[1] == PARENT.split("-")[1]
    assert first["traceparent"] != PARENT
    assert first["tracestate"] == "a=1"
    assert "traceparent" not in second


@pytest.mark.parametrize(
    "parent",
    [PARENT + "-x", "ff" + PARENT[2:], PARENT[:3] + "0" * 32 + PARENT[35:], PARENT.upper()],
)
def test_what_is_no_trace_is_not_passed_on(parent: str) -> None:
    trace.begin(parent.encode(), None)

    assert trace.sent() == {}


async def test_what_is_counted_of_a_source_is_shown_by_its_connector(linked: Stage) -> None:
    await linked.read()
    linked.source.answer = lambda _: reply(b"", "401 No")
    await linked.read()

    text = (await linked.world.client.get("/metrics")).text

    name = f'connector="{linked.connector}"'
    assert f'urbanos_live_failures_total{{class="refused",{name}}} 1.0' in text
    assert f"urbanos_live_seconds_count{{{name}}} 2.0" in text
    assert f"urbanos_live_breaker{{{name}}} 0.0" in text
    assert f'urbanos_live_questions{{{name},state="asked"}} 0.0' in text
