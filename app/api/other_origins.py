"""What pages of other origins may ask (Fetch Standard, 3.3): what anybody may, and no more."""

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

# Pages of any origin may ask what anybody may: a token is sent by who has it, and a cookie never
# (Fetch Standard, 3.3: without allow-credentials no answer to one is shown to them).
_ANYBODY: Final[dict[str, Any]] = {
    "allow_origins": ("*",),
    "allow_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": ("*",),
    "expose_headers": (
        "ETag", "Link", "Linkage-Receipt", "Location", "RateLimit", "RateLimit-Policy",
        "Retry-After", "WWW-Authenticate", "X-Request-Id",
    ),
    "max_age": 600,
}  # fmt: skip


class _Elsewhere(CORSMiddleware):
    """The same, with less around what no page asks: only that another answer might go to one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or any(name == b"origin" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
            return

        async def varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _varied(message.get("headers", ()))
            await send(message)

        await self.app(scope, receive, varied)


def _varied(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept, vary = [], []
    for pair in headers:
        if pair[0] == b"vary":
            vary.append(pair[1])
        else:
            kept.append(pair)
    return [*kept, (b"vary", b", ".join((*vary, b"Origin")))]


def let_pages_ask(app: FastAPI) -> None:
    """Tell browsers so. Not inside a closed network: a page from outside would ask with its reach."""
    app.add_middleware(_Elsewhere, **_ANYBODY)
