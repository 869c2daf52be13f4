"""The connection to a MySQL or MariaDB, and what its failures mean. It connects to nothing but what
it is given, and what it does blocks.
"""

import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import pymysql
from pymysql.constants import CR, ER
from pymysql.converters import encoders
from pymysql.cursors import SSCursor
from pymysql.protocol import MysqlPacket

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import SILENT_SECONDS
from app.connectors.sql_lines import (
    CONNECT_SECONDS,
    Line,
    TooLong,
    connected,
    of_socket,
    trusting,
)
from app.connectors.sql_reading import BATCH, MOST_AT_ONCE, MOST_BYTES
from app.connectors.sql_shapes import SqlSettings
from app.kit.outbound import OutboundUnreachable

_LINES: Final = 4_000
# By these a password is proven without being told; the others are for connections with TLS.
_SCRAMBLED: Final = frozenset(
    (b"", b"mysql_native_password", b"client_ed25519", b"caching_sha2_password")
)
_ASKS_FOR_KEY: Final = b"\x02"  # of caching_sha2_password, where the server has forgotten us
# How a text tells its length: in the first byte, or in two or three behind it.
_SHORTEST_NO_LENGTH: Final = 251
_SKIPPED: Final = {252: 3, 253: 4}
# What a deployment has set of these is not relied upon.
_SESSION: Final = (
    "SET SESSION sql_mode = '', time_zone = '+00:00', net_write_timeout = 600",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_FAILURES: Final[tuple[tuple[frozenset[int], type[SourceError], str], ...]] = (
    (frozenset({ER.ACCESS_DENIED_ERROR, 1698, 4151}), SourceRefused, "credentials"),
    (frozenset({ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR,
                ER.COLUMNACCESS_DENIED_ERROR, 1130, 1227, 1345, 1370}), SourceRefused, "permission"),
    (frozenset({ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE}), SourceBroken, "missing"),
    (frozenset({ER.BAD_FIELD_ERROR, 1356, 1412}), SourceChanged, "shape"),
    (frozenset({1205, 1317, 1969, 3024}), SourceSlow, "silence"),
    (frozenset({ER.CON_COUNT_ERROR, 1129, 1203, 1226}), SourceSlow, "pace"),
    (frozenset({CR.CR_SSL_CONNECTION_ERROR}), SourceUnreachable, "tls"),
    (frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, 1053, 1927}), SourceBroken, "cut_off"),
)  # fmt: skip
_ODD: Final = (  # what the driver trips over where somebody speaks, and not as a MySQL does
    struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError, AssertionError,
    RuntimeError, NotImplementedError, ArithmeticError, pymysql.InternalError,
    pymysql.InterfaceError,
)  # fmt: skip


class _Bounded(pymysql.Connection):  # type: ignore[misc]
    """A connection that takes no row without end, and lines quicker than rows."""

    taken = 0  # bytes

    def _read_bytes(self, num_bytes: int) -> bytes:
        """As it is, but for what would go on in the next packet."""
        if num_bytes >= MOST_BYTES - 1:
            self._force_close()
            raise TooLong
        self.taken += num_bytes
        return bytes(super()._read_bytes(num_bytes))

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        """As it is, but for a server that asks for the password as it is where all can read it."""
        if not self._secure and plugin_name not in _SCRAMBLED:
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR)
        return super()._process_auth(plugin_name, auth_packet, handler)

    def _request_authentication(self) -> None:
        """As it is, but for what would be told by a key that the other side gives: in the open
        nobody knows whose it is."""
        if not self.ssl and self._auth_plugin_name == "sha256_password":
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR)
        super()._request_authentication()

    def write_packet(self, payload: bytes) -> None:
        """As it is, but for the same."""
        if not self._secure and payload == _ASKS_FOR_KEY:
            raise pymysql.OperationalError(CR.CR_SSL_CONNECTION_ERROR)
        super().write_packet(payload)

    def lines(self, most: int) -> list[bytes]:
        """The next rows of one text each, none at the end: a third of the driver's own time."""
        found: list[bytes] = []
        size = 0
        while len(found) < most and size < MOST_AT_ONCE:
            line = self._line()
            if line is None:
                break
            found.append(line)
            size += len(line)
        return found

    def _line(self) -> bytes | None:
        if not self._result.unbuffered_active:
            return None
        try:
            head = self._rfile.read(4)
            size = int.from_bytes(head[:3], "little")
            body = self._rfile.read(size) if 0 < size < MOST_BYTES - 1 else b""
        except OSError as exc:
            raise pymysql.OperationalError(CR.CR_SERVER_LOST) from exc
        if size >= MOST_BYTES - 1:
            raise TooLong
        if len(head) < 4 or not size or len(body) < size:
            raise pymysql.OperationalError(CR.CR_SERVER_LOST)
        self._next_seq_id = (head[3] + 1) % 256
        first = body[0]
        if first in _SKIPPED:
            return body[_SKIPPED[first] :]
        if first < _SHORTEST_NO_LENGTH:
            return body[1:]
        self._end(body)
        return None

    def _end(self, body: bytes) -> None:
        packet = MysqlPacket(body, self.encoding)
        if packet.is_error_packet() or packet.is_eof_packet():
            self._result.unbuffered_active = False
            packet.check_error()
            return
        raise TooLong  # null: what the server made was longer than it may send


class Connection(Line):
    """What the thread does. Only `stop` is called from elsewhere."""

    def __init__(self, settings: SqlSettings, seconds: int) -> None:
        self._settings = settings
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._end: socket.socket | None = None  # of the same line: TLS takes the other for itself
        self._driver: _Bounded | None = None
        self._cursor: Any = None
        self._is_stopped = False

    def open(self, addresses: Sequence[str]) -> None:
        """Connect, sign in and begin to read."""
        settings = self._settings
        tls = {"ssl": trusting(settings)} if settings.tls == "verify" else {"ssl_disabled": True}
        self._socket = connected(addresses, settings.asked_port, CONNECT_SECONDS)
        self._end = self._socket.dup()
        if self._is_stopped:
            raise ConnectionAbortedError
        self._driver = _Bounded(
            host=settings.source,  # whose certificate is expected
            user=settings.user,
            password=settings.word.encode(),
            database=settings.database,
            charset="utf8mb4",
            conv=dict(encoders),  # what comes is text, and stays so
            read_timeout=CONNECT_SECONDS,
            write_timeout=CONNECT_SECONDS,
            defer_connect=True,
            **tls,
        )
        with no_mysql(settings.source):
            self._driver.connect(self._socket)
        self._driver._read_timeout = self._seconds + SILENT_SECONDS
        is_mariadb = "mariadb" in str(self._driver.get_server_info()).lower()
        slowest = (
            f"SET SESSION max_statement_time = {self._seconds}"
            if is_mariadb
            else f"SET SESSION max_execution_time = {self._seconds * 1000}"
        )
        for statement in (slowest, *_SESSION):
            self.few(statement, ())

    def ask(self, sql: str, values: Sequence[Any]) -> None:
        """Send a statement; its rows are read by `next_rows`."""
        self._cursor = SSCursor(self._driver)
        with no_mysql(self._settings.source):
            self._cursor.execute(sql, tuple(values))

    def next_rows(self, most: int = BATCH) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""
        found: list[tuple[Any, ...]] = []
        if self._driver is None:
            return found
        until = self._driver.taken + MOST_AT_ONCE
        with no_mysql(self._settings.source):
            while len(found) < most and self._driver.taken < until:
                row = self._cursor.fetchone()
                if row is None:
                    break
                found.append(row)
        return found

    def next_lines(self) -> list[bytes]:
        """The next rows of a statement whose rows are one text each."""
        if self._driver is None:
            return []
        with no_mysql(self._settings.source):
            return self._driver.lines(_LINES)

    def stop(self) -> None:
        """From outside: whatever is waited for has come to its end."""
        self._is_stopped = True
        if self._end is not None:
            with suppress(OSError):
                self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of all; rows that are still coming are not waited for."""
        if self._cursor is not None:
            if self._cursor._result is not None:
                self._cursor._result.unbuffered_active = False
            self._cursor.connection = None
        if self._driver is not None and self._driver.open:
            self._driver.close()
        for each in (self._socket, self._end):
            if each is not None:
                each.close()


@contextmanager
def no_mysql(host: str) -> Iterator[None]:
    """Somebody answers, and not as a MySQL does."""
    try:
        yield
    except _ODD as exc:
        raise SourceBroken(source=host, at="format", detail="MySQL") from exc


@contextmanager
def told(host: str, about: str) -> Iterator[None]:
    """What the driver and the server say, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except TooLong as exc:
        raise SourceBroken(source=host, at="too_long", detail=MOST_BYTES) from exc
    except (OSError, UnicodeError) as exc:
        raise of_socket(host, exc) from exc
    except pymysql.Error as exc:
        raise _meant(host, exc, about) from exc


def _meant(host: str, exc: pymysql.Error, about: str) -> SourceError:
    number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
    beneath = getattr(exc, "original_exception", None) or exc.__context__
    if isinstance(beneath, TimeoutError | ssl.SSLError):
        return of_socket(host, beneath)
    for numbers, means, at in _FAILURES:
        if number in numbers:
            return means(source=host, at=at, detail=about if at in ("shape", "missing") else number)
    if number == CR.CR_CONN_HOST_ERROR:
        return SourceBroken(source=host, at="cut_off")
    return SourceBroken(source=host, at="server", detail=number)
