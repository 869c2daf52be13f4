"""One source as it is asked: how often again, how many at once, and when it is left alone."""

import asyncio
from typing import Any

import pytest

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Means
from app.connectors.scripted import ScriptedConnector, ScriptedSettings
from app.kit.outbound import Outbound, OutboundUnreachable
from app.live import source
from app.live.breaker import Breaker, State
from app.live.errors import LiveFailed
from app.live.flights import Flights
from app.live.source import LiveSource


def source_of() -> LiveSource:
    """A source that nobody asks anything else."""
    return LiveSource(ScriptedConnector(ScriptedSettings(script="live"), Means(Outbound())))


def test_a_breaker_opens_longer_each_time_and_lets_one_by_to_try() -> None:
    made, error = Breaker(), SourceUnreachable(source="s", at="connection")
    for _ in range(5):
        made.failed(error, 0.0)

    assert made.state(0.0) is State.OPEN
    assert 4.0 <= made.left(0.0) <= 5.0
    assert made.waits(5.0) == 0.0
    assert made.waits(5.0) > 0.0  # somebody is trying
    made.failed(error, 5.0)
    assert 8.0 <= made.left(5.0) <= 10.0
    made.succeeded()
    assert made.state(5.0) is State.CLOSED
    made.failed(SourceSlow(source="s", at="pace", after_seconds=30.0), 6.0)
    assert made.left(6.0) == 30.0


async def test_questions_that_hang_take_the_places_of_their_own_source_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "_MOST_WAITING", 4)
    made, let = source_of(), asyncio.Event()

    asking = [asyncio.create_task(made.ask("d", 5.0, let.wait)) for _ in range(16 + 4)]
    await asyncio.sleep(0.01)
    with pytest.raises(LiveFailed, match="busy"):
        await made.ask("d", 5.0, let.wait)
    let.set()

    assert len(await asyncio.gather(*asking)) == 20
    assert (made.waiting, made.figures.asked) == (0, 20)


async def test_whole_answers_leave_places_to_pages() -> None:
    made, let = source_of(), asyncio.Event()

    asking = [asyncio.create_task(made.ask_whole("d", 5.0, let.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(LiveFailed, match="busy"):
        await made.ask_whole("d", 5.0, let.wait)
    assert await made.ask("d", 5.0, lambda: asyncio.sleep(0, "page")) == "page"
    let.set()

    assert len(await asyncio.gather(*asking)) == 4
    assert made.whole == 0


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (SourceUnreachable(source="s", at="connection"), 2),
        (SourceBroken(source="s", at="server", detail=500), 2),
        (SourceBroken(source="s", at="cut_off"), 2),
        (SourceSlow(source="s", at="silence"), 1),
        (SourceSlow(source="s", at="pace", after_seconds=1), 1),
        (SourceRefused(source="s", at="credentials"), 1),
        (SourceChanged(source="s", at="shape"), 1),
    ],
    ids=lambda value: getattr(value, "at", ""),
)
async def test_only_what_is_safe_and_may_help_is_asked_again(
    error: SourceError, times: int
) -> None:
    asked = 0

    async def question() -> Any:
        nonlocal asked
        asked += 1
        raise error

    with pytest.raises(LiveFailed):
        await source_of().ask("d", 2.0, question)

    assert asked == times


@pytest.mark.parametrize(
    "error", [RuntimeError("a secret"), OutboundUnreachable(host="secret.example")]
)
async def test_a_kind_that_breaks_is_told_without_its_words(error: Exception) -> None:
    async def question() -> Any:
        raise error

    with pytest.raises(LiveFailed) as refused:
        await source_of().ask("d", 2.0, question)

    assert "secret" not in refused.value.words("en")


async def test_the_same_question_is_asked_once_and_ended_when_nobody_waits() -> None:
    flights: Flights[int] = Flights()
    let, asked, ended = asyncio.Event(), 0, asyncio.Event()

    async def question() -> int:
        nonlocal asked
        asked += 1
        try:
            await let.wait()
        finally:
            ended.set()
        return asked

    waiting = [asyncio.create_task(flights.once("same", question)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    let.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 4

    let.clear()
    ended.clear()
    alone = asyncio.create_task(flights.once("same", question))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait_for(ended.wait(), 1)
    assert (asked, len(flights)) == (2, 0)
