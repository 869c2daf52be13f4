"""The log's job: counts what was written, and lets go of what is older than its period. In bounded
steps, each a transaction of its own: a worker that ends amid them leaves nothing half done."""

import asyncpg
import structlog

from app.audit import metering, retention
from app.kit.db import Database

log = structlog.get_logger()


async def keep_log(database: Database) -> None:
    """Count up to now, then let go of entries that are counted, signed and too old."""
    await metering.count(database.pool)
    try:
        while await retention.let_go(database.pool):
            pass
    except asyncpg.InsufficientPrivilegeError:  # they are evidence: `urbanos audit verify`
        log.error("log.not_let_go")
