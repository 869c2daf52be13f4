"""Makers of files that are killed (SIGKILL) at any moment leave no listed file that is not whole."""

import asyncio
import hashlib
import random
import subprocess
import sys
from pathlib import Path

import httpx

from app.tasks.files import make_files
from tests.database import REPO
from tests.stock import Spec, stocked
from tests.world import World

_MAKER = """
import asyncio, sys
from pathlib import Path
from app.kit.db import Database
from app.kit.store import FolderStore
from app.tasks.files import make_files
async def main():
    database = await Database.open(sys.argv[1], connections=3)
    print("ready", flush=True)
    sys.stdin.readline()
    await make_files(database, FolderStore(Path(sys.argv[2])), sys.argv[3], 1)
    print("made", flush=True)
asyncio.run(main())
"""
SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}), ("lat", "latitude"), ("lon", "longitude"),
)  # fmt: skip
KILLS = 3


def spawn(url: str, store: str, dataset: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", _MAKER, url, store, dataset],
        cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def test_a_maker_killed_at_random_moments_lists_only_whole_files(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [{"no": f"{at}", "lat": 34.7, "lon": 135.5 + at / 10_000} for at in range(300)]
    dataset = await stocked(world, rows, SPECS)
    database, store = world.platform.database, world.platform.store
    chance = random.Random(20_261_129)
    makers = [spawn(database.url, store.place, dataset) for _ in range(KILLS)]
    listed = []
    for maker in makers:
        assert maker.stdin is not None and maker.stdout is not None
        assert await asyncio.to_thread(maker.stdout.readline) == b"ready\n"
        maker.stdin.write(b"\n")
        maker.stdin.flush()
        await asyncio.sleep(chance.uniform(0.05, 1.2))
        maker.kill()
        await asyncio.to_thread(maker.communicate)
        world.platform.live.changed("dataset", dataset)
        listed.append((await client.get(f"/v1/datasets/{dataset}/files")).json()["files"])
        for file in listed[-1]:
            answer = await client.get(file["href"])
            assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    async with asyncio.timeout(30):  # the database ends the dead maker's session, and its lock
        while len(listed[-1]) < 7:
            await make_files(database, store, dataset, 1)
            world.platform.live.changed("dataset", dataset)
            listed.append((await client.get(f"/v1/datasets/{dataset}/files")).json()["files"])
            await asyncio.sleep(0.1)

    assert {file["format"] for file in listed[0]} <= {file["format"] for file in listed[-1]}
    kept = [each for each in Path(store.place, dataset).rglob("*") if each.is_file()]
    assert len(kept) == 7
