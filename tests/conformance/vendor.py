"""A vendor with a sandbox behind a real socket, which can be broken and mended while it serves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx

from app.api.state import Platform
from app.cli.official import OfficialJudge
from app.conformance.control import PATH as CHALLENGE
from app.conformance.runs import Judged, Work
from app.models.parties import Role
from app.parties.seed import OPERATOR
from app.tasks.examine import Examiner
from tests.certify.mutants import MUTANTS, Answer, Answering, Transport
from tests.certify.secure_provider import GUARDED, HIDDEN, KEY, SecureProvider
from tests.serving import served
from tests.world import SAKAI, World

SERVICES = "/v1/conformance/services"
RUNS = "/v1/conformance/runs"
CERTIFICATES = "/v1/conformance/certificates"
LISTED = "/v1/certified-services"
SCOPE = "conformance:write"
_SECURED = {"AUTH-01": "guarded needs no token"}
PROVEN: dict[str, list[str]] = {}  # by sandbox: the services that it says are its own


@dataclass(slots=True)
class Sandbox:
    """The reference provider over HTTP, with the faults of whichever rules are named."""

    base: str = ""
    faults: tuple[str, ...] = ()
    also: Answering | None = None  # done to every answer besides
    secured: SecureProvider | None = None  # asks for tokens before it
    asked: int = 0
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == CHALLENGE:
            await say(send, "\n".join(PROVEN.get(self.base, [])).encode())
            return
        self.asked += 1
        await self.awake.wait()
        headers = [(n.decode(), v.decode("latin-1")) for n, v in scope["headers"]]
        url = f"{self.base}{scope['raw_path'].decode()}?{scope['query_string'].decode()}".rstrip(
            "?"
        )
        content = await _body(receive)
        asked = httpx.Request(scope["method"], url, headers=headers, content=content)
        said = await self._said(asked)
        body = await said.aread()
        told = [
            (n.lower().encode(), v.encode()) for n, v in said.headers.multi_items()
            if n.lower() not in ("content-length", "transfer-encoding")
        ]  # fmt: skip
        await say(send, body, said.status_code, told)

    async def _said(self, request: httpx.Request) -> httpx.Response:
        broken = [MUTANTS[rule]().answer for rule in self.faults if rule in MUTANTS]

        def answer(told: Answer) -> None:
            for each in broken:
                assert each is not None, "a fault of what is asked, and not of the answer"
                each(told)
            if self.also is not None:
                self.also(told)

        transport = Transport(answer=answer)
        if self.secured is None:
            return await transport.handle_async_request(request)
        self.secured.base = self.base
        if not self.secured.holds:
            self.secured.inner = transport
        self.secured.faults = frozenset(_SECURED[rule] for rule in self.faults if rule in _SECURED)
        return await self.secured.handle_async_request(request)


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def say(send: Any, body: bytes, status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def sandbox(*faults: str, secured: SecureProvider | None = None) -> AsyncIterator[Sandbox]:
    made = Sandbox(faults=faults, secured=secured)
    made.awake.set()
    async with served(made) as port:
        made.base = f"http://127.0.0.1:{port}"
        yield made


def examiner(platform: Platform) -> Examiner:
    """As a worker's, in a hurry."""
    judge = OfficialJudge(platform.outbound, lambda: platform.sealer, per_second=1e6)
    return Examiner(platform.database, platform.outbound, judge)


# What the judge said of a sandbox that keeps all: the same again, to whom certificates are the matter.
_PASSED: dict[tuple[str, str | None, tuple[str, ...]], Judged] = {}


def remembering(platform: Platform) -> Examiner:
    """Like `examiner`, but a sandbox that was lent nothing and broke nothing is judged once."""
    real = examiner(platform)

    async def judge(work: Work) -> Judged:
        if work.prefix is not None or work.lent is not None:
            return await real.judge(work)
        what = work.url, work.dataset, work.classes
        if what not in _PASSED:
            told = await real.judge(work)
            if not told.passed:
                return told
            _PASSED[what] = told
        return _PASSED[what]

    return replace(real, judge=judge)


@dataclass(slots=True)
class Office:
    """A vendor and an operator, each with what they may do."""

    world: World
    vendor: dict[str, str]
    operator: dict[str, str]

    @classmethod
    async def of(cls, world: World) -> "Office":
        vendor = await world.token(await world.party(SAKAI, Role.DEVELOPER), SCOPE)
        operator = await world.token(await world.party(OPERATOR, Role.OPERATOR), SCOPE)
        return cls(world, vendor, operator)

    async def send(self, path: str, body: Any, *, by_operator: bool = False) -> httpx.Response:
        headers = self.operator if by_operator else self.vendor
        return await self.world.client.post(path, json=body, headers=headers)

    async def see(self, path: str) -> Any:
        answer = await self.world.client.get(path, headers=self.vendor)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def service(self, base: str, **told: Any) -> str:
        """A service that was registered; its id."""
        body = {
            "name": "架空施設予約", "sandbox_url": base, "dataset": "sandbox-facilities",
            "classes": ["core"], "municipalities": ["271004", "271403"], **told,
        }  # fmt: skip
        answer = await self.send(SERVICES, body)
        assert answer.status_code == 201, answer.text
        PROVEN.setdefault(base, []).append(answer.json()["id"])
        return str(answer.json()["id"])

    async def lend(self, service: str, **told: Any) -> httpx.Response:
        """The answer to lending the judge the client that `SecureProvider` knows."""
        key = json.dumps(KEY.as_dict(private=True))
        body = {"client_id": "judge", "key": key, "guarded": GUARDED, "hidden": HIDDEN,
                "hidden_field": "remark", "other_purpose": "statistics", **told}  # fmt: skip
        path = f"{SERVICES}/{service}/client"
        return await self.world.client.put(path, json=body, headers=self.vendor)

    async def run(self, service: str) -> str:
        """An official run that was asked for; its id."""
        answer = await self.send(RUNS, {"service": service})
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "queued"
        return str(answer.json()["id"])

    async def judged(self, service: str, by: Examiner | None = None) -> dict[str, Any]:
        """A run that was asked for and made, without a worker."""
        run = await self.run(service)
        await (by or examiner(self.world.platform)).examine(UUID(run))
        told: dict[str, Any] = await self.see(f"{RUNS}/{run}")
        return told

    async def certify(self, service: str) -> dict[str, Any]:
        """The certificate of a run that was passed."""
        run = await self.judged(service, remembering(self.world.platform))
        assert run["state"] == "passed", run
        answer = await self.send(CERTIFICATES, {"run": run["id"]}, by_operator=True)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def listed(self, **query: str) -> list[str]:
        """The ids of the public list, as anybody reads it."""
        answer = await self.world.client.get(LISTED, params=query)
        return [each["id"] for each in answer.json()["items"]]

    async def ended(self, run: str) -> dict[str, Any]:
        """The run once a worker has made it."""
        async with asyncio.timeout(60):
            while True:
                told: dict[str, Any] = await self.see(f"{RUNS}/{run}")
                if told["ended_at"] is not None:
                    return told
                await asyncio.sleep(0.05)
