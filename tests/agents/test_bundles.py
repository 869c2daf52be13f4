"""Bundles that are carried by hand: harvested like any source, and refused when anything is odd."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from app.agents import imports, registry
from app.agents.registry import AgentNotFound
from app.agents.relay import Relays
from app.api.state import Platform
from app.cli.key_files import new_key
from app.connectors.errors import SourceUnreachable
from app.connectors.relayed import Wanted
from app.kit.errors import AppError
from app.kit.settings import Settings
from app.outpost import bundles
from app.outpost.bundles import BundleRefused
from tests.agents.outposts import AGREEMENT, Outpost, environment, outpost
from tests.conftest import ISSUER
from tests.connectors.farm import Farm
from tests.database import REPO
from tests.world import KENKO, SAKAI, World

ROWS = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空第二"}]
SELECT = {"path": "facility.csv", "settle_seconds": 0}


def _source(bureau: Path) -> dict[str, Any]:
    """A file of the closed network."""
    serves = [{"agreement": AGREEMENT, "select": SELECT}]
    return {"kind": "file", "settings": {"base": str(bureau)}, "serves": serves}


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World, port: int, tmp_path: Path) -> Outpost:
    """An enrolled agent, whose bureau has a file."""
    its = await outpost(world, tmp_path / "agent", port, "kokuho")
    (tmp_path / "bureau").mkdir()
    rows = "".join(f"{row['no']},{row['name']}\n" for row in ROWS)
    (tmp_path / "bureau" / "facility.csv").write_text(f"no,name\n{rows}", "utf-8")
    its.allow({"kokuho": _source(tmp_path / "bureau")}, folders=[str(tmp_path / "bureau")])
    return its


async def _bundle(agent: Outpost, path: Path) -> Path:
    """A bundle of all that is allowed."""
    told = agent.folder.told()
    from app.outpost.allowance import Allowance  # noqa: PLC0415

    async with agent.answerer(Allowance.read(agent.folder.sources, told)) as answerer:
        pinned = agent.folder.platform()[1]
        await bundles.write(path, answerer, pinned, agent.key, agent.folder.next_bundle())
    return path


async def _take(
    platform: Platform, path: Path, organization: str = KENKO, issuer: str = ISSUER
) -> int:
    async with platform.database.writing() as session:
        return len(await imports.take(session, path, organization, issuer, by="test"))


async def test_what_was_exported_there_is_loaded_here(
    farm: Farm, platform: Platform, agent: Outpost, settings: Settings, database_url: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    dataset, file = await farm.dataset(), tmp_path / "carried"
    feed = {
        "dataset": dataset, "publish": True,
        "selection": {"agreement": AGREEMENT, "select": SELECT},
    }  # fmt: skip
    connector = await farm.add("agent", {"source": "kokuho", "reach": "file"}, feed)
    nothing = await farm.ask("POST", f"/{connector}/test")
    there = environment(agent.folder.path)
    here = {
        **there, "URBANOS_HOME": str(settings.home), "URBANOS_DATABASE_URL": database_url,
        "URBANOS_PUBLIC_URL": ISSUER,
    }  # fmt: skip

    async def command(env: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "app.cli", "agent", *words], cwd=REPO, env=env,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    exported = await command(there, "export", str(file), "--json")
    taken = await command(here, "import", "--org", KENKO, str(file), "--json")
    runs = (await farm.ask("GET", f"/{connector}/runs")).json()["items"]
    harvest = await farm.make(connector, UUID(runs[0]["id"]))
    unchanged = await farm.run(connector)
    found = await farm.ask("POST", f"/{connector}/discover")

    assert nothing.json()["checks"][0]["at"] == "missing"
    assert (exported.returncode, taken.returncode) == (0, 0), exported.stderr + taken.stderr
    assert json.loads(taken.stdout)[0]["datasets"] == [dataset]
    assert (harvest["state"], harvest["rows"], unchanged["state"]) == ("ok", 2, "unchanged")
    assert await farm.records(dataset) == ROWS
    assert [each["selection"] for each in found.json()] == [feed["selection"]]
    assert "架空".encode() not in file.read_bytes()


def _changed(at: float) -> Callable[[bytes], bytes]:
    """One sign in the middle of a line is another one."""

    def change(told: bytes) -> bytes:
        lines = told.splitlines(keepends=True)
        line = lines[int(at)]
        middle = len(line) // 2
        other = b"A" if line[middle : middle + 1] != b"A" else b"B"
        lines[int(at)] = line[:middle] + other + line[middle + 1 :]
        return b"".join(lines)

    return change


_TAMPERED: dict[str, Callable[[bytes], bytes]] = {
    "a piece was changed": _changed(2),
    "the signature was changed": _changed(-1),
    "it breaks off": lambda told: told[:-20],
    "a piece is missing": lambda told: b"".join(
        line for at, line in enumerate(told.splitlines(keepends=True)) if at != 2
    ),
    "something was added": lambda told: told + b"more\n",
    "it is none": lambda _: b"no,name\n",
    "it is empty": lambda _: b"",
}


@pytest.mark.parametrize("name", _TAMPERED)
async def test_a_bundle_that_was_changed_on_its_way_is_not_taken(
    platform: Platform, agent: Outpost, tmp_path: Path, name: str
) -> None:
    file = await _bundle(agent, tmp_path / "carried")
    file.write_bytes(_TAMPERED[name](file.read_bytes()))

    with pytest.raises(BundleRefused):
        await _take(platform, file)

    kept = "SELECT count(*) FROM agent_job WHERE agent_id = $1"
    assert await platform.database.pool.fetchval(kept, agent.id) == 0


async def test_a_bundle_that_is_changed_while_it_is_taken_is_not_taken(agent: Outpost) -> None:
    file = await _bundle(agent, agent.folder.path / "carried")
    bundle = bundles.proven(file, agent.key, agent.id)
    file.write_bytes(_changed(2)(file.read_bytes()))

    with pytest.raises(BundleRefused):
        list(bundles.pieces(file, bundle))


async def test_a_bundle_brings_no_source_of_another_agent(
    platform: Platform, agent: Outpost, tmp_path: Path
) -> None:
    bureau = tmp_path / "bureau"
    agent.allow({"juki": _source(bureau)}, folders=[str(bureau)])
    file = await _bundle(agent, tmp_path / "carried")

    with pytest.raises(BundleRefused, match="not its agent's"):
        await _take(platform, file)


async def test_a_bundle_is_for_one_organisation_of_one_platform_by_one_agent_in_its_turn(
    platform: Platform, agent: Outpost, tmp_path: Path
) -> None:
    older = await _bundle(agent, tmp_path / "older")
    newer = await _bundle(agent, tmp_path / "newer")
    true_key, agent.key = agent.key, new_key(tmp_path / "robber")
    forged = await _bundle(agent, tmp_path / "forged")
    agent.key = true_key

    async def refused(path: Path, **other: str) -> type[AppError]:
        with pytest.raises(AppError) as wrong:
            await _take(platform, path, **other)
        return type(wrong.value)

    assert await refused(newer, organization=SAKAI) is AgentNotFound
    assert await refused(newer, issuer="http://other.test") is BundleRefused
    assert await refused(forged) is BundleRefused
    assert await _take(platform, newer) == 1
    assert [await refused(each) for each in (newer, older)] == [BundleRefused, BundleRefused]
    last = await _bundle(agent, tmp_path / "last")
    async with platform.database.writing() as session:
        its = await registry.get(session, agent.id, KENKO)
        await registry.revoke(session, its, by="test")
    assert await refused(last) is BundleRefused
    wanted = Wanted("harvest", "kokuho", AGREEMENT, SELECT, by_file=True)
    with pytest.raises(SourceUnreachable):  # nor is what was taken before harvested any more
        async with Relays(platform.database, lambda: platform.sealer).of(KENKO, "internet")(
            wanted
        ) as brought:
            await anext(brought)
