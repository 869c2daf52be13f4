"""Entries of the log, newest first. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from app.audit.events import Event
from app.kit.db import Driver

_LIST: Final = """
SELECT seq, body, hash FROM log_entry
WHERE ($1::text IS NULL OR (body::jsonb ->> 'dataset' IS NOT NULL
                            AND body::jsonb ->> 'dataset' = $1))
  AND ($2::text IS NULL OR body::jsonb ->> 'client' = $2)
  AND ($3::text IS NULL OR body::jsonb ->> 'event' = $3)
  AND ($4::bigint IS NULL OR seq < $4)
ORDER BY seq DESC LIMIT $5
"""


_READERS: Final = """
SELECT body::jsonb ->> 'consumer' AS consumer, body::jsonb ->> 'client' AS client,
       body::jsonb ->> 'purpose' AS purpose,
       count(*) FILTER (WHERE body::jsonb ->> 'event' = 'records.read') AS reads,
       count(*) FILTER (WHERE body::jsonb ->> 'event' = 'records.refused') AS refusals,
       coalesce(sum((body::jsonb ->> 'rows')::bigint)
                FILTER (WHERE body::jsonb ->> 'event' = 'records.read'), 0)::bigint AS rows,
       max((body::jsonb ->> 'at')::timestamptz) AS last_at
FROM log_entry
WHERE body::jsonb ->> 'dataset' = $1
  AND body::jsonb ->> 'event' IN ('records.read', 'records.refused')
GROUP BY 1, 2, 3 ORDER BY last_at DESC LIMIT $2
"""


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
    """One entry as it is stored."""

    seq: int
    facts: dict[str, Any]
    hash: str


async def list_entries(
    pool: "asyncpg.Pool[Any]",
    *,
    dataset: str | None = None,
    client: str | None = None,
    event: Event | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries before a number, of one dataset, client or event where one is named."""
    named = event.value if event else None
    rows = await pool.fetch(_LIST, dataset, client, named, before, limit)
    return [Entry(row["seq"], orjson.loads(row["body"]), row["hash"].hex()) for row in rows]


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
