"""What goes wrong at a source, and what whoever reads is told; nothing is left open behind it."""

import asyncio
from typing import Any

import httpx
import pytest

from app.live import breaker, reader
from app.live.source import Figures
from tests.connectors.sources import reply
from tests.live.stage import ROWS, Stage

GOOD = reply({"items": ROWS})
WRONG: dict[str, tuple[bytes, int, str, str]] = {
    "half an answer": (GOOD[:-40], 502, "live_source_broken", "broken"),
    "an error of its own": (reply(b"", "500 Oh"), 502, "live_source_broken", "broken"),
    "a web page": (reply(b"<html>", kind="text/html"), 502, "live_source_broken", "broken"),
    "no JSON": (reply(b"{nothing"), 502, "live_source_broken", "broken"),
    "another charset": (reply(b'{"items":"\x83"}'), 502, "live_source_broken", "broken"),
    "our credentials refused": (reply(b"", "401 No"), 502, "live_source_broken", "refused"),
    "too often": (reply(b"", "429 No", Retry_After="7"), 503, "live_source_unavailable", "slow"),
    "a redirect in circles": (reply(b"", "302 On", Location="/"), 502, "live_source_broken", "broken"),
    "another place in the answer": (reply({"rows": []}), 502, "live_source_broken", "changed"),
    "a key that is gone": (reply({"items": [{"name": "x"}]}), 502, "live_source_broken", "changed"),
    "no record of its rows": (
        reply({"items": [{"no": "1", "size": "many"}]}), 502, "live_source_broken", "changed",
    ),
    "a gigantic header": (reply([], X_Long="x" * 70_000), 502, "live_source_broken", "broken"),
}  # fmt: skip


def refused(answer: httpx.Response) -> tuple[int, str, bool]:
    """How an answer refuses; and whether it says when to come again."""
    return answer.status_code, answer.json()["code"], "retry-after" in answer.headers


@pytest.mark.parametrize("wrong", WRONG)
async def test_each_failure_has_its_class_and_is_told_without_the_sources_name(
    stage: Stage, wrong: str
) -> None:
    before = _tasks()
    stage.says, status, code, told_as = WRONG[wrong]

    answer = await stage.read()

    assert refused(answer) == (status, code, True)
    assert f"({told_as})" in answer.json()["detail"]
    assert "127.0.0.1" not in answer.text
    assert await stage.settled() == 0
    assert _tasks() - before == set()


async def test_a_value_that_no_record_can_have_costs_its_row_alone(stage: Stage) -> None:
    rows = [
        b'{"no":"1","fee":1e999999999}', b'{"no":"2","name":"\\ud800"}', b'{"no":"3","size":1e99999999}',
        b'{"no":"4","fee":' + b"9" * 30 + b"}", b'{"no":"5","size":' + b"9" * 30 + b"}",
        b'{"no":"6","x":' + b"[" * 300 + b"]" * 300 + b"}",
    ]  # fmt: skip
    stage.says = reply(b'{"items":[' + b",".join(rows) + b"]}")

    answer = await stage.read(fields="no,fee")

    assert answer.status_code == 200, answer.text
    assert b'{"no":"4","fee":' + b"9" * 30 + b"}" in answer.content
    assert (answer.json()["numberReturned"], answer.json()["meta"]["rejected"]) == (1, 5)


async def test_a_source_that_is_not_there_is_asked_twice_and_told_as_unreachable(
    stage: Stage,
) -> None:
    settings = {"base": "http://127.0.0.1:9"}
    await stage.change({"settings": settings})

    answer = await stage.read()

    assert refused(answer) == (503, "live_source_unavailable", True)
    assert figures(stage).failed == {"unreachable": 2}


async def test_a_source_that_hangs_is_left_at_the_end_of_the_time_there_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_SECONDS", 0.2)
    stage.says, stage.source.hang = GOOD[:60], True

    answer = await stage.read()
    stage.source.hang = False

    assert refused(answer) == (504, "live_source_slow", True)
    assert await stage.settled() == 0


async def test_who_goes_leaves_no_question_behind(stage: Stage) -> None:
    stage.says, stage.source.hang = GOOD[:60], True
    asking = asyncio.create_task(stage.read())
    await asyncio.sleep(0.1)
    assert stage.source.open_now == 1

    asking.cancel()
    await asyncio.wait({asking})
    stage.source.hang = False

    assert await stage.settled() == 0
    assert len(stage.world.platform.live_reader._flights) == 0


async def test_a_question_does_not_share_the_way_of_another(stage: Stage) -> None:
    stage.says, stage.source.hang = GOOD[:60], True
    far = {**stage.reader, "Linkage-Via": "https://other.example"}
    asking = [asyncio.create_task(stage.read(who=who)) for who in (stage.reader, far)]
    await asyncio.sleep(0.3)

    ways = [each.headers["linkage-via"] for each in stage.source.asked]
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)

    assert sorted(ways) == ["http://urbanos.test", "https://other.example, http://urbanos.test"]


async def test_a_source_that_fails_in_a_row_is_left_alone_until_one_question_succeeds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "_FIRST_SECONDS", 0.2)
    stage.says = reply(b"", "503 Down")
    for _ in range(5):
        await stage.read(limit="3")
    asked = len(stage.source.asked)

    left_alone = await stage.read(limit="3")
    stage.says = None
    await asyncio.sleep(0.25)
    well = await stage.read(limit="3")

    assert refused(left_alone) == (503, "live_source_unavailable", True)
    assert "(open)" in left_alone.json()["detail"]
    assert len(stage.source.asked) == asked + 1
    assert well.status_code == 200


def figures(stage: Stage) -> Figures:
    """What is counted of the stage's source."""
    every = stage.world.platform.live_reader.sources.every()
    return next(each.figures for name, each in every if name == stage.connector)


def _tasks() -> set["asyncio.Task[Any]"]:
    """What runs here and is not the other side's."""
    return {task for task in asyncio.all_tasks() if "speak" not in repr(task.get_coro())}
