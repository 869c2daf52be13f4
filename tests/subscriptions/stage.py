"""A subscriber, its receivers over real sockets, and a notifier whose clock a test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import orjson

from app.kit.outbound import Allowed, Outbound
from app.tasks.notify import Notifier
from tests.stock import put, stocked
from tests.world import Party, World

PATH = "/v1/subscriptions"
ROWS = [{"no": "1", "name": "架空", "size": 1}]
HERE = Allowed.parse("127.0.0.1")


@dataclass(slots=True)
class Receiver:
    """Keeps every notice that came. `does` is what it answers: a status, or how it misbehaves.
    It answers once `answers` is set."""

    does: Any = 204
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    got: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    most_at_once: int = 0
    _open: int = 0
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def came(self, count: int) -> None:
        """Wait for so many."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.got) >= count)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            named = (line.split(": ", 1) for line in head.splitlines()[1:] if line)
            lines = {name.lower(): value for name, value in named}
            body = await reader.readexactly(int(lines["content-length"]))
            self.got.append((lines, orjson.loads(body)))
            async with self._came:
                self._came.notify_all()
            await self.answers.wait()
            await self._answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.does == "hangs":
            await asyncio.sleep(5)
        elif self.does == "drips":
            while not writer.is_closing():
                writer.write(b"H")
                await asyncio.sleep(0.02)
        elif self.does == "floods":
            writer.write(b"HTTP/1.1 200 X\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 65_536)
                await writer.drain()
        else:
            more = b"Location: http://127.0.0.1:1/\r\n" if self.does == 307 else b""
            writer.write(b"HTTP/1.1 %d X\r\nConnection: close\r\n%s\r\n" % (self.does, more))
            await writer.drain()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=guess"

    @property
    def ids(self) -> list[str]:
        return [lines["webhook-id"] for lines, _ in self.got]


@asynccontextmanager
async def receiving(*, is_slow: bool = False, **how: Any) -> AsyncIterator[Receiver]:
    made = Receiver(**how)
    if not is_slow:
        made.answers.set()
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@dataclass(slots=True)
class Told:
    """A client and the dataset that it is told of."""

    world: World
    notifier: Notifier
    party: Party
    dataset: str
    headers: dict[str, str]
    written: int = 0

    async def subscribe(self, url: str, **more: Any) -> dict[str, Any]:
        answer = await self.ask("POST", PATH, {"dataset": self.dataset, "url": url}, **more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def ask(
        self, method: str, path: str, body: Any = None, query: str = "", **headers: str
    ) -> httpx.Response:
        return await self.world.client.request(
            method, path + query, json=body, headers={**self.headers, **headers}
        )

    async def state_of(self, made: dict[str, Any]) -> dict[str, Any]:
        answer = await self.ask("GET", f"{PATH}/{made['id']}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def write(self) -> None:
        self.written += 1
        await put(self.world, self.dataset, [{"no": "1", "name": f"架空{self.written}"}])

    async def notify(self, made: dict[str, Any]) -> timedelta | None:
        return await self.notifier.notify(made["id"])

    async def pass_time(self, made: dict[str, Any], interval: str = "0 s") -> None:
        """The pause after a failure is over, and so much more has gone by since the first try."""
        await self.world.platform.database.pool.execute(
            "UPDATE notice SET next_at = now(), first_tried_at = first_tried_at - $2::text::interval"
            " WHERE subscription_id = $1",
            made["id"], interval,
        )  # fmt: skip


async def told(world: World, notifier: Notifier, party: Party | None = None, **how: Any) -> Told:
    """A dataset of one record, and a client that may be told of it."""
    dataset = await stocked(world, ROWS, **how)
    party = party or await world.party()
    headers = await world.token(party, f"dataset:{dataset}:subscribe")
    return Told(world, notifier, party, dataset, headers)


def notifier_of(world: World, outbound: Outbound) -> Notifier:
    platform = world.platform
    return Notifier(platform.database, outbound, lambda: platform.sealer, platform.log)
