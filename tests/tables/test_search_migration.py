"""The migration that brings searching by words, on a database with a past: up and down."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import FILLED, _move


async def test_entries_of_before_can_be_found_at_once_and_wait_for_their_words(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0008")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED)
    await connection.execute("UPDATE dataset SET title_ja = 'ｺｳｴﾝ', description_ja = '遊具'")

    await asyncio.to_thread(_move, url, command.upgrade, "0009")
    row = await connection.fetchrow("SELECT * FROM dataset_words")
    await asyncio.to_thread(_move, url, command.downgrade, "0008")
    left = await connection.fetchval("SELECT to_regclass('dataset_words')")
    await connection.close()
    await embedded.drop_database(name)

    assert row is not None
    assert (row["dataset_id"], row["made_as"], row["parts"]) == ("parks", "", ["コウエン 遊具"])
    assert left is None
