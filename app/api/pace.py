"""How slowly a stream may be taken. Whoever takes less would keep others from their turn: is cut off."""

import asyncio
from typing import Final

from starlette.types import Message, Send

SLOWEST_S: Final = 60.0  # for a piece, of a quarter of a megabyte at most


def paced(send: Send) -> Send:
    """Sends as `send` does. Raises `TimeoutError` where the taker does not take."""

    async def sending(message: Message) -> None:
        async with asyncio.timeout(SLOWEST_S):
            await send(message)

    return sending
