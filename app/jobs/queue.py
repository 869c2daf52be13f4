"""The queue: work that is done after the answer, enqueued in the transaction that asks for it."""

from typing import Any, Final

import orjson
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.queries import Queries

from app.kit.db import Driver

LOAD: Final = "load"


async def enqueue(driver: Driver, job: str, **payload: Any) -> None:
    """Put a job in the queue; a worker sees it once the driver's transaction commits."""
    queries = Queries(AsyncpgDriver(driver))  # type: ignore[arg-type]
    await queries.enqueue([job], [orjson.dumps(payload)], [0])
