"""A receiver of notices, as a subscriber has one: it answers as it was told and keeps what came.

It serves nothing, reads no more than so many bytes and connections, and keeps no more than so many
notices: what is beyond is dropped and counted.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import h11

from app.certify.lent import Callback

_LARGEST: Final = 64 * 1024
_MOST: Final = 300
_AT_ONCE: Final = 32
_PIECE: Final = 16 * 1024
_READ_WITHIN_S: Final = 10.0
HANGS: Final = 0  # instead of a status: no answer at all


@dataclass(frozen=True, slots=True)
class Notice:
    """One that came, with the moment it came at, by the clock that only runs."""

    at: float
    sent_at: float  # by the clock of the day, when it came
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """By which the same one is known when it comes again."""
        return self.headers.get("webhook-id", "")


@dataclass(slots=True)
class Hook:
    """One address. `answers`: the statuses in turn, of which the last stays."""

    url: str
    answers: tuple[int, ...]
    notices: list[Notice] = field(default_factory=list)
    location: str | None = None

    def ids(self) -> list[str]:
        """Of what came, in its order."""
        return [each.id for each in self.notices]


@dataclass(slots=True)
class Receiver:
    """The addresses, and who waits for what comes to them."""

    callback: Callback
    hang_s: float
    hooks: dict[str, Hook] = field(default_factory=dict)
    dropped: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _open: int = 0

    def hook(self, *answers: int, location: str | None = None) -> Hook:
        """A new address that nobody can guess."""
        name = secrets.token_urlsafe(16)
        made = Hook(f"{self.callback.url.rstrip('/')}/{name}", answers, location=location)
        self.hooks[name] = made
        return made

    async def until(self, seen: Callable[[], bool], seconds: float) -> bool:
        """Wait for it to be so; False where it is not within the time."""
        try:
            async with asyncio.timeout(seconds):
                while not seen():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            return seen()
        return True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for one request."""
        self._open += 1
        try:
            if self._open > _AT_ONCE:
                self.dropped += 1
                return
            async with asyncio.timeout(_READ_WITHIN_S):
                target, headers, body = await _request(reader)
            status, hook = self._take(target, headers, body)
            if status == HANGS:
                await asyncio.sleep(self.hang_s)
                return
            writer.write(_answer(status, hook))
            await writer.drain()
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError, ValueError):
            self.dropped += 1
        finally:
            self._open -= 1
            writer.close()

    def _take(
        self, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Hook | None]:
        hook = self.hooks.get(target.partition("?")[0].rpartition("/")[2])
        if hook is None:
            return 404, None
        if sum(len(each.notices) for each in self.hooks.values()) >= _MOST:
            self.dropped += 1
            return 503, None
        status = hook.answers[min(len(hook.notices), len(hook.answers) - 1)]
        hook.notices.append(Notice(time.monotonic(), time.time(), headers, body))
        self._came.set()
        return status, hook


async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The target, headers and body. Raises `h11.RemoteProtocolError` and `ValueError`."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_PIECE)
    target, headers, body = "", dict[str, str](), bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_PIECE))
        elif isinstance(event, h11.Request):
            target = event.target.decode("ascii")
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LARGEST:
                raise ValueError(_LARGEST)
        elif isinstance(event, h11.EndOfMessage):
            return target, headers, bytes(body)
        else:
            raise ValueError(type(event))


def _answer(status: int, hook: Hook | None) -> bytes:
    where = f"Location: {hook.location}\r\n" if hook is not None and hook.location else ""
    return f"HTTP/1.1 {status} -\r\n{where}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()


@asynccontextmanager
async def receiving(callback: Callback, hang_s: float) -> AsyncIterator[Receiver]:
    """A receiver that listens. Raises `OSError` where it cannot."""
    receiver = Receiver(callback, hang_s)
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio makes one for each connection
        running.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            return  # at the end of all; asyncio would show it to whoever runs the judge
        finally:
            running.discard(task)

    listening = await asyncio.start_server(serve, callback.host, callback.port, limit=_PIECE)
    try:
        yield receiver
    finally:
        listening.close()
        for task in [*running]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
