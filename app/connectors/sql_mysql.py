"""MySQL and MariaDB for the kind `sql`: a read-only snapshot over one connection. Never writes.

The driver blocks, so it has a thread. It connects to nothing: it is given a socket.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pymysql
from pymysql.constants import CR, ER
from pymysql.converters import encoders
from pymysql.cursors import SSCursor
from pymysql.protocol import MysqlPacket
from sqlalchemy import LargeBinary, Select, cast, func, literal, literal_column, select
from sqlalchemy.dialects.mysql import CHAR
from sqlalchemy.dialects.mysql.pymysql import dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import TableClause

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import SILENT_SECONDS, Means
from app.connectors.sql_reading import (
    BATCH,
    MOST_BYTES,
    Asked,
    Cell,
    Column,
    Holds,
    Reading,
    Tongue,
    relation_of,
    zone,
)
from app.connectors.sql_shapes import SqlSettings
from app.connectors.sql_texts import check_sample
from app.connectors.sql_threads import Thread
from app.kit.outbound import OutboundUnreachable

_CONNECT_SECONDS: Final = 10.0
_DIALECT: Final = dialect()
_MOST_ROWS: Final = 10_000  # of what a server tells about itself
_LINES: Final = 4_000
# How a text tells its length: in the first byte, or in two or three behind it.
_SHORTEST_NO_LENGTH: Final = 251
_SKIPPED: Final = {252: 3, 253: 4}
_SAMPLE: Final = 200  # rows
_COLUMNS: Final = """
SELECT table_name, column_name, data_type, column_type, column_comment, column_key,
  character_set_name, numeric_precision
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
ORDER BY ordinal_position
"""
_TABLES: Final = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY 1, 2 LIMIT %s
"""
# The server's own words for a statement; what a deployment has set of them is not relied upon.
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
    RuntimeError, NotImplementedError, pymysql.InternalError, pymysql.InterfaceError,
)  # fmt: skip
_HOLDS: Final = {
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
                    Holds.TEXT),
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"),
                    Holds.INTEGER),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
                    Holds.BINARY),
    **dict.fromkeys(("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
                     "multipolygon", "geometrycollection"), Holds.SHAPE),
    "decimal": Holds.DECIMAL, "float": Holds.FLOAT, "double": Holds.FLOAT, "date": Holds.DATE,
    "datetime": Holds.MOMENT, "timestamp": Holds.INSTANT,
}  # fmt: skip
_BARE: Final = (Holds.INTEGER, Holds.DECIMAL, Holds.FLOAT, Holds.DATE, Holds.MOMENT, Holds.INSTANT)
_UTF8: Final = CHAR(charset="utf8mb4")


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["MySqlReading"]:
    """A read-only snapshot, over one connection to an address that was judged."""
    del charset
    thread, host = Thread(), settings.source
    made = _Connection(settings, seconds, thread)
    try:
        with _told(host, "-"):
            async with asyncio.timeout(_CONNECT_SECONDS):
                found = await means.outbound.addresses(
                    host, settings.asked_port, is_plain=settings.tls == "off"
                )
            await thread.run(made.open, found)
        yield MySqlReading(made, thread, host)
    finally:
        await thread.close(made.close)


class _Bounded(pymysql.Connection):  # type: ignore[misc]
    """A connection that takes no row without end, and lines quicker than rows."""

    def _read_bytes(self, num_bytes: int) -> bytes:
        """As it is, but for what would go on in the next packet."""
        if num_bytes >= MOST_BYTES - 1:
            self._force_close()
            raise _TooLong
        return bytes(super()._read_bytes(num_bytes))

    def lines(self, most: int) -> list[bytes]:
        """The next rows of one text each, none at the end: a third of the driver's own time."""
        found: list[bytes] = []
        while len(found) < most:
            line = self._line()
            if line is None:
                break
            found.append(line)
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
            raise _TooLong
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
        raise _TooLong  # null: what the server made was longer than it may send


class _TooLong(Exception):
    """A row is longer than any of ours may be."""


class _Connection:
    """What the thread does. Only `stop` is called from elsewhere."""

    def __init__(self, settings: SqlSettings, seconds: int, thread: Thread) -> None:
        self._settings = settings
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._driver: _Bounded | None = None
        self._cursor: Any = None
        self._is_stopped = False
        thread.stop = self.stop

    def open(self, addresses: Sequence[str]) -> None:
        """Connect, sign in and begin to read."""
        settings = self._settings
        tls = {"ssl": _tls(settings)} if settings.tls == "verify" else {"ssl_disabled": True}
        self._socket = _connected(addresses, settings.asked_port)
        if self._is_stopped:
            raise ConnectionAbortedError
        self._driver = _Bounded(
            host=settings.source,  # whose certificate is expected
            user=settings.user,
            password=settings.word.encode(),
            database=settings.database,
            charset="utf8mb4",
            conv=dict(encoders),  # what comes is text, and stays so
            read_timeout=_CONNECT_SECONDS,
            write_timeout=_CONNECT_SECONDS,
            defer_connect=True,
            **tls,
        )
        with _no_mysql(settings.source):
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
        with _no_mysql(self._settings.source):
            self._cursor.execute(sql, tuple(values))

    def next_rows(self, most: int = BATCH) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""
        return list(self._cursor.fetchmany(most))

    def next_lines(self) -> list[bytes]:
        """The next rows of a statement whose rows are one text each."""
        if self._driver is None:
            return []
        return self._driver.lines(_LINES)

    def few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few, and no more than a server may tell of itself."""
        self.ask(sql, values)
        found: list[tuple[Any, ...]] = []
        while (rows := self.next_rows()) and len(found) < _MOST_ROWS:
            found += rows
        return found

    def stop(self) -> None:
        """From outside: whatever is waited for has come to its end."""
        self._is_stopped = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of all; rows that are still coming are not waited for."""
        if self._cursor is not None:
            if self._cursor._result is not None:
                self._cursor._result.unbuffered_active = False
            self._cursor.connection = None
        if self._driver is not None and self._driver.open:
            self._driver.close()
        if self._socket is not None:
            self._socket.close()


class _Tongue(Tongue):
    """Its own collations take much for equal, so texts are compared as their bytes in UTF-8."""

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column; a text by the bytes that it really has."""
        cell: Cell = asked.relation.c[found.name]
        if found.charset == "latin1" and asked.charset is not None:
            return cast(cast(cell, LargeBinary), CHAR(charset=asked.charset))
        return cell + literal_column("0") if found.type.startswith("bit") else cell

    def by_code_point(self, text: Cell) -> Cell:
        """Bytes of UTF-8 are in the order of code points."""
        return cast(cast(text, _UTF8), LargeBinary)

    def like(self, text: Cell, pattern: str) -> Cell:
        """In the collation that takes nothing for another."""
        return super().like(cast(text, _UTF8).collate("utf8mb4_bin"), pattern)

    def ordered(self, cell: Cell, *, descending: bool) -> tuple[Cell, ...]:
        """It has no word for where what is unknown goes."""
        return cell.is_(None), cell.desc() if descending else cell.asc()


class MySqlReading(Reading):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(self, connection: _Connection, thread: Thread, host: str) -> None:
        self._connection = connection
        self._thread = thread
        self._host = host
        self.tongue = _Tongue()

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As the server tells them, which knows no table that we may not read."""
        found = await self._few(_COLUMNS, (schema, name), name)
        made = [_column(each) for each in found if each[0] == name]
        if not made:  # what we may not read is told as what is not: by this it is told apart
            probe: Select[Any] = (
                select(literal_column("1")).select_from(relation_of(schema, name, ())).limit(0)
            )
            await self._few(*self.compiled(probe), name)
            raise SourceBroken(source=self._host, at="missing", detail=name)
        return made

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Of all databases but the server's own."""
        return [(each[0], each[1]) for each in await self._few(_TABLES, (most,))]

    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows at once."""
        return await self._few(*self.compiled(statement))

    async def _few(
        self, sql: str, values: Sequence[Any], about: str = "-"
    ) -> list[tuple[Any, ...]]:
        with _told(self._host, about):
            return await self._thread.run(self._connection.few, sql, values)

    async def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Unbuffered: no more than a batch is held."""
        makers = [_maker(asked, found) for found in asked.columns]
        cells = [self._shown(asked, found) for found in asked.columns]

        def made() -> list[tuple[Any, ...]]:
            rows = self._connection.next_rows()
            return [
                tuple(
                    None if value is None else make(value)
                    for make, value in zip(makers, row, strict=True)
                )
                for row in rows
            ]

        with _told(self._host, "-"):
            await self._thread.run(self._connection.ask, *self.compiled(asked.statement(cells)))
        while rows := await self._do(made):
            yield rows

    async def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The server makes a line of each row: it is much quicker at it."""
        cells = [self._written(asked, found) for found in asked.columns]
        parts = [part for cell in cells for part in (literal_column("','"), cell)][1:]
        line = func.concat(*parts, literal_column("'\n'"))
        head = ",".join(f'"{each.name.replace(chr(34), chr(34) * 2)}"' for each in asked.columns)

        def made() -> bytes:
            return b"".join(self._connection.next_lines())

        with _told(self._host, "-"):
            await self._thread.run(self._connection.ask, *self.compiled(asked.statement([line])))
        yield head.encode() + b"\n"
        while piece := await self._do(made):
            yield piece

    async def _do(self, made: Callable[[], Any]) -> Any:
        with _told(self._host, "-"):
            return await self._thread.run(made)

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """The mark, less so many or so many seconds."""
        del relation
        if found.holds in (Holds.INTEGER, Holds.DECIMAL):
            return literal(Decimal(str(mark)) - overlap)
        if not overlap:
            return literal(str(mark))
        if found.holds in (Holds.DATE, Holds.MOMENT, Holds.INSTANT):
            return func.timestampadd(
                literal_column("SECOND"), literal(-overlap), literal(str(mark))
            )
        raise SourceChanged(source=self._host, at="shape", detail=found.name)

    async def check_texts(self, asked: Asked) -> None:
        """Of columns that say latin1: in Japan they seldom are."""
        doubtful = [each for each in asked.columns if each.charset == "latin1"]
        if not doubtful:
            return
        cells = [func.hex(cast(asked.relation.c[each.name], LargeBinary)) for each in doubtful]
        sample = await self.few(select(*cells).select_from(asked.relation).limit(_SAMPLE))
        texts = [bytes.fromhex(cell) for row in sample for cell in row if cell]
        check_sample(self._host, texts, asked.charset)

    def _shown(self, asked: Asked, found: Column) -> Cell:
        """A column as text or null: what says no date is none, bits are a number, a shape GeoJSON."""
        cell = self.tongue.cell(asked, found)
        match found.holds:
            case Holds.DATE | Holds.MOMENT | Holds.INSTANT:
                return func.nullif(cell, literal_column("0"))
            case Holds.SHAPE:
                return func.st_asgeojson(cell)
            case Holds.BINARY:
                return func.hex(cell)
            case Holds.OTHER:
                return cast(cell, _UTF8)
            case _:
                return cell

    def _written(self, asked: Asked, found: Column) -> Cell:
        """A column as a cell of CSV: nothing for null, texts in quotes."""
        cell = self._shown(asked, found)
        if found.holds is Holds.INSTANT:
            cell = func.concat(cell, literal_column("'+00:00'"))
        if found.holds is Holds.MOMENT and asked.time_zone is not None:
            cell = func.concat(cell, literal(asked.time_zone))
        if found.holds not in _BARE:
            quote: Cell = literal_column("'\"'")
            doubled = func.replace(cast(cell, _UTF8), quote, literal_column("'\"\"'"))
            cell = func.concat(quote, doubled, quote)
        return func.coalesce(cell, literal_column("''"))


def _column(told: Sequence[Any]) -> Column:
    _, name, data, full, comment, key, charset, _ = told
    return Column(
        name, full, _HOLDS.get(data, Holds.OTHER), comment=comment or None, key=key == "PRI",
        charset=charset,
    )  # fmt: skip


def _maker(asked: Asked, found: Column) -> Callable[[Any], Any]:
    """What makes a value of what the server wrote."""
    place = zone(asked.time_zone)
    match found.holds:
        case Holds.INTEGER:
            return int
        case Holds.DECIMAL:
            return Decimal
        case Holds.FLOAT:
            return float
        case Holds.DATE:
            return _either(date.fromisoformat)
        case Holds.MOMENT:
            return _either(lambda text: datetime.fromisoformat(text).replace(tzinfo=place))
        case Holds.INSTANT:
            return _either(lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
        case _:
            return str


def _either(make: Callable[[str], Any]) -> Callable[[str], Any]:
    """A day such as 2026-04-00 is none of any calendar, and stays what is written."""

    def made(text: str) -> Any:
        try:
            return make(text)
        except ValueError:
            return text

    return made


def _tls(settings: SqlSettings) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.ca is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cadata=settings.ca)
    return made


def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    """A socket to the first of the addresses that takes one."""
    ends_at, failed = time.monotonic() + _CONNECT_SECONDS, OSError("no address")
    for address in addresses:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            made = socket.create_connection((address, port), timeout=left)
        except OSError as exc:
            failed = exc
        else:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
    raise failed


@contextmanager
def _no_mysql(host: str) -> Iterator[None]:
    """Somebody answers, and not as a MySQL does."""
    try:
        yield
    except _ODD as exc:
        raise SourceBroken(source=host, at="format", detail="MySQL") from exc


@contextmanager
def _told(host: str, about: str) -> Iterator[None]:
    """What the driver and the server say, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except TimeoutError as exc:
        raise SourceSlow(source=host, at="silence") from exc
    except _TooLong as exc:
        raise SourceBroken(source=host, at="too_long", detail=MOST_BYTES) from exc
    except (OSError, UnicodeError) as exc:
        raise _of_socket(host, exc) from exc
    except pymysql.Error as exc:
        raise _meant(host, exc, about) from exc


def _of_socket(host: str, exc: BaseException) -> SourceError:
    if isinstance(exc, TimeoutError):
        return SourceSlow(source=host, at="silence")
    if isinstance(exc, ssl.SSLError):
        return SourceUnreachable(source=host, at="tls")
    if isinstance(exc, socket.gaierror | UnicodeError):
        return SourceUnreachable(source=host, at="name")
    return SourceUnreachable(source=host, at="connection")


def _meant(host: str, exc: pymysql.Error, about: str) -> SourceError:
    number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
    beneath = getattr(exc, "original_exception", None) or exc.__context__
    if isinstance(beneath, TimeoutError | ssl.SSLError):
        return _of_socket(host, beneath)
    for numbers, means, at in _FAILURES:
        if number in numbers:
            return means(source=host, at=at, detail=about if at in ("shape", "missing") else number)
    if number == CR.CR_CONN_HOST_ERROR:
        return SourceBroken(source=host, at="cut_off")
    return SourceBroken(source=host, at="server", detail=number)
