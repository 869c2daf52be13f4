"""What may be used once: the `jti` of assertions and of proofs. Never says yes twice, anywhere."""

from datetime import datetime
from typing import Any, Final

import asyncpg

from app.kit import clock
from app.kit.db import Database

_USE: Final = """
INSERT INTO used_assertion (client_id, jti, expires_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING true
"""
_FORGET: Final = "DELETE FROM used_assertion WHERE expires_at < $1"


class UsedOnce:
    """Burns names: of any number of uses, on any replica, one gets through."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def use(self, owner: str, jti: str, expires_at: datetime) -> bool:
        """Whether this is the first use. `owner` parts the names of one sender from another's."""
        first = await self._database.pool.fetchval(_USE, owner, jti, expires_at)
        return bool(first)


async def forget_used(pool: "asyncpg.Pool[Any]") -> None:
    """Delete what has expired: no replay of it could pass any more."""
    await pool.execute(_FORGET, clock.now())
