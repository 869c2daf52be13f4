"""The tidying job: forgets what has run out, and lets go the versions that a dataset's retention
names. Never touches the log, nor a version or a file that is in use."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, text
from sqlalchemy.exc import DBAPIError

from app.agents.relay import forget_unwanted
from app.catalogue import incoming, retention
from app.findings.deliveries import forget_delivered
from app.kit import clock
from app.kit.db import Database
from app.kit.folders import sweep
from app.models.datasets import IdempotentAnswer
from app.oauth.codes import forget_answers
from app.oauth.pushed import forget_pushed
from app.oauth.revocation import forget_revoked
from app.oauth.used import forget_used
from app.parties.registrations import forget_undecided
from app.signin.changes import forget_links
from app.signin.citizens import forget_citizens
from app.signin.federation import forget_under_way
from app.signin.sessions import forget_sessions
from app.subscriptions import notices
from app.tables import parts

log = structlog.get_logger()
# The interface promises to know an Idempotency-Key for a day (IDEMP rules).
_ANSWERS_KEPT: Final = timedelta(hours=24)
_LOCK_NOT_GOT: Final = "55P03"


async def tidy(database: Database) -> None:
    """Delete expired assertions, revocations, sessions, codes and registrations, the answers kept
    for retries, and versions let go; files that no run used, and folders of killed workers."""
    await asyncio.to_thread(sweep)
    await forget_used(database.pool)
    await forget_revoked(database.pool)
    await forget_pushed(database.pool)
    await forget_answers(database.pool)
    await forget_sessions(database.pool)
    await forget_undecided(database.pool)
    await forget_under_way(database.pool)
    await forget_citizens(database.pool)
    await forget_links(database.pool)
    await forget_delivered(database.pool)
    await forget_unwanted(database.pool)
    await notices.forget(database.pool)
    async with database.writing() as session:
        old = clock.now() - _ANSWERS_KEPT
        await session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < old))
    async with database.pool.acquire() as connection, connection.transaction():
        now = clock.now()
        await parts.remove_expired(connection, now, now - incoming.KEPT)
    await let_versions_go(database)


async def let_versions_go(database: Database) -> None:
    """Drop what each dataset's retention lets go, one version a transaction."""
    async with database.reading() as session:
        named = [
            (dataset_id, number)
            for dataset_id in await retention.datasets_with_policy(session)
            for number in await retention.candidates(session, dataset_id)
        ]
    for dataset_id, number in named:
        await _let_go(database, dataset_id, number)


async def _let_go(database: Database, dataset_id: str, number: int) -> None:
    """Drop one version; while somebody reads its rows, leave it for the next time."""
    try:
        async with database.writing() as session:
            # Whoever comes after a waiting DROP TABLE waits too: so it waits for a moment only.
            await session.execute(text("SET LOCAL lock_timeout = '1s'"))
            await retention.drop(session, dataset_id, number)
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != _LOCK_NOT_GOT:
            raise
        log.info("version.still_read", dataset=dataset_id, version=number)
