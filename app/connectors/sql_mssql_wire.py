"""The connection to a SQL Server, and what its failures mean. It connects to nothing but what it is
given, follows no routing, and what it does blocks.

The driver's own way to connect is not used: it resolves names, asks a browser of instances, tries
again by itself and goes wherever a server sends it. Nor is its TLS, which needs a library more.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta, timezone
from typing import Any, Final

from pytds import tds_base
from pytds.collate import Collation
from pytds.row_strategies import tuple_row_strategy
from pytds.tds_reader import _TdsReader
from pytds.tds_session import _TdsSession
from pytds.tds_socket import _TdsSocket
from pytds.tds_types import NVarCharType
from pytds.tz import FixedOffsetTimezone

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.sql_lines import (
    CONNECT_SECONDS,
    Line,
    TooLong,
    connected,
    of_socket,
)
from app.connectors.sql_mssql_line import PIECE, Wire
from app.connectors.sql_reading import BATCH, MOST_AT_ONCE, MOST_BYTES
from app.connectors.sql_shapes import SqlSettings
from app.kit.outbound import OutboundUnreachable

_MOST_PACKET: Final = 32_767  # MS-TDS, 2.2.3.1.3
_MOST_NVARCHAR: Final = 4_000
_UTC: Final = timezone(timedelta())
# Kinds of ENVCHANGE (MS-TDS, 2.2.7.9).
_DATABASE, _PACKET_SIZE, _COLLATION, _BEGUN, _ENDED, _ROUTING = 1, 4, 7, 8, (9, 10), 20
_ENCRYPTION, _END = 1, 0xFF  # options of PRELOGIN (2.2.6.5)
_SESSION: Final = (
    "SET NOCOUNT ON; SET LOCK_TIMEOUT 10000; SET LANGUAGE us_english; SET DATEFORMAT ymd",
)
# A snapshot where the database keeps older rows; else each statement sees what is committed.
_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION"
_KNOWS: Final = """
SELECT CASE WHEN COLLATIONPROPERTY('Latin1_General_100_BIN2_UTF8', 'CodePage') = 65001 THEN 1 ELSE 0 END,
  (SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID())
"""
_FAILURES: Final[tuple[tuple[frozenset[int], type[SourceError], str], ...]] = (
    (frozenset({18450, 18451, 18452, 18456, 18461, 18470, 18486, 18487, 18488}), SourceRefused,
     "credentials"),
    (frozenset({229, 230, 262, 297, 300, 371, 916, 4060}), SourceRefused, "permission"),
    (frozenset({208, 911}), SourceBroken, "missing"),
    (frozenset({207, 4413, 4502}), SourceChanged, "shape"),
    (frozenset({1205, 1222, 8645}), SourceSlow, "silence"),
    (frozenset({10928, 10929, 17809, 17830, 40501, 49918, 49919, 49920}), SourceSlow, "pace"),
    (frozenset({596, 6002, 6005, 10054}), SourceBroken, "cut_off"),
)  # fmt: skip
_ODD: Final = (  # what the driver trips over where somebody speaks, and not as a SQL Server does
    struct.error, LookupError, ValueError, TypeError, AttributeError, AssertionError,
    RuntimeError, ArithmeticError, MemoryError,
)  # fmt: skip


class Elsewhere(Exception):
    """The server sends us to another one: where to, only it has said."""


class _Reader(_TdsReader):  # type: ignore[misc]
    """Reads on where there is more, and nowhere else: the driver would ask for ever."""

    def recv(self, size: int) -> bytes:
        """The next of a message."""
        self._expect()
        return bytes(super().recv(size))

    def read_fast(self, size: int) -> tuple[bytes, int]:
        """The same, where it stands."""
        self._expect()
        found: tuple[bytes, int] = super().read_fast(size)
        return found

    def _expect(self) -> None:
        if self._pos >= self._size and self._status == 1:
            raise ValueError("the message has ended")


class _Session(_TdsSession):  # type: ignore[misc]
    """A session that is not sent elsewhere, and takes no packet of any size."""

    messages: list[Any]

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._reader = _Reader(self, more["transport"], more["bufsize"])

    def process_token(self, marker: int) -> Any:
        """As it is, but for what changes."""
        if marker != tds_base.TDS_ENVCHANGE_TOKEN:
            return super().process_token(marker)
        size = self._reader.get_usmallint()
        self._changed(bytes(tds_base.readall(self._reader, size)))
        return None

    def raise_db_exception(self) -> None:
        """As it is, but for the first error and not the last: that a login failed is said of a
        database that is closed as well."""
        errors = [each for each in self.messages if each["priv_msg_type"] == 1]
        self.messages = errors[:1]
        super().raise_db_exception()

    def _changed(self, told: bytes) -> None:
        kind, new = told[0], told[2 : 2 + 2 * told[1]]
        if kind == _ROUTING:
            raise Elsewhere
        if kind == _DATABASE:
            self.conn.env.database = new.decode("utf-16-le")
        if kind == _PACKET_SIZE:
            size = int(new.decode("utf-16-le"))
            if not 512 <= size <= _MOST_PACKET:
                raise TooLong
            self._writer.bufsize = size
        if kind == _COLLATION and told[1]:
            self.conn.collation = Collation.unpack(told[2:7])
        if kind == _BEGUN:
            self.conn.tds72_transaction = int.from_bytes(told[2 : 2 + told[1]], "little")
        if kind in _ENDED:
            self.conn.tds72_transaction = 0

    def parse_prelogin(self, octets: bytes, login: Any) -> None:
        """What the server says of encryption: all of it or none, and as we asked."""
        said, at = tds_base.PreLoginEnc.ENCRYPT_NOT_SUP, 0
        while octets[at] != _END:
            kind, begins, size = struct.unpack_from(">BHH", octets, at)
            if kind == _ENCRYPTION and size:
                said = octets[begins]
            at += 5
        login.server_enc_flag = said
        is_asked = login.enc_flag == tds_base.PreLoginEnc.ENCRYPT_ON
        fitting = (
            (tds_base.PreLoginEnc.ENCRYPT_ON, tds_base.PreLoginEnc.ENCRYPT_REQ)
            if is_asked
            else (tds_base.PreLoginEnc.ENCRYPT_NOT_SUP,)
        )
        if said not in fitting:
            raise ssl.SSLError("no TLS")
        if is_asked:
            self.conn.sock.encrypt(login.settings, self)

    def handshake(self) -> bytes:
        """What comes next of it."""
        kind = self._reader.begin_response().type
        if kind != tds_base.PacketType.PRELOGIN:
            raise ssl.SSLError("no handshake")
        made = bytearray()
        while not self._reader.stream_finished():
            made += self._reader.recv(PIECE)
        return bytes(made)


class _Login(tds_base._TdsLogin):  # type: ignore[misc]
    """Who we are, and nothing of the machine we are on."""

    def __init__(self, settings: SqlSettings) -> None:
        super().__init__()
        self.settings = settings
        self.client_host_name = self.library = self.app_name = "urbanos"
        self.server_name = settings.source[:128]
        self.user_name, self.password = settings.user or "", settings.word
        self.database = settings.database
        self.readonly = True  # ApplicationIntent
        self.client_tz = _UTC
        self.client_lcid = 0x0409
        self.option_flag2 = tds_base.TDS_ODBC_ON
        self.bytes_to_unicode = True
        is_plain = settings.tls == "off"
        names = tds_base.PreLoginEnc
        self.enc_flag = names.ENCRYPT_NOT_SUP if is_plain else names.ENCRYPT_ON


class Connection(Line):
    """What the thread does. Only `stop` is called from elsewhere."""

    knows_utf8 = False

    def __init__(self, settings: SqlSettings, seconds: int) -> None:
        self._settings = settings
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._wire: Wire | None = None
        self._session: Any = None
        self._is_stopped = False

    def open(self, addresses: Sequence[str]) -> None:
        """Connect, sign in and begin to read."""
        settings = self._settings
        self._socket = connected(addresses, settings.asked_port, CONNECT_SECONDS)
        if self._is_stopped:
            raise ConnectionAbortedError
        self._wire = Wire(self._socket)
        with _no_mssql(settings.source):
            login = _Login(settings)
            driver = _TdsSocket(
                self._wire, login, FixedOffsetTimezone, tuple_row_strategy, autocommit=True
            )
            old = driver._main_session
            self._session = driver._main_session = _Session(
                tds=driver, transport=self._wire, tzinfo_factory=FixedOffsetTimezone,
                env=driver.env, bufsize=len(old._reader._buf), row_strategy=tuple_row_strategy,
            )  # fmt: skip
            if driver.login() is not None:
                raise Elsewhere
        for statement in _SESSION:
            self.few(statement, ())
        with _no_mssql(settings.source):
            [(utf8, snapshot)] = self.few(_KNOWS, ())
        self.knows_utf8 = bool(utf8)
        if snapshot == 1:
            self.few(_SNAPSHOT, ())

    def ask(self, sql: str, values: Sequence[Any]) -> None:
        """Send a statement; its rows are read by `next_rows`."""
        if self._wire is None:
            raise ConnectionAbortedError
        self._wire.ends_at = time.monotonic() + self._seconds
        self._wire.left = MOST_BYTES
        with _no_mssql(self._settings.source):
            self._session.execute(sql, [_typed(each) for each in values])

    def next_rows(self, most: int = BATCH) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""
        found: list[tuple[Any, ...]] = []
        if self._wire is None or self._session.res_info is None:
            return found
        came = 0
        with _no_mssql(self._settings.source):
            while len(found) < most and came < MOST_AT_ONCE:
                self._wire.left = MOST_BYTES
                row = self._session._fetchone()
                if row is None:
                    self._finish()
                    break
                found.append(tuple(row))
                came += MOST_BYTES - self._wire.left
        return found

    def _finish(self) -> None:
        self._session.res_info = None
        if self._session.next_set():
            raise ValueError("more than one answer")

    def stop(self) -> None:
        """From outside: whatever is waited for has come to its end."""
        self._is_stopped = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of all; the server ends what it does for nobody."""
        if self._socket is not None:
            self._socket.close()


def _typed(value: Any) -> Any:
    """A short text as what an index of such columns serves."""
    if not isinstance(value, str) or len(value.encode("utf-16-le")) > 2 * _MOST_NVARCHAR:
        return value
    return tds_base.Param(type=NVarCharType(size=_MOST_NVARCHAR), value=value)


@contextmanager
def _no_mssql(host: str) -> Iterator[None]:
    """Somebody answers, and not as a SQL Server does."""
    try:
        yield
    except ssl.SSLError:  # one about a certificate is a ValueError as well
        raise
    except _ODD as exc:
        raise SourceBroken(source=host, at="format", detail="SQL Server") from exc


@contextmanager
def told(host: str, about: str = "-") -> Iterator[None]:
    """What the driver and the server say, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except Elsewhere as exc:
        raise SourceBroken(source=host, at="redirect") from exc
    except TooLong as exc:
        raise SourceBroken(source=host, at="too_long", detail=MOST_BYTES) from exc
    except ConnectionError as exc:
        raise _broken_off(host, exc) from exc
    except (OSError, UnicodeError) as exc:
        raise of_socket(host, exc) from exc
    except tds_base.Error as exc:
        raise _meant(host, exc, about) from exc
    except _ODD as exc:  # no rows of ours
        raise SourceBroken(source=host, at="format", detail="SQL Server") from exc


def _broken_off(host: str, exc: ConnectionError) -> SourceError:
    if isinstance(exc, ConnectionRefusedError):
        return of_socket(host, exc)
    return SourceBroken(source=host, at="cut_off")


def _meant(host: str, exc: tds_base.Error, about: str) -> SourceError:
    if isinstance(exc, tds_base.ClosedConnectionError):
        return SourceBroken(source=host, at="cut_off")
    number = getattr(exc, "msg_no", 0)
    for numbers, means, at in _FAILURES:
        if number in numbers:
            return means(source=host, at=at, detail=about if at in ("shape", "missing") else number)
    if not number:
        return SourceBroken(source=host, at="format", detail="SQL Server")
    return SourceBroken(source=host, at="server", detail=number)
