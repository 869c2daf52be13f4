"""Turns: how slowly a stream may be taken, how many large pages are made at once. Whoever takes
longer would keep others from theirs."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from starlette.types import Message, Send

SLOWEST_S: Final = 60.0  # for a piece, of a quarter of a megabyte at most
_FEW: Final = 100
_LARGE: Final = asyncio.Semaphore(2)


def turn(entries: int) -> AbstractAsyncContextManager[None]:
    """A turn at making a page of so many entries: for a small one nobody waits."""
    return _LARGE if entries > _FEW else nullcontext()


def paced(send: Send) -> Send:
    """Sends as `send` does. Raises `TimeoutError` where the taker does not take."""

    async def sending(message: Message) -> None:
        async with asyncio.timeout(SLOWEST_S):
            await send(message)

    return sending
