"""Harvests through agents: whole, in bounded memory, whatever dies on the way."""

import asyncio
import hashlib
import json
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn
from fastapi import FastAPI

from app.agents.desk import MOST_WAITING
from app.agents.relay import Patience, Relays
from app.api.state import Platform
from app.audit.events import Event
from app.connectors.agent import AgentConnector, AgentSelection, AgentSettings
from app.connectors.errors import SourceUnreachable
from app.connectors.frame import Means
from app.kit.outbound import Outbound
from app.outpost import serving
from tests.agents.outposts import (
    AGREEMENT,
    Outpost,
    environment,
    outpost,
    steward,
    until,
)
from tests.connectors.farm import Farm
from tests.connectors.sources import Asked, reply, web
from tests.database import REPO
from tests.serving import serving_as
from tests.world import KENKO, World

CSV = "no,name\n1,架空第一\n2,架空第二\n".encode()
ROWS = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空第二"}]
SECRET = "hidden-word-9"
SELECT = {"path": "facility.csv"}


def _source(base: str) -> dict[str, Any]:
    """A file of the closed network, and its password."""
    auth = {"type": "api_key", "key": SECRET}
    serves = [{"agreement": AGREEMENT, "select": SELECT}]
    return {"kind": "file", "settings": {"base": base, "auth": auth}, "serves": serves}


async def _connector(farm: Farm, dataset: str) -> str:
    feed = {
        "dataset": dataset, "publish": True,
        "selection": {"agreement": AGREEMENT, "select": SELECT},
    }  # fmt: skip
    return await farm.add("agent", {"source": "kokuho"}, feed)


def _direct(platform: Platform, patience: Patience) -> AgentConnector:
    relays = Relays(platform.database, lambda: platform.sealer, patience)
    means = Means(Outbound(), relay=relays.of(KENKO, "internet"))
    return AgentConnector(AgentSettings(source="kokuho"), means)


def _selection() -> AgentSelection:
    return AgentSelection.model_validate({"agreement": AGREEMENT, "select": SELECT})


def _served(app: FastAPI, port: int = 0) -> AbstractAsyncContextManager[int]:
    """A server that is stopped without regard to who is being answered."""
    return serving_as(
        uvicorn.Config(
            app,
            port=port,
            lifespan="off",
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=0,
        )
    )


async def test_a_clerk_allows_and_runs_an_agent_until_it_is_revoked(
    farm: Farm, platform: Platform, port: int, tmp_path: Path
) -> None:
    its = await outpost(farm.world, tmp_path / "agent", port, "kokuho")
    dataset = await farm.dataset()
    connector = await _connector(farm, dataset)
    folder, sources = its.folder.path, its.folder.sources

    async def agent(*words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "app.cli", "agent", *words], cwd=REPO,
            env=environment(folder), capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    async with web(lambda _: reply(CSV, kind="text/csv")) as source:
        body = {"sources": {"kokuho": _source(source.base)}, "outbound_allow": "127.0.0.0/8"}
        sources.write_text(json.dumps(body), "utf-8")
        unsigned = await agent("run")
        allowed = await agent("allow", "--json")
        process = its.process()
        try:
            harvest = await farm.run(connector)
            loaded = Path(f"/proc/{process.pid}/maps").read_text("utf-8")
            doors = [each for each in psutil.Process(process.pid).net_connections("inet")
                     if each.status == psutil.CONN_LISTEN]  # fmt: skip
            headers = await steward(farm.world)
            await farm.world.client.delete(f"/v1/agents/{its.id}", headers=headers)
            code = await asyncio.to_thread(process.wait, 5)
        finally:
            process.kill()
            process.wait()

    shown = its.said
    assert (unsigned.returncode, allowed.returncode) == (1, 0)
    assert "[agent_allowance_not_signed]" in unsigned.stderr
    assert json.loads(allowed.stdout)[0]["agreement"] == AGREEMENT
    assert (harvest["state"], await farm.records(dataset)) == ("ok", ROWS)
    assert source.asked[0].headers["x-api-key"] == SECRET
    assert (doors, "sqlalchemy" in loaded, "asyncpg" in loaded) == ([], False, False)
    assert (code, "[agent_refused]" in shown) == (1, True)
    assert SECRET not in shown + allowed.stdout
    kept = await platform.database.pool.fetchval("SELECT string_agg(a::text, '') FROM connector a")
    assert SECRET not in kept
    assert sources.stat().st_mode & 0o777 == 0o600


async def test_what_an_agent_that_died_had_begun_another_does(
    farm: Farm, port: int, tmp_path: Path
) -> None:
    dead = await outpost(farm.world, tmp_path / "a", port, "kokuho")
    heir = await outpost(farm.world, tmp_path / "b", port, "kokuho")
    dataset = await farm.dataset()
    connector = await _connector(farm, dataset)
    stuck = [True]
    farm.harvester = replace(farm.harvester, patience=Patience(15.0, 1.0))

    async with web(lambda _: b"" if stuck[0] else reply(CSV, kind="text/csv")) as source:
        source.hang = True
        dead.allow({"kokuho": _source(source.base)})
        process = dead.process()
        harvest = asyncio.create_task(farm.run(connector))
        await until(lambda: bool(source.asked))
        process.kill()
        process.wait()
        stuck[0] = source.hang = False
        async with heir.serving(heir.allow({"kokuho": _source(source.base)})):
            ended = await harvest

    assert (ended["state"], ended["tries"]) == ("ok", 1)
    assert await farm.records(dataset) == ROWS
    given = await farm.world.log(Event.AGENT_JOB_GIVEN)
    assert [(each["agent"], each["attempt"]) for each in given] == [
        (str(dead.id), 1),
        (str(heir.id), 2),
    ]


async def test_a_large_answer_waits_for_its_reader_sealed_and_outlives_a_restart(
    app: FastAPI, platform: Platform, world: World, port: int, tmp_path: Path
) -> None:
    body = b"no,name\n" + b"".join(b"%d,MARKER-%d\n" % (n, n) for n in range(400_000))
    agent = await outpost(world, tmp_path, port, "kokuho")
    pool, digest = platform.database.pool, hashlib.sha256()
    waiting = "SELECT count(*) FROM agent_piece"
    async with web(lambda _: reply(body, kind="text/csv")) as source:
        allowance = agent.allow({"kokuho": _source(source.base)})
        first = _served(app)
        taken = await first.__aenter__()
        async with (
            agent.serving(allowance, f"http://127.0.0.1:{taken}"),
            _direct(platform, Patience()).harvest(_selection()) as got,
        ):
            assert got is not None
            await until(lambda: pool.fetchval(f"{waiting} HAVING count(*) >= {MOST_WAITING}"))
            await asyncio.sleep(0.2)
            most = await pool.fetchval(waiting)
            sealed = b"".join(
                row["data"] for row in await pool.fetch("SELECT data FROM agent_piece")
            )
            await first.__aexit__(None, None, None)
            async with _served(app, taken):
                async for piece in got.pieces:
                    digest.update(piece)

    assert (most, b"MARKER" in sealed, sealed[:3]) == (MOST_WAITING, False, b"eyJ")
    assert digest.hexdigest() == hashlib.sha256(body).hexdigest()
    assert await pool.fetchval(waiting) == 0


async def test_several_agents_of_one_source_take_each_job_once(
    platform: Platform, world: World, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_BEAT_S", 0.1)
    agents = [await outpost(world, tmp_path / name, port, "kokuho") for name in "ab"]

    async with web(lambda _: b"") as source:
        source.hang = True
        allowed = [each.allow({"kokuho": _source(source.base)}) for each in agents]
        async with agents[0].serving(allowed[0]), agents[1].serving(allowed[1]):
            checks = [
                asyncio.create_task(_direct(platform, Patience()).check(_selection()))
                for _ in range(8)
            ]
            await until(lambda: len(source.asked) == 8)
            for each in checks:
                each.cancel()
            await asyncio.wait(checks)
            await until(lambda: not source.open_now)  # nobody waits: no source is kept busy

    given = await world.log(Event.AGENT_JOB_GIVEN)
    assert len({each["job"] for each in given}) == len(given) == 8
    assert {each["agent"] for each in given} == {str(each.id) for each in agents}


@pytest.mark.parametrize("is_registered", [False, True])
async def test_without_an_agent_that_comes_the_source_cannot_be_reached(
    platform: Platform, world: World, port: int, tmp_path: Path, is_registered: bool
) -> None:
    if is_registered:
        await outpost(world, tmp_path, port, "away")
    connector = _direct(platform, Patience(0.2, 1.0))
    connector.settings = AgentSettings(source="away")

    with pytest.raises(SourceUnreachable) as wrong:
        await connector.check()

    assert (wrong.value.at, wrong.value.passes) == ("agent", True)


async def test_what_a_revoked_agent_was_doing_is_given_away_at_once(
    farm: Farm, platform: Platform, port: int, tmp_path: Path
) -> None:
    agent: Outpost = await outpost(farm.world, tmp_path, port, "kokuho")
    farm.harvester = replace(farm.harvester, patience=Patience(0.5, 60.0))
    connector = await _connector(farm, await farm.dataset())

    def answer(_: Asked) -> bytes:
        return b""

    async with web(answer) as source:
        source.hang = True
        async with agent.serving(agent.allow({"kokuho": _source(source.base)})) as task:
            harvest = asyncio.create_task(farm.harvester.harvest(await farm.begin(connector)))
            await until(lambda: bool(source.asked))
            await farm.world.client.delete(f"/v1/agents/{agent.id}", headers=farm.headers)
            await asyncio.wait({harvest}, timeout=5)
            await asyncio.wait({task}, timeout=5)

    assert harvest.done()
    assert type(harvest.exception()).__name__ == "Later"
    assert type(task.exception()).__name__ == "PlatformRefuses"
