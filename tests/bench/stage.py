"""The stage of a benchmark: a durable database, the processes, the clients, two loaded datasets."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from app.audit.notes import WITNESS, Signer
from app.kit.db import Database
from app.models.parties import AuthMethod, Role
from app.parties import clients
from app.parties.seed import seed
from tests.bench import facilities
from tests.conftest import migrate
from tests.database import DatabaseServer, make_server
from tests.nursery import Child
from tests.serving import RATES
from tests.world import KENKO, SAKAI, Party

ROWS = 300_000
PUBLIC, INTERNAL = "bench-public", "bench-internal"


@dataclass(slots=True)
class Process:
    """A running process and where it listens."""

    child: subprocess.Popen[bytes] | Child
    port: int
    log: Path

    def stop(self) -> None:
        """End it as a service manager would."""
        self.child.terminate()
        self.child.wait(20)


@dataclass(slots=True)
class Stage:
    """What every benchmark gets. `platform` serves and `http` asks it."""

    server: DatabaseServer
    url: str
    folder: Path
    database: Database
    port: int
    platform: Process
    http: httpx.AsyncClient
    steward: Party
    reader: Party  # of another body, with an agreement on the internal dataset
    is_soak: bool
    witness: Signer  # whose signatures the platform takes

    @property
    def issuer(self) -> str:
        """The platform's address."""
        return f"http://127.0.0.1:{self.port}"

    def spawn(self, name: str, port: int = 0, questions: Path | None = None) -> Process:
        """Start one of the processes that `spawn` knows."""
        return spawn(self.folder, self.url, self.issuer, name, port or free_port(), questions)

    async def token(self, party: Party, scope: str) -> dict[str, str]:
        """The Authorization header with a fresh bearer token: nothing here is above internal."""
        response = await self.http.post("/oauth/token", data=party.form(scope))
        assert response.status_code == 200, response.text
        assert response.json()["scope"] == scope
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    async def stewards_token(self) -> dict[str, str]:
        """What the steward needs for everything here."""
        return await self.token(self.steward, "catalogue:write agreements:write")

    async def register(
        self, dataset_id: str, data_class: str, fields: list[dict[str, Any]] | None = None
    ) -> None:
        """A dataset with these fields, else those of the facilities."""
        body = {
            "id": dataset_id,
            "title_ja": "計測用の施設",
            "steward": {"name": "計測"},
            "data_class": data_class,
            "license": "CC-BY-4.0",
            "update_frequency": "irregular",
            "fields": fields or facilities.FIELDS,
        }
        headers = await self.stewards_token()
        answer = await self.http.post("/v1/datasets", json=body, headers=headers)
        assert answer.status_code == 201, answer.text

    async def load(self, dataset_id: str, path: Path) -> dict[str, Any]:
        """Send a file, wait for its run to end; the run. A worker must be at work."""
        headers = await self.stewards_token()
        sent = await self.http.post(
            f"/v1/datasets/{dataset_id}/versions", content=_pieces(path), headers=headers
        )
        assert sent.status_code == 202, sent.text
        while True:
            answer = await self.http.get(f"/v1/runs/{sent.json()['id']}", headers=headers)
            if answer.status_code == 401:
                headers = await self.stewards_token()
                continue
            run: dict[str, Any] = answer.json()
            if run["state"] in ("ok", "degraded", "failed"):
                assert run["state"] == "ok", run
                return run
            await asyncio.sleep(0.2)

    async def publish(self, run: dict[str, Any]) -> None:
        """Make what was loaded the version that readers get."""
        path = f"/v1/datasets/{run['dataset_id']}/versions/{run['version_number']}/publish"
        answer = await self.http.post(path, headers=await self.stewards_token())
        assert answer.status_code == 200, answer.text

    async def agree(self, dataset_id: str) -> None:
        """The reader's agreement to read a dataset for `health`."""
        asked = await self.http.post(
            "/v1/access-requests",
            json={
                "dataset": dataset_id,
                "purpose": "health",
                "legal_basis": "計測（架空）",
                "actions": ["read"],
            },
            headers=await self.token(self.reader, "agreements:write"),
        )
        assert asked.status_code == 201, asked.text
        approved = await self.http.post(
            f"/v1/access-requests/{asked.json()['id']}/approve",
            json={},
            headers=await self.stewards_token(),
        )
        assert approved.status_code < 300, approved.text


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _told(folder: Path, url: str, issuer: str, port: int) -> dict[str, str]:
    return {
        "URBANOS_DATABASE_URL": url,
        "URBANOS_HOME": str(folder),
        "URBANOS_PUBLIC_URL": issuer,
        "URBANOS_PORT": str(port),
        **{f"URBANOS_RATE_{name}": "0" for name in RATES},
    }


def fork(folder: Path, url: str, issuer: str, port: int) -> Process:
    """Start the platform where many are started, and killed, one after another."""
    said = folder / "platform.log"
    told = _told(folder, url, issuer, port)
    return Process(Child(["serve", "--no-worker"], told, said), port, said)


def spawn(
    folder: Path, url: str, issuer: str, name: str, port: int, questions: Path | None, **more: str
) -> Process:
    """Start the platform, a worker, or one of `tests.bench.apps`. What it says goes to a file."""
    environment = {**os.environ, **_told(folder, url, issuer, port), **more}
    commands = {
        "platform": ["app.cli", "serve", "--no-worker"],
        "worker": ["app.cli", "work", "--no-files"],
    }
    bare = ["tests.bench.apps", name, str(port), str(questions or "")]
    words = [sys.executable, "-m", *commands.get(name, bare)]
    said = folder / f"{name}.log"
    with said.open("ab") as log:
        child = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    return Process(child, port, said)


async def until_answers(process: Process, path: str = "/healthz") -> None:
    """Wait for the first 200 (any answer of a bare application will do)."""
    async with httpx.AsyncClient() as asking:
        while True:
            try:
                answer = await asking.get(f"http://127.0.0.1:{process.port}{path}")
            except httpx.TransportError:
                assert process.child.poll() is None, process.log.read_text()[-2000:]
                await asyncio.sleep(0.01)
                continue
            if answer.status_code == 503:  # the database is not there yet, or busy
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code == 200, answer.text
            return


async def _party(
    database: Database, issuer: str, organization: str, roles: Sequence[Role]
) -> Party:
    key = ECKey.generate_key("P-256")
    new = clients.NewClient(
        organization_id=organization,
        name="計測",
        auth_method=AuthMethod.PRIVATE_KEY_JWT,
        roles=tuple(roles),
        jwks={"keys": [key.as_dict(private=False)]},
    )
    async with database.writing() as session:
        added = await clients.add(session, new, by="bench")
    return Party(added.client.id, organization, issuer, key)


@asynccontextmanager
async def open_stage(*, is_soak: bool) -> AsyncIterator[Stage]:
    """Everything up, with nothing loaded; all of it gone afterwards."""
    async with AsyncExitStack() as stack:
        server = await make_server(settings={})  # durable, as in service
        stack.push_async_callback(server.stop)
        url = await server.make_database("bench")
        await asyncio.to_thread(migrate, url)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="urbanos-bench-")))
        database = await Database.open(url)
        stack.push_async_callback(database.close)
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await database.pool.fetchval(f"SHOW {name}") == "on", f"{name} is not on"
        async with database.writing() as session:
            await seed(session)
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        witness = Signer("witness.example", WITNESS, Ed25519PrivateKey.generate())
        platform = spawn(
            folder, url, issuer, "platform", port, None,
            URBANOS_LOG_WITNESSES=str(witness.verifier),
        )  # fmt: skip
        stack.callback(platform.stop)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=issuer, timeout=600))
        steward = await _party(database, issuer, KENKO, (Role.STEWARD,))
        reader = await _party(database, issuer, SAKAI, (Role.DEVELOPER,))
        stage = Stage(
            server, url, folder, database, port, platform, http, steward, reader, is_soak, witness
        )
        await until_answers(platform)
        yield stage


async def load_datasets(stage: Stage) -> None:
    """300,000 facilities as `public` and as `internal`, the second with an agreement to read."""
    path = stage.folder / "facilities.csv"
    facilities.write(path, seed=0, rows=ROWS)
    worker = stage.spawn("worker")
    try:
        for dataset_id, data_class in ((PUBLIC, "public"), (INTERNAL, "internal")):
            await stage.register(dataset_id, data_class)
            await stage.publish(await stage.load(dataset_id, path))
    finally:
        worker.stop()
    await stage.agree(INTERNAL)
