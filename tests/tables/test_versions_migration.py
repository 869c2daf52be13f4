"""The migration that brings editions, on a database that has versions: up, down and up again."""

import asyncio
import secrets
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config

from tests.database import REPO, DatabaseServer, dsn_of

FILLED = """
INSERT INTO organization (id, kind, name_ja, created_at) VALUES ('271004', 'city', '試験', now());
INSERT INTO dataset (id, title_ja, publisher_id, steward_name, data_class, zone, update_frequency,
    themes, hidden, state, current_version, search_text, created_at, created_by, modified_at)
VALUES ('parks', '試験', '271004', '試験', 'public', 'internet', 'once', '{}', false, 'active', 2,
    '', '2026-01-01Z', 'test', '2026-01-03Z');
INSERT INTO version (dataset_id, number, state, revision, table_name, fields, row_count,
    created_at, changed_at, published_at)
VALUES ('parks', 1, 'published', 0, 'v_one', '[]', 1, '2026-01-01Z', '2026-01-01Z', '2026-01-01Z'),
       ('parks', 2, 'published', 3, 'v_two', '[]', 5, '2026-01-02Z', '2026-01-04Z', '2026-01-03Z');
CREATE TABLE hosted.v_one (_row bigint, _since bigint, _until bigint);
CREATE TABLE hosted.v_two (_row bigint, _since bigint, _until bigint);
"""


def _move(url: str, way: Any, revision: str) -> None:
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(REPO / "migrations"))
    config.attributes["url"] = url
    way(config, revision)


async def _indexes(connection: "asyncpg.Connection[Any]") -> list[str]:
    rows = await connection.fetch(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'hosted' ORDER BY 1"
    )
    return [row["indexname"] for row in rows]


async def test_what_readers_get_is_the_first_edition_as_far_back_as_it_is_known(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0003")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED)

    await asyncio.to_thread(_move, url, command.upgrade, "0004")
    editions = await connection.fetch("SELECT * FROM edition")
    indexes = await _indexes(connection)
    await connection.execute(
        "INSERT INTO edition VALUES ('parks', 2, 1, 0, 1, now(), 'd_one');"
        "CREATE TABLE hosted.d_one (n bigint)"
    )
    await asyncio.to_thread(_move, url, command.downgrade, "0003")
    below = await _indexes(connection)
    tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'hosted'")
    await asyncio.to_thread(_move, url, command.upgrade, "0004")
    again = await connection.fetchval("SELECT count(*) FROM edition")
    await connection.close()
    await embedded.drop_database(name)

    (edition,) = editions
    assert (edition["number"], edition["version_number"], edition["revision"]) == (1, 2, 3)
    assert edition["row_count"] == 5
    # Version 2 was written to on the 4th: what readers got before is not known any more.
    assert edition["began_at"].isoformat() == "2026-01-04T00:00:00+00:00"
    assert indexes == ["v_one_since", "v_one_until", "v_two_since", "v_two_until"]
    assert (below, tables, again) == ([], 2, 1)
