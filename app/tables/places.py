"""Finds the rows that conditions of place hold for: PostgreSQL's index gives candidates by their
bounds, GEOS judges those that bounds leave open. It never judges anything in the event loop.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from app.query.fields import geometry_of
from app.query.geometry import boxes_of
from app.query.question import Both, Box, Condition, Either, Not, Question, Relation, Spatial
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
        self._is_judge_there = False  # imported in a thread, by the first who needs it
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

    def knows(self, source: Source, reading: Reading, part: Place) -> bool:
        """Whether the rows that a condition holds for are held, or looked for just now."""
        key = (source.table.name, reading.revision, _looked_for(part))
        return key in self._held or key in self._running

    async def outside(self, box: Box, texts: Sequence[str]) -> list[bool]:
        """Which geometries do not meet the box."""
        weight = sum([_RECORD_WEIGHT + len(text) for text in texts])
        if weight <= _LIGHT and self._is_judge_there:
            return _outside(box, texts)
        found = await asyncio.to_thread(_outside, box, texts)
        self._is_judge_there = True
        return found

    async def _one(self, source: Source, reading: Reading, part: Place) -> Found:
        """What is held, or what is found now. A large search is one for all who ask meanwhile."""
        part = _looked_for(part)
        key = (source.table.name, reading.revision, part)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return held
        reading = replace(reading, question=bounds_of(part))
        if key not in self._running:
            found = await self._among_few(source, reading, part)
            if found is not None:
                self._hold(key, found)
                return found
            held = self._held.get(key)  # another's search may have ended while this one looked
            if held is not None:
                return held
        return await self._shared(key, source, reading)

    async def _shared(self, key: Key, source: Source, reading: Reading) -> Found:
        """Wait for the one search, which ends with the last who waits for it."""
        search = self._running.get(key)
        if search is None:
            search = _Search(asyncio.create_task(self._among_many(key, source, reading)))
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

    async def _among_few(self, source: Source, reading: Reading, part: Place) -> Found | None:
        """What holds of few candidates; None where there are many.

        For a handful of them a thread would cost more than the work.
        """
        few = self._statement(Wanted.FEW, source, reading, part)
        async with self._pool.acquire(timeout=10) as connection:
            records = await connection.fetch(few.sql, *few.values(reading))
        if not records:
            return NOTHING
        if len(records) > FEW:
            return None
        weight = sum([_RECORD_WEIGHT + record[_SIZE] for record in records]) + _weight(part)
        if weight <= _LIGHT and self._is_judge_there:
            sieve = _sieve(part)
            sieve.take_few(records)
        else:
            sieve = await asyncio.to_thread(_sieve, part)
            self._is_judge_there = True
            await asyncio.to_thread(sieve.take_few, records)
        return await self._rest(source, reading, part, sieve)

    async def _among_many(self, key: Key, source: Source, reading: Reading) -> Found:
        part = key[-1]
        async with self._large:
            sieve = await asyncio.to_thread(_sieve, part)
            await self._sort_out(source, reading, part, sieve)
            found = await self._rest(source, reading, part, sieve)
        self._hold(key, found)
        return found

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

        async with self._pool.acquire(timeout=10) as connection:
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
        before = self._held.pop(key, None)
        self._held[key] = found
        self._bytes += _size(key, found) - (0 if before is None else _size(key, before))
        while self._bytes > _MOST_HELD_BYTES:
            self._bytes -= _size(*self._held.popitem(last=False))


def _sieve(part: Place) -> "Sieve":
    from app.tables.judge import Sieve  # noqa: PLC0415 - brings GEOS, and takes its time

    return Sieve(part)


def _outside(box: Box, texts: Sequence[str]) -> list[bool]:
    from app.tables.judge import outside  # noqa: PLC0415

    return outside(box, texts)


def box_alone(source: Source, question: Question) -> Box | None:
    """The box, where nothing else has to be found before a page of rows can be asked for."""
    if question.box is None or geometry_of(source.fields) is None:
        return None
    return question.box if next(_spatials(question.where), None) is None else None


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
