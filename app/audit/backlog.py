"""Whether the log takes entries now. Adds none."""

from typing import Any, Final

import asyncpg

from app.kit.db import LOST

# The lock, the update and the commit that every entry needs, for no entry.
_NOTHING: Final = "SELECT log_append('{}')"


async def takes_entries(pool: "asyncpg.Pool[Any]", *, wait_s: float = 2.0) -> bool:
    """Whether an entry could be written within the time. False also where nothing answers."""
    try:
        await pool.fetchval(_NOTHING, timeout=wait_s)
    except LOST:
        return False
    return True
