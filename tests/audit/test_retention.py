"""What is older than the log's period goes from its beginning, and all that is kept still proves."""

import asyncio
import io
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy.exc import IntegrityError

from app.api.state import Platform
from app.audit import metering, retention
from app.audit.checkpoints import LogKeeper
from app.audit.events import Event
from app.audit.merkle import is_consistent, leaf_hash, root_by_inclusion
from app.audit.notes import Checkpoint, Note
from app.audit.verify import Verdict, verify
from app.kit.crypto import Sealer
from app.kit.db import plain_dsn
from app.kit.key_places import KeyFile
from app.kit.settings import Settings
from app.models.parties import Role
from app.parties.seed import OPERATOR
from app.tasks.keep_log import keep_log
from tests.audit.test_export import exported, found, script
from tests.cli.test_demo import Home
from tests.conftest import TEMPLATE
from tests.database import DatabaseServer
from tests.world import World

OLD, LONG_AGO = 600, "2021-04-01T00:00:00Z"
pytestmark = pytest.mark.usefixtures("aged")


def bodies(first: int, count: int, at: str) -> list[str]:
    """Entries as they were written then."""
    return [
        f'{{"at":"{at}","code":"old-{n}","event":"call.refused"}}'
        for n in range(first, first + count)
    ]


async def empty(pool: "asyncpg.Pool[Any]") -> None:
    """Begin the log anew: it holds today's entries of those who made the database."""
    async with pool.acquire() as owner, owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute("SELECT pg_advisory_xact_lock(hashtext('urbanos.log_tree'))")
        for table in ("log_entry", "log_tile", "log_checkpoint"):
            await owner.execute(f"DELETE FROM {table}")
        await owner.execute("UPDATE log_head SET seq = 0, hash = sha256('urbanos log 1')")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database_url(template: DatabaseServer) -> AsyncIterator[str]:
    """The module's log begins with old entries."""
    name = f"m_{secrets.token_hex(5)}"
    url = await template.make_database(name, template=TEMPLATE)
    async with asyncpg.create_pool(plain_dsn(url), min_size=1) as made:
        await empty(made)
        await made.execute("SELECT log_append($1)", bodies(1, OLD // 2, LONG_AGO))
    yield url
    await template.drop_database(name)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def aged(platform: Platform) -> list[Checkpoint]:
    """What was signed of the old entries: half of them, and all."""
    half = await signed_up_to(platform, OLD // 2)
    more = bodies(OLD // 2 + 1, OLD // 2, LONG_AGO)
    await platform.database.pool.execute("SELECT log_append($1)", more)
    return [half, await signed_up_to(platform, OLD)]


async def signed_up_to(platform: Platform, size: int) -> Checkpoint:
    """The checkpoint of so many entries; while the server itself grows the tree we do not."""
    while True:
        await platform.log_keeper.keep()
        note = (await platform.log_keeper.checkpoint()).note
        said = Checkpoint.parse(Note.parse(note).text)
        if said.size == size:
            return said


async def test_old_entries_go_and_all_that_is_kept_still_verifies(
    client: httpx.AsyncClient, world: World, aged: list[Checkpoint]
) -> None:
    database, keeper = world.platform.database, world.platform.log_keeper
    auditor = await world.party(OPERATOR, Role.AUDITOR)
    headers = await world.token(auditor, "audit:read")
    await keeper.keep()
    key = (await client.get("/v1/log/key")).text.strip()
    copy = lines_of(await exported(client, headers, **{"from": 1}))[1:]
    notes = dict(await database.pool.fetch("SELECT size, note FROM log_checkpoint"))
    await keep_log(database)
    assert await retention.let_go(database.pool) is False  # all is kept until a period is set
    async with database.writing() as session:
        await retention.set_period(session, 365, by="test")
    about = [(secrets.token_bytes(32), seq) for seq in (1, OLD, OLD + 1)]
    await database.pool.executemany("INSERT INTO log_subject VALUES ($1, $2)", about)

    await keep_log(database)

    await keeper.keep()
    assert await database.pool.fetch("SELECT seq FROM log_subject") == [(OLD + 1,)]
    said = Checkpoint.parse(Note.parse((await client.get("/v1/log/checkpoint")).text).text)
    assert await verify(database.pool) == Verdict(said.size, None, None, dropped=OLD)
    # Of an entry that is gone, whoever has a copy proves that it was there.
    for seq in (1, 300, OLD, OLD + 1):
        proof = (await client.get("/v1/log/proofs/inclusion", params={"index": seq - 1})).json()
        leaf = leaf_hash(bytes.fromhex(copy[seq - 1]["hash"]))
        path = [bytes.fromhex(node) for node in proof["path"]]
        assert root_by_inclusion(seq - 1, said.size, leaf, path) == said.root
    for old in aged:
        asked = {"from": old.size, "to": said.size}
        proof = (await client.get("/v1/log/proofs/consistency", params=asked)).json()
        path = [bytes.fromhex(node) for node in proof["path"]]
        assert is_consistent(old.size, old.root, said.size, said.root, path)
    kept = await exported(client, headers, **{"from": OLD + 1})
    assert found(kept, key) == ""
    assert found(kept, key, known=notes[OLD]) == ""  # of all that went
    assert found(kept, key, known=notes[max(notes)]) == ""  # of some that stayed
    assert "from 301 or before" in found(kept, key, known=notes[OLD // 2])
    gone = await client.get("/v1/admin/audit/export", params={"from": OLD}, headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "log_entries_let_go")
    assert f"{OLD + 1} or more" in gone.json()["detail"]
    assert b"old-5" not in kept
    told = await world.log(Event.LOG_PERIOD_SET, Event.LOG_DROPPED)
    assert [(each["event"], each.get("last")) for each in told] == [
        ("log.period_set", None), ("log.dropped", OLD)]  # fmt: skip


async def test_what_was_let_go_shows_as_such_in_lists(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.AUDITOR)
    headers = await world.token(party, "audit:read")
    seen, asked = [], {"limit": "97"}
    while True:
        page = (await client.get("/v1/admin/audit", params=asked, headers=headers)).json()
        seen += page["items"]
        if not page.get("next"):
            break
        asked["cursor"] = page["next"]
    asked = {"event": "call.refused", "limit": "1000"}
    named = await client.get("/v1/admin/audit", params=asked, headers=headers)

    assert [each["seq"] for each in seen] == list(range(seen[0]["seq"], 0, -1))
    assert [each["seq"] for each in seen if not each["is_kept"]] == list(range(OLD, 0, -1))
    assert all(each["hash"] and each["facts"] for each in seen if each["is_kept"])
    assert not any(each["hash"] or each["facts"] for each in seen if not each["is_kept"])
    assert all(each["is_kept"] for each in named.json()["items"])


async def test_a_changed_entry_of_what_is_kept_still_shows_in_the_export(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.AUDITOR)
    headers = await world.token(party, "audit:read")
    await world.platform.log_keeper.keep()
    kept = await exported(client, headers, **{"from": OLD + 1})

    assert "does not fit" in found(kept.replace(b"client.added", b"client.edited"))
    head, *rest = kept.splitlines(keepends=True)
    proof = json.loads(head)["proof"]
    for at in range(len(proof)):
        other = head.replace(proof[at].encode(), secrets.token_hex(32).encode())
        with pytest.raises(script.Finding):
            script.verify(io.BytesIO(other + b"".join(rest)), [], None)


def lines_of(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


# --- what the database refuses, and what shows where somebody goes round it ----------------------


@pytest_asyncio.fixture
async def pool(template: DatabaseServer) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """A log of its own: 20 old entries, 5 of today, all signed and counted, and a period."""
    name = f"r_{secrets.token_hex(4)}"
    url = await template.make_database(name, template=TEMPLATE)
    async with asyncpg.create_pool(plain_dsn(url), min_size=1) as made:
        await empty(made)
        await made.execute("SELECT log_append($1)", bodies(1, 20, LONG_AGO))
        await made.execute("SELECT log_append($1)", bodies(21, 5, "2126-01-01T00:00:00Z"))
        await keeper_of(made).keep()
        await metering.count(made)
        await made.execute("UPDATE log_retention SET keep_days = 400")
        yield made
    await template.drop_database(name)


def keeper_of(pool: "asyncpg.Pool[Any]") -> LogKeeper:
    return LogKeeper(pool, Sealer(bytes(32), KeyFile(Path("none"))), "a.example/log")


_HASH = "hash = (SELECT hash FROM log_entry WHERE seq = {0})"
_TO = "UPDATE log_retention SET dropped = {0}, " + _HASH


async def test_the_database_lets_go_of_nothing_else(pool: "asyncpg.Pool[Any]") -> None:
    await retention.let_go(pool)  # the 20 old ones
    await pool.execute("INSERT INTO log_subject VALUES ('x', 21)")
    for statement in (
        "DELETE FROM log_entry WHERE seq = 21",
        "DELETE FROM log_entry",
        "TRUNCATE log_entry",
        "DELETE FROM log_subject",
        "TRUNCATE log_subject",
        "UPDATE log_subject SET seq = 1",
        "UPDATE log_entry SET body = body",
        _TO.format(21),  # too young
        _TO.format(25),
        "UPDATE log_retention SET dropped = 0, hash = sha256('urbanos log 1')",
        "UPDATE log_retention SET dropped = 10",
        "UPDATE log_retention SET hash = sha256('x')",
        "UPDATE log_retention SET dropped = 22, keep_days = 500, " + _HASH.format(22),
        "DELETE FROM log_retention",
        "TRUNCATE log_retention",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    for days in (1, 364, 0, -5, 36_501):
        with pytest.raises(asyncpg.CheckViolationError):
            await pool.execute("UPDATE log_retention SET keep_days = $1", days)

    assert await verify(pool) == Verdict(26, None, None, dropped=20)


async def test_only_what_is_signed_beyond_counted_and_whole_goes(
    pool: "asyncpg.Pool[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 7)
    for statement in (
        "UPDATE log_retention SET dropped = 5, " + _HASH.format(6),
        "UPDATE log_retention SET dropped = 26, hash = sha256('x')",
        "UPDATE log_retention SET keep_days = NULL, dropped = 5, " + _HASH.format(5),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    await pool.execute("UPDATE usage_state SET counted = 3")

    both = await asyncio.gather(retention.let_go(pool), retention.let_go(pool))
    uncounted = await verify(pool)
    await pool.execute("UPDATE usage_state SET counted = 25")
    while await retention.let_go(pool):
        assert (await verify(pool)).is_whole
    await keeper_of(pool).keep()

    assert set(both) == {False}
    assert uncounted == Verdict(26, None, None, dropped=3)
    assert await verify(pool) == Verdict(29, None, None, dropped=20)


@pytest.mark.parametrize(
    ("damage", "reason", "at"),
    [
        ("UPDATE log_retention SET hash = sha256('x')", "boundary_changed", 20),
        ("UPDATE log_retention SET dropped = 19", "boundary_changed", 19),
        ("UPDATE log_retention SET dropped = 0, hash = sha256('urbanos log 1')", "entry_missing", 1),
        ("DELETE FROM log_retention", "entry_missing", 1),
        ("UPDATE log_retention SET dropped = 99", "entry_missing", 27),
        (_TO.format(23) + "; DELETE FROM log_entry WHERE seq <= 23", "drop_untold", 23),
        ("DELETE FROM log_entry WHERE seq <= 21", "entry_missing", 21),
        ("UPDATE log_entry SET body = replace(body, 'old', 'odd') WHERE seq = 22", "entry_changed", 22),
        ("INSERT INTO log_entry VALUES (3, '{}', sha256('x'))", "entry_missing", 21),
        ("UPDATE log_tile SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40))",
         "checkpoint_differs", 26),
    ],
)  # fmt: skip
async def test_going_round_the_database_shows(
    pool: "asyncpg.Pool[Any]", damage: str, reason: str, at: int
) -> None:
    await retention.let_go(pool)
    await keeper_of(pool).keep()
    async with pool.acquire() as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(damage)
        await owner.execute("SET session_replication_role = DEFAULT")

    verdict = await verify(pool)

    assert (verdict.reason, verdict.broken_at) == (reason, at)


async def test_a_changed_entry_is_not_let_go_but_kept_as_evidence(
    pool: "asyncpg.Pool[Any]",
) -> None:
    async with pool.acquire() as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute("UPDATE log_entry SET body = body || ' ' WHERE seq = 7")
        await owner.execute("SET session_replication_role = DEFAULT")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await retention.let_go(pool)

    assert (await verify(pool)).broken_at == 7
    assert await pool.fetchval("SELECT count(*) FROM log_entry") == 25


async def test_the_period_is_set_at_the_shell_and_never_shorter_than_a_year(
    world: World, settings: Settings, database_url: str
) -> None:
    home = Home(settings.home, 1)

    def ask(*words: str) -> "subprocess.CompletedProcess[str]":
        return home.run("audit", "retention", *words, URBANOS_DATABASE_URL=database_url)

    done = await asyncio.to_thread(ask, "--keep-days", "1825", "--json")
    short = await asyncio.to_thread(ask, "--keep-days", "30")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["keep_days"] == 1825
    assert short.returncode == 2
    (told,) = await world.log(Event.LOG_PERIOD_SET)
    assert (told["keep_days"], told["by"][:4]) == (1825, "cli:")
    with pytest.raises(IntegrityError):
        async with world.platform.database.writing() as session:
            await retention.set_period(session, 364, by="test")
