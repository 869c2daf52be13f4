"""What a process remembers is dropped when the database changes, also when nobody tells it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
import structlog

from app.kit.db import plain_dsn
from app.kit.live import Live, LiveCache

ADD = "INSERT INTO purpose (code, name_ja, name_en) VALUES ($1, '試験', 'test')"


@pytest_asyncio.fixture(loop_scope="session")
async def live(database_url: str) -> AsyncIterator[Live]:
    made = Live(plain_dsn(database_url))
    await made.start()
    yield made
    await made.stop()


async def _count(database_url: str) -> int:
    connection = await asyncpg.connect(plain_dsn(database_url))
    found: int = await connection.fetchval("SELECT count(*) FROM purpose")
    await connection.close()
    return found


def purposes(live: Live, database_url: str) -> LiveCache[int]:
    async def load(_key: str) -> int:
        return await _count(database_url)

    return live.cache(load, kinds=("all",))


async def _until(cache: LiveCache[int], value: int) -> None:
    async with asyncio.timeout(3):
        while await cache.get("") != value:  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.01)


async def test_a_change_by_another_process_is_seen(live: Live, database_url: str) -> None:
    cache = purposes(live, database_url)
    before = await cache.get("")

    connection = await asyncpg.connect(plain_dsn(database_url))
    await connection.execute(ADD, "live-1")
    await connection.close()

    await _until(cache, before + 1)


async def test_a_lost_notification_is_made_good_by_the_poll(live: Live, database_url: str) -> None:
    cache = purposes(live, database_url)
    before = await cache.get("")
    assert live._connection is not None
    await live._connection.remove_listener("urbanos", live._heard)

    connection = await asyncpg.connect(plain_dsn(database_url))
    await connection.execute(ADD, "live-2")
    await connection.close()

    await _until(cache, before + 1)


async def test_a_change_that_was_notified_leaves_other_things_in_memory(
    live: Live, database_url: str
) -> None:
    loads: list[str] = []

    async def load(key: str) -> str:
        loads.append(key)
        return key

    cache = live.cache(load, kinds=("client",))
    await cache.get("a")

    connection = await asyncpg.connect(plain_dsn(database_url))
    await connection.execute(ADD, "live-3")  # notifies `all`, which this cache does not name
    await connection.close()
    await asyncio.sleep(1.3)  # past the next poll

    await cache.get("a")
    assert loads == ["a"]


async def test_a_value_that_changed_while_it_was_read_is_not_kept() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    values = iter(["old", "new"])

    async def load(_key: str) -> str:
        value = next(values)
        begun.set()
        await go_on.wait()
        return value

    cache = LiveCache(load)
    reading = asyncio.create_task(cache.get("a"))
    await begun.wait()
    cache.drop("a")
    go_on.set()

    assert await reading == "old"
    assert cache.held("a") is None
    assert await cache.get("a") == "new"


async def test_the_listener_comes_back_after_its_connection_was_cut(
    live: Live, database_url: str
) -> None:
    cache = purposes(live, database_url)
    before = await cache.get("")
    assert live._connection is not None
    live._connection.terminate()

    connection = await asyncpg.connect(plain_dsn(database_url))
    await connection.execute(ADD, "live-4")
    await connection.close()

    await _until(cache, before + 1)


async def test_a_loss_is_told_once_and_so_is_the_return(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, away = live._connect, asyncio.Event()

    async def refuse() -> None:
        if not away.is_set():
            raise ConnectionRefusedError
        await connect()

    monkeypatch.setattr(live, "_connect", refuse)
    monkeypatch.setattr("app.kit.live.POLL_SECONDS", 0.05)
    with structlog.testing.capture_logs() as said:
        assert live._connection is not None
        live._connection.terminate()
        await asyncio.sleep(1.6)
        away.set()
        await asyncio.sleep(0.3)

    assert [entry["event"] for entry in said] == ["live.lost", "live.back"]
