"""The server that tests run on cleans up after itself, however the tests end."""

import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
from sqlalchemy import make_url

from tests.database import REPO, VARIABLE, dsn_of, make_server

SCRIPT = """
import asyncio, os, signal
from tests.database import make_server

async def main():
    server = await make_server()
    await server.make_database("left_behind")
    print(server._server.pid if server._server else 0, server._watchdog.pid, server.url, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def _killed_session() -> list[str]:
    """Run a test session that is killed; what it said, once its watchdog has gone."""
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
    give_up_at = time.monotonic() + 30
    while _is_alive(int(words[1])) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return words


def _is_alive(pid: int) -> bool:
    try:
        return bool(pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_killed_session_leaves_no_server_and_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    postmaster, _, url = _killed_session()

    assert not _is_alive(int(postmaster))
    sockets = make_url(url).query["host"]
    assert isinstance(sockets, str)
    assert not Path(sockets).parent.exists()


async def test_a_database_is_a_copy_of_its_template_and_a_shared_server_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    server = await make_server()
    await _execute(await server.make_database("origin"), "CREATE TABLE kept (id int)")
    copy = await server.make_database("copy", template="origin")
    assert await _execute(copy, "SELECT to_regclass('kept')::text") == "kept"
    names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"
    before = await _execute(server.url, names)

    monkeypatch.setenv(VARIABLE, dsn_of(server.url))
    guest = await make_server()
    await _execute(await guest.make_database("copy"), "CREATE TABLE other (id int)")
    await guest.stop()
    _killed_session()

    assert await _execute(server.url, names) == before
    await server.stop()


async def _execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn_of(url))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
