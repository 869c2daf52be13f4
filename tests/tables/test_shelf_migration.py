"""The migration that brings announcements and approval, on a database with a past: up and down."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import FILLED, _move

WITHDRAWN = """
UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '終了', modified_at = '2026-02-01Z';
INSERT INTO dataset SELECT (json_populate_record(dataset, '{"id": "open", "state": "active",
    "withdrawn_reason": null, "current_version": 1}')).* FROM dataset WHERE id = 'parks';
INSERT INTO version SELECT (json_populate_record(version, '{"dataset_id": "open",
    "table_name": "v_open"}')).* FROM version WHERE number = 1;
INSERT INTO dataset SELECT (json_populate_record(dataset, '{"id": "new",
    "current_version": null}')).* FROM dataset WHERE id = 'open';
"""


async def test_what_was_published_or_withdrawn_before_is_announced_with_its_own_time(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0009")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED + WITHDRAWN)

    await asyncio.to_thread(_move, url, command.upgrade, "0010")
    rows = await connection.fetch("SELECT id, announced_at::date::text AS day FROM dataset")
    told = await connection.fetchval(
        "SELECT bool_and(tgenabled = 'O') FROM pg_trigger"
        " WHERE tgrelid = 'dataset'::regclass AND NOT tgisinternal"
    )
    await asyncio.to_thread(_move, url, command.downgrade, "0009")
    left = await connection.fetchval(
        "SELECT count(*) FROM information_schema.columns"
        " WHERE column_name IN ('announced_at', 'approval')"
    )
    await connection.close()
    await embedded.drop_database(name)

    days = {row["id"]: row["day"] for row in rows}
    assert days == {"parks": "2026-02-01", "open": "2026-01-01", "new": None}
    assert told  # whoever remembers a dataset hears of its changes again
    assert left == 0
