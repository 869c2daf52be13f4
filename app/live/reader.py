"""Reads live datasets, as `app.tables.read` reads hosted ones: asks the source for its part of a
question, and asks the whole of it again of what comes.

It decides nothing. What it holds of a source goes to nobody but through the question of whoever
asks, and never from one reader to another whose columns or rows are bounded otherwise.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.frame import Known
from app.formats.individual_number import holds_number
from app.kit import clock, passage
from app.live.copies import Copies, Copy, Record
from app.live.errors import NUMBER, LiveFailed, LiveTooMuch, of_rows
from app.live.flights import Flights
from app.live.judged import chosen, ordered, position
from app.live.parted import Parted
from app.live.prepared import LONG, Made, Passed, Preparations, Prepared, prepare
from app.live.relayed import Look, records_in, says_no_more
from app.live.sources import LiveSources, Opened
from app.live.typed import NumberFound, ShapeChanged, Typing
from app.live.written import Writing
from app.query.fields import Field
from app.query.question import Question
from app.tables.encode import Wording
from app.tables.read import Rows
from app.tables.sql import Reading

MOST_RECORDS: Final = 50_000  # of a source that are looked at for one page
_MOST_BYTES: Final = 64 << 20  # about, of them in memory
_MOST_BODY: Final = 32 << 20
_SECONDS: Final = 10.0
_IN_LOOP: Final = 200  # records that are made without a thread
_ROW_BYTES: Final = 512  # of one, about
_NO_OUTAGE: Final = frozenset(
    {"refused", "settings", NUMBER}
)  # no outage: what was given may be meant

_RECORDS: Final = frozenset({dict})
_Done = TypeVar("_Done")
Loads: TypeAlias = Callable[[Copy | None], Coroutine[Any, Any, Copy]]


@dataclass(frozen=True, slots=True)
class LiveAsk:
    """One question to a live dataset. `seen` is what the verdict lets whoever asks see."""

    dataset: str
    opened: Opened
    reading: Reading
    wording: Wording
    seen: Hashable
    length: int = 0  # of its words, in characters
    is_bounded: bool = False  # some rows are not for whoever asks, and nothing is told of them
    whom: Hashable = None  # the one for whom the source decides; None: it knows no reader of ours

    @property
    def question(self) -> Question:
        """The whole of it."""
        return self.reading.question

    @property
    def owner(self) -> Hashable:
        """Whose the answer is, and a no as well."""
        return (self.opened.name, self.whom)

    @property
    def skip(self) -> int:
        """How many records of the answer are passed over: a source's have no number that lasts."""
        after = self.question.after
        return int(after[-1]) if after is not None else self.question.offset


@dataclass(frozen=True, slots=True)
class Selected:
    """The records of an answer in order, and all that match where that is known."""

    records: list[Record]
    more: bool
    matched: int | None
    told: Mapping[str, Any]


class LiveReader:
    """One a process."""

    def __init__(self, sources: LiveSources, *, cache_bytes: int) -> None:
        self.sources = sources
        self.copies = Copies(cache_bytes)
        self._flights: Flights[Copy] = Flights()
        self._preparations = Preparations()

    async def page(self, ask: LiveAsk) -> Rows:
        """One page of records. Raises `LiveFailed`, `LiveTooMuch`."""
        passed = self.prepared(ask).passed
        if passed is not None:
            return await self._passed(ask, passed)
        found = await self.select(ask)
        return await _off_loop(len(found.records), partial(_written, ask, found))

    async def select(self, ask: LiveAsk) -> Selected:
        """The records of a page, or of a whole answer. Raises `LiveFailed`, `LiveTooMuch`."""
        made = self.prepared(ask).made
        key = (ask.owner, made.name)
        copy, is_stale = await self._once(ask, key, partial(self._loaded, ask, made))
        return await _off_loop(
            len(copy.records), partial(_selected, ask, made.part, copy, is_stale=is_stale)
        )

    def heed(self, ask: LiveAsk, failure: LiveFailed) -> None:
        """Forget what was given where a failure is no outage: a source that says no to one question
        takes back its answers to all, and they are not given once it is away as well."""
        if failure.named["told_as"] in _NO_OUTAGE:
            self.copies.drop_of(ask.owner)

    async def close(self) -> None:
        """End what is asked now."""
        await self._flights.close()

    def prepared(self, ask: LiveAsk) -> Prepared:
        """What a question comes to at its source."""
        asked = (ask.question, ask.wording, ask.opened, ask.seen)
        if ask.length > LONG:  # nor is its plan held, so it comes as another question each time
            return prepare(*asked, ask.skip)
        return self._preparations.of(*asked, ask.skip)

    async def _once(self, ask: LiveAsk, key: Hashable, load: Loads) -> tuple[Copy, bool]:
        held = self.copies.find(key)
        if held is not None and held.is_fresh(time.monotonic()):
            return held, False
        try:
            # By the way that it came: one that goes round in circles is refused, and no other with it.
            asked = (key, passage.platforms())
            work = partial(self._kept, ask, key, load, held)
            return await self._flights.once(asked, work), False
        except LiveFailed as failure:
            self.heed(ask, failure)
            held = self.copies.find(key)
            if held is None or not _may_be_stale(ask, held):
                raise
            ask.opened.source.figures.stale += 1
            return held, True

    async def _kept(self, ask: LiveAsk, key: Hashable, load: Loads, held: Copy | None) -> Copy:
        """What is loaded, kept before the question under way is over: who comes then finds it."""
        copy = await load(held)
        keeps = copy.validators or copy.fresh_for or ask.opened.feed.stale_for_seconds
        if copy.stored and keeps:
            self.copies.keep(key, copy, owner=ask.owner, asked_in=ask.length)
        return copy

    async def _loaded(self, ask: LiveAsk, made: Made, held: Copy | None) -> Copy:
        connector, selection = ask.opened.source.connector, ask.opened.selection
        known = Known(held.validators) if held is not None and held.validators else None

        async def question() -> Copy:
            asked_at = time.monotonic()
            async with connector.fetch(selection, made.part.asked, known) as rows:
                if rows is None:
                    if held is None:
                        raise SourceBroken(source=connector.kind, at="status", detail=304)
                    return replace(held, held_at=asked_at)
                gathered = _Gathered(ask, made.need)
                async for batch in rows.batches:
                    if await _off_loop(len(batch), partial(gathered.take, batch)):
                        break
                return Copy(
                    gathered.records, gathered.rejected, gathered.came, asked_at,
                    as_of=rows.as_of, validators=rows.validators, fresh_for=rows.fresh_seconds,
                    stored=rows.may_be_kept,
                )  # fmt: skip

        return await ask.opened.source.ask(ask.dataset, _SECONDS, question)

    async def _passed(self, ask: LiveAsk, way: Passed) -> Rows:
        """A page in the source's own words, as far as they pass."""
        key = (ask.owner, way.name)
        copy, is_stale = await self._once(ask, key, partial(self._relayed, ask, way))
        last = position({}, ask.question, copy.came) if copy.more else ()
        told = _told(ask, copy, [], is_stale=is_stale) | _shifts(is_so=copy.more)
        if copy.body is not None:
            return Rows(copy.body, copy.came, copy.more, last, told=told)
        writing = Writing(ask.opened.fields, ask.reading, ask.wording)
        body = writing.page(copy.records)
        return Rows(body, len(copy.records), copy.more, last, told=told)

    async def _relayed(self, ask: LiveAsk, way: Passed, held: Copy | None) -> Copy:
        del held
        opened, connector = ask.opened, ask.opened.source.connector

        async def relay() -> Copy:
            asked_at, body = time.monotonic(), bytearray()
            async with connector.relay(opened.selection, way.asked) as came:
                async for piece in came.pieces:
                    body += piece
                    if len(body) > _MOST_BODY:
                        raise SourceBroken(source=connector.kind, at="too_long", detail=_MOST_BODY)
            more = came.more and came.count > 0
            copy = Copy([], 0, came.count, asked_at, more=more, as_of=came.as_of)
            size = max(came.count, len(body) // _ROW_BYTES)  # what is announced may be less
            return await _off_loop(size, partial(_looked_at, ask, way.look, copy, bytes(body)))

        return await opened.source.ask(ask.dataset, _SECONDS, relay)


class _Gathered:
    """Records as they come, bounded in number and about in bytes."""

    def __init__(
        self, ask: LiveAsk, need: int | None, fields: Sequence[Field] | None = None
    ) -> None:
        self._ask = ask
        opened, mapping = ask.opened, ask.opened.feed.mapping
        known = opened.columns if fields is None else None
        self._typing = Typing(fields or opened.fields, mapping, known)
        self._need = need
        self._size = 0
        self.records: list[Record] = []
        self.rejected = self.came = 0

    def take(self, batch: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there are enough. Raises `LiveTooMuch`, `SourceChanged`."""
        ask, kind = self._ask, self._ask.opened.source.connector.kind
        self.came += len(batch)
        try:
            made, rejected = self._typing.records(batch)
        except (ShapeChanged, NumberFound) as exc:
            raise of_rows(ask.dataset, kind, exc) from exc
        self.rejected += rejected
        if self._need is not None:
            made = list(chosen(made, ask.question, ask.opened.fields))
        self.records += made
        self._size += Copy(made, 0, 0, 0.0).weigh()
        if batch and self.rejected == self.came:
            raise SourceChanged(source=kind, at="shape", detail=ask.dataset)
        if len(self.records) > MOST_RECORDS or self._size > _MOST_BYTES:
            raise LiveTooMuch(dataset=ask.dataset, most=MOST_RECORDS)
        return self._need is not None and len(self.records) >= self._need


def _selected(ask: LiveAsk, part: Parted, copy: Copy, *, is_stale: bool) -> Selected:
    question, skip = ask.question, ask.skip
    found = list(chosen(copy.records, question, ask.opened.fields))
    told = _told(ask, copy, part.done_here, is_stale=is_stale)
    if part.is_cut and question.limit is not None:
        more = copy.came > question.limit
        return Selected(found[: question.limit], more, None, told | _shifts(is_so=more))
    if not part.is_ordered:
        found = ordered(found, question)
    end = None if question.limit is None else skip + question.limit
    more = end is not None and len(found) > end
    return Selected(found[skip:end], more, len(found), told | _shifts(is_so=more))


def _written(ask: LiveAsk, found: Selected) -> Rows:
    question, page = ask.question, found.records
    writing = Writing(ask.opened.fields, ask.reading, ask.wording)
    last: tuple[Any, ...] = ()
    if found.more and question.limit is not None:
        last = position(page[-1] if page else {}, question, ask.skip + question.limit)
    return Rows(
        writing.page(page), len(page), found.more, last, people=tuple(writing.people(page)),
        matched=found.matched, told=found.told,
    )  # fmt: skip


def _shifts(*, is_so: bool) -> dict[str, bool]:
    """That there is a further page, and that it begins behind so many records as they are then: a
    source keeps no version of what was read of it (PAGE-03)."""
    return {"pages_may_shift": True} if is_so else {}


def _told(ask: LiveAsk, copy: Copy, done_here: list[str], *, is_stale: bool) -> dict[str, Any]:
    """What `meta` says of an answer: how fresh it is, and what the platform did itself."""
    age = max(time.monotonic() - copy.held_at, 0.0)
    told = {
        "source": "live",
        "stale": is_stale,
        "age_seconds": round(age, 3),
        "revision": 0,
        "answered_at": clock.now(),
        "done_here": done_here,
    }
    if copy.as_of is not None:
        told["as_of"] = copy.as_of
    if copy.rejected and not ask.is_bounded:
        told["rejected"] = copy.rejected
    return told


def _looked_at(ask: LiveAsk, look: Look, copy: Copy, body: bytes) -> Copy:
    """What was relayed, put into a copy that nobody has yet: as it stands where it passes, made
    into records where it does not.

    Raises `SourceBroken`, `SourceChanged`.
    """
    kind, fields = ask.opened.source.connector.kind, ask.question.fields
    try:
        records = records_in(body)
    except ValueError as exc:
        raise SourceBroken(source=kind, at="format", detail="JSON") from exc
    if len(records) != copy.came or not _RECORDS.issuperset(map(type, records)):
        raise SourceChanged(source=kind, at="shape", detail=ask.dataset)
    records = records[: ask.question.limit]
    if holds_number(body):
        raise of_rows(ask.dataset, kind, NumberFound())
    is_whole = len(records) == copy.came
    if is_whole and look.passes(records) and says_no_more(body, records):
        copy.body = body
        return copy
    gathered = _Gathered(ask, None, fields)
    gathered.take(records)
    copy.records, copy.rejected, copy.came = gathered.records, gathered.rejected, len(records)
    return copy


def _may_be_stale(ask: LiveAsk, held: Copy) -> bool:
    """Whether the last good answer is not too old to be given while the source is away."""
    most = ask.opened.feed.stale_for_seconds
    return most is not None and time.monotonic() - held.held_at <= most


async def _off_loop(size: int, work: Callable[[], _Done]) -> _Done:
    """The work done, in a thread where it would hold up everybody."""
    return work() if size <= _IN_LOOP else await asyncio.to_thread(work)
