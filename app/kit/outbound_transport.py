"""The way out as a transport of httpx, for who brings a client of its own. Adds no rule and takes
none away: every request is judged, pinned and bounded by `Outbound`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import httpx

from app.kit.errors import AppError
from app.kit.outbound import Bounds, Outbound, Streamed

# What is said by the connection and not by whoever asks.
_OF_CONNECTION: Final = frozenset(
    ("host", "connection", "accept-encoding", "content-length", "transfer-encoding", "user-agent")
)


class OutboundTransport(httpx.AsyncBaseTransport):
    """Asks through the one way out. Its refusals come as `httpx.TransportError`, in words."""

    def __init__(self, outbound: Outbound, bounds: Bounds) -> None:
        self._outbound = outbound
        self._bounds = bounds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer while it comes; a redirect is shown and not followed."""
        headers = {
            name: value for name, value in request.headers.items() if name not in _OF_CONNECTION
        }
        content = await request.aread()
        open_until_read = AsyncExitStack()
        asking = self._outbound.stream(
            request.method, str(request.url), headers=headers, content=content or None,
            bounds=self._bounds, shows_redirects=True,
        )  # fmt: skip
        try:
            streamed = await open_until_read.enter_async_context(asking)
        except AppError as refusal:
            raise httpx.ConnectError(refusal.words("en"), request=request) from refusal
        body = _Body(streamed, open_until_read)
        return httpx.Response(streamed.status, headers=dict(streamed.headers), stream=body)


class _Body(httpx.AsyncByteStream):
    def __init__(self, streamed: Streamed, held: AsyncExitStack) -> None:
        self._streamed, self._held = streamed, held

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._streamed.pieces:
                yield piece
        except AppError as refusal:
            raise httpx.ReadError(refusal.words("en")) from refusal

    async def aclose(self) -> None:
        await self._held.aclose()
