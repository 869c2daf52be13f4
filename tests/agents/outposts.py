"""Agents of tests: a folder each, enrolled at a platform that listens on a real port."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from joserfc.jwk import ECKey

from app.cli.key_files import new_key
from app.connectors.frame import Means
from app.connectors.kinds import Kinds
from app.connectors.scripted import ScriptedConnector
from app.kit.outbound import Allowed, Outbound
from app.models.parties import Role
from app.outpost.allowance import Allowance, signature
from app.outpost.answering import Answerer
from app.outpost.enrolment import enrol
from app.outpost.folder import Folder
from app.outpost.link import Link
from app.outpost.serving import Serving
from tests.conftest import ISSUER
from tests.database import REPO
from tests.world import KENKO, World

AGREEMENT = "2026-014"


@dataclass(slots=True)
class Outpost:
    """One agent, and how it is run."""

    id: UUID
    folder: Folder
    key: ECKey
    url: str

    def allow(self, sources: dict[str, Any], **more: Any) -> Allowance:
        """Its keeper says yes to this."""
        told = json.dumps({"sources": sources, "outbound_allow": "127.0.0.0/8", **more}).encode()
        self.folder.sources.write_bytes(told)
        self.folder.keep_yes(signature(self.key, str(self.id), told))
        return Allowance.read(self.folder.sources, told)

    @asynccontextmanager
    async def answerer(self, allowance: Allowance) -> AsyncIterator[Answerer]:
        """What does its jobs in this process; the kind `scripted` too."""
        way = Outbound(Allowed.parse("127.0.0.0/8"))
        kinds = Kinds({"scripted": ScriptedConnector})
        try:
            yield Answerer(allowance, kinds, Means(way, allowance.folders))
        finally:
            await way.close()

    @asynccontextmanager
    async def link(self, url: str | None = None) -> AsyncIterator[Link]:
        """Its way to the platform."""
        way = Outbound(Allowed.parse("127.0.0.0/8"))
        try:
            yield Link(way, url or self.url, self.key, ISSUER, "en")
        finally:
            await way.close()

    @asynccontextmanager
    async def serving(
        self, allowance: Allowance, url: str | None = None
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """It serves, in this process, for as long as the block lasts."""
        async with self.answerer(allowance) as answerer, self.link(url) as link:
            task = asyncio.create_task(Serving(link, self.folder, answerer).run())
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.wait({task})

    def process(self, *before: str) -> "subprocess.Popen[bytes]":
        """`urbanos agent run`, whose log goes into its folder."""
        with (self.folder.path / "said").open("ab") as said:
            return subprocess.Popen(
                [*before, sys.executable, "-m", "app.cli", "agent", "run"],
                cwd=REPO, stdout=said, stderr=said, env=environment(self.folder.path),
            )  # fmt: skip

    @property
    def said(self) -> str:
        """What the process has said."""
        return (self.folder.path / "said").read_text("utf-8")


def environment(folder: Path) -> dict[str, str]:
    """Of an agent's process: no setting of a platform."""
    named = {name: v for name, v in os.environ.items() if not name.startswith("URBANOS_")}
    return {**named, "URBANOS_AGENT_FOLDER": str(folder), "LC_ALL": "C.UTF-8"}


async def registered(world: World, *sources: str) -> dict[str, Any]:
    """A new agent as the steward registers it, with its code."""
    headers = await steward(world)
    body = {"name": "試験", "sources": list(sources)}
    made = await world.client.post("/v1/agents", json=body, headers=headers)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    return told


async def steward(world: World) -> dict[str, str]:
    """Headers of the organisation's steward."""
    party = await world.party(KENKO, Role.STEWARD)
    return await world.token(party, "catalogue:write")


async def outpost(world: World, path: Path, port: int, *sources: str) -> Outpost:
    """An enrolled agent."""
    told = await registered(world, *sources)
    folder, url = Folder(path), f"http://127.0.0.1:{port}"
    key = new_key(folder.key)
    way = Outbound(Allowed.parse("127.0.0.0/8"))
    try:
        pinned = await enrol(way, url, key, *told["code"].split("."), language="en")
    finally:
        await way.close()
    folder.keep_platform(url, pinned)
    return Outpost(UUID(told["agent"]["id"]), folder, key, url)


async def until(holds: Callable[[], Awaitable[Any] | bool], seconds: float = 15) -> None:
    """Wait for something of another process, which tells nobody when it is so."""
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.02)
