"""One attempt at a run: stopped within a second or two when somebody cancels it, never half-made."""

import asyncio
from typing import Final
from uuid import UUID

import asyncpg

from app.catalogue import runs
from app.catalogue.refusals import RunEnded
from app.kit.db import Database
from app.tables import uploads
from app.tasks.load import load

_LOOK_EVERY_S: Final = 0.5


async def attempt(database: Database, run_id: UUID) -> None:
    """Load a run's file unless the run was cancelled, before or meanwhile.

    Whatever the load is doing then, reading, copying or indexing, is broken off and rolled back.
    Raises what a retry may mend, and `RunHeld`.
    """
    loading = asyncio.create_task(_load_sealed(database, run_id))
    watching = asyncio.create_task(_until_cancelled(database, run_id))
    try:
        await asyncio.wait({loading, watching}, return_when=asyncio.FIRST_COMPLETED)
        is_cancelled = watching.done()
    finally:  # told from outside to stop, too: nothing goes on behind our back
        loading.cancel()
        watching.cancel()
        await asyncio.wait({loading, watching})
    if is_cancelled:
        await _end_cancelled(database, run_id)
        return
    try:
        loading.result()
    except runs.RunCancelled:
        await _end_cancelled(database, run_id)
    except RunEnded:
        return  # by another worker, which was only thought to be dead


async def _load_sealed(database: Database, run_id: UUID) -> None:
    upload_id = await database.pool.fetchval("SELECT upload_id FROM run WHERE id = $1", run_id)
    async with database.pool.acquire() as connection:
        await uploads.seal(connection, upload_id)
    await load(database, run_id)


async def _until_cancelled(database: Database, run_id: UUID) -> None:
    """Ends when somebody asks for the run's end. A look that fails is repeated."""
    statement = "SELECT cancel_requested_at IS NOT NULL FROM run WHERE id = $1"
    while True:
        try:
            if await database.pool.fetchval(statement, run_id):
                return
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # the load itself meets the same, and says so
        await asyncio.sleep(_LOOK_EVERY_S)


async def _end_cancelled(database: Database, run_id: UUID) -> None:
    async with database.writing() as session:
        await runs.end_cancelled(session, await runs.get(session, run_id, lock=True))
