"""How harvests end, summed up: for each feed since when it has failed, for each kind how often what.

What is kept here is kept with the end of a harvest, in its transaction; no history is read for it.
"""

from dataclasses import dataclass

from sqlalchemy import case, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.connectors import (
    ConnectorEntry,
    Feed,
    Harvest,
    HarvestCount,
    HarvestState,
    Stream,
    StreamState,
)

_GOOD = frozenset((HarvestState.OK, HarvestState.DEGRADED, HarvestState.UNCHANGED))


@dataclass(frozen=True, slots=True)
class Figures:
    """What operators watch. `counts`: by kind and outcome."""

    counts: dict[tuple[str, str], int]
    failing: dict[str, int]  # feeds by kind whose last harvest failed, or whose stream broke off
    oldest_good_s: dict[str, float]  # by kind, of feeds with a schedule that do not rest


async def keep(session: AsyncSession, harvest: Harvest) -> None:
    """Note that a harvest has ended. Its state and its end are set."""
    await _count(session, harvest)
    if harvest.state == HarvestState.CANCELLED:
        return
    feed = await session.get(Feed, harvest.dataset_id, with_for_update=True)
    if feed is None or feed.connector_id != harvest.connector_id:
        return
    if harvest.state in _GOOD:
        feed.good_at, feed.failures, feed.failed_in = harvest.ended_at, 0, None
    else:
        feed.failures, feed.failed_in = feed.failures + 1, harvest.id


async def _count(session: AsyncSession, harvest: Harvest) -> None:
    is_failed = harvest.state == HarvestState.FAILED
    outcome = (harvest.error_class or "ours") if is_failed else str(harvest.state)
    one = select(ConnectorEntry.kind, literal(outcome), literal(1)).where(
        ConnectorEntry.id == harvest.connector_id
    )
    statement = insert(HarvestCount).from_select(["kind", "outcome", "times"], one)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["kind", "outcome"], set_={"times": HarvestCount.times + 1}
        )
    )


async def figures(session: AsyncSession) -> Figures:
    """What has been kept."""
    counts = await session.execute(select(HarvestCount))
    is_awaited = Feed.schedule.is_not(None) & ConnectorEntry.paused.is_(False)
    since = func.coalesce(Feed.good_at, ConnectorEntry.created_at)
    feeds = await session.execute(
        select(
            ConnectorEntry.kind,
            func.count().filter(or_(Feed.failures > 0, Stream.state == StreamState.WAITING)),
            func.extract("epoch", func.now() - func.min(case((is_awaited, since)))),
        )
        .join(Feed, Feed.connector_id == ConnectorEntry.id)
        .outerjoin(Stream, Stream.dataset_id == Feed.dataset_id)
        .group_by(ConnectorEntry.kind)
    )
    found = feeds.all()
    return Figures(
        {(each.kind, each.outcome): each.times for each in counts.scalars()},
        {kind: failing for kind, failing, _ in found},
        {kind: float(age) for kind, _, age in found if age is not None},
    )
