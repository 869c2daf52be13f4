"""One source as it is asked at request time: so many at once, so often again, and not while it ails.

A source that hangs holds its own places and nobody else's. What it answers is not looked at here.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from app.connectors.errors import SourceError, SourceSlow
from app.connectors.frame import AnyConnector
from app.connectors.kinds import contained
from app.kit.errors import AppError
from app.kit.outbound import OutboundRefused
from app.kit.passage import FederationLoop
from app.live.breaker import Breaker, State
from app.live.errors import LiveBroken, LiveFailed, LiveTooMuch, LiveUnavailable, failed

_AT_ONCE: Final = 16  # questions that one source is asked; its connections are as many
_MOST_WHOLE: Final = 4  # of them for whole answers, which may take minutes
_MOST_WAITING: Final = 64
_AGAIN_SECONDS: Final = (0.05, 0.15)
# Nothing has been done by a question that found nobody, and asking is all that a question does.
_AGAIN: Final = frozenset({"connection", "cut_off", "server"})
LATENCY_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Figures:
    """What `/metrics` shows of a source."""

    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by class
    seconds: float = 0.0
    stale: int = 0  # answers that were given while the source was away
    buckets: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS) + 1))

    def took(self, seconds: float) -> None:
        """Count one question that the source has answered, well or not."""
        self.asked += 1
        self.seconds += seconds
        at = next((at for at, most in enumerate(LATENCY_BOUNDS) if seconds <= most), -1)
        self.buckets[at] += 1


class LiveSource:
    """A connector and how it fares. One for each connector and process."""

    def __init__(self, connector: AnyConnector, *, figures: Figures | None = None) -> None:
        self.connector = connector
        self.figures = figures or Figures()
        self.breaker = Breaker()
        self.asked_now = 0  # questions that have a place
        self.waiting = 0
        self.whole = 0  # answers that are had whole now
        self._places = asyncio.Semaphore(_AT_ONCE)

    def state(self) -> State:
        """Whether it is left alone now."""
        return self.breaker.state(_now())

    async def ask(
        self, dataset: str, seconds: float, question: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """The answer to a question within so many seconds, waiting for a place among them.

        `question` asks and reads to the end; it is asked once more where that is safe and may help.
        Raises `LiveFailed`.
        """
        ends_at = _now() + seconds
        if self.waiting >= _MOST_WAITING:
            self.figures.failed["busy"] += 1
            raise LiveUnavailable(dataset=dataset, told_as="busy")
        try:
            await self._place(dataset, ends_at)
        except TimeoutError:
            self.figures.failed["busy"] += 1
            raise LiveUnavailable(dataset=dataset, told_as="busy") from None
        self.asked_now += 1
        try:
            return await self._asked(dataset, ends_at, question)
        finally:
            self.asked_now -= 1
            self._places.release()

    async def ask_whole(
        self, dataset: str, seconds: float, question: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """The same for an answer that may take long: few of them at once, and none waits for its
        turn, so that pages find places. Raises `LiveFailed`."""
        if self.whole >= _MOST_WHOLE:
            self.figures.failed["busy"] += 1
            raise LiveUnavailable(dataset=dataset, told_as="busy")
        self.whole += 1
        try:
            return await self.ask(dataset, seconds, question)
        finally:
            self.whole -= 1

    async def _place(self, dataset: str, ends_at: float) -> None:
        self._check(dataset)  # before it waits among those that nobody will answer
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        self.waiting += 1
        try:
            async with asyncio.timeout_at(ends_at):
                await self._places.acquire()
        finally:
            self.waiting -= 1

    def _check(self, dataset: str) -> None:
        if (wait := self.breaker.left(_now())) > 0:
            raise self._left_alone(dataset, wait)

    def _left_alone(self, dataset: str, wait: float) -> LiveFailed:
        self.figures.failed["open"] += 1
        return LiveUnavailable(dataset=dataset, told_as="open", after_seconds=wait)

    async def _asked(
        self, dataset: str, ends_at: float, question: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        if (wait := self.breaker.waits(_now())) > 0:
            raise self._left_alone(dataset, wait)
        try:
            return await self._tried(ends_at, question)
        except SourceError as error:
            raise failed(dataset, error) from error
        except OutboundRefused as error:  # what was allowed when it was set up is no more
            raise LiveBroken(dataset=dataset, told_as="refused") from error
        except (LiveFailed, LiveTooMuch, FederationLoop):  # which are for readers
            raise
        except AppError as error:  # it does not do what it says that it does, or names a host
            raise LiveBroken(dataset=dataset, told_as="kind") from error
        finally:
            self.breaker.given_up()

    async def _tried(self, ends_at: float, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        for is_last in (False, True):
            try:
                return await self._once(ends_at, question)
            except SourceError as error:
                pause = random.uniform(*_AGAIN_SECONDS)  # noqa: S311 - no secret
                if is_last or error.at not in _AGAIN or _now() + pause >= ends_at:
                    self.breaker.failed(error, _now())
                    raise
                await asyncio.sleep(pause)
        raise LookupError("the last try returns or raises")

    async def _once(self, ends_at: float, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        began = _now()
        try:
            async with asyncio.timeout_at(ends_at):
                with contained(self.connector):
                    answer = await question()
        except TimeoutError:
            self._count_failed("slow", began)
            raise SourceSlow(source=self.connector.kind, at="silence") from None
        except SourceError as error:
            self._count_failed(error.told_as, began)
            raise
        self.figures.took(_now() - began)
        self.breaker.succeeded()
        return answer

    def _count_failed(self, told_as: str, began: float) -> None:
        self.figures.took(_now() - began)
        self.figures.failed[told_as] += 1


def _now() -> float:
    return asyncio.get_running_loop().time()
