"""Questions under way: who asks the same meanwhile waits for the same answer. Keeps no answer."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Flight(Generic[_Answer]):
    task: "asyncio.Task[_Answer]"
    waiting: int = 0


class Flights(Generic[_Answer]):
    """One a process. What nobody waits for any more is ended."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight[_Answer]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """The answer to a question, asked once however many wait for it."""
        flight = self._under_way.get(key)
        if flight is None:
            flight = self._under_way[key] = _Flight(asyncio.create_task(ask()))
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._landed(key, flight)  # who asks now is not to share what is being ended
                flight.task.cancel()

    def _landed(self, key: Hashable, flight: _Flight[_Answer]) -> None:
        if self._under_way.get(key) is flight:
            del self._under_way[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # whoever waited has been told

    async def close(self) -> None:
        """End what is under way."""
        tasks = [each.task for each in self._under_way.values()]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
