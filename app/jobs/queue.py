"""The queue: work that is done after the answer, enqueued in the transaction that asks for it."""

from typing import Any, Final

import orjson

from app.kit.db import Driver

LOAD: Final = "load"


async def enqueue(driver: Driver, job: str, **payload: Any) -> None:
    """Put a job in the queue; a worker sees it once the driver's transaction commits."""
    # Here, because a server that only reads never needs it: 60 ms of start and 8 MB.
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver  # noqa: PLC0415
    from pgqueuer.queries import Queries  # noqa: PLC0415

    queries = Queries(AsyncpgDriver(driver))  # type: ignore[arg-type]
    await queries.enqueue([job], [orjson.dumps(payload)], [0])
