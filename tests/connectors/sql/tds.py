"""A server of TDS 7.4 as far as a reader meets it, written after MS-TDS: it says what it is told to.

It is no SQL Server: it understands no SQL, and only shows what the driver makes of its bytes.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PRELOGIN, LOGIN, REPLY = 0x12, 0x10, 0x04
NO_TLS, TLS = 2, 1
_COLLATION = bytes.fromhex("1104d00000")  # Japanese_CI_AS
DONE = b"\xfd" + struct.pack("<HHQ", 0, 0, 0)
_FAILED = b"\xfd" + struct.pack("<HHQ", 2, 0, 0)
Value = Any


def packet(kind: int, body: bytes) -> bytes:
    """One packet, the last of its message (2.2.3.1)."""
    return struct.pack(">BBHHBB", kind, 1, len(body) + 8, 0, 1, 0) + body


def prelogin(encryption: int) -> bytes:
    """VERSION and ENCRYPTION (2.2.6.5)."""
    options = struct.pack(">BHH", 0, 11, 6) + struct.pack(">BHH", 1, 17, 1) + b"\xff"
    return packet(REPLY, options + b"\x10\0\x03\xe8\0\0" + bytes([encryption]))


def _text(told: str) -> bytes:
    return bytes([len(told)]) + told.encode("utf-16-le")


def _token(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<H", len(body)) + body


def error(*numbers: int) -> bytes:
    """ERROR (2.2.7.10), one for each, with the DONE that says so."""
    rest = struct.pack("<H", 1) + "x".encode("utf-16-le") + _text("srv") + _text("")
    made = [struct.pack("<iBB", each, 1, 14) + rest + struct.pack("<i", 1) for each in numbers]
    return b"".join(_token(0xAA, each) for each in made) + _FAILED


def routing(host: str, port: int) -> bytes:
    """ENVCHANGE 20 (2.2.7.9)."""
    to = struct.pack("<BHH", 0, port, len(host)) + host.encode("utf-16-le")
    return _token(0xE3, b"\x14" + struct.pack("<H", len(to)) + to + b"\0\0")


def packets_of(size: str) -> bytes:
    """ENVCHANGE 4."""
    return _token(0xE3, b"\x04" + _text(size) + _text("4096"))


def welcome(more: bytes = b"") -> bytes:
    """LOGINACK and what comes with it (2.2.7.14)."""
    who = struct.pack(">BI", 1, 0x74000004) + _text("Microsoft SQL Server") + b"\x10\0\x03\xe8"
    changes = _token(0xE3, b"\x01" + _text("d") + _text("master"))
    changes += _token(0xE3, b"\x07\x05" + _COLLATION + b"\0")
    return changes + _token(0xAD, who) + more + DONE


# Type information, and how a value stands in a row (2.2.5.4, 2.2.7.19).
def nvarchar(value: str | None) -> bytes:
    told = (value or "").encode("utf-16-le")
    return b"\xff\xff" if value is None else struct.pack("<H", len(told)) + told


def plp(value: str | None) -> bytes:
    """Of any length: in pieces."""
    if value is None:
        return b"\xff" * 8
    told = value.encode("utf-16-le")
    return struct.pack("<QI", len(told), len(told)) + told + b"\0\0\0\0"


def sized(value: bytes | None) -> bytes:
    return b"\0" if value is None else bytes([len(value)]) + value


TYPES: dict[str, tuple[bytes, Callable[[Any], bytes]]] = {
    "nvarchar": (b"\xe7" + struct.pack("<H", 8000) + _COLLATION, nvarchar),
    "nvarchar(max)": (b"\xe7\xff\xff" + _COLLATION, plp),
    "int": (b"\x26\x04", lambda v: sized(None if v is None else struct.pack("<i", v))),
    "bigint": (b"\x26\x08", lambda v: sized(None if v is None else struct.pack("<q", v))),
    "bit": (b"\x68\x01", lambda v: sized(None if v is None else bytes([v]))),
    "real": (b"\x6d\x04", lambda v: sized(struct.pack("<f", v))),
    "decimal(38,10)": (b"\x6a\x11\x26\x0a", lambda v: sized(
        bytes([v >= 0]) + abs(v).to_bytes(16, "little"))),
    "date": (b"\x28", lambda v: sized(v.to_bytes(3, "little"))),  # days since 0001-01-01
    "datetime2(3)": (b"\x2a\x03", lambda v: sized(v[1].to_bytes(4, "little") + v[0].to_bytes(3, "little"))),
    "datetimeoffset(6)": (b"\x2b\x06", lambda v: sized(
        v[1].to_bytes(5, "little") + v[0].to_bytes(3, "little") + struct.pack("<h", v[2]))),
}  # fmt: skip


def rows_of(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> bytes:
    """COLMETADATA, the ROWs, and DONE."""
    made = b"\x81" + struct.pack("<H", len(columns))
    for at, type_ in enumerate(columns):
        made += struct.pack("<IH", 0, 1) + TYPES[type_][0] + _text(f"c{at}")
    for row in rows:
        made += b"\xd1"
        for type_, value in zip(columns, row, strict=True):
            made += TYPES[type_][1](value)
    return made + b"\xfd" + struct.pack("<HHQ", 0x10, 0xC1, len(rows))


KNOWS = ("COLLATIONPROPERTY", rows_of(["int", "int"], [(1, 0)]))


@dataclass(slots=True)
class Tds:
    """What a server is told to say: to a login, and to statements that hold a word."""

    encryption: int = NO_TLS
    login: bytes = field(default_factory=welcome)
    answers: list[tuple[str, bytes]] = field(default_factory=lambda: [KNOWS])
    tls: ssl.SSLContext | None = None
    port: int = 0
    open_now: int = 0
    statements: list[str] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        line: _Plain | _Tls = _Plain(reader, writer)
        try:
            while True:
                kind, body = await line.message()
                self.heard += body
                if kind == PRELOGIN:
                    writer.write(prelogin(self.encryption))
                    if self.tls is not None and self.encryption == TLS:
                        line = await _Tls.begun(self.tls, reader, writer)
                elif kind == LOGIN:
                    line.say(self.login)
                else:
                    line.say(self._answer(body))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            self.open_now -= 1

    def _answer(self, body: bytes) -> bytes:
        said = body.decode("utf-16-le", "replace") + body[1:].decode("utf-16-le", "replace")
        self.statements.append(said)
        return next((answer for word, answer in self.answers if word in said), DONE)


class _Plain:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def message(self) -> tuple[int, bytes]:
        """The packets up to the last of a message."""
        made, is_last, kind = b"", False, 0
        while not is_last:
            head = await self.read(8)
            kind, status, size = struct.unpack_from(">BBH", head)
            is_last = bool(status & 1)
            made += await self.read(size - 8)
        return kind, made

    async def read(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    def say(self, body: bytes) -> None:
        self.write(b"".join(_packets(body)))

    def write(self, data: bytes) -> None:
        self.writer.write(data)


class _Tls(_Plain):
    """Behind a handshake in packets of PRELOGIN."""

    tls: ssl.SSLObject
    coming: ssl.MemoryBIO
    going: ssl.MemoryBIO

    @classmethod
    async def begun(
        cls, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> "_Tls":
        made = cls(reader, writer)
        made.coming, made.going = ssl.MemoryBIO(), ssl.MemoryBIO()
        made.tls = context.wrap_bio(made.coming, made.going, server_side=True)
        outer = _Plain(reader, writer)
        while True:
            try:
                made.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if made.going.pending:
                    writer.write(packet(PRELOGIN, made.going.read()))
                made.coming.write((await outer.message())[1])
        writer.write(packet(PRELOGIN, made.going.read()))
        return made

    async def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                found += self.tls.read(size - len(found))
            except ssl.SSLWantReadError:
                more = await self.reader.read(65_536)
                if not more:
                    raise asyncio.IncompleteReadError(found, size) from None
                self.coming.write(more)
        return found

    def write(self, data: bytes) -> None:
        self.tls.write(data)
        self.writer.write(self.going.read())


def _packets(body: bytes, size: int = 4088) -> list[bytes]:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return [
        struct.pack(">BBHHBB", REPLY, at == len(parts), len(part) + 8, 0, at % 256, 0) + part
        for at, part in enumerate(parts, 1)
    ]


@asynccontextmanager
async def serving(tds: Tds) -> AsyncIterator[Tds]:
    """While the block is, on a port of its own."""
    server = await asyncio.start_server(tds.speak, "127.0.0.1", 0)
    tds.port = server.sockets[0].getsockname()[1]
    async with server:
        yield tds
