"""The stored tree keeps up with the entries, and a log that was changed is never signed."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from app.audit import checkpoints, tree
from app.audit.checkpoints import LogKeeper, origin_of
from app.audit.events import Event
from app.audit.merkle import Frontier, leaf_hash
from app.audit.notes import Checkpoint, Note, Verifier
from app.audit.tree import LogBroken
from app.audit.verify import Verdict, verify
from app.kit.crypto import Sealer
from app.kit.db import plain_dsn
from app.kit.key_places import KeyFile
from tests.conftest import TEMPLATE
from tests.database import DatabaseServer
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_pool(template: DatabaseServer) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """A database that the tests of this module own: no trigger stops them."""
    name = f"t_{secrets.token_hex(4)}"
    url = await template.make_database(name, template=TEMPLATE)
    settings = {"session_replication_role": "replica"}
    async with asyncpg.create_pool(plain_dsn(url), min_size=1, server_settings=settings) as pool:
        yield pool
    await template.drop_database(name)


@pytest_asyncio.fixture
async def owned(own_pool: "asyncpg.Pool[Any]") -> LogKeeper:
    """A log of eight signed entries in the database that the test owns."""
    for table in ("log_entry", "log_tile", "log_checkpoint", "log_key"):
        await own_pool.execute(f"DELETE FROM {table}")
    await own_pool.execute("UPDATE log_head SET seq = 0, hash = sha256('urbanos log 1')")
    await own_pool.execute("SELECT log_append($1)", [f'{{"event":"{at}"}}' for at in range(8)])
    keeper = LogKeeper(
        own_pool, Sealer(secrets.token_bytes(32), KeyFile(Path("none"))), "a.example/log"
    )
    await keeper.keep()
    return keeper


async def written(world: World, count: int = 6) -> int:
    """The number of the last of some new entries."""
    last = 0
    for at in range(count):
        last = await world.platform.log.write(Event.CALL_REFUSED, code=f"tree-{at}")
    return last


async def root_now(world: World, size: int) -> bytes:
    made = Frontier()
    for row in await world.platform.database.pool.fetch(
        "SELECT hash FROM log_entry WHERE seq <= $1 ORDER BY seq", size
    ):
        made.add(leaf_hash(row["hash"]))
    return made.root()


async def test_a_checkpoint_says_size_and_root_and_is_signed(world: World) -> None:
    keeper = world.platform.log_keeper
    last = await written(world)

    await keeper.keep()

    signed = await keeper.checkpoint()
    note, key = Note.parse(signed.note), Verifier.parse(await keeper.key())
    said = Checkpoint(origin_of(world.platform.issuer), last, await root_now(world, last))
    assert Checkpoint.parse(note.text) == said
    assert note.is_signed_by(key)
    assert (said.origin, key.name) == ("urbanos.test/v1/log", "urbanos.test/v1/log")
    assert await verify(world.platform.database.pool) == Verdict(last, None, None)


async def test_hundreds_of_entries_over_many_steps_are_one_tree(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, keeper = world.platform.database.pool, world.platform.log_keeper
    monkeypatch.setattr(tree, "_AT_ONCE", 100)
    for count in (1, 300, 254, 3):
        bodies = [f'{{"event":"x","n":{at}}}' for at in range(count)]
        last = await pool.fetchval("SELECT log_append($1)", bodies)
        await keeper.keep()

        found = await keeper.checkpoint()
        assert (found.size, found.root) == (last, await root_now(world, last))

    for size in (1, 255, 256, 257, last - 1):
        assert await tree.roots_of(pool, [(0, size)]) == [await root_now(world, size)]


async def test_the_keeper_goes_on_after_a_loss_and_after_a_damage(
    owned: LogKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow, troubles = tree.grow, [ConnectionResetError(), LogBroken(3), LogBroken(3)]

    async def troubled(pool: "asyncpg.Pool[Any]") -> bool:
        if troubles:
            raise troubles.pop()
        return await grow(pool)

    monkeypatch.setattr(tree, "grow", troubled)
    monkeypatch.setattr(checkpoints, "_LOOK_S", 0.01)
    monkeypatch.setattr(checkpoints, "_SIGNED_EVERY", timedelta(0))
    await owned._pool.execute("SELECT log_append($1)", ["{}"])
    await owned.start()
    async with asyncio.timeout(5):
        while (await owned.checkpoint()).size < 9:  # noqa: ASYNC110 - it happens beside us
            await asyncio.sleep(0.01)
    await owned.stop()

    assert troubles == []
    assert (await verify(owned._pool)).is_whole


@pytest.mark.parametrize(
    ("age", "written", "signs"),
    [(25, True, False), (31, True, True), (3_500, False, False), (3_700, False, True)],
)
async def test_what_was_written_is_signed_within_a_minute_and_what_stands_each_hour(
    owned: LogKeeper, age: int, written: bool, signs: bool
) -> None:
    await owned._pool.execute(
        "UPDATE log_checkpoint SET confirmed_at = now() - make_interval(secs => $1)", age
    )
    before = await owned.checkpoint()
    if written:
        await owned._pool.execute("SELECT log_append($1)", ["{}"])

    await owned.keep(now=False)

    assert ((await owned.checkpoint()) != before) is signs


async def test_an_entry_that_waits_to_be_signed_shows_in_the_figures(
    owned: LogKeeper, client: httpx.AsyncClient
) -> None:
    pool = owned._pool
    signed = await checkpoints.unsigned_seconds(pool)
    body = '{"at":"2026-04-01T00:00:00Z","event":"x"}'
    await pool.execute("SELECT log_append($1)", [body, body])

    assert signed == 0
    assert await checkpoints.unsigned_seconds(pool) > 60
    assert "urbanos_log_unsigned_seconds " in (await client.get("/metrics")).text


async def test_the_end_of_the_tree_is_found_without_looking_through_it(
    own_pool: "asyncpg.Pool[Any]", owned: LogKeeper
) -> None:
    async with own_pool.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.execute(
            "INSERT INTO log_tile SELECT level, number, sha256('x')"
            " FROM generate_series(1, 2) AS level, generate_series(0, 2000) AS number"
        )
        await connection.execute("ANALYZE log_tile")
        found = await connection.fetch(tree._LAST)
        plan = await connection.fetch(f"EXPLAIN {tree._LAST}")
        await undone.rollback()

    assert sorted((each["level"], each["number"]) for each in found) == [
        (0, 0),
        (1, 2000),
        (2, 2000),
    ]
    shown = "\n".join(line for (line,) in plan)
    assert "pk_log_tile" in shown and "Sort" not in shown and "Seq Scan" not in shown, shown


async def test_one_of_two_keepers_grows_the_tree_and_both_sign_the_same(world: World) -> None:
    pool = world.platform.database.pool
    before = await tree.size_of(pool)
    await written(world)
    async with pool.acquire() as other, other.transaction():
        await other.execute(tree._ALONE)

        assert await tree.grow(pool) is False
        assert await tree.size_of(pool) == before
    await world.platform.log_keeper.keep()
    assert await tree.size_of(pool) == await written(world, 1) - 1


async def test_the_database_keeps_tiles_key_and_checkpoints(
    world: World,
) -> None:
    await written(world)
    await world.platform.log_keeper.keep()
    for statement in (
        "UPDATE log_tile SET hashes = substr(hashes, 33)",
        "UPDATE log_tile SET hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0))",
        "UPDATE log_tile SET number = number + 1",
        "DELETE FROM log_tile",
        "TRUNCATE log_tile",
        "UPDATE log_key SET verifier = 'x'",
        "DELETE FROM log_key",
        "UPDATE log_checkpoint SET root = sha256('x')",
        "DELETE FROM log_checkpoint",
        "DELETE FROM log_cosignature",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await world.platform.database.pool.execute(statement)


# Everything is computed anew after an edit: whoever owns the database can do that.
ANEW = """
DO $$ DECLARE e log_entry; h bytea := sha256('urbanos log 1'); BEGIN
    FOR e IN SELECT * FROM log_entry ORDER BY seq LOOP
        h := sha256(h || convert_to(e.body, 'UTF8'));
        UPDATE log_entry SET hash = h WHERE seq = e.seq;
        UPDATE log_head SET seq = e.seq, hash = h;
    END LOOP;
END $$
"""
EDIT = "UPDATE log_entry SET body = replace(body, 'event', 'evemt') WHERE seq = 5"
CUT = "DELETE FROM log_entry WHERE seq >= 5"


@pytest.mark.parametrize(
    ("damage", "reason", "at"),
    [
        ([EDIT], "entry_changed", 5),
        ([EDIT, ANEW], "entry_rewritten", 5),
        ([CUT, ANEW], "end_missing", 5),
        ([CUT, ANEW, "DELETE FROM log_tile"], "end_missing", 5),
        ([EDIT, ANEW, "DELETE FROM log_tile"], "checkpoint_differs", 8),
        (["UPDATE log_checkpoint SET root = sha256('x')"], "checkpoint_differs", 8),
    ],
)
async def test_a_log_written_anew_has_tree_and_signature_against_it(
    owned: LogKeeper, damage: list[str], reason: str, at: int
) -> None:
    signed = await owned.checkpoint()
    for statement in damage:
        await owned._pool.execute(statement)

    assert await verify(owned._pool) == Verdict(at if at == 8 else at - 1, at, reason)
    await owned._pool.execute("SELECT log_append($1)", ["{}"])
    if damage != [EDIT]:  # that one was in the tree before: only a walk finds it
        with pytest.raises(LogBroken):
            await owned.keep()
        assert (await owned.checkpoint()).note == signed.note


async def test_a_checkpoint_that_the_key_did_not_sign_is_found(owned: LogKeeper) -> None:
    await owned._pool.execute("UPDATE log_checkpoint SET note = replace(note, E'\n8\n', E'\n9\n')")

    assert (await verify(owned._pool)).reason == "checkpoint_forged"


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO log_entry VALUES (9, '{}', sha256('x'))",
        "INSERT INTO log_entry VALUES (10, '{}', sha256('x'))",
        "UPDATE log_head SET seq = 9",
        "UPDATE log_head SET hash = sha256('x')",
        "UPDATE log_entry SET hash = sha256('x') WHERE seq = 8",
        "DELETE FROM log_entry WHERE seq = 8",
        "DELETE FROM log_tile",
        "UPDATE log_tile SET hashes = substr(hashes, 1, 64)",
    ],
)
async def test_what_does_not_fit_never_becomes_a_part_of_the_tree(
    owned: LogKeeper, damage: str
) -> None:
    await owned._pool.execute(damage)
    if damage.startswith("INSERT"):
        await owned._pool.execute("UPDATE log_head SET seq = (SELECT max(seq) FROM log_entry)")
    if "log_tile" in damage:
        await owned._pool.execute(EDIT)
        await owned._pool.execute(ANEW)

    with pytest.raises(LogBroken):
        await owned.keep()

    assert (await owned.checkpoint()).size == 8
