"""The measuring job: counts versions that were written to, or made before versions were counted."""

from app.catalogue import measuring
from app.kit.db import Database


async def measure(database: Database) -> None:
    """Bring the kept counts of published versions up to date, some at a time."""
    async with database.reading() as session:
        waiting = await measuring.missing(session)
    for dataset_id, number in waiting:
        # Each by itself: nobody who wants to drop a table waits for the others.
        async with database.writing() as session:
            await measuring.keep_up(session, dataset_id, number)
