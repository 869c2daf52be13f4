"""Asks hosted tables: compiles a question once a shape, and passes PostgreSQL's bytes on."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import ColumnElement, Select, cast, func, literal, select
from sqlalchemy.types import BigInteger, Numeric, Text, TypeEngine

from app.kit.db import DatabaseUnavailable
from app.kit.errors import AppError, Kind
from app.query.question import Both, Condition, Words
from app.query.shape import shape_of
from app.tables.aggregate import BaseCells, Figures, Groups, base_cells, groups
from app.tables.encode import IN_COLUMNS, Form, Wording, columns, document
from app.tables.layout import ROW
from app.tables.places import Places, forms_of
from app.tables.prepared import Prepared, compile_statement
from app.tables.spool import Spool
from app.tables.sql import Reading, Source, Statements
from app.tables.word_index import candidates

_MOST_STATEMENTS: Final = 1_000
_MOST_COPIES: Final = 4  # at once, so that pages find a connection too
# The database is away, or going. Anything else that it says is a fault of ours and shows as one.
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


class RowsGone(AppError):
    """The version was let go between being looked up and being read."""

    kind = Kind.GONE
    code = "version_dropped"
    ja = "この版のレコードは、保存方針により削除されました。ほかの版を指定してください。"
    en = "The records of this version were just let go. Ask for another version."


@dataclass(frozen=True, slots=True)
class Rows:
    """One page as PostgreSQL encoded it."""

    body: bytes  # the rows, comma-separated
    count: int
    more: bool
    last: tuple[Any, ...]  # the position of the last row, where more follow
    joined: tuple[int, ...] = ()  # records of each joined dataset on the page


@contextmanager
def _told() -> Iterator[None]:
    """PostgreSQL's errors end here."""
    try:
        yield
    except asyncpg.UndefinedTableError as exc:
        raise RowsGone from exc
    except _AWAY as exc:
        raise DatabaseUnavailable from exc


class TableReader:
    """Reads the hosted tables of one database."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._prepared: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()
        self._copies = asyncio.Semaphore(_MOST_COPIES)  # the others wait their turn
        self._places = Places(pool)

    async def page(
        self, source: Source, joined: Sequence[Source], reading: Reading, wording: Wording
    ) -> Rows:
        """One page of rows. Raises `DatabaseUnavailable`."""
        reading = await self.resolved(source, reading)
        prepared = self._statement("page", source, joined, reading, wording)
        row = await self._fetch_row(prepared, reading)
        body, count, more, last, *joined_counts = row
        position = tuple(orjson.loads(last)) if last else ()
        return Rows((body or "").encode(), count, more, position, tuple(joined_counts))

    async def count(self, source: Source, joined: Sequence[Source], reading: Reading) -> int:
        """How many rows match, page or no page. Raises `DatabaseUnavailable`."""
        wording = Wording(Form.RECORD, ())
        reading = await self.resolved(source, reading)
        prepared = self._statement("count", source, joined, reading, wording)
        (count,) = await self._fetch_row(prepared, reading)
        return int(count)

    async def resolved(self, source: Source, reading: Reading) -> Reading:
        """The reading with the rows that its conditions of place hold for, and those that its words
        can: before any statement.

        Raises `DatabaseUnavailable`, `RowsGone`, `TooManyCandidates`, `InvalidQuestion`.
        """
        with _told():
            reading = await self._places.find(source, reading)
            return await self._narrowed(source, reading)

    async def _narrowed(self, source: Source, reading: Reading) -> Reading:
        """The reading with the rows that can match, where an index of the very fields knows them.

        An index of others would miss rows, or tell by its time what stands in a hidden column.
        """
        words = _words_of(reading.question.where)
        if words is None or source.words is None:
            return reading
        if source.words.columns != {field.column for field in words.fields}:
            return reading
        async with self._pool.acquire(timeout=10) as connection:
            rows = await candidates(connection, source.words, words.terms)
        return reading if rows is None else replace(reading, rows=tuple(rows))

    async def groups(
        self, source: Source, joined: Sequence[Source], reading: Reading, figures: Figures
    ) -> Groups:
        """One page of groups. Raises `DatabaseUnavailable`."""
        reading = await self.resolved(source, reading)
        prepared = self._statement("groups", source, joined, reading, figures)
        body, count, more, last, records = await self._fetch_row(prepared, reading)
        position = tuple(orjson.loads(last)) if last else ()
        return Groups((body or "").encode(), count, more, position, records)

    async def base_cells(
        self, source: Source, reading: Reading, wanted: BaseCells
    ) -> tuple[bytes, int]:
        """The cells as `app.tables.aggregate` writes them, and how many.

        Raises `DatabaseUnavailable`.
        """
        reading = await self.resolved(source, reading)
        prepared = self._statement("cells", source, (), reading, wanted)
        body, count = await self._fetch_row(prepared, reading)
        return (body or "").encode(), count

    async def _fetch_row(self, prepared: Prepared, reading: Reading) -> Any:
        with _told():
            async with self._pool.acquire(timeout=10) as connection:
                return await connection.fetchrow(prepared.sql, *prepared.values(reading))

    async def stream(
        self, source: Source, joined: Sequence[Source], reading: Reading, wording: Wording
    ) -> AsyncGenerator[bytes, None]:
        """Every row, encoded by COPY, in pieces as the server sends them.

        A slow taker holds a temporary file, never a connection. Closing the iterator early ends
        the statement. Raises `DatabaseUnavailable`.
        """
        reading = await self.resolved(source, reading)
        prepared = self._statement("stream", source, joined, reading, wording)
        spool = Spool()
        task = asyncio.create_task(self._copy(prepared, reading, wording.form, spool))
        try:
            while piece := await spool.take():
                yield piece
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            spool.close()

    async def _copy(self, prepared: Prepared, reading: Reading, form: Form, spool: Spool) -> None:
        held = bytearray()

        async def take(piece: bytes) -> None:
            # COPY sends a message a row; a piece a row would cost more than the row.
            held.extend(piece)
            if len(held) >= 65_536:
                spool.put(held)
                held.clear()

        options: dict[str, Any] = {"format": "text" if form is Form.CELLS else "csv"}
        if form is Form.TABBED:
            options["delimiter"] = "\t"
        if form not in IN_COLUMNS:
            # JSON text holds no raw control characters, so with these it is never quoted.
            options |= {"delimiter": "\x01", "quote": "\x02", "escape": "\x02"}
        try:
            with _told():
                async with self._copies, self._pool.acquire(timeout=10) as connection:
                    try:
                        await connection.copy_from_query(
                            prepared.sql, *prepared.values(reading), output=take, **options
                        )
                    except asyncio.CancelledError:
                        connection.terminate()  # cut off in the middle it would serve nobody again
                        raise
            spool.put(held)
        finally:
            spool.finish()

    def _statement(
        self,
        kind: str,
        source: Source,
        joined: Sequence[Source],
        reading: Reading,
        wording: Wording | Figures | BaseCells,
    ) -> Prepared:
        tables = (source.table.name, *[other.table.name for other in joined])
        is_narrowed = reading.rows is not None
        key = (kind, tables, wording, shape_of(reading.question), forms_of(reading), is_narrowed)
        found = self._prepared.get(key)
        if found is None:
            parts = Statements(
                source, joined, reading.question, reading.found, is_narrowed=is_narrowed
            )
            found = compile_statement(parts, _KINDS[kind](parts, wording))
            self._prepared[key] = found
            if len(self._prepared) > _MOST_STATEMENTS:
                self._prepared.popitem(last=False)
        else:
            self._prepared.move_to_end(key)
        return found


def _words_of(where: Condition | None) -> Words | None:
    """The words that every row must have, whatever else is asked."""
    if isinstance(where, Both):
        return next((each for each in where.parts if isinstance(each, Words)), None)
    return where if isinstance(where, Words) else None


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
    if parts.question.offset:
        passed = parts.bind(lambda reading: reading.question.offset, BigInteger())
        statement = statement.offset(passed)
    return statement


def _page(parts: Statements, wording: Wording) -> Select[Any]:
    """One row: the records as text, how many, whether more follow, and the last position."""
    # The limit stands in the statement: as a parameter the planner would not know it.
    limit = literal(parts.question.limit, BigInteger(), literal_execute=True)
    position = func.json_build_array(*(_exact(by, kind) for by, _, kind in parts.order()))
    columns = [document(parts, wording).label("document"), position.label("position")]
    found = [other.c[ROW].is_not(None) for other, _ in parts.joined.values()]
    columns += [each.label(f"found_{at}") for at, each in enumerate(found)]
    rows = _ordered(parts, columns).limit(limit + literal(1, literal_execute=True))
    ordered = rows.subquery("ordered")
    # Numbered after sorting: beside the sort, the window would be numbered before it.
    numbered = select(func.row_number().over().label("n"), ordered).subquery("page")
    on_page = numbered.c.n <= limit
    last = func.max(cast(numbered.c.position, Text())).filter(numbered.c.n == limit)
    return select(
        func.string_agg(numbered.c.document, literal(",")).filter(on_page),
        func.least(func.count(), limit),
        func.count() > limit,
        last,
        *(
            func.count().filter(on_page, numbered.c[f"found_{at}"])
            for at in range(len(parts.joined))
        ),
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
    as_columns = wording.form in IN_COLUMNS
    found = columns(parts, wording) if as_columns else [document(parts, wording)]
    statement = _ordered(parts, found)
    limit = parts.question.limit
    if limit is None:
        return statement
    return statement.limit(literal(limit, BigInteger(), literal_execute=True))


_KINDS: Final[Mapping[str, Callable[[Statements, Any], Select[Any]]]] = {
    "page": _page,
    "count": _count,
    "stream": _stream,
    "groups": groups,
    "cells": base_cells,
}
