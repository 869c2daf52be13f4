"""MySQL 8 where it differs from MariaDB: no server of it can be had here, so one of its protocol
says what such a server would say.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.connectors.errors import SourceBroken, SourceError
from app.connectors.frame import Means
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.kit.outbound import Allowed, Outbound
from app.query.fields import Field, FieldType
from app.query.question import Question
from tests.kit.test_outbound import _certificate

PASSWORD = "hidden-word-8"
_SALT = b"a1b2c3d4e5f6g7h8i9j0"
_COLLATION = 255  # utf8mb4_0900_ai_ci
_OK, _EOF = b"\0\0\0\x02\0\0\0", b"\xfe\0\0\x02\0"
_FAST, _WHOLE = b"\x01\x03", b"\x01\x04"
_ASKS_TLS = 32  # bytes of a request for TLS


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _greeting(plugin: bytes) -> bytes:
    head = b"\x0a8.4.3\0" + struct.pack("<I", 8) + _SALT[:8] + b"\0"
    rest = b"\xff\xff" + bytes([_COLLATION]) + b"\x02\0" + b"\xff\xdf\x15" + b"\0" * 10
    return head + rest + _SALT[8:] + b"\0" + plugin + b"\0"


def _rows(names: list[str], rows: list[list[str]]) -> bytes:
    """A result of texts, each in a collation that MariaDB has not."""
    made, number = [bytes([len(names)])], 0
    for name in names:
        told = b"\x03def\0\0\0" + bytes([len(name.encode())]) + name.encode() + b"\0\x0c"
        made.append(told + struct.pack("<HIBHBH", _COLLATION, 400, 253, 0, 0, 0))
    made.append(_EOF)
    for row in rows:
        made.append(b"".join(bytes([len(each.encode())]) + each.encode() for each in row))
    made.append(_EOF)
    return b"".join(_packet(number := number + 1, body) for body in made)


class _Tls:
    """A line that goes over to TLS: what has come already belongs to the handshake."""

    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._coming, self._going, server_side=True)

    async def do(self, what: Callable[[], Any]) -> Any:
        """What TLS makes of it, however often it has to read for that."""
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                self._writer.write(self._going.read())
                more = await self._reader.read(65_536)
                if not more:
                    raise asyncio.IncompleteReadError(b"", 1) from None
                self._coming.write(more)

    async def begin(self) -> None:
        await self.do(self._tls.do_handshake)
        self._writer.write(self._going.read())

    async def readexactly(self, size: int) -> bytes:
        made = b""
        while len(made) < size:
            made += await self.do(lambda: self._tls.read(size - len(made)))  # noqa: B023
        return made

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._writer.write(self._going.read())


class _MySql8:
    """Says how it would be told the password, then that all is well; what it has heard."""

    def __init__(
        self, plugin: bytes, proof: list[bytes], tls: ssl.SSLContext | None = None
    ) -> None:
        self.plugin, self.proof, self.tls = plugin, proof, tls
        self.heard = bytearray()
        self.statements: list[str] = []
        about = ["t", "名称", "varchar", "varchar(9)", "", "", "utf8mb4", "0"]
        self.columns = _rows(["c"] * 8, [about])
        self.port = 0

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read: Any = reader
        line: Any = writer
        try:
            line.write(_packet(0, _greeting(self.plugin)))
            number, body = await self._next(read)
            if self.tls is not None and len(body) == _ASKS_TLS:
                read = line = _Tls(self.tls, reader, writer)
                await line.begin()
                number, _ = await self._next(read)
            for each in self.proof:
                line.write(_packet(number + 1, each))
                if each == _WHOLE or each.startswith(b"\xfe"):
                    number, _ = await self._next(read)
                else:
                    number += 1
            while True:
                line.write(self._answer(await self._next(read)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _next(self, reader: Any) -> tuple[int, bytes]:
        head = await reader.readexactly(4)
        body = await reader.readexactly(int.from_bytes(head[:3], "little"))
        self.heard += body
        return head[3], body

    def _answer(self, asked: tuple[int, bytes]) -> bytes:
        said = asked[1][1:].decode()
        self.statements.append(said)
        if "information_schema.columns" in said:
            return self.columns
        return _rows(["名称"], [["髙𠮷"]]) if "FROM `d`.t" in said else _packet(1, _OK)


@asynccontextmanager
async def _serving(made: _MySql8) -> AsyncIterator[_MySql8]:
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def _told(made: _MySql8, **more: Any) -> str | list[Any]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    settings = SqlSettings.model_validate(
        {"dialect": "mysql", "host": "db.example.jp", "port": made.port, "database": "d", "user": "u",
         "password": PASSWORD, **more}
    )  # fmt: skip
    outbound = Outbound(Allowed.parse("db.example.jp,127.0.0.1"), resolve=resolve)
    asked = Question((Field("名称", "名称", "名称", FieldType.TEXT),), limit=None)
    try:
        connector = SqlConnector(settings, Means(outbound))
        async with connector.fetch(SqlSelection(table="t"), asked) as got:
            assert got is not None
            return [row async for rows in got.batches for row in rows]
    except SourceError as refused:
        return refused.at
    finally:
        await outbound.close()


async def test_who_is_known_signs_in_without_tls_and_is_bounded_by_the_words_of_mysql() -> None:
    async with _serving(_MySql8(b"caching_sha2_password", [_FAST, _OK])) as server:
        told = await _told(server, tls="off")

    assert told == [{"名称": "髙𠮷"}]
    assert "SET SESSION max_execution_time = 600000" in server.statements
    assert not any("max_statement_time" in each for each in server.statements)
    assert PASSWORD.encode() not in server.heard


@pytest.mark.parametrize(
    ("plugin", "proof"),
    [
        (b"caching_sha2_password", [_WHOLE]),
        (b"mysql_native_password", [b"\xfecaching_sha2_password\0" + _SALT + b"\0", _WHOLE]),
        (b"sha256_password", []),
        (b"mysql_native_password", [b"\xfesha256_password\0" + _SALT + b"\0"]),
    ],
)
async def test_without_tls_nobody_is_told_the_password_by_a_key_of_his_own(
    plugin: bytes, proof: list[bytes]
) -> None:
    async with _serving(_MySql8(plugin, proof)) as server:
        told = await _told(server, tls="off")

    assert told == "tls"
    assert b"\x02" not in bytes(server.heard[-1:])  # nor is a key asked for
    assert server.statements == []


async def test_in_tls_the_password_is_told_to_whom_the_certificate_names(tmp_path: Path) -> None:
    file = _certificate(tmp_path, "db.example.jp")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    found = []
    for ca in (file.read_text(), _certificate(tmp_path, "db.example.jp").read_text()):
        made = _MySql8(b"caching_sha2_password", [_WHOLE, _OK], tls)
        async with _serving(made) as server:
            found.append((await _told(server, ca=ca), PASSWORD.encode() + b"\0" in server.heard))

    assert found == [([{"名称": "髙𠮷"}], True), ("tls", False)]


async def test_a_file_of_ours_that_it_asks_for_is_not_sent() -> None:
    made = _MySql8(b"caching_sha2_password", [_FAST, _OK])
    made.columns = _packet(1, b"\xfb/etc/passwd")
    async with _serving(made) as server:
        told = await _told(server, tls="off")

    assert told == SourceBroken(source="-", at="format").at
    assert b"root:" not in server.heard
