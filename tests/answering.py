"""Servers killed (SIGKILL) at random moments amid answers; what clients got, held against the log."""

import asyncio
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from app.audit.checkpoints import LogKeeper, newest
from app.audit.notes import Signer
from app.audit.verify import verify
from app.cli.witness import look
from app.kit.db import Database
from tests.bench.stage import Process, until_answers

_PATIENCE_S: Final = 0.05
_LONGEST_S: Final = 60.0  # for one answer


@dataclass(frozen=True, slots=True)
class Asking:
    """One kind of question, and what the log has to say of its answer."""

    path: str
    headers: Mapping[str, str]
    status: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that a client has received to its last byte."""

    request: str
    receipt: int | None
    asking: Asking


@dataclass(slots=True)
class Crowd:
    """Clients that ask a server without a pause, over every loss of it."""

    issuer: str
    asked: Sequence[Asking]
    chance: random.Random
    answers: list[Answer] = field(default_factory=list)
    cut_off: int = 0  # questions whose answers never came
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def at_work(self, clients: int) -> AsyncIterator[None]:
        """Have so many of them ask. What one of them stumbles over ends all of it at once."""
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(self._ask_for_ever()) for _ in range(clients)]
            yield
            for task in working:
                task.cancel()

    async def more(self) -> None:
        """Wait for another answer."""
        self._came.clear()
        async with asyncio.timeout(_LONGEST_S):
            await self._came.wait()

    async def _ask_for_ever(self) -> None:
        async with httpx.AsyncClient(base_url=self.issuer, timeout=_LONGEST_S) as http:
            while True:
                await self._ask(http, self.chance.choice(self.asked))

    async def _ask(self, http: httpx.AsyncClient, asking: Asking) -> None:
        request = f"kill-{secrets.token_hex(8)}"
        try:
            got = await http.get(asking.path, headers={**asking.headers, "X-Request-Id": request})
        except httpx.ConnectError:
            await asyncio.sleep(_PATIENCE_S)  # nobody is there
            return
        except httpx.TimeoutException:
            raise  # a server that is killed hangs up: one that says nothing is no kill's doing
        except httpx.TransportError:
            self.cut_off += 1
            return
        assert got.status_code == asking.status, got.text
        receipt = got.headers.get("Linkage-Receipt")
        self.answers.append(Answer(request, int(receipt) if receipt else None, asking))
        self._came.set()


async def survive(
    crowd: Crowd, serve: Callable[[], Process], looked_after: "Watch", *, kills: int
) -> None:
    """Kill server after server; the log must be whole after each, and a witness cosign it."""
    async with crowd.at_work(clients=6):
        for _ in range(kills):
            server = serve()
            try:
                await until_answers(server, "/readyz")
                await crowd.more()
                await asyncio.sleep(crowd.chance.uniform(0.0, 0.5))
            finally:
                server.child.kill()
                server.child.wait()
            await looked_after.look()


@dataclass(slots=True)
class Watch:
    """Verifies the log and has it cosigned. `http` asks a server that is not killed."""

    database: Database
    keeper: LogKeeper
    http: httpx.AsyncClient
    witness: Signer
    state: Path
    looks: int = 0

    async def look(self) -> None:
        """Entries and checkpoint fit, and the log only grew since the last time."""
        await self.keeper.keep()
        size = (await self.keeper.checkpoint()).size
        verdict = await verify(self.database.pool)
        assert verdict.is_whole, verdict
        await look(self.http, self.witness, self.state)
        signed = await newest(self.database.pool, is_witnessed=True)
        assert signed is not None and signed.size >= size, "nobody cosigned it"
        self.looks += 1


async def entries_of(database: Database, after: int) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """The log's entries after a number, by the request that they name."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for seq, body in await database.pool.fetch(
        "SELECT seq, body FROM log_entry WHERE seq > $1 ORDER BY seq", after
    ):
        facts = orjson.loads(body)
        found[facts.get("request", "")].append((seq, facts))
    return found


def faults(
    answers: Sequence[Answer], entries: Mapping[str, Sequence[tuple[int, dict[str, Any]]]]
) -> list[str]:
    """The answers that do not have exactly one entry, the one that they name, with their facts."""
    wrong = []
    for answer in answers:
        found = entries.get(answer.request, ())
        expected = answer.asking.facts
        if len(found) != 1:
            wrong.append(f"{answer.request}: {len(found)} entries")
        elif found[0][0] != answer.receipt:
            wrong.append(f"{answer.request}: entry {found[0][0]}, receipt {answer.receipt}")
        elif {name: found[0][1].get(name) for name in expected} != expected:
            wrong.append(f"{answer.request}: {found[0][1]}")
    return wrong
