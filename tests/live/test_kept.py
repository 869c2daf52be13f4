"""What is held of a source: as long as it is fresh, to be proven, or while it is away."""

import asyncio
from typing import Any, cast

from app.api.state import Platform
from app.audit.events import Event
from app.connectors.http_json import HttpJsonConnector
from app.live.copies import Copies, Copy
from tests.connectors.sources import reply
from tests.live.stage import SELECTION, Stage
from tests.rows.town import consumer_of
from tests.stock import PURPOSE, path
from tests.world import World

DOWN = reply(b"", "503 Down")


async def test_an_answer_is_fresh_as_long_as_its_source_says(stage: Stage) -> None:
    stage.headers = {"Cache-Control": "max-age=60", "Age": "10"}

    first, again = await stage.read(), await stage.read()

    assert len(stage.source.asked) == 1
    assert again.json()["records"] == first.json()["records"]
    meta = again.json()["meta"]
    assert (meta["source"], meta["stale"]) == ("live", False)
    assert 0 < meta["age_seconds"] < 60
    assert len(await stage.world.log(Event.RECORDS_READ)) == 2


async def test_what_a_source_lets_nobody_keep_is_not_kept(stage: Stage) -> None:
    await stage.feed(stale_for_seconds=600)
    stage.headers = {"Cache-Control": "no-store, max-age=60"}
    await stage.read()
    stage.says = DOWN

    answer = await stage.read()

    assert answer.status_code == 502


async def test_what_can_be_proven_is_asked_for_by_its_validators(stage: Stage) -> None:
    stage.headers = {"ETag": '"v1"'}
    first = await stage.read()
    stage.says = reply(b"", "304 Not Modified")

    again = await stage.read()

    assert stage.source.asked[-1].headers["if-none-match"] == '"v1"'
    assert again.json()["records"] == first.json()["records"]
    assert again.json()["meta"]["stale"] is False


async def test_a_reader_who_has_the_answer_is_told_so(stage: Stage) -> None:
    tag = (await stage.read()).headers["etag"]
    who = {**stage.reader, "If-None-Match": tag}

    same = await stage.read(who=who)
    stage.rows.pop()
    other = await stage.read(who=who)

    assert (same.status_code, same.content) == (304, b"")
    assert (other.status_code, other.headers["etag"] != tag) == (200, True)


async def test_the_last_good_answer_is_given_as_stale_while_the_source_is_away(
    stage: Stage,
) -> None:
    await stage.feed(stale_for_seconds=600)
    good = await stage.read(sort="no")
    stage.says = DOWN

    stale, never_asked = await stage.read(sort="no"), await stage.read(ward="south")
    table = await stage.read(sort="no", f="csv")
    stage.says = reply(b"", "401 No")
    refused = await stage.read(sort="no")
    figures = (await stage.world.client.get("/metrics")).text

    assert f'urbanos_live_stale_total{{connector="{stage.connector}"}} 2.0' in figures
    assert stale.json()["records"] == good.json()["records"]
    assert stale.json()["meta"]["stale"] is True
    assert stale.json()["meta"]["age_seconds"] > 0
    assert (good.headers.get("linkage-stale"), stale.headers["linkage-stale"]) == (None, "?1")
    assert (table.status_code, table.headers["linkage-stale"]) == (200, "?1")
    assert never_asked.status_code == 502
    assert refused.status_code == 502  # it is there, and says no


async def test_what_a_source_has_refused_since_is_not_given_when_it_is_away(stage: Stage) -> None:
    await stage.feed(stale_for_seconds=600)
    await stage.read()
    stage.says = reply(b"", "403 No")
    await stage.read()
    stage.says = DOWN

    answer = await stage.read()

    assert answer.status_code == 502


async def test_what_was_selected_before_is_given_no_more(stage: Stage) -> None:
    await stage.feed(stale_for_seconds=600)
    stage.headers = {"Cache-Control": "max-age=60"}
    await stage.read()
    await stage.feed(stale_for_seconds=600, selection={**SELECTION, "query": {"open": "1"}})
    stage.says = DOWN

    answer = await stage.read()

    assert answer.status_code == 502


async def test_without_a_policy_nothing_stale_is_given_nor_when_it_is_too_old(
    stage: Stage,
) -> None:
    await stage.read()
    stage.says = DOWN
    no_policy = await stage.read()
    stage.says = None
    await stage.feed(stale_for_seconds=1)
    await stage.read()
    stage.says = DOWN
    await asyncio.sleep(1.05)

    too_old = await stage.read()

    assert (no_policy.status_code, too_old.status_code) == (502, 502)


async def test_identical_questions_share_an_answer_and_other_bounds_do_not(
    stage: Stage, world: World
) -> None:
    _, bounded = await consumer_of(world, stage.dataset, "ward = 'north'")
    stage.headers = {"Cache-Control": "max-age=60"}
    same = [asyncio.create_task(stage.read(sort="no")) for _ in range(4)]
    other = asyncio.create_task(
        world.client.get(
            path(stage.dataset), params={"purpose": PURPOSE, "sort": "no"}, headers=bounded
        )
    )
    answers = [each.json() for each in await asyncio.gather(*same)]
    told = (await other).json()

    assert [len(each["records"]) for each in answers] == [5] * 4
    assert {each["no"] for each in told["records"]} == {"N-1", "N-2"}
    assert "ward" not in told["records"][0]
    assert len(stage.source.asked) == 2


def test_copies_are_bounded_in_bytes_and_the_oldest_go() -> None:
    copies, empty = Copies(20_000), Copies(20_000)

    for at in range(10):
        copies.keep(at, Copy([], 0, 0, 0.0, body=b"x" * 900))
        empty.keep(at, Copy([], 0, 0, 0.0, validators={"etag": "x" * 600}))
    copies.keep("large", Copy([], 0, 0, 0.0, body=b"x" * 1_100))

    assert copies.size == 20_000
    assert copies.find(0) is None and copies.find("large") is None
    assert copies.find(9) is not None
    assert empty.find(0) is None and empty.find(9) is not None
    empty.keep("asked at length", Copy([], 0, 0, 0.0), asked_in=900)
    assert empty.find("asked at length") is None


async def test_what_is_remembered_of_questions_is_bounded_in_bytes_too(
    stage: Stage, platform: Platform
) -> None:
    broker = platform.broker
    held: Any = (broker._held._held, broker._live._preparations._held)

    await stage.read(ward="north")
    before = [list(each) for each in held]
    answer = await stage.read(ward="x" * 4_000)

    assert answer.status_code == 200
    assert [list(each) for each in held] == before
    asked = dict(broker._live.sources.every())[stage.connector]
    assert len(cast("HttpJsonConnector", asked.connector)._addresses) == 1
