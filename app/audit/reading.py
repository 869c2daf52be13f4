"""Entries of the log, newest first. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from app.audit.events import Event
from app.audit.metering import ROWS_OF_ENTRIES
from app.kit.db import Driver

_LIST: Final = """
SELECT seq, body, hash FROM log_entry
WHERE ($1::bigint IS NULL OR seq < $1) AND seq >= $2 {filters} ORDER BY seq DESC LIMIT $3
"""
# As the expression of the one index is, by dataset.
_FILTER: Final = " AND body::jsonb ->> '{0}' IS NOT NULL AND body::jsonb ->> '{0}' = ${1} "
_DROPPED: Final = "SELECT dropped FROM log_retention"
_LOOKED_THROUGH: Final = 50_000
_FLOOR: Final = """
SELECT greatest(coalesce($1, log_head.seq + 1) - $2, dropped + 1) AS floor, dropped
FROM log_head, log_retention
"""
_LATER: Final = """
body::jsonb ->> 'dataset' IS NOT NULL AND body::jsonb ->> 'dataset' = $1
AND seq > (SELECT counted FROM usage_state)
"""
# What is counted by day, and the entries since; in one statement, so in one view of both.
_USES: Final = """
WITH later AS ({later}),
uses AS (
    SELECT consumer_id, client_id, purpose, event, entries, rows, last_at FROM usage_day
    WHERE dataset_id = $1
    UNION ALL
    SELECT consumer_id, client_id, purpose, event, entries, rows, last_at FROM later
)
SELECT nullif(consumer_id, '') AS consumer, nullif(client_id, '') AS client,
       nullif(purpose, '') AS purpose,
       coalesce(sum(entries) FILTER (WHERE event = 'records.read'), 0)::bigint AS reads,
       coalesce(sum(entries) FILTER (WHERE event = 'records.refused'), 0)::bigint AS refusals,
       coalesce(sum(rows) FILTER (WHERE event = 'records.read'), 0)::bigint AS rows,
       max(last_at) AS last_at
FROM uses WHERE event IN ('records.read', 'records.refused')
GROUP BY 1, 2, 3 ORDER BY last_at DESC LIMIT $2
"""
_READERS: Final = _USES.format(later=ROWS_OF_ENTRIES.format(where=_LATER))


_HEAD: Final = "SELECT seq FROM log_head"
_SPAN: Final = """
SELECT seq, body FROM log_entry
WHERE seq > $1 AND seq <= $2 AND body::jsonb ->> 'event' = ANY($3::text[]) ORDER BY seq
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """What one client has read of a dataset for one purpose. `consumer` None: no token shown."""

    consumer: str | None
    client: str | None
    purpose: str | None
    reads: int
    refusals: int
    rows: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is stored; without facts and hash where it was let go after its period."""

    seq: int
    facts: dict[str, Any]
    hash: str | None
    is_kept: bool = True


async def list_entries(
    pool: "asyncpg.Pool[Any]",
    *,
    dataset: str | None = None,
    client: str | None = None,
    event: Event | None = None,
    before: int | None = None,
    since: int = 1,
    limit: int = 100,
) -> list[Entry]:
    """Entries before a number, of one dataset, client or event where one is named.

    Without a name those that were let go stand at the end: that they were there is no secret.
    """
    named = {"dataset": dataset, "client": client, "event": event.value if event else None}
    asked = {name: value for name, value in named.items() if value is not None}
    filters = "".join(_FILTER.format(name, at) for at, name in enumerate(asked, start=4))
    statement = _LIST.format(filters=filters)
    rows = await pool.fetch(statement, before, since, limit, *asked.values())
    found = [Entry(row["seq"], orjson.loads(row["body"]), row["hash"].hex()) for row in rows]
    if asked or len(found) == limit:
        return found
    dropped = await pool.fetchval(_DROPPED)
    newest = dropped if before is None else min(dropped, before - 1)
    gone = range(newest, max(newest - limit + len(found), 0), -1)
    return [*found, *(Entry(seq, {}, None, is_kept=False) for seq in gone)]


async def looked_through(pool: "asyncpg.Pool[Any]", before: int | None) -> tuple[int, bool]:
    """The first of so many entries before a number as one page looks through, and whether any is
    before it. An index by client or event would make every entry dearer to write."""
    row = await pool.fetchrow(_FLOOR, before, _LOOKED_THROUGH)
    if row is None:
        return 1, False
    return row["floor"], row["floor"] > row["dropped"] + 1


async def head(driver: Driver) -> int:
    """The number of the newest entry. All before it are there: numbers are given at the commit."""
    return int(await driver.fetchval(_HEAD))


async def span(
    driver: Driver, after: int, last: int, events: Collection[Event]
) -> list[tuple[int, dict[str, Any]]]:
    """The entries of some events between two numbers, oldest first: number and facts."""
    rows = await driver.fetch(_SPAN, after, last, [event.value for event in events])
    return [(row["seq"], orjson.loads(row["body"])) for row in rows]


async def list_readers(
    pool: "asyncpg.Pool[Any]", dataset: str, *, limit: int = 1_000
) -> list[Reader]:
    """Who has read a dataset above public, or was refused: the latest first."""
    return [Reader(**row) for row in await pool.fetch(_READERS, dataset, limit)]
