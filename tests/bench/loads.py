"""Benchmarks of files in and out: loads beside a raw COPY, exports beside psql, memory of loads."""

import asyncio
import shutil
import time
from datetime import datetime
from pathlib import Path

import asyncpg
import psutil
from sqlalchemy import make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from app.catalogue.entries import VersionEntry, load_entry, load_version
from app.query.fields import Field
from app.tables.layout import ROW, hosted_table
from app.tables.load import _sql
from tests.bench import facilities
from tests.bench.figures import Figure, rounds
from tests.bench.stage import PUBLIC, ROWS, Process, Stage
from tests.database import dsn_of

_TARGET = "bench-load"
_MB = 1 << 20


async def load(stage: Stage) -> list[Figure]:
    """A file through the upload API and the worker, beside COPY of its clean rows."""
    await stage.register(_TARGET, "public")
    worker = stage.spawn("worker")
    uploads: list[float] = []
    try:

        async def whole(at: int) -> float:
            path = stage.folder / f"load-{at}.csv"
            facilities.write(path, seed=100 + at, rows=ROWS)
            began = time.perf_counter()
            run = await stage.load(_TARGET, path)
            uploads.append(ROWS / (time.perf_counter() - began))
            taken = _time(run["finished_at"]) - _time(run["started_at"])
            return ROWS / taken.total_seconds()

        async def raw(at: int) -> float:
            return await raw_copy(stage, stage.folder / f"load-{at}.csv", PUBLIC)

        loaded, copied = await rounds(whole, raw)
    finally:
        worker.stop()
    limit = "COPY, same indexes"
    return [
        Figure("CSV load, run's start to its end", "rows/s", loaded, copied, limit, 0.3),
        Figure("CSV load, with upload and queue", "rows/s", tuple(uploads), copied, limit),
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def raw_copy(stage: Stage, path: Path, dataset_id: str) -> float:
    """COPY of the clean rows into a bare table, then the platform's indexes. Rows per second."""
    async with stage.database.reading() as session:
        version = await load_version(session, dataset_id, 1)
    fields = list(version.fields.values())
    clean = await asyncio.to_thread(_clean_file, path, fields)
    table = hosted_table("bare", fields)
    for extra in ("_line", "_original", "_extras"):
        table._columns.remove(table.c[extra])
    connection = await asyncpg.connect(dsn_of(stage.url))
    try:
        began = time.perf_counter()
        async with connection.transaction():
            await connection.execute(_sql(CreateTable(table)))
            await connection.copy_to_table(
                "bare", schema_name="hosted", source=clean, format="csv",
                columns=[ROW, *(field.column for field in fields)],
            )  # fmt: skip
            for index in table.indexes:
                await connection.execute(_sql(CreateIndex(index)))
        taken = time.perf_counter() - began
        await connection.execute("DROP TABLE hosted.bare")
    finally:
        await connection.close()
    return ROWS / taken


def _clean_file(path: Path, fields: list[Field]) -> Path:
    """The rows as PostgreSQL wants them, numbered."""
    clean = path.with_suffix(".clean")
    with path.open("rb") as source, clean.open("wb") as file:
        next(source)
        for number, line in enumerate(source, 1):
            file.write(b"%d,%b" % (number, line))
    return clean


async def export(stage: Stage) -> list[Figure]:
    """The whole table as CSV, in bytes per second, beside psql's COPY."""
    async with stage.database.reading() as session:
        entry = await load_entry(session, PUBLIC)
    version = entry.version
    assert version is not None
    size = await _download(stage)

    async def through_http(_at: int) -> float:
        began = time.perf_counter()
        await _download(stage)
        return size / (time.perf_counter() - began) / 1e6

    async def by_psql(_at: int) -> float:
        began = time.perf_counter()
        await _psql_copy(stage, version)
        return size / (time.perf_counter() - began) / 1e6

    values, limits = await rounds(through_http, by_psql)
    limit = "psql COPY" if shutil.which("psql") else "asyncpg COPY"
    return [Figure("whole CSV export", "MB/s", values, limits, limit, 0.6)]


async def _download(stage: Stage) -> int:
    """All bytes through a bare socket, so that the taker costs little; how many there were."""
    asking, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=_MB)
    path = f"/v1/datasets/{PUBLIC}/records?f=csv"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    size = lines = 0
    end = b""
    while piece := await asking.read(_MB):
        size += len(piece)
        lines += piece.count(b"\n")
        end = (end + piece)[-5:]
    writer.close()
    assert end == b"0\r\n\r\n", "the export broke off"
    assert lines > ROWS, "rows are missing"
    return size


async def _psql_copy(stage: Stage, version: VersionEntry) -> None:
    columns = ", ".join(field.column for field in version.fields.values())
    statement = f"COPY hosted.{version.source.table.name} ({columns}) TO STDOUT CSV"
    if shutil.which("psql"):
        address = make_url(dsn_of(stage.url)).render_as_string(hide_password=False)
        process = await asyncio.create_subprocess_exec(
            "psql", "-X", "-q", "-d", address, "-c", statement, stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        return
    async with stage.database.pool.acquire() as connection:
        await connection.copy_from_query(statement[5:-15], output=_forget, format="csv")


async def _forget(_piece: bytes) -> None:
    return


async def memory(stage: Stage) -> list[Figure]:
    """The worker's peak while it loads, a new worker for each size."""
    sizes = [10, 100, 1000] if stage.is_soak else [10, 100]
    await stage.register("bench-memory", "public")
    figures = []
    for megabytes in sizes:
        path = stage.folder / "memory.csv"
        rows = await asyncio.to_thread(facilities.write, path, megabytes, size=megabytes * _MB)
        worker = stage.spawn("worker")
        watching = asyncio.create_task(peak_of(worker))
        try:
            await stage.load("bench-memory", path)
        finally:
            await asyncio.sleep(0.1)
            watching.cancel()
            peak = await watching
            worker.stop()
            path.unlink()
        name = f"worker's peak, {megabytes} MB ({rows:,} rows)"
        figures.append(Figure(name, "MB", (peak / _MB,), wanted_below=600))
    return figures


async def peak_of(process: Process) -> int:
    """The most memory that the process held until the task is cancelled."""
    watched = psutil.Process(process.child.pid)
    highest = 0
    try:
        while True:
            highest = max(highest, watched.memory_info().rss)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return highest
