"""The migration that brings purpose views: up on a database that has data, down and up again."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import FILLED, _move

BELOW, OURS = "0018", "0019"
VIEW = "INSERT INTO purpose_view VALUES ('parks', 'health', $1, $2, now(), 'test')"


async def test_views_come_and_go_and_one_that_bounds_nothing_is_refused(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0003")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED)
    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    await connection.execute(
        "INSERT INTO purpose VALUES ('health', '健康', 'Health') ON CONFLICT DO NOTHING"
    )
    await connection.execute(VIEW, ["name"], None)
    refused = None
    try:
        await connection.execute(VIEW.replace("'health'", "'other'"), None, None)
    except asyncpg.CheckViolationError as exc:
        refused = exc.constraint_name

    await asyncio.to_thread(_move, url, command.downgrade, BELOW)
    below = await connection.fetchval("SELECT to_regclass('purpose_view')")
    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    again = await connection.fetchval("SELECT count(*) FROM purpose_view")
    await connection.close()
    await embedded.drop_database(name)

    assert refused == "ck_purpose_view_bounds_something"
    assert (below, again) == (None, 0)
