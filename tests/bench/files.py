"""Benchmarks of ready-made files: a download beside nginx with the same file, and their making."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.kit.store import FolderStore
from app.tasks.files import make_files
from tests.bench import facilities
from tests.bench.figures import Figure, rounds
from tests.bench.stage import ROWS, Stage, free_port, spawn, until_answers

_BYTES = 200 << 20
_FILE = "bench-file"
_CONFIG = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 64; }}
http {{
  # Its fastest: over the loopback sendfile passes page by page, and is the slower way.
  access_log off; sendfile off; output_buffers 2 512k; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /plain/ {{ alias {store}/; }}
    location /inside/ {{ internal; alias {store}/; }}
    location / {{ proxy_pass http://127.0.0.1:{behind}; }}
  }}
}}
"""


async def making(stage: Stage) -> list[Figure]:
    """All files of 300,000 facilities and of 1,000: how long, and how far the writer grows."""
    figures = []
    for name, rows, most_s in (("bench-small", 1_000, 1.5), ("bench-large", ROWS, 60)):
        await _published(stage, name, rows)
        took, worked, peak = await _made(stage, name)
        figures += [
            Figure(f"all files of {rows:,} rows, time", "s", (took,)),
            Figure(f"all files of {rows:,} rows, work of a core", "s", (worked,), wanted_below=most_s),
            Figure(f"all files of {rows:,} rows, peak memory", "MB", (peak,), wanted_below=400),
        ]  # fmt: skip
    return figures


async def _published(stage: Stage, name: str, rows: int) -> None:
    """A dataset of so many facilities, without its files."""
    path = stage.folder / f"{name}.csv"
    facilities.write(path, seed=0, rows=rows)
    worker = stage.spawn("worker")
    try:
        await stage.register(name, "public")
        await stage.publish(await stage.load(name, path))
    finally:
        worker.stop()
        path.unlink()


async def _made(stage: Stage, name: str) -> tuple[float, float, float]:
    """Seconds, seconds of work (ours and the writer's), and most megabytes of either."""
    peak = 0
    began, worked = time.perf_counter(), _worked()
    before = psutil.Process().memory_info().rss
    store = FolderStore(stage.folder / "files")
    job = asyncio.create_task(make_files(stage.database, store, name, 1))
    while not job.done():
        peak = max(peak, psutil.Process().memory_info().rss - before, *_children())
        await asyncio.sleep(0.05)
    await job
    return time.perf_counter() - began, _worked() - worked, peak / (1 << 20)


def _worked() -> float:
    spent = psutil.Process().cpu_times()
    return float(sum(spent[:4]))  # user and system, ours and of children that have ended


def _children() -> list[int]:
    """The memory of the writers that run beside us now."""
    found = [0]
    for child in psutil.Process().children():
        try:
            if any(word.endswith("writers.making") for word in child.cmdline()):
                found.append(child.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return found


async def download(stage: Stage) -> list[Figure]:
    """One file of 200 MB: from the platform itself, by nginx before it, and from nginx alone."""
    if shutil.which("nginx") is None:
        raise RuntimeError("nginx is needed: apt install nginx-light (Debian)")
    folder = stage.folder / "files"
    await _published(stage, _FILE, 100)
    await make_files(stage.database, FolderStore(folder), _FILE, 1)
    key = f"{_FILE}/v1/r0/records.csv"
    (folder / key).write_bytes(os.urandom(1 << 20) * (_BYTES >> 20))  # and no hole
    await stage.database.pool.execute(
        "UPDATE version_file SET size = $1 WHERE dataset_id = $2", _BYTES, _FILE
    )
    os.environ["URBANOS_ACCEL_PREFIX"] = "/inside"
    behind = spawn(stage.folder, stage.url, stage.issuer, "platform", free_port(), None)
    del os.environ["URBANOS_ACCEL_PREFIX"]
    try:
        await until_answers(behind)
        with _nginx(stage.folder, folder, behind.port) as port:
            path = f"v1/datasets/{_FILE}/files/{_FILE}-v1.csv"
            own, before, alone = await rounds(
                lambda _: _megabytes_per_second(f"{stage.issuer}/{path}"),
                lambda _: _megabytes_per_second(f"http://127.0.0.1:{port}/{path}"),
                lambda _: _megabytes_per_second(f"http://127.0.0.1:{port}/plain/{key}"),
                number=15,
            )
    finally:
        behind.stop()
    return [
        Figure("ready-made file, sent by the platform", "MB/s", own, alone, "nginx alone"),
        Figure(
            "ready-made file, by X-Accel-Redirect", "MB/s", before, alone, "nginx alone",
            wanted_ratio=0.8,
        ),
    ]  # fmt: skip


@contextmanager
def _nginx(folder: Path, store: Path, behind: int) -> Iterator[int]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, store=store, port=port, behind=behind))
    folder.chmod(0o755)  # nginx's worker is another user where it is started by root
    child = subprocess.Popen(["nginx", "-c", str(config), "-e", str(folder / "nginx.err")])
    try:
        time.sleep(0.5)
        yield port
    finally:
        child.terminate()
        child.wait(10)


async def _megabytes_per_second(url: str) -> float:
    child = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await child.communicate()
    size, seconds = said.split()
    assert int(size) == _BYTES, (url, said)
    return int(size) / float(seconds) / 1e6
