"""HTTP as it may come in: its head no longer, and nothing slower, than we wait for. Reads no words.

The server below us takes a head of any length and waits for ever; a few hundred connections that
send a byte a minute would hold it.
"""

import asyncio
import json
from enum import Enum
from typing import Any, Final, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger("access")
LONGEST_HEAD: Final = 128 * 1024  # address and headers; what comes in one piece may be read through
_ANSWER: Final = b"HTTP/1.1 "
_HEAD_S = 20.0
_BODY_S = 60.0
_LEAST_BYTES: Final = 8 * 1024  # of a body in that time, as long as we take what comes


def answer(status: int, phrase: str, code: str, ja: str, en: str) -> bytes:
    """A whole answer for who is not let in as far as the application."""
    body = json.dumps(
        {
            "type": f"urn:urbanos:problem:{code}",
            "title": "要求を読めません",
            "status": status,
            "code": code,
            "detail": ja,
            "detail_en": en,
        },
        ensure_ascii=False,
    ).encode()
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
        b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n%b"
        % (status, phrase.encode(), len(body), body)
    )


_HEAD_TOO_LONG: Final = answer(
    431, "Request Header Fields Too Large", "head_too_long",
    "アドレスとヘッダは合わせて128KBまでです。", "Address and headers may be 128 KB together.",
)  # fmt: skip
_TOO_SLOW: Final = answer(
    408, "Request Timeout", "too_slow",
    "要求が届くのが遅すぎます。大きなファイルは再開できる方法（/v1/uploads）で送ってください。",
    "The request comes too slowly. Send large files so that they can be resumed (/v1/uploads).",
)  # fmt: skip


class _Part(Enum):
    NOTHING = "nothing"  # between two requests: the server below counts that time
    HEAD = "head"
    BODY = "body"


class Joining:
    """A transport that sends the head of an answer in one with what of its body comes at once.

    Two pieces would wake whoever reads twice. A head alone leaves before anything else is done.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send, or keep the head of an answer for a moment."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_ANSWER):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send what is kept, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class PacedProtocol(HttpToolsProtocol):
    """A connection that is cut where too much comes before a request, or too little of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Who connects has so long to ask."""
        joining = Joining(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", joining))  # has all that one has
        self._part = _Part.HEAD
        self._watched = _Part.NOTHING
        self._came = 0
        self._timer: asyncio.TimerHandle | None = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._part = _Part.NOTHING
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Of a request that comes in one piece, as most do, nothing is timed."""
        if self._part is _Part.NOTHING:
            self._part, self._came = _Part.HEAD, 0
        self._came += len(data)
        if self._part is _Part.HEAD and self._came > LONGEST_HEAD:
            self._cut(_HEAD_TOO_LONG, "head_too_long")
            return
        super().data_received(data)
        if self._part is not self._watched:
            self._watch()

    def on_headers_complete(self) -> None:
        """From here on it is the body that comes."""
        self._part, self._came = _Part.BODY, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the request is here."""
        self._part = _Part.NOTHING
        super().on_message_complete()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watched = self._part
        if self._part is _Part.HEAD:
            self._timer = self.loop.call_later(_HEAD_S, self._cut, _TOO_SLOW, "slow_head")
        elif self._part is _Part.BODY:
            self._timer = self.loop.call_later(_BODY_S, self._look_at_body)

    def _look_at_body(self) -> None:
        # What is not read because we do not take it is not the sender's fault.
        if self._came < _LEAST_BYTES and not self.flow.read_paused:
            self._cut(_TOO_SLOW, "slow_body")
            return
        self._came = 0
        self._watch()

    def _cut(self, said: bytes, why: str) -> None:
        log.warning("connection.cut", why=why)
        self._part = _Part.NOTHING
        self._watch()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(said)
        self.transport.close()
