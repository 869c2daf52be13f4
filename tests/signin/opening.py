"""Sessions that a test opens without signing in, and waiting for what waits for a lock."""

import asyncio
from typing import Any

from app.api.state import Platform

_WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


async def opened(platform: Platform, person_id: str, methods: tuple[str, ...], **more: Any) -> str:
    """The secret of a new session of somebody who may have one."""
    secret = await platform.sign_ins.open(person_id, methods, **more)
    assert secret is not None
    return secret


async def somebody_waits(platform: Platform) -> None:
    """Return once a statement waits for what another transaction holds."""
    async with asyncio.timeout(10):
        while not await platform.database.pool.fetchval(_WAITING):  # noqa: ASYNC110 - no event of ours
            await asyncio.sleep(0.01)
