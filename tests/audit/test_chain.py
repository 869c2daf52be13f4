"""Whoever changes the log behind its back is found out, down to the entry."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from app.audit.events import Event
from app.kit.db import plain_dsn
from app.models.parties import Role
from tests.world import World


@pytest_asyncio.fixture
async def owner(database_url: str, world: World) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """The database's owner with the triggers off, in a transaction that is taken back."""
    for at in range(6):
        await world.platform.log.write(Event.CALL_REFUSED, code=f"chain-{at}")
    connection = await asyncpg.connect(plain_dsn(database_url))
    yield connection
    await connection.close()


async def verdict(world: World) -> dict[str, Any]:
    party = await world.party("270008-smartcity", Role.AUDITOR)
    headers = await world.token(party, "audit:read")
    response: httpx.Response = await world.client.get("/v1/admin/audit/verify", headers=headers)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def damaged(
    owner: "asyncpg.Connection[Any]", world: World, *statements: str
) -> dict[str, Any]:
    """What the verification says of the damaged log; the damage is mended afterwards."""
    await owner.execute("CREATE TABLE kept AS SELECT * FROM log_entry")
    head = await owner.fetchrow("SELECT seq, hash FROM log_head")
    await owner.execute("SET session_replication_role = replica")
    try:
        for statement in statements:
            await owner.execute(statement)
        pool = world.platform.database.pool
        from app.audit.verify import verify  # noqa: PLC0415

        found = await verify(pool)
        return {"is_whole": found.is_whole, "broken_at": found.broken_at, "reason": found.reason}
    finally:
        await owner.execute("DELETE FROM log_entry")
        await owner.execute("INSERT INTO log_entry SELECT * FROM kept")
        await owner.execute("DROP TABLE kept")
        await owner.execute("UPDATE log_head SET seq = $1, hash = $2", *(head or ()))


MIDDLE = "(SELECT max(seq) - 3 FROM log_entry)"


@pytest.mark.parametrize(
    ("statements", "reason", "behind"),
    [
        ([f"UPDATE log_entry SET body = replace(body, 'chain', 'chaim') WHERE seq = {MIDDLE}"], "entry_changed", 3),
        ([f"UPDATE log_entry SET body = body || ' ' WHERE seq = {MIDDLE}"], "entry_changed", 3),
        ([f"UPDATE log_entry SET hash = sha256(hash) WHERE seq = {MIDDLE}"], "entry_changed", 3),
        ([f"DELETE FROM log_entry WHERE seq = {MIDDLE}"], "entry_missing", 3),
        (["DELETE FROM log_entry WHERE seq = 1"], "entry_missing", None),
        (["DELETE FROM log_entry WHERE seq > (SELECT max(seq) - 2 FROM log_entry)"], "end_missing", 1),
        (["INSERT INTO log_entry SELECT max(seq) + 1, '{}', sha256('x') FROM log_entry"], "entry_changed", -1),
        (["INSERT INTO log_entry SELECT seq + 1, body, hash FROM log_entry ORDER BY seq DESC LIMIT 1"], "entry_changed", -1),
        (
            ["UPDATE log_entry SET seq = -1 WHERE seq = (SELECT max(seq) - 3 FROM log_entry)",
             "UPDATE log_entry SET seq = seq - 1 WHERE seq = (SELECT max(seq) - 2 FROM log_entry)",
             "UPDATE log_entry SET seq = (SELECT max(seq) - 2 FROM log_entry) WHERE seq = -1"],
            "entry_changed", 3,
        ),
        (["UPDATE log_head SET seq = seq + 1"], "end_missing", -1),
        (["UPDATE log_head SET hash = sha256('x')"], "end_missing", -1),
    ],
)  # fmt: skip
async def test_damage_is_named_by_its_first_entry(
    owner: "asyncpg.Connection[Any]",
    world: World,
    statements: list[str],
    reason: str,
    behind: int | None,
) -> None:
    last = await owner.fetchval("SELECT max(seq) FROM log_entry")

    found = await damaged(owner, world, *statements)

    assert found == {
        "is_whole": False, "broken_at": 1 if behind is None else last - behind, "reason": reason,
    }  # fmt: skip
    assert (await verdict(world))["is_whole"] is True


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET body = '{}'", "DELETE FROM log_entry", "TRUNCATE log_entry",
        "UPDATE log_entry SET body = body", "DELETE FROM log_head", "TRUNCATE log_head",
        "DELETE FROM log_entry WHERE seq = 1",
    ],
)  # fmt: skip
async def test_the_database_refuses_to_change_what_is_logged(
    owner: "asyncpg.Connection[Any]", world: World, statement: str
) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await owner.execute(statement)

    assert (await verdict(world))["is_whole"] is True


async def test_the_door_to_the_log_names_the_broken_entry(
    owner: "asyncpg.Connection[Any]", world: World
) -> None:
    broken = await owner.fetchval("SELECT max(seq) - 2 FROM log_entry")
    body = await owner.fetchval("SELECT body FROM log_entry WHERE seq = $1", broken)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("UPDATE log_entry SET body = '{}' WHERE seq = $1", broken)

    found = await verdict(world)
    await owner.execute("UPDATE log_entry SET body = $2 WHERE seq = $1", broken, body)

    assert found == {
        "entries": broken - 1, "dropped": 0, "is_whole": False, "broken_at": broken,
        "reason": "entry_changed",
    }  # fmt: skip
