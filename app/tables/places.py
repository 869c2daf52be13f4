"""Finds the rows that conditions of place hold for: PostgreSQL's index gives candidates by their
bounds, GEOS judges those that bounds leave open. It never judges anything in the event loop.
"""

import asyncio
import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from app.query.fields import geometry_of
from app.query.geometry import boxes_of
from app.query.question import Both, Condition, Either, Not, Question, Relation, Spatial
from app.query.refusals import wrong
from app.tables.candidates import FEW, Wanted, bounds_of, place_fields, written
from app.tables.found import NOTHING, Form, Found, TooManyCandidates
from app.tables.prepared import Prepared, compile_statement
from app.tables.sql import Place, Reading, Source, Statements

if TYPE_CHECKING:
    from app.tables.judge import Sieve

MOST_SHAPES: Final = 16  # in one question: each may look at the whole table
_MOST_HELD_BYTES: Final = 32 << 20
_MOST_STATEMENTS: Final = 500
_MOST_LARGE: Final = 2  # searches of many candidates at once; the others wait their turn
_PIECE_BYTES: Final = 2 << 20
_KEY_BYTES: Final = 500
_SIZE: Final = 5  # where a candidate says how large its geometry is
_RECORD_WEIGHT: Final = 100
_LIGHT: Final = 20_000  # about a millisecond's work
_JUDGE: Final = "app.tables.judge"

Key = tuple[str, int, Place]


@dataclass(slots=True)
class _Search:
    """A search that runs, and how many wait for it."""

    task: "asyncio.Task[Found]"
    waiting: int = 0


class Places:
    """What was found in one database's tables: a revision's rows never change, so it stays true."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._held: OrderedDict[Key, Found] = OrderedDict()
        self._bytes = 0
        self._running: dict[Key, _Search] = {}
        self._large = asyncio.Semaphore(_MOST_LARGE)
        self._prepared: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()

    async def find(self, source: Source, reading: Reading) -> Reading:
        """The reading with what was found for each condition of place in its question.

        Raises what the driver raises, `TooManyCandidates`, `InvalidQuestion`.
        """
        wanted = dict.fromkeys(_places_of(source, reading.question))
        if not wanted:
            return reading
        if len(wanted) > MOST_SHAPES:
            raise wrong(
                "filter",
                f"図形による条件は{MOST_SHAPES}個までです。",
                f"give {MOST_SHAPES} spatial conditions at most.",
                "too_many_shapes",
            )
        found = {part: await self._one(source, reading, part) for part in wanted}
        return replace(reading, found=found)

    async def _one(self, source: Source, reading: Reading, part: Place) -> Found:
        """What is held, or what one search finds for all who ask for it meanwhile."""
        part = _looked_for(part)
        key = (source.table.name, reading.revision, part)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return held
        search = self._running.get(key)
        if search is None:
            bounds = replace(reading, question=bounds_of(part))
            search = _Search(asyncio.create_task(self._look(key, source, bounds)))
            self._running[key] = search
        search.waiting += 1
        try:
            return await asyncio.shield(search.task)
        finally:
            search.waiting -= 1
            if not search.waiting:  # it has ended, or nobody wants it any more
                search.task.cancel()
                if self._running.get(key) is search:
                    del self._running[key]

    async def _look(self, key: Key, source: Source, reading: Reading) -> Found:
        part = key[-1]
        few = self._statement(Wanted.FEW, source, reading, part)
        async with self._pool.acquire(timeout=10) as connection:
            records = await connection.fetch(few.sql, *few.values(reading))
        if not records:
            found = NOTHING
        elif len(records) <= FEW:
            found = await self._few(source, reading, part, records)
        else:
            sieve = await asyncio.to_thread(_sieve, part)
            await self._sort_out(source, reading, part, sieve)
            found = await self._rest(source, reading, part, sieve)
        self._hold(key, found)
        return found

    async def _few(
        self, source: Source, reading: Reading, part: Place, records: Sequence[Any]
    ) -> Found:
        """What holds of few candidates. For a handful a thread would cost more than the work."""
        weight = sum([_RECORD_WEIGHT + record[_SIZE] for record in records]) + _weight(part)
        if weight <= _LIGHT and _JUDGE in sys.modules:
            sieve = _sieve(part)
            sieve.take_few(records)
        else:
            sieve = await asyncio.to_thread(_sieve, part)
            await asyncio.to_thread(sieve.take_few, records)
        return await self._rest(source, reading, part, sieve)

    async def _sort_out(
        self, source: Source, reading: Reading, part: Place, sieve: "Sieve"
    ) -> None:
        """Give the sieve every candidate as COPY sends them."""
        every = self._statement(Wanted.EVERY, source, reading, part)
        held = bytearray()

        async def take(piece: bytes) -> None:
            held.extend(piece)
            if len(held) >= _PIECE_BYTES:
                await asyncio.to_thread(sieve.take_copied, bytes(held))
                held.clear()

        async with self._large, self._pool.acquire(timeout=10) as connection:
            try:
                await connection.copy_from_query(
                    every.sql, *every.values(reading), output=take, format="binary"
                )
            except (asyncio.CancelledError, TooManyCandidates):
                connection.terminate()  # cut off in the middle it would serve nobody again
                raise
        await asyncio.to_thread(sieve.take_copied, bytes(held))

    async def _rest(self, source: Source, reading: Reading, part: Place, sieve: "Sieve") -> Found:
        """Give the sieve the geometries that it must see; what it has found."""
        if not sieve.has_open:
            return sieve.found()
        texts = self._statement(Wanted.TEXTS, source, reading, part)
        batches = await asyncio.to_thread(sieve.batches)
        async with self._pool.acquire(timeout=10) as connection:
            for rows in batches:
                batch = replace(reading, found={part: Found(array("q", rows))})
                records = await connection.fetch(texts.sql, *texts.values(batch))
                await asyncio.to_thread(sieve.take_texts, records)
        return await asyncio.to_thread(sieve.found)

    def _statement(self, wanted: Wanted, source: Source, reading: Reading, part: Place) -> Prepared:
        box = reading.question.box
        fields = place_fields(source, part)
        key = (
            wanted,
            source.table.name,
            type(part),
            fields,
            0 if box is None else len(boxes_of(box)),
        )
        found = self._prepared.get(key)
        if found is None:
            parts = Statements(Source(source.table, fields), (), reading.question)
            found = compile_statement(parts, written(wanted, parts, part))
            self._prepared[key] = found
            if len(self._prepared) > _MOST_STATEMENTS:
                self._prepared.popitem(last=False)
        return found

    def _hold(self, key: Key, found: Found) -> None:
        """The least recently used go first."""
        self._held[key] = found
        self._bytes += _size(key, found)
        while self._bytes > _MOST_HELD_BYTES:
            self._bytes -= _size(*self._held.popitem(last=False))


def _sieve(part: Place) -> "Sieve":
    from app.tables.judge import Sieve  # noqa: PLC0415 - brings GEOS, and takes its time

    return Sieve(part)


def forms_of(reading: Reading) -> tuple[Form, ...]:
    """How what was found is written, in the order in which the question names it."""
    if not reading.found:
        return ()
    question = reading.question
    named: list[Place] = [*_spatials(question.where)]
    if question.box is not None and question.box in reading.found:
        named.append(question.box)
    return tuple([reading.found[part].form for part in named])


def _places_of(source: Source, question: Question) -> Iterator[Place]:
    """What PostgreSQL alone cannot judge; points in boxes it can."""
    yield from _spatials(question.where)
    if question.box is not None and geometry_of(source.fields) is not None:
        yield question.box


def _spatials(part: Condition | None) -> Iterator[Spatial]:
    match part:
        case Spatial():
            yield part
        case Not(inner):
            yield from _spatials(inner)
        case Both(parts) | Either(parts):
            for each in parts:
                yield from _spatials(each)
        case _:
            return


def _looked_for(part: Place) -> Place:
    """What is disjoint from a shape is all that does not intersect it: no bounds would find it."""
    if isinstance(part, Spatial) and part.relation is Relation.DISJOINT:
        return replace(part, relation=Relation.INTERSECTS)
    return part


def _weight(part: Place) -> int:
    """The length of the shape's text."""
    return len(part.shape.text) if isinstance(part, Spatial) else 0


def _size(key: Key, found: Found) -> int:
    """Bytes that are held, about: the shape's text is part of the key."""
    return found.size + _weight(key[-1]) + _KEY_BYTES
