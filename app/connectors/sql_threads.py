"""A driver that blocks, in one thread of its own. Whoever is cancelled leaves no thread at work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")
_LAST_SECONDS: Final = 5.0


class Thread:
    """Does one thing after the other. `stop` ends from outside what is being done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sql")
        self.stop: Callable[[], None] = lambda: None

    async def run(
        self, do: Callable[Given, Made], *given: Given.args, **more: Given.kwargs
    ) -> Made:
        """What `do` returns. Cancelled, it waits until the thread has noticed."""
        work = asyncio.wrap_future(self._pool.submit(do, *given, **more))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({work}, timeout=_LAST_SECONDS)
            if work.done() and not work.cancelled():
                work.exception()  # it is of what was stopped
            raise

    async def close(self, last: Callable[[], None]) -> None:
        """Do the last thing, and be gone."""
        try:
            await self.run(last)
        finally:
            self._pool.shutdown(wait=False)
