"""The migration that brings findings: up on a log that has entries, down and up again."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.conftest import TEMPLATE
from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import _move

BELOW, OURS = "0034", "0035"


async def test_findings_come_and_go_and_the_rules_begin_where_the_log_ends(
    template: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await template.make_database(name, template=TEMPLATE)
    await asyncio.to_thread(_move, url, command.downgrade, BELOW)
    connection = await asyncpg.connect(dsn_of(url))
    head = await connection.fetchval(
        "SELECT log_append(ARRAY['{\"event\": \"records.read\"}', '{}'])"
    )

    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    marks = await connection.fetch("SELECT seq FROM alert_mark")
    await asyncio.to_thread(_move, url, command.downgrade, BELOW)
    below = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relname ~ '^(alert_|finding)' AND relkind = 'r'"
    )
    await asyncio.to_thread(_move, url, command.upgrade, OURS)
    await connection.close()
    await template.drop_database(name)

    assert {mark["seq"] for mark in marks} == {head}
    assert (len(marks), below) == (4, 0)
