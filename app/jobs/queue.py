"""The queue: work that is done after the answer, enqueued in the transaction that asks for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import orjson

from app.kit.db import Driver

LOAD: Final = "load"
FILES: Final = "files"
ALERTS: Final = "alerts"
HARVEST: Final = "harvest"
EXAMINE: Final = "examine"
MOVING: Final = "moving"
CHANGED: Final = "changed"  # a dataset that somebody wants to be told of
NOTIFY: Final = "notify"
_BACKLOG: Final = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(created)), 0)::float8
FROM pgqueuer WHERE status = 'queued' AND execute_after <= now()
"""


async def enqueue(driver: Driver, job: str, **payload: Any) -> None:
    """Put a job in the queue; a worker sees it once the driver's transaction commits."""
    await enqueue_all(driver, job, [payload])


async def enqueue_all(driver: Driver, job: str, payloads: Sequence[Mapping[str, Any]]) -> None:
    """The same for many of a kind, in one statement."""
    # Here, because a server that only reads never needs it: 60 ms of start and 8 MB.
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver  # noqa: PLC0415
    from pgqueuer.queries import Queries  # noqa: PLC0415

    queries = Queries(AsyncpgDriver(driver))  # type: ignore[arg-type]
    encoded: list[bytes | None] = [orjson.dumps(payload) for payload in payloads]
    await queries.enqueue([job] * len(encoded), encoded, [0] * len(encoded))


async def backlog(pool: "asyncpg.Pool[Any]") -> tuple[int, float]:
    """How many jobs wait for a worker, and for how many seconds the oldest has."""
    (found,) = await pool.fetch(_BACKLOG)
    return found[0], found[1]
