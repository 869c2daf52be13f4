"""PostgreSQL for the kind `sql`: a read-only snapshot over one connection. Never writes."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Literal

import asyncpg
from sqlalchemy import Select, Text, cast, func, literal_column
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.dialects.postgresql.asyncpg import dialect
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
    MOST_AT_ONCE,
    Asked,
    Cell,
    Column,
    Holds,
    Reading,
    Tongue,
    zone,
)
from app.connectors.sql_shapes import SqlSettings
from app.kit.outbound import OutboundUnreachable

_CONNECT_SECONDS: Final = 10.0
_DIALECT: Final = dialect()  # type: ignore[no-untyped-call]
_FIRST_BATCH: Final = 200  # by whose length the next are measured
_HELD_PIECES: Final = 16  # between the server and the take-in
# format_type quotes what has to be quoted; a column that was dropped has no type.
_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum),
  coalesce(a.attnum = ANY (i.indkey), false)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
ORDER BY a.attnum
"""
_TABLES: Final = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname <> 'information_schema'
  AND n.nspname NOT LIKE 'pg\\_%' AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1, 2 LIMIT $1
"""
# What each failure means, the narrower before the wider.
_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], type[SourceError], str], ...]] = (
    ((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
     SourceRefused, "credentials"),
    ((asyncpg.InsufficientPrivilegeError,), SourceRefused, "permission"),
    ((asyncpg.InvalidCatalogNameError,), SourceBroken, "missing"),
    ((asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError), SourceChanged, "shape"),
    ((asyncpg.QueryCanceledError, TimeoutError), SourceSlow, "silence"),
    ((asyncpg.TooManyConnectionsError,), SourceSlow, "pace"),
    ((ssl.SSLError,), SourceUnreachable, "tls"),
    ((socket.gaierror, UnicodeError), SourceUnreachable, "name"),
    ((OSError,), SourceUnreachable, "connection"),
    ((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError,
      asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError), SourceBroken, "cut_off"),
    ((asyncpg.PostgresError,), SourceBroken, "server"),
)  # fmt: skip
# By the beginning of a type's name.
_HOLDS: Final = {
    "text": Holds.TEXT, "character varying": Holds.TEXT, "character(": Holds.PADDED,
    "smallint": Holds.INTEGER, "integer": Holds.INTEGER, "bigint": Holds.INTEGER,
    "numeric": Holds.DECIMAL, "real": Holds.FLOAT, "double precision": Holds.FLOAT,
    "boolean": Holds.BOOLEAN, "date": Holds.DATE, "bytea": Holds.BINARY,
}  # fmt: skip
_TELLS_ITSELF: Final = frozenset(Holds) - {Holds.OTHER, Holds.BINARY, Holds.SHAPE}


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["PostgresReading"]:
    """A read-only snapshot, over one connection to an address that was judged.

    What fails at whoever reads from it is none of the source's: a database of ours, say.
    """
    del charset  # the server says what its bytes are
    host = settings.source
    with _told(host):
        connection = await _connect(settings, means, seconds)
    try:
        with _told(host):
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
        yield PostgresReading(connection, host, is_unicode=_is_unicode(connection))
    finally:  # and with it the transaction
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            await connection.close(timeout=2)


class _Tongue(Tongue):
    """The server's own, where its texts are of Unicode."""

    def __init__(self, *, is_unicode: bool) -> None:
        self.has_code_points = self.orders_texts = is_unicode

    def by_code_point(self, text: Cell) -> Cell:
        """Bytes of UTF-8 are in the order of code points."""
        return text.collate("C")

    def like(self, text: Cell, pattern: str) -> Cell:
        """In the collation that takes nothing for another."""
        return super().like(text.collate("C"), pattern)


class PostgresReading(Reading):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(
        self, connection: "asyncpg.Connection[Any]", host: str, *, is_unicode: bool
    ) -> None:
        self._connection = connection
        self._host = host
        self.tongue = _Tongue(is_unicode=is_unicode)

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As the catalogue of the server has them."""
        with _told(self._host):
            found = await self._connection.fetch(_COLUMNS, schema, name)
        if not found:
            raise SourceBroken(source=self._host, at="missing", detail=name)
        return [
            Column(each[0], each[1], _holds(each[1]), comment=each[2], key=each[3])
            for each in found
        ]

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Of all schemas but the server's own."""
        with _told(self._host):
            return [(each[0], each[1]) for each in await self._connection.fetch(_TABLES, most)]

    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows at once."""
        sql, values = self.compiled(statement)
        with _told(self._host):
            return [tuple(each) for each in await self._connection.fetch(sql, *values)]

    async def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """By a cursor of the server's."""
        sql, values = self.compiled(asked.statement([self._shown(asked, c) for c in asked.columns]))
        moments = [at for at, c in enumerate(asked.columns) if c.holds is Holds.MOMENT]
        place = zone(asked.time_zone)
        with _told(self._host):
            cursor = await self._connection.cursor(sql, *values)
        most = _FIRST_BATCH
        while True:
            with _told(self._host):
                found = await cursor.fetch(most)
            if not found:
                return
            most = _fitting(found)
            rows: list[Any] = [list(each) for each in found]
            for at in moments:
                for row in rows:
                    row[at] = row[at] and row[at].replace(tzinfo=place)
            yield rows

    async def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """What COPY gives, no faster than it is taken."""
        held: asyncio.Queue[bytes | None] = asyncio.Queue(_HELD_PIECES)
        cells = [_written(asked, found) for found in asked.columns]
        statement = _without_values(asked.statement(cells))

        async def copy() -> None:
            try:
                await self._connection.copy_from_query(
                    statement, output=held.put, format="csv", header=True
                )
            finally:
                await held.put(None)

        copying = asyncio.create_task(copy())
        try:
            while (piece := await held.get()) is not None:
                yield piece
            with _told(self._host):
                await copying
        finally:
            copying.cancel()
            while not held.empty():
                held.get_nowait()
            await asyncio.wait({copying})

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """A mark as it stands in a statement: COPY takes no parameters, and what a library would
        put in the place of `$1` it would put into a name that has it too."""
        del relation
        with _told(self._host):
            quoted = await self._connection.fetchval("SELECT quote_literal($1::text)", str(mark))
        least: Cell = literal_column(f"{quoted}::{found.type}")
        if not overlap:
            return least
        if found.holds in (Holds.INTEGER, Holds.DECIMAL, Holds.FLOAT):
            return least - literal_column(str(overlap))
        if found.holds in (Holds.DATE, Holds.MOMENT, Holds.INSTANT):
            return least - cast(literal_column(f"'{overlap} seconds'"), INTERVAL())
        raise SourceChanged(source=self._host, at="shape", detail=found.name)

    @staticmethod
    def _shown(asked: Asked, found: Column) -> Cell:
        cell = asked.relation.c[found.name]
        if found.holds is Holds.BINARY:
            return func.encode(cell, literal_column("'hex'"))
        return cell if found.holds in _TELLS_ITSELF else cast(cell, Text)


def _fitting(rows: Sequence[Sequence[Any]]) -> int:
    """How many rows of this length may be held at once."""
    size = sum(len(each) for row in rows for each in row if isinstance(each, str | bytes))
    return max(1, min(BATCH, MOST_AT_ONCE * len(rows) // max(size, 1)))


async def _connect(settings: SqlSettings, means: Means, seconds: int) -> "asyncpg.Connection[Any]":
    async with asyncio.timeout(_CONNECT_SECONDS):
        found = await means.outbound.addresses(
            settings.source, settings.asked_port, is_plain=settings.tls == "off"
        )
        with _no_postgresql(settings.source):
            return await asyncpg.connect(
                host=found,  # one after the other
                port=[settings.asked_port] * len(found),
                user=settings.user,
                password=settings.word,
                database=settings.database,
                ssl=_tls(settings),
                timeout=_CONNECT_SECONDS,
                command_timeout=seconds + SILENT_SECONDS,
                statement_cache_size=0,  # a pooler between us may not keep statements
                server_settings={
                    "application_name": "urbanos",
                    "default_transaction_read_only": "on",
                    "statement_timeout": f"{seconds}s",
                    "client_encoding": "UTF8",
                    "datestyle": "ISO, YMD",
                },
            )


def _tls(settings: SqlSettings) -> "_Named | Literal[False]":
    if settings.tls == "off":
        return False
    made = _Named(ssl.PROTOCOL_TLS_CLIENT)
    made.name = settings.source
    if settings.ca is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cadata=settings.ca)
    return made


class _Named(ssl.SSLContext):
    """Expects a certificate of the name that was asked for, though an address is connected to."""

    name = ""

    def wrap_bio(self, incoming: Any, outgoing: Any, *given: Any, **more: Any) -> ssl.SSLObject:
        """As it is, but for the name."""
        return super().wrap_bio(
            incoming, outgoing, *given, **{**more, "server_hostname": self.name}
        )


def _is_unicode(connection: "asyncpg.Connection[Any]") -> bool:
    """As the server told when it was signed in to."""
    return getattr(connection.get_settings(), "server_encoding", None) == "UTF8"


def _holds(type_: str) -> Holds:
    if type_.endswith("]"):
        return Holds.OTHER
    if type_.startswith("timestamp"):
        return Holds.INSTANT if type_.endswith("with time zone") else Holds.MOMENT
    return next((each for name, each in _HOLDS.items() if type_.startswith(name)), Holds.OTHER)


def _written(asked: Asked, found: Column) -> Cell:
    cell = asked.relation.c[found.name]
    if found.holds is Holds.MOMENT and asked.time_zone is not None:
        told = cast(cell, Text).concat(literal_column(f"'{asked.time_zone}'"))
        return told.label(found.name)
    return cell


def _without_values(statement: Select[Any]) -> str:
    """A statement that has no parameters; a limit is a number of ours."""
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


@contextmanager
def _no_postgresql(host: str) -> Iterator[None]:
    """Somebody answers, and not as a PostgreSQL does: the library then trips over itself."""
    try:
        yield
    except (asyncpg.InternalClientError, AttributeError) as exc:
        raise SourceBroken(source=host, at="format", detail="PostgreSQL") from exc


@contextmanager
def _told(host: str) -> Iterator[None]:
    """What asyncpg and PostgreSQL say, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, UnicodeError) as exc:
        for kinds, means, at in _FAILURES:
            if isinstance(exc, kinds):
                raise means(source=host, at=at, detail=getattr(exc, "sqlstate", "-")) from exc
        raise
