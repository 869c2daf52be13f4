"""Loads whose workers are killed (SIGKILL) at random moments, until each run has ended."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.catalogue.runs import How
from app.cli.load import hand_in
from app.kit.db import Database
from app.query.fields import Field
from app.tables.layout import hosted_table
from app.tables.word_index import index_name
from tests.database import REPO

HEARTBEAT_S: Final = 0.5
_REJECTED_EVERY: Final = 10_000
# As `urbanos work` does it; what takes long to import is there before the gate opens.
_GATED: Final = """
import asyncio, sys
from datetime import timedelta
from app.formats import intake
from app.kit.db import Database
from app.tasks.worker import work_for_ever

async def main():
    database = await Database.open(sys.argv[1], connections=4)
    await work_for_ever(database, heartbeat=timedelta(seconds=float(sys.argv[2])))
    await database.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one file should have become."""

    run_id: UUID
    rows: int
    rejected: int
    sha256: str  # of its good rows, a line each


@dataclass(slots=True)
class Toll:
    """What happened. `most_folders`: the most temporary folders that lay about at once."""

    kills: int = 0
    most_folders: int = 0
    loaded: list[Loaded] = field(default_factory=list)


@dataclass(slots=True)
class Killer:
    """Loads files into one dataset (no, name, size) and kills their workers."""

    database: Database
    dataset_id: str
    folder: Path  # where the workers make their temporary folders, and nobody else
    chance: random.Random
    _waiting: "deque[subprocess.Popen[bytes]]" = field(default_factory=deque)
    _usual_s: float = 0.0

    async def load(self, *, kills: int, rows: int) -> Toll:
        """Load file after file until so many workers were killed."""
        toll = Toll()
        try:
            for number in range(10 * kills + 2):
                await self._load_one(number, rows, toll, most_kills=kills if number else 0)
                if toll.kills >= kills:
                    break
        finally:
            for worker in self._waiting:
                _kill(worker)
        return toll

    async def _load_one(self, number: int, rows: int, toll: Toll, *, most_kills: int) -> None:
        path = self.folder / f"{number}.csv"
        sha256 = _write(path, number, rows)
        run_id = await hand_in(
            self.database, self.dataset_id, path, how=How(), by="test", most=1 << 40
        )
        while True:
            worker = await asyncio.to_thread(self._next_worker)
            began = time.monotonic()
            spared = toll.kills >= most_kills
            # The time that a load takes, and what the queue waits before it calls a worker dead.
            moment = self.chance.uniform(0, self._usual_s * 1.5 + 2 * HEARTBEAT_S)
            has_ended = await self._ended(run_id, 120 if spared else moment)
            if spared and has_ended:
                worker.terminate()
                await asyncio.to_thread(worker.communicate)
                break
            await asyncio.to_thread(_kill, worker)
            toll.kills += 1
            toll.most_folders = max(toll.most_folders, len(self.left_folders()))
            if has_ended:  # killed while it was idle, or before it could tell the queue
                break
        self._usual_s = self._usual_s or time.monotonic() - began
        rejected = len(range(0, rows, _REJECTED_EVERY))
        toll.loaded.append(Loaded(run_id, rows - rejected, rejected, sha256))

    async def _ended(self, run_id: UUID, seconds: float) -> bool:
        """Whether the run ends within the time."""
        statement = "SELECT finished_at IS NOT NULL FROM run WHERE id = $1"
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            if await self.database.pool.fetchval(statement, run_id):
                return True
            await asyncio.sleep(0.01)
        return False

    def left_folders(self) -> list[Path]:
        """Temporary folders of workers, living or dead."""
        return list(self.folder.glob("urbanos-run-*"))

    def _next_worker(self) -> "subprocess.Popen[bytes]":
        """A worker that sets to work now; others get ready behind it."""
        while len(self._waiting) < 3:
            self._waiting.append(self._spawn())
        worker = self._waiting.popleft()
        assert worker.stdin is not None and worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        worker.stdin.write(b"\n")
        worker.stdin.flush()
        return worker

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-c", _GATED, self.database.url, str(HEARTBEAT_S)],
            cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self.folder)},
        )  # fmt: skip


def _kill(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    worker.communicate()


def _write(path: Path, number: int, rows: int) -> str:
    """A file of its own for each number; the hash of its good rows."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        file.write("番号,名称,定員\n".encode())
        for at in range(rows):
            if at % _REJECTED_EVERY == 0:
                file.write(f"{at},架空,多数\n".encode())
                continue
            line = f"{at},架空第{at}避難所　北側の建物,{at + number}\n".encode()
            file.write(line)
            digest.update(line)
    return digest.hexdigest()


async def check(database: Database, dataset_id: str, toll: Toll) -> None:
    """Every run has its one version with its rows; nothing else is there."""
    pool = database.pool
    versions = await pool.fetch(
        "SELECT run_id, number, table_name, row_count, fields FROM version WHERE dataset_id = $1"
        " ORDER BY number",
        dataset_id,
    )
    assert [row["run_id"] for row in versions] == [each.run_id for each in toll.loaded]
    assert [row["number"] for row in versions] == list(range(1, len(toll.loaded) + 1))
    for expected, version in zip(toll.loaded, versions, strict=True):
        assert version["row_count"] == expected.rows
        assert await _hash_of(database, dataset_id, version["number"]) == expected.sha256
        run = await pool.fetchrow(
            "SELECT state, rows_accepted, rows_rejected,"
            " (SELECT count(*) FROM reject WHERE run_id = run.id) AS noted"
            " FROM run WHERE id = $1",
            expected.run_id,
        )
        assert run is not None
        assert tuple(run) == ("degraded", expected.rows, expected.rejected, expected.rejected)
        told = await pool.fetchval(
            "SELECT count(*) FROM log_entry WHERE body::jsonb ->> 'run' = $1"
            " AND body::jsonb ->> 'event' = 'run.finished'",
            str(expected.run_id),
        )
        assert told == 1
    assert await orphans(pool) == []


async def _hash_of(database: Database, dataset_id: str, number: int) -> str:
    from sqlalchemy import select  # noqa: PLC0415

    from app.models.datasets import Version  # noqa: PLC0415

    digest = hashlib.sha256()
    async with database.reading() as session:
        version = await session.get_one(Version, (dataset_id, number))
        fields = [Field.from_json(each) for each in version.fields]
        table = hosted_table(version.table_name, fields)
        columns = [table.c[one.column] for one in fields]
        for row in await session.execute(select(*columns).order_by(table.c["_row"])):
            digest.update((",".join(map(str, row)) + "\n").encode())
    return digest.hexdigest()


async def orphans(pool: "asyncpg.Pool[Any]") -> list[str]:
    """Hosted tables that are no version's: neither its rows nor the index of their words."""
    rows = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'hosted'")
    named = {row[0] for row in await pool.fetch("SELECT table_name FROM version")}
    named |= {index_name(each) for each in named}
    return sorted({row[0] for row in rows} - named)
