"""A load that is stopped leaves nothing: queued, at any phase while it runs, and too late."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.audit.events import Event
from app.catalogue import runs
from app.cli.load import working
from app.models.parties import Role
from app.tasks.load import load
from tests.api.test_loading import FILE, made
from tests.killing import orphans
from tests.world import SAKAI, World


@pytest.fixture(scope="module")
def large() -> bytes:
    """A file that loads for some seconds."""
    lines = "".join(f"{at},架空第{at}避難所　北側の建物,{at}\n" for at in range(300_000))
    return ("番号,名称,定員\n" + lines).encode()


async def sent(world: World, dataset: str, headers: dict[str, str], file: bytes) -> str:
    """The id of a queued run."""
    path = f"/v1/datasets/{dataset}/versions"
    answer = await world.client.post(path, content=file, headers=headers)
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["id"]
    return run_id


async def cancel(world: World, headers: dict[str, str], run_id: str) -> httpx.Response:
    return await world.client.post(f"/v1/runs/{run_id}/cancel", headers=headers)


async def test_a_queued_run_ends_at_once_and_its_job_does_nothing(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    run_id = await sent(world, dataset, headers, FILE.encode())

    cancelled = await cancel(world, headers, run_id)
    again = await cancel(world, headers, run_id)
    async with working(world.platform.database):
        later = await world.load(headers, dataset, FILE.encode())

    ended = (await client.get(f"/v1/runs/{run_id}", headers=headers)).json()
    assert cancelled.status_code == 202
    assert cancelled.json() == ended
    assert (ended["state"], ended["error_code"]) == ("failed", "cancelled")
    assert ended["error_ja"] == "取込は取り消されました。"
    assert ended["error_en"] == "The load was cancelled."
    assert (again.status_code, again.json()["code"]) == (409, "run_has_ended")
    assert (later["state"], later["version_number"]) == ("ok", 1)
    asked = await world.log(Event.RUN_CANCEL_ASKED)
    assert [entry["run"] for entry in asked] == [run_id]


@pytest.mark.parametrize("phase", ["reading", "loading", "indexing"])
async def test_a_running_load_is_stopped_within_seconds_and_rolled_back(
    world: World, large: bytes, phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset, headers = await made(world)
    pool = world.platform.database.pool
    async with working(world.platform.database):
        run_id = await sent(world, dataset, headers, large)
        async with asyncio.timeout(60):
            while phase != (  # noqa: ASYNC110
                await pool.fetchval("SELECT phase FROM run WHERE id = $1::uuid", run_id)
            ):
                await asyncio.sleep(0.005)

        asked = await cancel(world, headers, run_id)
        began = time.monotonic()
        ended = await world.ended(headers, run_id)
        taken = time.monotonic() - began
        next_one = await world.load(headers, dataset, FILE.encode())

    assert asked.json()["state"] == "running"
    assert asked.json()["cancel_requested_at"]
    assert (ended["state"], ended["error_code"]) == ("failed", "cancelled")
    assert ended["version_number"] is None
    assert taken < 15  # half a second alone
    assert (next_one["state"], next_one["version_number"]) == ("ok", 1)
    assert await orphans(world.platform.database.pool) == []
    assert await pool.fetchval("SELECT count(*) FROM reject WHERE run_id = $1::uuid", run_id) == 0
    assert list(tmp_path.glob("urbanos-run-*")) == []


async def test_once_it_was_asked_for_a_run_never_gets_a_version(world: World) -> None:
    dataset, headers = await made(world)
    run_id = await sent(world, dataset, headers, FILE.encode())
    pool = world.platform.database.pool
    await pool.execute(
        "UPDATE run SET state = 'running', cancel_requested_at = now() WHERE id = $1::uuid", run_id
    )

    with pytest.raises(runs.RunCancelled):  # as where the request comes just before the commit
        await load(world.platform.database, UUID(run_id))
    made_versions = await pool.fetchval(
        "SELECT count(*) FROM version WHERE dataset_id = $1", dataset
    )
    async with working(world.platform.database):
        ended = await world.ended(headers, run_id)

    assert made_versions == 0
    assert (ended["state"], ended["error_code"]) == ("failed", "cancelled")
    assert await orphans(world.platform.database.pool) == []


async def test_a_finished_run_and_anothers_run_are_not_cancelled(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    async with working(world.platform.database):
        run = await world.load(headers, dataset, FILE.encode())

    too_late = await cancel(world, headers, run["id"])
    by_stranger = await cancel(world, stranger, run["id"])
    unknown = await cancel(world, headers, "00000000-0000-0000-0000-000000000000")

    assert (too_late.status_code, too_late.json()["code"]) == (409, "run_has_ended")
    assert by_stranger.status_code == 403
    assert unknown.status_code == 404
    after = (await client.get(f"/v1/runs/{run['id']}", headers=headers)).json()
    assert after == run
