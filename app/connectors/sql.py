"""The kind `sql`: a table or view of a PostgreSQL server, read and never written.

Every name is quoted by SQLAlchemy, the one value by the server, and the transaction is read-only.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, ClassVar, Final, Literal

import asyncpg
from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError
from sqlalchemy import Select, Text, cast, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.elements import ClauseElement, ColumnClause
from sqlalchemy.sql.selectable import TableClause

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import (
    SILENT_SECONDS,
    WRITTEN_HERE,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Proposal,
    Shape,
)
from app.kit.outbound import OutboundUnreachable

_CONNECT_SECONDS: Final = 10.0
_DIALECT: Final = dialect()  # type: ignore[no-untyped-call]
_MOST_PROPOSALS: Final = 200
_HELD_PIECES: Final = 16  # between the server and the take-in
# format_type quotes what has to be quoted; a column that was dropped has no type.
_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
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
    ((asyncpg.PostgresConnectionError, asyncpg.InterfaceError), SourceBroken, "cut_off"),
    ((asyncpg.PostgresError,), SourceBroken, "server"),
)  # fmt: skip
_Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


def _is_authority(pem: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise PydanticCustomError("no_authority", "It is no certificate in PEM.") from None
    return pem


class SqlSettings(Shape):
    """A database and who we are to it. Give it a user that may do nothing but read."""

    dialect: Literal["postgresql"] = "postgresql"
    host: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^\s/@]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: _Name
    user: _Name
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_000)]
    tls: Literal["verify", "off"] = Field(
        default="verify", description="`off` only for hosts in URBANOS_OUTBOUND_ALLOW"
    )
    ca: (
        Annotated[str, StringConstraints(max_length=100_000), AfterValidator(_is_authority)] | None
    ) = Field(default=None, description="The authority of the server's certificate, PEM")


class SqlSelection(Shape):
    """Which rows: of a table or view, all its columns or some.

    With `watermark`, a column that only grows, a harvest is of the rows that have come or changed
    since, and takes the place of those of the same key. Rows deleted at the source then stay.
    """

    schema_name: _Name = Field(default="public", alias="schema")
    table: _Name
    columns: Annotated[list[_Name], Field(min_length=1, max_length=1_500)] | None = None
    watermark: _Name | None = None
    statement_seconds: Annotated[int, Field(ge=1, le=3_600)] = 600


class SqlConnector(Connector[SqlSettings, SqlSelection]):
    """PostgreSQL."""

    kind = "sql"
    title_ja = "データベース（PostgreSQL）"
    title_en = "Database (PostgreSQL)"
    settings_shape: ClassVar[type[Shape]] = SqlSettings
    selection_shape: ClassVar[type[Shape]] = SqlSelection
    capabilities = Capabilities(notices_changes=True, sends_changes=True, discovers=True)

    async def check(self, selection: SqlSelection | None = None) -> None:
        """Sign in; with a selection, read one row of it."""
        async with self._reading(30) as connection:
            if selection is not None:
                relation, _ = await self._relation(connection, selection)
                with _told(self.settings.host):
                    await connection.fetch(_compiled(_rows(relation, selection, None, 1)))

    @asynccontextmanager
    async def harvest(
        self, selection: SqlSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The rows of one snapshot as CSV, by COPY."""
        async with self._reading(selection.statement_seconds) as connection:
            relation, types = await self._relation(connection, selection)
            with _told(self.settings.host):
                newest = await _newest(connection, relation, selection)
            if known is not None and newest is not None and dict(known.validators) == newest:
                yield None
                return
            since, mark = None, known.validators.get("watermark") if known is not None else None
            if mark is not None and selection.watermark is not None:
                since = await self._quoted(connection, mark, types[selection.watermark])
            statement = _compiled(_rows(relation, selection, since, first))
            pieces = _copied(connection, self.settings.host, statement)
            async with aclosing(pieces):
                name = f"{selection.table}.csv"
                yield Harvest(pieces, name, WRITTEN_HERE, newest, delta=since is not None)

    async def discover(self) -> Sequence[Proposal]:
        """The tables and views that we may read, with their columns."""
        made = []
        async with self._reading(30) as connection:
            with _told(self.settings.host):
                for schema, name in await connection.fetch(_TABLES, _MOST_PROPOSALS):
                    columns = await connection.fetch(_COLUMNS, schema, name)
                    fields = tuple({"name": each[0], "type": each[1]} for each in columns)
                    made.append(Proposal(name, {"schema": schema, "table": name}, fields))
        return made

    @asynccontextmanager
    async def _reading(self, seconds: int) -> "AsyncIterator[asyncpg.Connection[Any]]":
        """A read-only snapshot, over one connection to an address that was judged.

        What fails at whoever reads from it is none of the source's: a database of ours, say.
        """
        with _told(self.settings.host):
            connection = await self._connect(seconds)
        try:
            with _told(self.settings.host):
                await connection.transaction(isolation="repeatable_read", readonly=True).start()
            yield connection
        finally:  # and with it the transaction
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def _connect(self, seconds: int) -> "asyncpg.Connection[Any]":
        settings = self.settings
        async with asyncio.timeout(_CONNECT_SECONDS):
            found = await self.means.outbound.addresses(
                settings.host, settings.port, is_plain=settings.tls == "off"
            )
            with _no_postgresql(settings.host):
                return await asyncpg.connect(
                    host=found,  # one after the other
                    port=[settings.port] * len(found),
                    user=settings.user,
                    password=settings.password.get_secret_value(),
                    database=settings.database,
                    ssl=self._tls(),
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

    def _tls(self) -> "_Named | Literal[False]":
        if self.settings.tls == "off":
            return False
        made = _Named(ssl.PROTOCOL_TLS_CLIENT)
        made.name = self.settings.host
        if self.settings.ca is None:
            made.load_default_certs()
        else:
            made.load_verify_locations(cadata=self.settings.ca)
        return made

    async def _quoted(
        self, connection: "asyncpg.Connection[Any]", mark: Any, type_: str
    ) -> "ColumnClause[Any]":
        """A mark as it stands in a statement: COPY takes no parameters, and what a library would put
        in the place of `$1` it would put into a name that has it too."""
        with _told(self.settings.host):
            quoted = await connection.fetchval("SELECT quote_literal($1::text)", mark)
        return literal_column(f"{quoted}::{type_}")

    async def _relation(
        self, connection: "asyncpg.Connection[Any]", selection: SqlSelection
    ) -> tuple[TableClause, dict[str, str]]:
        """The table with the columns that are wanted, and their types. Raises `SourceChanged`."""
        with _told(self.settings.host):
            found = await connection.fetch(_COLUMNS, selection.schema_name, selection.table)
        types = {each[0]: each[1] for each in found}
        if not types:
            raise SourceBroken(source=self.settings.host, at="missing", detail=selection.table)
        wanted = selection.columns or list(types)
        lost = [
            name for name in [*wanted, *filter(None, [selection.watermark])] if name not in types
        ]
        if lost:
            raise SourceChanged(source=self.settings.host, at="shape", detail=lost[0])
        columns: list[ColumnClause[Any]] = [column(name) for name in types]
        return table(selection.table, *columns, schema=selection.schema_name), types


class _Named(ssl.SSLContext):
    """Expects a certificate of the name that was asked for, though an address is connected to."""

    name = ""

    def wrap_bio(self, incoming: Any, outgoing: Any, *given: Any, **more: Any) -> ssl.SSLObject:
        """As it is, but for the name."""
        return super().wrap_bio(
            incoming, outgoing, *given, **{**more, "server_hostname": self.name}
        )


def _rows(
    relation: TableClause, selection: SqlSelection, since: "ColumnClause[Any] | None",
    first: int | None,
) -> Select[Any]:  # fmt: skip
    wanted = selection.columns or list(relation.c.keys())
    statement = select(*(relation.c[name] for name in wanted))
    if since is not None and selection.watermark is not None:
        # Rows that bear the last mark itself come again: some of them may be new.
        statement = statement.where(relation.c[selection.watermark] >= since)
    return statement if first is None else statement.limit(literal_column(str(first)))


def _compiled(statement: ClauseElement) -> str:
    """A statement that has no parameters."""
    return str(statement.compile(dialect=_DIALECT))


async def _newest(
    connection: "asyncpg.Connection[Any]", relation: TableClause, selection: SqlSelection
) -> dict[str, Any] | None:
    """The highest mark, and how many rows bear it; None without a watermark or without rows."""
    if selection.watermark is None:
        return None
    mark = relation.c[selection.watermark]
    top = select(func.max(mark)).scalar_subquery()
    asked = select(cast(func.max(mark), Text), func.count()).where(mark == top)
    found = await connection.fetchrow(_compiled(asked))
    if found is None or found[0] is None:
        return None
    return {"watermark": found[0], "rows": found[1]}


async def _copied(
    connection: "asyncpg.Connection[Any]", host: str, statement: str
) -> AsyncGenerator[bytes, None]:
    """What COPY gives, no faster than it is taken."""
    held: asyncio.Queue[bytes | None] = asyncio.Queue(_HELD_PIECES)

    async def copy() -> None:
        try:
            await connection.copy_from_query(statement, output=held.put, format="csv", header=True)
        finally:
            await held.put(None)

    copying = asyncio.create_task(copy())
    try:
        while (piece := await held.get()) is not None:
            yield piece
        with _told(host):
            await copying
    finally:
        copying.cancel()
        while not held.empty():
            held.get_nowait()
        await asyncio.wait({copying})


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
