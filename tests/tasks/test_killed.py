"""Workers and servers that are killed (SIGKILL) at any moment leave a clean state."""

import asyncio
import io
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tusclient.client import TusClient

from app.audit.events import Event
from app.audit.verify import verify
from app.catalogue import runs
from app.kit import clock
from app.kit.folders import held_folder, sweep
from app.kit.settings import Settings
from app.models.parties import Role
from app.tables import parts
from app.tasks import worker as worker_module
from app.tasks.attempt import attempt
from tests.api.test_loading import made
from tests.api.test_resumable import MB, begin, csv, offset_of, stored
from tests.bench.stage import Process, free_port, spawn, until_answers
from tests.database import REPO
from tests.killing import Killer, check
from tests.world import KENKO, Party, World

pytestmark = pytest.mark.long

KILLS = 8
MOST_TRIES = 6  # more than a load that fails gets


async def test_a_load_killed_at_random_moments_ends_as_if_nothing_had_been(
    world: World, tmp_path: Path
) -> None:
    dataset, _ = await made(world)
    database = world.platform.database
    killer = Killer(database, dataset, tmp_path, random.Random(20_260_401))

    toll = await killer.load(kills=KILLS, rows=60_000)

    assert toll.kills >= KILLS
    assert toll.most_folders == 1  # a dead worker's, which the next one's start removes
    await check(database, dataset, toll)
    assert (await verify(database.pool)).is_whole
    waiting = await database.pool.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'queued'")
    assert waiting == 0


async def test_two_workers_that_both_think_a_run_theirs_make_one_version(world: World) -> None:
    dataset, headers = await made(world)
    database = world.platform.database
    sent = await world.client.post(
        f"/v1/datasets/{dataset}/versions", content=csv(50_000), headers=headers
    )
    run_id = UUID(sent.json()["id"])

    await asyncio.gather(attempt(database, run_id), attempt(database, run_id))

    run = await world.ended(headers, str(run_id))
    listed = await world.client.get(f"/v1/datasets/{dataset}/versions", headers=headers)
    assert (run["state"], run["rows_accepted"], run["unchanged"]) == ("ok", 50_000, False)
    assert [version["row_count"] for version in listed.json()] == [50_000]
    assert len(await world.log(Event.RUN_FINISHED)) == 1


async def test_a_run_that_another_transaction_still_holds_waits_for_it_however_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_CLAIM_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "_HELD_AGAIN", timedelta(milliseconds=50))
    dataset, headers = await made(world)
    database = world.platform.database
    sent = await world.client.post(
        f"/v1/datasets/{dataset}/versions", content=csv(100), headers=headers
    )
    run_id = sent.json()["id"]
    async with database.pool.acquire() as zombie:
        running_on = zombie.transaction()  # as that of a killed worker
        await running_on.start()
        await zombie.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", run_id)
        stop = asyncio.Event()
        quick = timedelta(seconds=0.4)
        work = asyncio.create_task(worker_module.work(database, stop, heartbeat=quick))
        async with asyncio.timeout(30):
            while (  # noqa: ASYNC110
                await database.pool.fetchval("SELECT coalesce(max(attempts), 0) FROM pgqueuer")
            ) < MOST_TRIES:
                await asyncio.sleep(0.05)
        meanwhile = await database.pool.fetchval(
            "SELECT state FROM run WHERE id = $1::uuid", run_id
        )
        await running_on.rollback()
    run = await world.ended(headers, run_id)
    stop.set()
    await work

    assert meanwhile == "running"
    assert (run["state"], run["rows_accepted"]) == ("ok", 100)


_HOLDER = """
import sys, time
from app.kit.folders import held_folder
with held_folder() as folder:
    (folder / "upload").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", _HOLDER], cwd=REPO, stdout=subprocess.PIPE,
            env={"TMPDIR": str(tmp_path)},
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        folders = [Path(one.stdout.readline().decode().strip()) for one in holders if one.stdout]
        with held_folder() as own:
            _end(holders[0])

            removed = sweep()

            assert removed == 1
            assert [folder.exists() for folder in (*folders, own)] == [False, True, True]
    finally:
        for one in holders:
            _end(one)
    assert sweep() == 1
    assert list(tmp_path.iterdir()) == []


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


async def _served(url: str, home: Path, port: int) -> Process:
    server = spawn(home, url, f"http://127.0.0.1:{port}", "platform", port, None)
    await until_answers(server, "/readyz")
    return server


async def _token(http: httpx.AsyncClient, party: Party) -> dict[str, str]:
    answer = await http.post("/oauth/token", data=party.form("catalogue:write"))
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def _slowly(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 200_000):
        yield content[at : at + 200_000]
        await asyncio.sleep(0.02)
    await asyncio.sleep(60)  # the last bytes are still to come


async def _patch(
    http: httpx.AsyncClient, headers: dict[str, str], upload: str, content: bytes
) -> None:
    part = {
        "Tus-Resumable": "1.0.0", "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }  # fmt: skip
    await http.patch(upload, content=_slowly(content), headers={**headers, **part})


@pytest.mark.usefixtures("worker")
async def test_a_server_killed_amid_uploads_keeps_what_was_committed_and_nothing_half_made(
    client: httpx.AsyncClient, world: World, settings: Settings, database_url: str
) -> None:
    dataset, own = await made(world)
    pool = world.platform.database.pool
    content = csv(120_000)
    port = free_port()
    party = replace(await world.party(KENKO, Role.STEWARD), issuer=f"http://127.0.0.1:{port}")
    server = await _served(database_url, settings.home, port)
    try:
        async with httpx.AsyncClient(base_url=party.issuer, timeout=60) as http:
            headers = await _token(http, party)
            upload = await begin(http, headers, dataset, len(content))
            sending = [
                asyncio.create_task(_patch(http, headers, upload, content)),
                asyncio.create_task(
                    http.post(
                        f"/v1/datasets/{dataset}/versions", content=_slowly(content),
                        headers=headers,
                    )
                ),
            ]  # fmt: skip
            async with asyncio.timeout(30):
                while await offset_of(client, own, upload) < 2 * MB:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            server.child.kill()
            server.child.wait()
            ends = await asyncio.gather(*sending, return_exceptions=True)
        safe = await offset_of(client, own, upload)
        async with pool.acquire() as connection, connection.transaction():
            now = clock.now()  # as the tidying job does, a day later
            await parts.remove_expired(connection, now, now)
        left = await pool.fetchval(
            "SELECT count(*) FROM upload u WHERE NOT EXISTS (SELECT FROM run WHERE upload_id = u.id)"
            " AND NOT EXISTS (SELECT FROM upload_in_parts WHERE upload_id = u.id)"
        )
        runs = await pool.fetchval("SELECT count(*) FROM run WHERE dataset_id = $1", dataset)
        so_far = await stored(world, upload)
        server = await _served(database_url, settings.home, port)

        def resume(token: dict[str, str]) -> int:
            url = f"{party.issuer}{upload}"
            speaking = TusClient(f"{party.issuer}/v1/uploads", headers=token)
            going_on = speaking.uploader(file_stream=io.BytesIO(content), url=url)
            found = int(going_on.offset)
            going_on.upload()
            return found

        async with httpx.AsyncClient(base_url=party.issuer) as http:
            resumed_at = await asyncio.to_thread(resume, await _token(http, party))
    finally:
        server.child.kill()
        server.child.wait()
    loading = await client.post(
        f"/v1/datasets/{dataset}/versions",
        params={"upload": upload.rpartition("/")[2]}, headers=own,
    )  # fmt: skip
    run = await world.ended(own, loading.json()["id"])

    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    assert runs == 0
    assert left == 0, "what no run refers to is tidied away"
    assert safe == len(so_far) == resumed_at
    assert safe % MB == 0 and 2 * MB <= safe < len(content)
    assert content.startswith(so_far)
    assert (run["state"], run["rows_accepted"]) == ("ok", 120_000)
