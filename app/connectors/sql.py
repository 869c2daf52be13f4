"""The kind `sql`: a table or view of a PostgreSQL server, read and never written.

Every name is quoted by SQLAlchemy, every value is a parameter, and the transaction is read-only.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, ClassVar, Final, Literal

import asyncpg
from pydantic import Field, SecretStr, StringConstraints
from sqlalchemy import Select, Text, bindparam, cast, column, func, literal_column, select, table
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
    ca: Annotated[str, StringConstraints(max_length=100_000)] | None = Field(
        default=None, description="The authority of the server's certificate, PEM"
    )


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

    def check_settings(self) -> None:
        """Refuse a CA that is none. The host is judged by what it resolves to, when it is asked."""
        self._tls()

    async def check(self, selection: SqlSelection | None = None) -> None:
        """Sign in; with a selection, read one row of it."""
        async with self._reading(30) as connection:
            if selection is not None:
                relation, types = await self._relation(connection, selection)
                statement, given = _compiled(_rows(relation, selection, types, None).limit(1))
                await connection.fetch(statement, *given)

    @asynccontextmanager
    async def harvest(
        self, selection: SqlSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The rows of one snapshot as CSV, by COPY."""
        async with self._reading(selection.statement_seconds) as connection:
            relation, types = await self._relation(connection, selection)
            newest = await _newest(connection, relation, selection)
            if known is not None and newest is not None and dict(known.validators) == newest:
                yield None
                return
            since = known.validators.get("watermark") if known and selection.watermark else None
            statement, given = _compiled(_rows(relation, selection, types, since).limit(first))
            pieces = _copied(connection, self.settings.host, statement, given)
            async with aclosing(pieces):
                name = f"{selection.table}.csv"
                yield Harvest(pieces, name, None, newest, delta=since is not None)

    async def discover(self) -> Sequence[Proposal]:
        """The tables and views that we may read, with their columns."""
        async with self._reading(30) as connection:
            found = await connection.fetch(_TABLES, _MOST_PROPOSALS)
            made = []
            for schema, name in found:
                columns = await connection.fetch(_COLUMNS, schema, name)
                fields = tuple({"name": each[0], "type": each[1]} for each in columns)
                made.append(Proposal(name, {"schema": schema, "table": name}, fields))
            return made

    @asynccontextmanager
    async def _reading(self, seconds: int) -> "AsyncIterator[asyncpg.Connection[Any]]":
        """A read-only snapshot, over one connection to an address that was judged."""
        with _told(self.settings.host):
            connection = await self._connect(seconds)
        try:
            with _told(self.settings.host):
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    yield connection
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def _connect(self, seconds: int) -> "asyncpg.Connection[Any]":
        settings = self.settings
        async with asyncio.timeout(_CONNECT_SECONDS):
            found = await self.means.outbound.addresses(
                settings.host, settings.port, is_plain=settings.tls == "off"
            )
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
        try:
            if self.settings.ca is None:
                made.load_default_certs()
            else:
                made.load_verify_locations(cadata=self.settings.ca)
        except (ssl.SSLError, ValueError) as exc:
            raise SourceRefused(source=self.settings.host, at="tls") from exc
        return made

    async def _relation(
        self, connection: "asyncpg.Connection[Any]", selection: SqlSelection
    ) -> tuple[TableClause, dict[str, str]]:
        """The table with the columns that are wanted, and their types. Raises `SourceChanged`."""
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
    relation: TableClause, selection: SqlSelection, types: dict[str, str], since: str | None
) -> Select[Any]:
    wanted = selection.columns or list(relation.c.keys())
    statement = select(*(relation.c[name] for name in wanted))
    if since is not None and selection.watermark is not None:
        # Rows that bear the last mark itself come again: some of them may be new.
        type_: ColumnClause[Any] = literal_column(types[selection.watermark])
        mark = cast(bindparam("since", since), Text).op("::")(type_)
        statement = statement.where(relation.c[selection.watermark] >= mark)
    return statement


def _compiled(statement: ClauseElement) -> tuple[str, list[Any]]:
    made: Any = statement.compile(dialect=_DIALECT)
    return str(made), [made.params[name] for name in made.positiontup or ()]


async def _newest(
    connection: "asyncpg.Connection[Any]", relation: TableClause, selection: SqlSelection
) -> dict[str, Any] | None:
    """The highest mark, and how many rows bear it; None without a watermark or without rows."""
    if selection.watermark is None:
        return None
    mark = relation.c[selection.watermark]
    top = select(func.max(mark)).scalar_subquery()
    asked = select(cast(func.max(mark), Text), func.count()).where(mark == top)
    statement, given = _compiled(asked)
    found = await connection.fetchrow(statement, *given)
    if found is None or found[0] is None:
        return None
    return {"watermark": found[0], "rows": found[1]}


async def _copied(
    connection: "asyncpg.Connection[Any]", host: str, statement: str, given: list[Any]
) -> AsyncGenerator[bytes, None]:
    """What COPY gives, no faster than it is taken."""
    held: asyncio.Queue[bytes | None] = asyncio.Queue(_HELD_PIECES)

    async def copy() -> None:
        try:
            await connection.copy_from_query(
                statement, *given, output=held.put, format="csv", header=True
            )
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
