"""Asks hosted tables: compiles a question once a shape, and passes PostgreSQL's bytes on."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import Select

from app.kit.db import DatabaseUnavailable
from app.kit.errors import AppError, Kind
from app.query.fields import Field
from app.query.question import Both, Condition, Words
from app.query.shape import is_short, shape_of
from app.tables import consents, pages
from app.tables.aggregate import BaseCells, Figures, Groups, base_cells, groups
from app.tables.encode import IN_COLUMNS, Form, Wording
from app.tables.places import Places, box_alone, forms_of
from app.tables.prepared import Prepared, compile_statement
from app.tables.spool import Spool
from app.tables.sql import Reading, Source, Statements
from app.tables.word_index import candidates

_MOST_STATEMENTS: Final = 1_000
_PAGES: Final = frozenset({"page", "page by bounds"})
_COUNTED_FOR: Final = timedelta(minutes=1)
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
    people: tuple[str, ...] = ()  # whom the records are about, where that is to be told
    matched: int | None = None  # all that match, where whoever read them has counted
    told: Mapping[str, Any] | None = None  # of where they come from, where it is not from here


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
        self._compiling = asyncio.Lock()
        self._copies = asyncio.Semaphore(_MOST_COPIES)  # the others wait their turn
        self._places = Places(pool)
        # By what is consented to: when it was counted, and whether there were few.
        self._consents: dict[tuple[str, str, str], tuple[datetime, bool]] = {}

    async def page(
        self, source: Source, joined: Sequence[Source], reading: Reading, wording: Wording
    ) -> Rows:
        """One page of rows. Raises `DatabaseUnavailable`."""
        found = None
        if not joined and wording.subject is None:
            found = await self._page_by_bounds(source, reading, wording)
        if found is not None:
            return found
        reading = await self.resolved(source, reading)
        prepared = await self._statement("page", source, joined, reading, wording)
        row = await self._fetch_row(prepared, reading)
        body, count, more, last, *rest = row
        position = tuple(orjson.loads(last)) if last else ()
        people = tuple(dict.fromkeys(rest.pop() or ())) if wording.subject is not None else ()
        return Rows((body or "").encode(), count, more, position, tuple(rest), people)

    async def _page_by_bounds(
        self, source: Source, reading: Reading, wording: Wording
    ) -> Rows | None:
        """The page in one question, where a box is asked for of which nothing is known yet.

        Rows that meet it by their bounds come with the geometries that have to be judged, and some
        more than fit. None where those do not suffice: then what meets it is to be found before.
        """
        question = reading.question
        box = box_alone(source, question)
        if box is None or question.offset or _words_of(question.where) is not None:
            return None
        if self._places.knows(source, reading, box):
            return None
        prepared = await self._statement("page by bounds", source, (), reading, wording)
        documents, positions, numbers, texts = await self._fetch_row(prepared, reading)
        texts = texts or []
        if None in texts:
            return None
        outside = await self._places.outside(box, texts) if texts else []
        left_out = {number for number, is_so in zip(numbers or (), outside, strict=True) if is_so}
        return _cut(question.limit, documents or [], positions or [], left_out)

    async def count(self, source: Source, joined: Sequence[Source], reading: Reading) -> int:
        """How many rows match, page or no page. Raises `DatabaseUnavailable`."""
        wording = Wording(Form.RECORD, ())
        reading = await self.resolved(source, reading)
        prepared = await self._statement("count", source, joined, reading, wording)
        (count,) = await self._fetch_row(prepared, reading)
        return int(count)

    async def people(
        self, source: Source, joined: Sequence[Source], reading: Reading, subject: Field
    ) -> tuple[str, ...] | None:
        """Whom the rows are about, as the field names them; None: more than are told one by one.

        Raises `DatabaseUnavailable`.
        """
        wording = Wording(Form.RECORD, (), subject=subject)
        reading = await self.resolved(source, reading)
        prepared = await self._statement("people", source, joined, reading, wording)
        (found,) = await self._fetch_row(prepared, reading)
        return None if len(found or ()) > pages.MOST_PEOPLE else tuple(found or ())

    async def resolved(self, source: Source, reading: Reading) -> Reading:
        """The reading with the rows that its conditions of place hold for, and those that its words
        can: before any statement.

        Raises `DatabaseUnavailable`, `RowsGone`, `TooManyCandidates`, `InvalidQuestion`.
        """
        with _told():
            reading = await self._places.find(source, reading)
            reading = await self._by_consents(source, reading)
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

    async def _by_consents(self, source: Source, reading: Reading) -> Reading:
        """The reading with the way to its rows that is shorter: by the consents, or each row's own.

        How many there are is asked now and then only; either way asks whose is in force.
        """
        asked = consents.consent_of(reading.question.where)
        if asked is None or not consents.is_indexed(source.table, asked.field):
            return reading
        key = (asked.dataset_id, asked.consumer_id, asked.purpose)
        counted = self._consents.get(key)
        if counted is None or reading.now - counted[0] > _COUNTED_FOR:
            most = consents.FEW + 1
            async with self._pool.acquire(timeout=10) as connection:
                found = await connection.fetchval(consents.COUNT, *key, most)
            counted = (reading.now, found < most)
            self._consents[key] = counted
            if len(self._consents) > _MOST_STATEMENTS:
                self._consents.pop(next(iter(self._consents)))
        return replace(reading, by_few_consents=counted[1])

    async def groups(
        self, source: Source, joined: Sequence[Source], reading: Reading, figures: Figures
    ) -> Groups:
        """One page of groups. Raises `DatabaseUnavailable`."""
        reading = await self.resolved(source, reading)
        prepared = await self._statement("groups", source, joined, reading, figures)
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
        prepared = await self._statement("cells", source, (), reading, wanted)
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
        prepared = await self._statement("stream", source, joined, reading, wording)
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

    async def _statement(
        self,
        kind: str,
        source: Source,
        joined: Sequence[Source],
        reading: Reading,
        wording: Wording | Figures | BaseCells,
    ) -> Prepared:
        """The statement for all questions of this shape. A long one is compiled in a thread."""
        tables = (source.table.name, *[other.table.name for other in joined])
        is_narrowed = reading.rows is not None
        shape = shape_of(reading.question)
        key = (
            kind,
            tables,
            wording,
            shape,
            forms_of(reading),
            is_narrowed,
            reading.by_few_consents,
        )
        held = self._prepared.get(key)
        if held is not None:
            self._prepared.move_to_end(key)
            return held
        asked = (kind, source, joined, reading, wording)
        if is_short(shape):
            return self._hold(key, _compiled(*asked))
        async with self._compiling:  # who asks the same meanwhile finds it made
            held = self._prepared.get(key)
            return held or self._hold(key, await asyncio.to_thread(_compiled, *asked))

    def _hold(self, key: tuple[Any, ...], made: Prepared) -> Prepared:
        self._prepared[key] = made
        if len(self._prepared) > _MOST_STATEMENTS:
            self._prepared.popitem(last=False)
        return made


def _compiled(
    kind: str,
    source: Source,
    joined: Sequence[Source],
    reading: Reading,
    wording: Wording | Figures | BaseCells,
) -> Prepared:
    is_narrowed = reading.rows is not None
    parts = Statements(
        source, joined, reading.question, reading.found,
        is_narrowed=is_narrowed, by_few_consents=reading.by_few_consents,
        is_page=kind in _PAGES,
    )  # fmt: skip
    return compile_statement(parts, _KINDS[kind](parts, wording))


def _cut(
    limit: int | None, documents: list[bytes], positions: list[str], left_out: set[int]
) -> Rows | None:
    """The page of those that are not left out; None where not enough are at hand to say it.

    Numbers begin with 1, positions with that of the number `limit`.
    """
    if limit is None:
        raise LookupError("a page without a limit")
    number = len(documents)
    more = number - len(left_out) > limit
    if not more and number == limit + pages.spare(limit):
        return None
    kept = [at for at in range(1, number + 1) if at not in left_out][:limit]
    last = tuple(orjson.loads(positions[kept[-1] - limit])) if more else ()
    return Rows(b",".join([documents[at - 1] for at in kept]), len(kept), more, last)


def _words_of(where: Condition | None) -> Words | None:
    """The words that every row must have, whatever else is asked."""
    if isinstance(where, Both):
        found = (_words_of(each) for each in where.parts)
        return next((each for each in found if each is not None), None)
    return where if isinstance(where, Words) else None


_KINDS: Final[Mapping[str, Callable[[Statements, Any], Select[Any]]]] = {
    "page": pages.page,
    "page by bounds": pages.page_by_bounds,
    "count": pages.count,
    "people": pages.people,
    "stream": pages.stream,
    "groups": groups,
    "cells": base_cells,
}
