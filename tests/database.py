"""A PostgreSQL for tests, thrown away afterwards; must never touch a database it did not make.

`pytest_plugins = ["tests.database"]` (or an import of `embedded` into conftest) gives the fixture;
`make_server()` gives the same to a script such as the benchmark.
With URBANOS_TEST_DATABASE_URL set (a SQLAlchemy or libpq address of a role that may create
databases) the tests run on that server instead.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest_asyncio
from sqlalchemy import make_url

from app.kit import embedded as kit
from app.kit.embedded import EmbeddedServer

REPO = Path(__file__).resolve().parents[1]
VARIABLE = "URBANOS_TEST_DATABASE_URL"
OLDEST = 160000

# Nothing here has to survive a power cut, and a server in memory keeps its log short.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
}

# Folders in memory (Linux). A database is eight hundred files: made there, a tenth of the time.
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 1024**3  # free there: the servers of several processes and what their tests load


@dataclass(slots=True)
class DatabaseServer:
    """A server on which a test session makes and drops databases of its own."""

    url: str  # SQLAlchemy address of the database from which others are made
    prefix: str  # keeps our databases apart from what else a shared server holds
    _server: EmbeddedServer | None
    _watchdog: subprocess.Popen[bytes]

    async def make_database(self, name: str, *, template: str | None = None) -> str:
        """Make the database anew, as a copy of our database `template`; its SQLAlchemy address.

        Nobody may be connected to the template: dispose of its engines first.
        """
        await self.drop_database(name)
        source = "template0 ENCODING 'UTF8'"
        if template is not None:
            source = f'"{self.prefix}{template}"'
            if self._server is not None:
                source += " STRATEGY FILE_COPY"  # checkpoints, which are cheap on a server of ours
        await self._execute(f'CREATE DATABASE "{self.prefix}{name}" TEMPLATE {source}')
        address = make_url(self.url).set(database=self.prefix + name)
        return address.render_as_string(hide_password=False)

    async def drop_database(self, name: str) -> None:
        """Remove the database if it is there, and whoever is connected to it."""
        await self._execute(f'DROP DATABASE IF EXISTS "{self.prefix}{name}" WITH (FORCE)')

    async def stop(self) -> None:
        """Remove everything that was made."""
        if self._server is not None:
            await self._server.stop()
        await asyncio.to_thread(self._watchdog.communicate)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(dsn_of(self.url))
        try:
            await _patiently(connection, statement)
        finally:
            await connection.close()


def dsn_of(url: str) -> str:
    """The same address for asyncpg and libpq."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def make_server(*, settings: Mapping[str, str] = SETTINGS) -> DatabaseServer:
    """Start a server, or use the one that URBANOS_TEST_DATABASE_URL names. Call `stop` at the end.

    `settings` go over the defaults of `app.kit.embedded`. If this process is killed first, its
    watchdog cleans up.
    """
    url = os.environ.get(VARIABLE)
    if url:
        return await _foreign_server(url)
    outer = Path(tempfile.mkdtemp(prefix="urbanos-test-", dir=_in_memory(settings)))
    outer.chmod(0o711)  # the server's user passes through it when root runs the tests
    watchdog = watch("embedded", str(outer))
    try:
        server = await kit.start(outer / "db", settings=settings)
    except BaseException:
        watchdog.communicate()
        raise
    return DatabaseServer(server.url, "", server, watchdog)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded() -> AsyncIterator[DatabaseServer]:
    """One server for the whole session."""
    server = await make_server()
    yield server
    await server.stop()


async def _foreign_server(url: str) -> DatabaseServer:
    address = make_url(url).set(drivername="postgresql+asyncpg")
    url = address.render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn_of(url))
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
    finally:
        await connection.close()
    if version < OLDEST:
        raise RuntimeError(f"{VARIABLE} names PostgreSQL {version // 10000}; 16 is the oldest")
    prefix = f"urbanos_test_{secrets.token_hex(4)}_"
    return DatabaseServer(url, prefix, None, watch("foreign", prefix, url=url))


def _in_memory(settings: Mapping[str, str]) -> Path | None:
    """Where a server of these settings may stand in memory; None where it may not, or has no room."""
    is_lasting = settings.get("fsync") != "off"
    if is_lasting or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    free = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return _MEMORY if free > _ROOM else None


async def _patiently(connection: asyncpg.Connection, statement: str) -> None:
    """A session that was just closed may hold its database for a moment longer."""
    give_up_at = time.monotonic() + 5
    while True:
        try:
            await connection.execute(statement)
            return
        except asyncpg.ObjectInUseError:
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.05)


# --- the watchdog ---------------------------------------------------------------------------------

_WATCHDOG = """
import sys
sys.stdin.buffer.read()
from tests import database
database.clean_up(*sys.argv[1:])
"""


def watch(*what: str, url: str = "") -> subprocess.Popen[bytes]:
    """A process that cleans up when its standard input ends: by us, or because we were killed."""
    return subprocess.Popen(
        [sys.executable, "-c", _WATCHDOG, *what],
        cwd=REPO,
        env={**os.environ, VARIABLE: url},  # a password is no word for a command line
        stdin=subprocess.PIPE,
        start_new_session=True,  # survives Ctrl-C and the end of our process group
    )


def clean_up(kind: str, what: str) -> None:
    """What the watchdog does: remove the server in the folder, or the databases with the prefix."""
    if kind == "foreign":
        asyncio.run(_drop_all(os.environ[VARIABLE], what))
        return
    outer = Path(what)
    data = outer / "db" / "pgdata"
    home = data.resolve().parent  # root keeps the data elsewhere if the server cannot enter
    while processes := [*_working_below(home), *_working_below(outer)]:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)
    if data.is_symlink():
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(outer, ignore_errors=True)


def _working_below(home: Path) -> list[psutil.Process]:
    """Processes of the server (or of initdb) whose working folder lies in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            if not is_dead and process.name() in ("postgres", "initdb"):
                arguments = process.cmdline()
                if home in Path(process.cwd()).parents or any(str(home) in a for a in arguments):
                    found.append(process)
        except psutil.Error:
            continue
    return found


async def _drop_all(url: str, prefix: str) -> None:
    connection = await asyncpg.connect(dsn_of(url))
    try:
        rows = await connection.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", prefix
        )
        for row in rows:
            await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
    finally:
        await connection.close()
