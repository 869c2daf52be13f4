"""What the same request was answered before, by its `Idempotency-Key`. The caller holds a lock that
makes retries wait their turn."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import IdempotentAnswer


class IdempotencyKeyReused(AppError):
    """The same key came before with another body."""

    kind = Kind.INVALID
    code = "idempotency_key_reused"
    ja = "この Idempotency-Key は別の内容で使われています。新しい値を指定してください。"
    en = "This Idempotency-Key was used for another body. Give a new one."


async def find_answer(
    session: AsyncSession, client_id: str, key: str | None, request_sha256: str
) -> dict[str, Any] | None:
    """The first answer, None where there was none. Raises `IdempotencyKeyReused`."""
    if key is None:
        return None
    before = await session.get(IdempotentAnswer, (client_id, key))
    if before is None:
        return None
    if before.request_sha256 != request_sha256:
        raise IdempotencyKeyReused
    return before.answer


async def remember_answer(
    session: AsyncSession,
    client_id: str,
    key: str | None,
    request_sha256: str,
    answer: dict[str, Any],
) -> None:
    """Keep an answer for a day. Raises `IdempotencyKeyReused` where another request, which holds
    another lock, has come in between."""
    if key is None:
        return
    new = insert(IdempotentAnswer).values(
        client_id=client_id,
        key=key,
        request_sha256=request_sha256,
        answer=answer,
        created_at=clock.now(),
    )
    kept = new.on_conflict_do_nothing().returning(IdempotentAnswer.key)
    if await session.scalar(kept) is None:
        raise IdempotencyKeyReused
