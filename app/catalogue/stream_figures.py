"""How streams fare, summed up by connector, for whoever is woken at night. Names no dataset."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.models.connectors import ConnectorEntry, Feed, Mode, Stream, StreamMessage, StreamState

# Streams that should be listened for and nobody does; how often one began; rows; messages untaken.
COUNTS: Final = (
    "unheld", "connections", "received", "written", "deleted", "rejected", "waiting",
)  # fmt: skip
STATES: Final = (*(each.value for each in StreamState), "paused")


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Of the streams of one connector, or of several together."""

    connector: str
    states: dict[str, int]
    counts: dict[str, int]  # of `COUNTS`
    waiting_s: float  # the oldest message that came and is not taken yet
    silent_s: float  # since the last message was kept, of the stream that waits longest


async def of_connectors(session: AsyncSession) -> list[StreamFigures]:
    """Those of every connector that has streams, the one that wants a look first."""
    now = clock.now()
    untaken = (
        select(
            StreamMessage.dataset_id, func.count().label("messages"),
            func.min(StreamMessage.received_at).label("oldest"),
        ).group_by(StreamMessage.dataset_id).subquery()
    )  # fmt: skip
    state = case((ConnectorEntry.paused, "paused"), else_=Stream.state)
    is_free = or_(Stream.holder.is_(None), Stream.held_until < now)
    found = await session.execute(
        select(
            ConnectorEntry.id,
            *(func.count().filter(state == each) for each in STATES),
            func.count().filter(ConnectorEntry.paused.is_(False), is_free),
            *(func.sum(each) for each in (
                Stream.connections, Stream.received, Stream.written, Stream.deleted, Stream.rejected,
            )),
            func.coalesce(func.sum(untaken.c.messages), 0),
            func.coalesce(func.extract("epoch", now - func.min(untaken.c.oldest)), 0),
            func.coalesce(func.extract("epoch", now - func.min(Stream.last_at)), 0),
        )
        .join(Feed, Feed.connector_id == ConnectorEntry.id)
        .join(Stream, Stream.dataset_id == Feed.dataset_id)
        .outerjoin(untaken, untaken.c.dataset_id == Stream.dataset_id)
        .where(Feed.mode == Mode.STREAM)
        .group_by(ConnectorEntry.id)
    )  # fmt: skip
    every = [_of_row(*row) for row in found]
    return sorted(every, key=_worst_first)


def together(name: str, figures: list[StreamFigures]) -> StreamFigures:
    """Several as one."""
    states = {state: sum(each.states[state] for each in figures) for state in STATES}
    counts = {count: sum(each.counts[count] for each in figures) for count in COUNTS}
    waiting_s = max(each.waiting_s for each in figures)
    return StreamFigures(name, states, counts, waiting_s, max(each.silent_s for each in figures))


def _worst_first(each: StreamFigures) -> tuple[int, int, str]:
    return (-each.counts["unheld"], -each.counts["waiting"], each.connector)


def _of_row(connector: UUID, *told: float) -> StreamFigures:
    states = dict(zip(STATES, map(int, told), strict=False))
    *counts, waiting_s, silent_s = told[len(STATES) :]
    named = dict(zip(COUNTS, map(int, counts), strict=True))
    return StreamFigures(str(connector), states, named, float(waiting_s), float(silent_s))
