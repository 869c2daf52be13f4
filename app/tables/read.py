"""Asks hosted tables: compiles a question once a shape, and passes PostgreSQL's bytes on."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import ColumnElement, Select, cast, func, literal, select
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.types import BigInteger, Numeric, Text, TypeEngine

from app.kit.db import DatabaseUnavailable
from app.query.shape import shape_of
from app.tables.encode import Form, Wording, columns, document
from app.tables.sql import Getter, Reading, Source, Statements

_DIALECT: Final = asyncpg_dialect.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_MOST_STATEMENTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rows:
    """One page as PostgreSQL encoded it."""

    body: bytes  # the rows, comma-separated
    count: int
    more: bool
    last: tuple[Any, ...]  # the position of the last row, where more follow


@dataclass(frozen=True, slots=True)
class _Prepared:
    sql: str
    getters: tuple[Getter, ...]

    def values(self, reading: Reading) -> list[Any]:
        return [get(reading) for get in self.getters]


class TableReader:
    """Reads the hosted tables of one database."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._prepared: OrderedDict[tuple[Any, ...], _Prepared] = OrderedDict()

    async def page(
        self, source: Source, joined: Sequence[Source], reading: Reading, wording: Wording
    ) -> Rows:
        """One page of rows. Raises `DatabaseUnavailable`."""
        prepared = self._statement("page", source, joined, reading, wording)
        row = await self._fetch_row(prepared, reading)
        body, count, more, last = row
        return Rows((body or "").encode(), count, more, tuple(orjson.loads(last)) if last else ())

    async def count(self, source: Source, joined: Sequence[Source], reading: Reading) -> int:
        """How many rows match, page or no page. Raises `DatabaseUnavailable`."""
        wording = Wording(Form.RECORD, ())
        prepared = self._statement("count", source, joined, reading, wording)
        (count,) = await self._fetch_row(prepared, reading)
        return int(count)

    async def _fetch_row(self, prepared: _Prepared, reading: Reading) -> Any:
        try:
            async with self._pool.acquire(timeout=10) as connection:
                return await connection.fetchrow(prepared.sql, *prepared.values(reading))
        except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
            raise DatabaseUnavailable from exc
        except asyncpg.PostgresConnectionError as exc:
            raise DatabaseUnavailable from exc

    async def stream(
        self, source: Source, joined: Sequence[Source], reading: Reading, wording: Wording
    ) -> AsyncGenerator[bytes, None]:
        """Every row, encoded by COPY, in pieces as the server sends them.

        The reader sets the pace: nothing is taken from the server before the piece before it is
        gone. Closing the iterator early ends the statement.
        """
        prepared = self._statement("stream", source, joined, reading, wording)
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        task = asyncio.create_task(self._copy(prepared, reading, wording.form, pieces))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _copy(
        self,
        prepared: _Prepared,
        reading: Reading,
        form: Form,
        pieces: "asyncio.Queue[bytes | None]",
    ) -> None:
        held = bytearray()

        async def take(piece: bytes) -> None:
            # COPY sends a message a row; a piece a row would cost more than the row.
            held.extend(piece)
            if len(held) >= 65_536:
                await pieces.put(bytes(held))
                held.clear()

        options: dict[str, Any] = {"format": "csv"}
        if form is not Form.COLUMNS:
            # JSON text holds no raw control characters, so with these it is never quoted.
            options |= {"delimiter": "\x01", "quote": "\x02", "escape": "\x02"}
        try:
            async with self._pool.acquire(timeout=10) as connection:
                try:
                    await connection.copy_from_query(
                        prepared.sql, *prepared.values(reading), output=take, **options
                    )
                except asyncio.CancelledError:
                    connection.terminate()  # cut off in the middle it would serve nobody again
                    raise
            if held:
                await pieces.put(bytes(held))
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError) as exc:
            raise DatabaseUnavailable from exc
        finally:
            # The taker may have gone; it cancels this task then.
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                await pieces.put(None)

    def _statement(
        self,
        kind: str,
        source: Source,
        joined: Sequence[Source],
        reading: Reading,
        wording: Wording,
    ) -> _Prepared:
        tables = (source.table.name, *[other.table.name for other in joined])
        key = (kind, tables, wording, shape_of(reading.question))
        found = self._prepared.get(key)
        if found is None:
            parts = Statements(source, joined, reading.question)
            found = _compile(parts, _KINDS[kind](parts, wording))
            self._prepared[key] = found
            if len(self._prepared) > _MOST_STATEMENTS:
                self._prepared.popitem(last=False)
        return found


def _compile(parts: Statements, statement: Select[Any]) -> _Prepared:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    getters = tuple(_getter(compiled, parts, name) for name in compiled.positiontup or ())
    return _Prepared(str(compiled), getters)


def _getter(compiled: Any, parts: Statements, name: str) -> Getter:
    """The getter of our own parameters; constants of the statement carry their value."""
    own = parts.getters.get(name)
    if own is not None:
        return own
    constant = compiled.params[name]
    return lambda _reading: constant


def _ordered(parts: Statements, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The rows in order, with the columns given."""
    order = parts.order()
    statement = (
        select(*columns)
        .select_from(parts.rows())
        .where(*parts.conditions())
        # Ascending puts nulls last already; saying so would hide the order from the index.
        .order_by(*(by.desc().nullslast() if down else by.asc() for by, down, _ in order))
    )
    if parts.question.after is not None:
        statement = statement.where(parts.behind(order))
    return statement


def _page(parts: Statements, wording: Wording) -> Select[Any]:
    """One row: the records as text, how many, whether more follow, and the last position."""
    # The limit stands in the statement: as a parameter the planner would not know it.
    limit = literal(parts.question.limit, BigInteger(), literal_execute=True)
    position = func.json_build_array(*(_exact(by, kind) for by, _, kind in parts.order()))
    columns = [document(parts, wording).label("document"), position.label("position")]
    ordered = (
        _ordered(parts, columns).limit(limit + literal(1, literal_execute=True)).subquery("ordered")
    )
    # Numbered after sorting: beside the sort, the window would be numbered before it.
    numbered = select(func.row_number().over().label("n"), ordered).subquery("page")
    on_page = numbered.c.n <= limit
    last = func.max(cast(numbered.c.position, Text())).filter(numbered.c.n == limit)
    return select(
        func.string_agg(numbered.c.document, literal(",")).filter(on_page),
        func.least(func.count(), limit),
        func.count() > limit,
        last,
    )


def _exact(column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """A sort value that survives JSON: a long decimal would not as a number."""
    return cast(column, Text()) if isinstance(kind, Numeric) else column


def _count(parts: Statements, _wording: Wording) -> Select[Any]:
    statement = select(func.count()).select_from(parts.rows()).where(*parts.conditions())
    if parts.question.after is not None:
        statement = statement.where(parts.behind(parts.order()))
    return statement


def _stream(parts: Statements, wording: Wording) -> Select[Any]:
    as_columns = wording.form is Form.COLUMNS
    found = columns(parts) if as_columns else [document(parts, wording)]
    statement = _ordered(parts, found)
    limit = parts.question.limit
    if limit is None:
        return statement
    return statement.limit(literal(limit, BigInteger(), literal_execute=True))


_KINDS: Final[Mapping[str, Callable[[Statements, Wording], Select[Any]]]] = {
    "page": _page,
    "count": _count,
    "stream": _stream,
}
