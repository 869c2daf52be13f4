"""HTTP/1.1 with little around it: questions without a body, over connections that are kept open.

It connects to judged addresses alone, follows no redirect, keeps no cookie, unpacks nothing. For
what is asked often and answered shortly; `app.kit.outbound` says when.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httptools

from app.kit.pinned import Judged

_MOST_IDLE: Final = 16  # of one origin
_MOST_ORIGINS: Final = 1_000
_IDLE_SECONDS: Final = 15.0
_MOST_HEAD: Final = 64 << 10
_HIGH: Final = 1 << 20  # bytes that wait for who takes them
_LOOK_SECONDS: Final = 0.05  # between two looks at who has waited too long


class LeanBroken(Exception):
    """The answer broke off, or is no HTTP."""


class LeanTooLong(Exception):
    """More came than was allowed."""


class _Closed(LeanBroken):
    """A kept connection was closed before a byte of the answer: the other side had let it go."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads."""

    is_plain: bool
    host: str
    port: int


class Headers(Mapping[str, str]):
    """Of an answer: by name in any case; a name that came twice has its values joined."""

    def __init__(self) -> None:
        self._lines: list[tuple[bytes, bytes]] = []
        self._held: dict[str, str] | None = None

    def add(self, name: bytes, value: bytes) -> None:
        """One more line. It is read when somebody asks."""
        self._lines.append((name, value))
        self._held = None

    def _read(self) -> dict[str, str]:
        if self._held is None:
            self._held = {}
            for raw, value in self._lines:
                name, said = raw.decode("latin-1").lower(), value.decode("latin-1")
                before = self._held.get(name)
                self._held[name] = said if before is None else f"{before}, {said}"
        return self._held

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()]

    def __iter__(self) -> Any:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def get(self, name: str, default: Any = None) -> Any:
        """The same as of any mapping, without an error where it has none: asked again and again."""
        return self._read().get(name.lower(), default)


@dataclass(frozen=True, slots=True)
class Patience:
    """How much may come of a whole answer, until when, and how long nothing at all."""

    most_bytes: int
    ends_at: float  # on the loop's clock
    silent_seconds: float


@dataclass(slots=True)
class LeanAnswer:
    """An answer that is still coming."""

    status: int
    headers: Headers
    _connection: "_Connection" = field(repr=False)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its body, once. Raises `LeanBroken`."""
        while piece := await self._connection.take():
            yield piece


class _Connection(asyncio.Protocol):
    """One connection, with one answer at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._news: asyncio.Future[None] | None = None
        self._lost: Exception | None = None
        self._is_paused = False
        self._most: int | None = None
        self.idle_since = self._heard_at = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._waiting = self._head = 0
        self._has_head = self._is_done = self._has_begun = self._is_kept = False
        self._is_second = False
        self.headers = Headers()

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._lost is None and self._transport is not None

    @property
    def can_be_kept(self) -> bool:
        """Whether its answer has come to its end, and the other side keeps it too."""
        return self._is_kept and not self._pieces and self.is_open

    async def ask(self, request: bytes) -> LeanAnswer:
        """The head of the answer. Raises `LeanBroken`."""
        self._begin()
        if self._transport is None or self._lost is not None:
            raise _Closed
        self._transport.write(request)
        while not self._has_head:
            if self._lost is not None:
                raise self._lost if self._has_begun else _Closed()
            await self._wait()
        return LeanAnswer(self._parser.get_status_code(), self.headers, self)

    async def take(self) -> bytes:
        """The next piece of the body; none at the end. Raises `LeanBroken`."""
        while not self._pieces:
            if self._is_done:
                return b""
            if self._lost is not None:
                raise self._lost
            await self._wait()
        piece = self._pieces.popleft()
        self._waiting -= len(piece)
        if self._is_paused and self._waiting < _HIGH and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return piece

    async def whole(self, request: bytes, patience: Patience) -> tuple[LeanAnswer, bytes]:
        """The answer with its body, for which it wakes whoever waits once. Raises as `ask` does,
        `LeanTooLong`, and `TimeoutError` where somebody has called `look`."""
        self._begin()
        if self._transport is None or self._lost is not None:
            raise _Closed
        self._most, self._patience = patience.most_bytes, patience
        self._heard_at = asyncio.get_running_loop().time()
        self._transport.write(request)
        try:
            while not self._is_done:
                if self._lost is not None:
                    raise self._lost if self._has_begun else _Closed()
                if self._waiting > patience.most_bytes:
                    break
                await self._wait()
        finally:
            self._most = None
        if self._waiting > patience.most_bytes:
            raise LeanTooLong
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._waiting = 0
        return LeanAnswer(self._parser.get_status_code(), self.headers, self), body

    def look(self, now: float) -> None:
        """End the wait for a whole answer that has taken too long."""
        if self._most is None:
            return
        silent = now - self._heard_at
        if now >= self._patience.ends_at or silent >= self._patience.silent_seconds:
            self._lost = TimeoutError()
            self._has_begun = True  # a question that was waited for is not asked again
            self._tell()

    def close(self) -> None:
        """Let it go."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What asyncio calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is of no such class

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost is None:
            if exc is None and self._has_head and not self._is_done:
                # A body without a length ends with its connection (RFC 9112, 6.3).
                is_framed = "content-length" in self.headers or "transfer-encoding" in self.headers
                self._is_done = not is_framed
            self._lost = LeanBroken("the connection is closed")
        self._tell()

    def data_received(self, data: bytes) -> None:
        if self._is_done:  # nobody has asked for more: it is no answer of ours
            self._fail("bytes behind the answer")
            return
        self._has_begun, had_head, before = True, self._has_head, self._waiting
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("it is no HTTP")
            return
        if had_head and self._waiting > before:
            self._head = 0
        elif had_head or not self._has_head:
            self._head += len(data)  # a head, or what stands behind the body: both are held
        if self._is_second or self._head > _MOST_HEAD:
            why = "bytes behind the answer" if self._is_second else "its head is too long"
            self._fail(why)
        elif self._most is not None:
            self._gathered(self._most)
        else:
            self._passed_on()

    def _gathered(self, most: int) -> None:
        """Who waits for all of it is not woken by a part."""
        self._heard_at = asyncio.get_running_loop().time()
        if self._is_done or self._waiting > most:
            self._tell()

    def _passed_on(self) -> None:
        if self._waiting >= _HIGH and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._tell()

    def _fail(self, why: str) -> None:
        self._lost = LeanBroken(why)
        self._pieces.clear()
        self._has_head = self._is_done = self._is_kept = False  # nothing of it is believed
        self.close()
        self._tell()

    # What the parser calls.
    def on_message_begin(self) -> None:
        self._is_second = self._is_done

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        if self._has_head:
            return  # behind the body: it says nothing of it that is believed (RFC 9110, 6.5.1)
        self.headers.add(name, value)

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # an interim one (RFC 9110, 15.2)
            self.headers = Headers()
            return
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._waiting += len(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_done = True
            self._is_kept = self._parser.should_keep_alive()  # it knows here alone


class Lean:
    """Keeps connections. One a process; `close` it at the end."""

    def __init__(self, judged: Judged, trusted: ssl.SSLContext) -> None:
        self._judged = judged
        self._trusted = trusted
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._open: set[_Connection] = set()
        self._asked_whole = 0
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, origin: Origin, request: bytes) -> "tuple[LeanAnswer, _Connection]":
        """The answer while it comes, and what is to be given back. Raises `LeanBroken`, `OSError`,
        and what judges addresses says."""
        while (connection := self._kept(origin)) is not None:
            try:
                return await self._asked(connection, request), connection
            except _Closed:
                continue
        connection = await self._connected(origin)
        return await self._asked(connection, request), connection

    async def whole(
        self, origin: Origin, request: bytes, patience: Patience
    ) -> tuple[LeanAnswer, bytes]:
        """The answer with its body. Raises as `ask` does, `LeanTooLong` and `TimeoutError`."""
        while (connection := self._kept(origin)) is not None:
            try:
                return await self._whole(origin, connection, request, patience)
            except _Closed:
                continue
        async with asyncio.timeout_at(patience.ends_at):
            connection = await self._connected(origin)
        return await self._whole(origin, connection, request, patience)

    async def _whole(
        self, origin: Origin, connection: _Connection, request: bytes, patience: Patience
    ) -> tuple[LeanAnswer, bytes]:
        self._asked_whole += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        try:
            found = await connection.whole(request, patience)
        except BaseException:
            self._let_go(connection)
            raise
        finally:
            self._asked_whole -= 1
        self.give_back(origin, connection)
        return found

    def _look(self) -> None:
        """One timer for all that are asked: most answers come long before it."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for connection in self._open:
            connection.look(loop.time())
        if self._asked_whole:
            self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    async def _asked(self, connection: _Connection, request: bytes) -> LeanAnswer:
        try:
            return await connection.ask(request)
        except BaseException:
            self._let_go(connection)
            raise

    def give_back(self, origin: Origin, connection: _Connection) -> None:
        """Keep it, where it may be kept; else let it go."""
        if not connection.can_be_kept:
            self._let_go(connection)
            return
        idle = self._idle.setdefault(origin, deque())
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)
        if len(idle) > _MOST_IDLE:
            self._let_go(idle.popleft())
        if len(self._idle) > _MOST_ORIGINS:
            for each in self._idle.pop(next(iter(self._idle))):
                self._let_go(each)

    def _kept(self, origin: Origin) -> _Connection | None:
        idle = self._idle.get(origin)
        oldest = asyncio.get_running_loop().time() - _IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            self._let_go(connection)
        return None

    async def _connected(self, origin: Origin) -> _Connection:
        found = await self._judged(origin.host, origin.port, is_plain=origin.is_plain)
        loop, failed = asyncio.get_running_loop(), OSError("no address")
        for address in found:
            try:
                _, connection = await loop.create_connection(
                    _Connection, address, origin.port,
                    ssl=None if origin.is_plain else self._trusted,
                    server_hostname=None if origin.is_plain else origin.host,
                )  # fmt: skip
            except ssl.SSLError:
                raise
            except OSError as exc:
                failed = exc
                continue
            self._open.add(connection)
            return connection
        raise failed

    def _let_go(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.close()

    async def close(self) -> None:
        """Let all go."""
        for connection in list(self._open):
            self._let_go(connection)
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.sleep(0)  # for the transports to see it
