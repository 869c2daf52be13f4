"""Entries of the log, newest first. Reads only."""

from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from app.audit.events import Event

_LIST: Final = """
SELECT seq, body, hash FROM log_entry
WHERE ($1::text IS NULL OR (body::jsonb ->> 'dataset' IS NOT NULL
                            AND body::jsonb ->> 'dataset' = $1))
  AND ($2::text IS NULL OR body::jsonb ->> 'client' = $2)
  AND ($3::text IS NULL OR body::jsonb ->> 'event' = $3)
  AND ($4::bigint IS NULL OR seq < $4)
ORDER BY seq DESC LIMIT $5
"""


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
