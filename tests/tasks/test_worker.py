"""The worker outlives its database, and stops when it is told."""

import asyncio

import pytest

from app.jobs import queue
from app.kit import embedded as kit
from app.kit.db import Database
from app.tasks.worker import work
from tests.conftest import migrate
from tests.database import SETTINGS


async def test_an_idle_worker_notices_that_its_connection_was_cut(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("worker") / "db"
    server = await kit.start(folder, settings=SETTINGS)
    try:
        await asyncio.to_thread(migrate, server.url)
        database = await Database.open(server.url, connections=2)
        working = asyncio.create_task(work(database, asyncio.Event()))
        await asyncio.sleep(1)

        await server.stop()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(working, 15)
        await database.close()
    finally:
        await server.stop()


async def test_a_worker_that_is_told_to_stop_stops(database_url: str) -> None:
    database = await Database.open(database_url, connections=2)
    stop = asyncio.Event()
    working = asyncio.create_task(work(database, stop))
    await asyncio.sleep(0.5)

    stop.set()

    await asyncio.wait_for(working, 10)
    await database.close()


async def test_a_job_is_seen_only_once_its_transaction_commits(database_url: str) -> None:
    database = await Database.open(database_url, connections=2)
    async with database.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await queue.enqueue(connection, "no-such-job", note="x")
        await transaction.rollback()

    waiting = await database.pool.fetchval("SELECT count(*) FROM pgqueuer")

    assert waiting == 0
    await database.close()
