"""Counts the log by day into `usage_day`, each entry once. Changes nothing in the log.

The last entry that was counted moves in the transaction that counts, so neither a crash nor a
second worker counts anything twice.
"""

from typing import Any, Final

import asyncpg

_AT_ONCE: Final = 10_000
_MINUTES_AT_ONCE: Final = 5_000
_COUNTED: Final = "SELECT counted FROM usage_state FOR UPDATE"
_HEAD: Final = "SELECT seq FROM log_head"
_SET: Final = "UPDATE usage_state SET counted = $1"
_ADD: Final = """
INSERT INTO usage_day (day, event, dataset_id, provider_id, consumer_id, client_id, purpose,
                       reason, agreement_id, entries, rows, last_at)
{select}
ON CONFLICT ON CONSTRAINT pk_usage_day DO UPDATE SET
    entries = usage_day.entries + EXCLUDED.entries, rows = usage_day.rows + EXCLUDED.rows,
    last_at = greatest(usage_day.last_at, EXCLUDED.last_at)
"""
# These counts stay for ever. So what callers name is cut, and purposes are told of known clients
# only: nobody's requests could make up as many as they like.
ROWS_OF_ENTRIES: Final = """
SELECT day, event, dataset_id, provider_id, consumer_id, client_id, purpose, reason, agreement_id,
       count(*) AS entries, sum(rows)::bigint AS rows, max(at) AS last_at
FROM (
    SELECT (at AT TIME ZONE 'Asia/Tokyo')::date AS day, at, facts ->> 'event' AS event,
           left(coalesce(facts ->> 'dataset', ''), 100) AS dataset_id,
           CASE WHEN is_use THEN coalesce(facts ->> 'provider', '') ELSE '' END AS provider_id,
           CASE WHEN is_use THEN coalesce(facts ->> 'consumer', '') ELSE '' END AS consumer_id,
           CASE WHEN is_use THEN coalesce(facts ->> 'client', '') ELSE '' END AS client_id,
           CASE WHEN is_use AND facts ->> 'client' IS NOT NULL
                THEN left(coalesce(facts ->> 'purpose', ''), 100) ELSE '' END AS purpose,
           left(coalesce(facts ->> 'reason', facts ->> 'decision', ''), 100) AS reason,
           left(coalesce(facts ->> 'agreement', ''), 100) AS agreement_id,
           CASE WHEN is_use THEN coalesce((facts ->> 'rows')::bigint, 0) ELSE 0 END AS rows
    FROM (
        SELECT facts, (facts ->> 'at')::timestamptz AS at,
               facts ->> 'event' IN ('records.read', 'records.refused', 'records.written') AS is_use
        FROM (SELECT body::jsonb AS facts FROM log_entry WHERE {where} OFFSET 0) AS read_once
    ) AS entry
    WHERE at IS NOT NULL AND facts ->> 'event' IS NOT NULL
) AS told
GROUP BY day, event, dataset_id, provider_id, consumer_id, client_id, purpose, reason, agreement_id
"""
_ENTRIES: Final = _ADD.format(select=ROWS_OF_ENTRIES.format(where="seq > $1 AND seq <= $2"))
_PUBLIC: Final = """
SELECT (minute AT TIME ZONE 'Asia/Tokyo')::date, 'public.read', dataset_id, provider_id,
       consumer_id, client_id, '', '', '', sum(reads)::bigint, 0, max(minute)
FROM due GROUP BY 1, 3, 4, 5, 6
"""
_TAKEN: Final = """
WITH due AS (
    SELECT dataset_id, client_id, minute, provider_id, consumer_id, reads - counted AS reads
    FROM usage_minute WHERE counted < reads
    ORDER BY dataset_id, client_id, minute LIMIT $1 FOR UPDATE
), taken AS (
    UPDATE usage_minute SET counted = usage_minute.counted + due.reads FROM due
    WHERE (usage_minute.dataset_id, usage_minute.client_id, usage_minute.minute)
        = (due.dataset_id, due.client_id, due.minute)
)
{add}
"""
_MINUTES: Final = _TAKEN.format(add=_ADD.format(select=_PUBLIC))


async def count(pool: "asyncpg.Pool[Any]") -> None:
    """Count all that was written until now, a bounded step a transaction."""
    while await _entries(pool):
        pass
    while await _minutes(pool):
        pass


async def _entries(pool: "asyncpg.Pool[Any]") -> bool:
    """Count the next entries. Whether there may be more."""
    async with pool.acquire() as connection, connection.transaction():
        counted = await connection.fetchval(_COUNTED)
        end = min(await connection.fetchval(_HEAD), counted + _AT_ONCE)
        if end <= counted:
            return False
        await connection.execute(_ENTRIES, counted, end)
        await connection.execute(_SET, end)
        return bool(end - counted == _AT_ONCE)


async def _minutes(pool: "asyncpg.Pool[Any]") -> bool:
    """Count the next minutes of reads of public data. Whether there may be more."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval(_COUNTED)  # one at a time
        done = await connection.execute(_MINUTES, _MINUTES_AT_ONCE)
    return int(done.rpartition(" ")[2]) > 0
