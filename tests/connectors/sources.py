"""Real sources for tests: an HTTP server that answers as it is told, on a port of its own."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.connectors.frame import Means
from app.kit.outbound import Allowed, Outbound

LOCAL = "127.0.0.0/8"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass(slots=True)
class Web:
    """What a server is told to say; `raw` goes before `answer`."""

    answer: Callable[[Asked], bytes]
    asked: list[Asked] = field(default_factory=list)
    open_now: int = 0
    port: int = 0
    hang: bool = False

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip().split("\r\n")
            method, target, _ = line.split(" ", 2)
            headers = {}
            for each in lines:
                name, _, value = each.partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            parts = urlsplit(target)
            asked = Asked(parts.path, dict(parse_qsl(parts.query)), headers, method, body)
            self.asked.append(asked)
            writer.write(self.answer(asked))
            await writer.drain()
            if self.hang:
                await reader.read()  # until the other side has had enough
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_now -= 1
            writer.close()


def reply(
    body: bytes | Any = b"",
    status: str = "200 OK",
    *,
    kind: str = "application/json",
    **headers: str,
) -> bytes:
    """An answer; what is no bytes goes as JSON."""
    told = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(told)}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + told


@asynccontextmanager
async def web(answer: Callable[[Asked], bytes]) -> AsyncIterator[Web]:
    """A server on a free port."""
    made = Web(answer)
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: all that the system trusts takes 20 ms."""
    return ssl.create_default_context()


@asynccontextmanager
async def means(allow: str = LOCAL, *folders: Any) -> AsyncIterator[Means]:
    """What a connector may use: this machine, and folders."""
    outbound = Outbound(Allowed.parse(allow), trusted=_trusted())
    try:
        yield Means(outbound, folders)
    finally:
        await outbound.close()
