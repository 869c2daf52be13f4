"""Lets go of what is older than the log's period, from its beginning only, and says so in the log.

Hashes of the tree and checkpoints stay for ever. The database lets nothing else be deleted
(`check_log_retention`): what no checkpoint proves, or what was changed, stays.
"""

from typing import Any, Final

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.audit.log import append, body_of
from app.models.log import LogRetention

_AT_ONCE: Final = 5_000
_KEPT: Final = "SELECT dropped, keep_days FROM log_retention FOR UPDATE SKIP LOCKED"
# One before the first that is too young, among those that are signed and counted. By the
# database's clock, as its rule judges.
_END: Final = """
SELECT coalesce(min(seq) FILTER (WHERE is_young IS NOT FALSE) - 1, max(seq)) FROM (
    SELECT seq, (body::jsonb ->> 'at')::timestamptz >= now() - make_interval(days => $2) AS is_young
    FROM log_entry
    WHERE seq > $1 AND seq < (SELECT max(size) FROM log_checkpoint)
      AND seq <= (SELECT counted FROM usage_state)
    ORDER BY seq LIMIT $3
) AS oldest
"""
_MOVE: Final = """
UPDATE log_retention
SET dropped = $1, hash = (SELECT hash FROM log_entry WHERE seq = $1), dropped_at = now()
"""
_DELETE: Final = "DELETE FROM log_entry WHERE seq <= $1"
_DELETE_SUBJECTS: Final = "DELETE FROM log_subject WHERE seq <= $1"  # whom they were about


async def find(session: AsyncSession) -> LogRetention:
    """The period, and how far entries were let go."""
    return (await session.scalars(select(LogRetention))).one()


async def set_period(session: AsyncSession, keep_days: int | None, *, by: str) -> LogRetention:
    """Keep entries for so many days, or for ever. What was let go does not come back."""
    kept = (await session.scalars(select(LogRetention).with_for_update())).one()
    kept.keep_days = keep_days
    await session.flush()
    await append(session, Event.LOG_PERIOD_SET, keep_days=keep_days or "for ever", by=by)
    return kept


async def let_go(pool: "asyncpg.Pool[Any]") -> bool:
    """Let go of the next entries that are too old. Whether there may be more.

    One transaction: the entry that tells of it stands, or nothing was let go. Raises
    `asyncpg.InsufficientPrivilegeError` where the entries are not those of the tree.
    """
    async with pool.acquire() as connection, connection.transaction():
        kept = await connection.fetchrow(_KEPT)
        if kept is None or kept["keep_days"] is None:
            return False
        dropped, days = kept["dropped"], kept["keep_days"]
        end = await connection.fetchval(_END, dropped, days, _AT_ONCE)
        if end is None or end <= dropped:
            return False
        await connection.execute(_MOVE, end)
        await connection.execute(_DELETE, end)
        await connection.execute(_DELETE_SUBJECTS, end)
        body = body_of(Event.LOG_DROPPED, first=dropped + 1, last=end, keep_days=days)
        await connection.execute("SELECT log_append($1)", [body])
        return bool(end - dropped == _AT_ONCE)
