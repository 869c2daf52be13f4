"""Counts reads of public data by dataset, client and minute. Counts, never lists."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import structlog

from app.kit import clock
from app.kit.db import LOST

log = structlog.get_logger()
_FLUSH_SECONDS: Final = 5.0
_ADD: Final = """
INSERT INTO usage_minute (dataset_id, client_id, minute, provider_id, consumer_id, reads)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[]
)
ON CONFLICT (dataset_id, client_id, minute) DO UPDATE SET reads = usage_minute.reads + EXCLUDED.reads
"""


@dataclass(frozen=True, slots=True)
class _Minute:
    dataset_id: str
    client_id: str  # empty: no token was shown
    minute: datetime


class Usage:
    """Counts in memory and adds them to the table every few seconds. One a process."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._counts: Counter[_Minute] = Counter()
        self._of: dict[_Minute, tuple[str, str]] = {}  # provider and consumer
        self._task: asyncio.Task[None] | None = None

    def note(
        self, dataset_id: str, client_id: str | None, *, provider: str, consumer: str | None
    ) -> None:
        """Count one read."""
        at = clock.now().replace(second=0, microsecond=0)
        minute = _Minute(dataset_id, client_id or "", at)
        self._counts[minute] += 1
        self._of[minute] = (provider, consumer or "")

    async def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.create_task(self._flush_for_ever(), name="usage")

    async def stop(self) -> None:
        """Flush once more and stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def flush(self) -> None:
        """Add what was counted; what cannot be added now is kept for the next time."""
        counts, self._counts = self._counts, Counter()
        parties, self._of = self._of, {}
        if not counts:
            return
        try:
            await self._pool.execute(
                _ADD,
                [each.dataset_id for each in counts],
                [each.client_id for each in counts],
                [each.minute for each in counts],
                [parties[each][0] for each in counts],
                [parties[each][1] for each in counts],
                list(counts.values()),
                timeout=10,
            )
        except LOST as exc:
            self._keep(counts, parties)
            log.warning("usage.kept", error=type(exc).__name__)
        except asyncio.CancelledError:  # told to stop amid it: `stop` tries once more
            self._keep(counts, parties)
            raise

    def _keep(self, counts: Counter[_Minute], parties: dict[_Minute, tuple[str, str]]) -> None:
        self._counts.update(counts)
        self._of = parties | self._of

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()
