"""The tidying job: forgets what has run out. Never touches the log, a version or a file."""

from datetime import timedelta
from typing import Final

from sqlalchemy import delete

from app.kit import clock
from app.kit.db import Database
from app.models.datasets import IdempotentAnswer
from app.oauth.authentication import forget_used

# The interface promises to know an Idempotency-Key for a day (IDEMP rules).
_ANSWERS_KEPT: Final = timedelta(hours=24)


async def tidy(database: Database) -> None:
    """Delete expired assertions and the answers kept for retries."""
    await forget_used(database.pool)
    async with database.writing() as session:
        old = clock.now() - _ANSWERS_KEPT
        await session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < old))
