"""A PostgreSQL that asks for a password over TCP: the suite's own server, behind a way that counts."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from tests.database import DatabaseServer, dsn_of

PASSWORD = "hidden-word-3"


@dataclass(slots=True)
class Foreign:
    """A database of somebody else's, its owner's connection, and a user who may sign in."""

    owner: "asyncpg.Connection"
    port: int
    database: str
    user: str
    open_now: int = 0

    def settings(self, **more: object) -> dict[str, object]:
        """What a connector is told."""
        return {
            "host": "127.0.0.1", "port": self.port, "database": self.database, "user": self.user,
            "password": PASSWORD, "tls": "off", **more,
        }  # fmt: skip


@asynccontextmanager
async def foreign_database(server: DatabaseServer) -> AsyncIterator[Foreign]:
    """Made anew, and gone at the end."""
    name, user = f"src_{secrets.token_hex(4)}", f"reader_{secrets.token_hex(4)}"
    url = make_url(await server.make_database(name))
    owner = await asyncpg.connect(dsn_of(url.render_as_string(hide_password=False)))
    await owner.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    sockets = Path(str(url.query.get("host", "")))
    made = Foreign(owner, url.port or 5432, str(url.database), user)
    if server._server is not None:
        await _ask_for_passwords(server._server.home / "pg_hba.conf", owner, user)
    try:
        async with _way(made, sockets / ".s.PGSQL.5432", url.host):
            yield made
    finally:
        await owner.close()
        await server.drop_database(name)


async def _ask_for_passwords(rules: Path, owner: "asyncpg.Connection", user: str) -> None:
    rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
    await owner.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def _way(made: Foreign, path: Path, host: str | None) -> AsyncIterator[None]:
    """From a port of this machine to where the server listens."""
    there_port = made.port

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.open_now += 1
        try:
            to = (
                await asyncio.open_connection(host, there_port)
                if host
                else await asyncio.open_unix_connection(path)
            )
            both = [
                asyncio.create_task(_pass_on(reader, to[1])),
                asyncio.create_task(_pass_on(to[0], writer)),
            ]
            await asyncio.wait(both)
        finally:
            made.open_now -= 1

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
