"""Whole answers of live datasets: all of it lies here, counted, before the first byte leaves.

What is large lies in a temporary file: neither the source nor the memory waits for a slow taker.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.connectors.errors import SourceChanged
from app.live.errors import LiveFailed, LiveTooMuch, of_rows
from app.live.judged import chosen
from app.live.reader import LiveAsk, LiveReader
from app.live.typed import NumberFound, ShapeChanged, Typing
from app.live.written import Writing
from app.tables.pages import MOST_PEOPLE
from app.tables.spool import Spool

_SECONDS: Final = 300.0
_MOST_BYTES: Final = 4 << 30
_IN_LOOP: Final = 200


@dataclass(slots=True)
class Export:
    """So many records, about these people; None: about more than are told one by one."""

    spool: Spool = field(default_factory=Spool)
    count: int = 0
    size: int = 0
    people: dict[str, None] | None = field(default_factory=dict)
    told: Mapping[str, Any] | None = None  # of its age, where it may not be of now

    def put(
        self, records: Sequence[Mapping[str, Any]], lines: bytes, people: dict[str, None]
    ) -> None:
        """Add records behind those that are there."""
        self.count += len(records)
        self.size += len(lines)
        if self.people is not None:
            self.people |= people
            if len(self.people) > MOST_PEOPLE:
                self.people = None
        self.spool.put(lines)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The records, once."""
        try:
            while piece := await self.spool.take():
                yield piece
        finally:
            self.spool.close()


async def export(reader: LiveReader, ask: LiveAsk) -> Export:
    """All records of an answer; whoever has it closes its spool. Raises `LiveFailed`, `LiveTooMuch`."""
    question = ask.question
    if question.limit is not None or question.order or question.near is not None or ask.skip:
        found = await reader.select(ask)
        made = Export(told=found.told)
        _put(made, Writing(ask.opened.fields, ask.reading, ask.wording), found.records)
        made.spool.finish()
        return made
    try:
        return await ask.opened.source.ask_whole(
            ask.dataset, _SECONDS, lambda: _spooled(reader, ask)
        )
    except LiveFailed as failure:
        reader.heed(ask, failure)
        raise


async def _spooled(reader: LiveReader, ask: LiveAsk) -> Export:
    opened, made = ask.opened, Export()
    connector, part = opened.source.connector, reader.prepared(ask).made.part
    typing = Typing(opened.fields, opened.feed.mapping, opened.columns)
    writing = Writing(opened.fields, ask.reading, ask.wording)

    def take(batch: Sequence[Mapping[str, Any]]) -> int:
        try:
            records, rejected = typing.records(batch)
        except (ShapeChanged, NumberFound) as exc:
            raise of_rows(ask.dataset, connector.kind, exc) from exc
        _put(made, writing, list(chosen(records, ask.question, opened.fields)))
        return rejected

    came = rejected = 0
    try:
        async with connector.fetch(opened.selection, part.asked) as rows:
            if rows is None:
                raise SourceChanged(source=connector.kind, at="shape", detail=ask.dataset)
            async for batch in rows.batches:
                came += len(batch)
                is_short = len(batch) <= _IN_LOOP
                rejected += take(batch) if is_short else await asyncio.to_thread(take, batch)
                if made.size > _MOST_BYTES:
                    raise LiveTooMuch(dataset=ask.dataset, most=made.count)
        if came and rejected == came:
            raise SourceChanged(source=connector.kind, at="shape", detail=ask.dataset)
    except BaseException:
        made.spool.close()
        raise
    made.spool.finish()
    return made


def _put(made: Export, writing: Writing, records: Sequence[dict[str, Any]]) -> None:
    made.put(records, writing.lines(records), writing.people(records))
