"""The migration that brings findings: up on a log that has entries, down and up again."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import _move

BELOW, OURS = "0034", "0035"


async def test_findings_come_and_go_and_the_rules_begin_where_the_log_ends(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, BELOW)
    connection = await asyncpg.connect(dsn_of(url))
    await connection.fetchval("SELECT log_append(ARRAY['{\"event\": \"records.read\"}', '{}'])")

    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    marks = await connection.fetch("SELECT seq FROM alert_mark")
    await asyncio.to_thread(_move, url, command.downgrade, BELOW)
    below = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relname ~ '^(alert_|finding)' AND relkind = 'r'"
    )
    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    await connection.close()
    await embedded.drop_database(name)

    assert {mark["seq"] for mark in marks} == {2}
    assert (len(marks), below) == (4, 0)
