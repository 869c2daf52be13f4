"""Sessions of one process: when all connections are lent, that is said."""

from contextlib import AsyncExitStack

import pytest

from app.kit.db import Database, DatabaseUnavailable


@pytest.mark.parametrize("way", ["reading", "writing"])
async def test_who_waits_too_long_for_a_connection_is_told_to_come_again(
    database_url: str, way: str
) -> None:
    database = await Database.open(database_url, connections=1)
    database.engine.sync_engine.pool._timeout = 0.1  # type: ignore[attr-defined]
    async with AsyncExitStack() as others:
        for _ in range(3):
            session = await others.enter_async_context(database.reading())
            await session.connection()

        with pytest.raises(DatabaseUnavailable):
            async with getattr(database, way)() as session:
                await session.connection()

    async with database.reading() as session:
        await session.connection()
    await database.close()
