"""What was used, out of the counts by day: by day or month, and by dataset, party, purpose or reason.

Reads only `usage_day`, so a log of any length costs the same; says up to which entry it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.log import UsageDay


class Period(StrEnum):
    """What the counts are put together by."""

    DAY = "day"
    MONTH = "month"


class By(StrEnum):
    """Whom or what the counts are told for."""

    TOTAL = "total"
    DATASET = "dataset"
    PROVIDER = "provider"
    CONSUMER = "consumer"
    CLIENT = "client"
    PURPOSE = "purpose"
    REASON = "reason"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose uses, of which days in Japan (both are among them)."""

    first: date
    last: date
    period: Period = Period.MONTH
    by: By = By.DATASET
    dataset: str | None = None
    provider: str | None = None
    organization: str | None = None  # as provider or as consumer
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """One line. `key` is empty where nobody is named: no token was shown, no purpose told."""

    period: str
    key: str
    reads: int  # in the log
    rows: int  # that these let out
    refusals: int
    writes: int
    public_reads: int


_COLUMN: Final = {
    By.TOTAL: "''",
    By.DATASET: "dataset_id",
    By.PROVIDER: "provider_id",
    By.CONSUMER: "consumer_id",
    By.CLIENT: "client_id",
    By.PURPOSE: "purpose",
    By.REASON: "reason",
}
_FORMAT: Final = {Period.DAY: "YYYY-MM-DD", Period.MONTH: "YYYY-MM"}
_USED: Final = """
SELECT period, key,
       coalesce(sum(entries) FILTER (WHERE event = 'records.read'), 0)::bigint AS reads,
       coalesce(sum(rows) FILTER (WHERE event = 'records.read'), 0)::bigint AS rows,
       coalesce(sum(entries) FILTER (WHERE event = 'records.refused'), 0)::bigint AS refusals,
       coalesce(sum(entries) FILTER (WHERE event = 'records.written'), 0)::bigint AS writes,
       coalesce(sum(entries) FILTER (WHERE event = 'public.read'), 0)::bigint AS public_reads
FROM (
    SELECT to_char(day, '{format}') AS period, {column} AS key, event, entries, rows
    FROM usage_day
    WHERE day BETWEEN $1 AND $2
      AND event IN ('records.read', 'records.refused', 'records.written', 'public.read')
      AND ($3::text IS NULL OR dataset_id = $3)
      AND ($4::text IS NULL OR provider_id = $4)
      AND ($5::text IS NULL OR $5 IN (provider_id, consumer_id))
      AND ($6::text IS NULL OR client_id = $6)
) AS uses
WHERE (period, key) > ($7, $8)
GROUP BY period, key ORDER BY period, key LIMIT $9
"""


async def used(
    pool: "asyncpg.Pool[Any]", asked: Asked, *, after: tuple[str, str] | None, limit: int
) -> list[Used]:
    """Lines after one that is named, in the order of period and key."""
    statement = _USED.format(format=_FORMAT[asked.period], column=_COLUMN[asked.by])
    period, key = after or ("", "")
    rows = await pool.fetch(
        statement, asked.first, asked.last, asked.dataset, asked.provider, asked.organization,
        asked.client, period, key, limit,
    )  # fmt: skip
    return [Used(**row) for row in rows]


async def counted(pool: "asyncpg.Pool[Any]") -> int:
    """The number of the last entry of the log that the counts hold."""
    return int(await pool.fetchval("SELECT counted FROM usage_state"))


async def read_by(
    session: AsyncSession, datasets: Sequence[str], *, since: date
) -> list[tuple[str, str, int, datetime]]:
    """Which consumers have read these since a day: dataset, consumer, reads, and the last of them.

    Nobody is named who showed no token, and no owner who read its own.
    """
    reads = ("records.read", "public.read")
    asked = (
        select(
            UsageDay.dataset_id, UsageDay.consumer_id,
            func.sum(UsageDay.entries), func.max(UsageDay.last_at),
        )
        .where(
            UsageDay.dataset_id.in_(datasets), UsageDay.day >= since, UsageDay.event.in_(reads),
            UsageDay.consumer_id.not_in(("", UsageDay.provider_id)),
        )
        .group_by(UsageDay.dataset_id, UsageDay.consumer_id)
    )  # fmt: skip
    return [(row[0], row[1], int(row[2]), row[3]) for row in await session.execute(asked)]
