"""Questions under way: who asks the same meanwhile waits for the same answer. Keeps no answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class _Flight(Generic[_Answer]):
    waiting: "list[asyncio.Future[_Answer]]" = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None


class Flights(Generic[_Answer]):
    """One a process. What nobody waits for any more is ended."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[_Answer]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """The answer to a question, asked once however many wait for it."""
        loop = asyncio.get_running_loop()
        flight = self._under_way.get(key)
        if flight is None:
            flight = self._under_way[key] = _Flight()
            # Of its own: who asked first may go, and others still wait.
            flight.task = loop.create_task(self._fly(key, flight, ask))
        told: asyncio.Future[_Answer] = loop.create_future()
        flight.waiting.append(told)
        try:
            return await told
        except asyncio.CancelledError:
            flight.waiting.remove(told)
            if not flight.waiting and flight.task is not None:
                self._landed(key, flight)  # who asks now is not to share what is being ended
                flight.task.cancel()
            raise

    async def _fly(
        self, key: Hashable, flight: _Flight[_Answer], ask: Callable[[], Awaitable[_Answer]]
    ) -> None:
        try:
            answer = await ask()
        except BaseException as exc:
            self._landed(key, flight)
            for told in flight.waiting:
                if not told.done():
                    _fail(told, exc)
            if not isinstance(exc, Exception):
                raise
            return
        self._landed(key, flight)
        for told in flight.waiting:
            if not told.done():
                told.set_result(answer)

    def _landed(self, key: Hashable, flight: _Flight[_Answer]) -> None:
        if self._under_way.get(key) is flight:
            del self._under_way[key]

    async def close(self) -> None:
        """End what is under way."""
        tasks = [each.task for each in self._under_way.values() if each.task is not None]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fail(told: "asyncio.Future[Any]", exc: BaseException) -> None:
    if isinstance(exc, asyncio.CancelledError):
        told.cancel()
    else:
        told.set_exception(exc)
