"""The log tells whom a read was about to whoever knows a name of theirs, until they are forgotten."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.accesses import Access, forget_subject, list_accesses
from app.audit.events import Event
from app.audit.reading import list_entries
from app.audit.subjects import everybody
from app.audit.verify import verify
from app.kit.db import Database
from app.tables import pages
from tests.stock import PURPOSE, against_the_rules, path
from tests.subjects.register import SPECS, Register, ask, pour, record, register, send
from tests.world import KENKO, SAKAI, World

# An entry once more, so often, each about the one digest.
_AGAIN: Final = """
SELECT log_append_about(
    array_fill(body, ARRAY[$3::int]), array(SELECT generate_series(1, $3::int)), array_fill($1::bytea, ARRAY[$3::int])
) FROM log_entry WHERE seq = $2
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def made(platform: Platform, client: httpx.AsyncClient) -> Register:
    """A register of three."""
    return await register(World(platform, client))


async def beside(world: World, seq: int) -> list[bytes]:
    """What stands beside an entry."""
    pool = world.platform.database.pool
    found = await pool.fetch("SELECT digest FROM log_subject WHERE seq = $1 ORDER BY 1", seq)
    return [row["digest"] for row in found]


async def newest(world: World) -> tuple[int, dict[str, Any]]:
    found = await list_entries(world.platform.database.pool, event=Event.RECORDS_READ, limit=1)
    return found[0].seq, found[0].facts


async def accesses(world: World, name: str, **more: Any) -> list[Access]:
    person = await world.platform.linker.person(KENKO, name)
    assert person is not None
    names = await world.platform.linker.names(person)
    listed = await list_accesses(world.platform.database.pool, names, **more)
    return list(listed.found)


@pytest.mark.parametrize("reader", ["own", "sakai"])
@pytest.mark.parametrize(
    ("query", "people"),
    [
        ({}, 3),
        ({"no": "N-1"}, 1),
        ({"no": "X"}, 0),
        ({"fields": "note"}, 3),
        ({"limit": "2"}, 2),
        ({"f": "csv"}, 3),
        ({"f": "csv", "limit": "2", "sort": "note"}, 2),
        ({"f": "ndjson", "no": "N-2"}, 1),
        ({"f": "geojson"}, 3),
    ],
    ids=str,
)
async def test_a_read_says_how_many_it_was_about_and_holds_no_name(
    world: World, made: Register, reader: str, query: dict[str, str], people: int
) -> None:
    answer = await ask(world, getattr(made, reader), path(made.dataset), **query)
    seq, facts = await newest(world)
    digests = await beside(world, seq)

    assert answer.status_code == 200
    assert facts["subjects"] == len(digests) == people
    assert facts["subjects_sha256"] == hashlib.sha256(b"".join(digests)).hexdigest()
    assert not [name for name in made.names if name in str(facts)]


async def test_one_record_and_an_aggregate_are_about_people_too(
    world: World, made: Register
) -> None:
    await ask(world, made.sakai, path(made.dataset, "N-2"))
    one = (await newest(world))[1]
    await ask(world, made.own, f"/v1/datasets/{made.dataset}/aggregate", metrics="count")
    all_of_them = (await newest(world))[1]
    await ask(world, made.own, f"/v1/datasets/{made.dataset}/changes")
    feed = (await newest(world))[1]

    assert (one["subjects"], all_of_them["subjects"]) == (1, 3)
    assert feed["subjects_all"] is True


async def test_who_was_read_about_sees_by_whom_what_for_and_when(world: World) -> None:
    made = await register(world)
    await ask(world, made.sakai, path(made.dataset), no="N-2")
    await ask(world, made.ikeda, path(made.dataset), fields="no,note")
    await ask(world, made.own, path(made.dataset), no="N-1")

    first = await accesses(world, made.names[0])
    second = await accesses(world, made.names[1])
    older = await accesses(world, made.names[1], before=second[0].seq, limit=5)

    assert [(e.consumer, e.columns) for e in second] == [
        ("272043", ("no", "note")),
        (SAKAI, ("no", "person", "note", "lat", "lon")),
    ]
    assert [e.consumer for e in first] == [KENKO, "272043"]
    assert [e.seq for e in older] == [second[1].seq]
    (oldest,) = older
    assert (oldest.purpose, oldest.provider, oldest.agreement, oldest.among_all) == (
        PURPOSE, KENKO, made.agreements[SAKAI], False,
    )  # fmt: skip


async def test_a_read_of_very_many_is_one_of_each_whom_the_dataset_held_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_PEOPLE", 20)
    made = await register(world, 1)
    (nobody,) = await world.platform.linker.new_people(KENKO, 1)
    (later,) = await world.platform.linker.new_people(KENKO, 1)
    many = await world.platform.linker.new_people(KENKO, 21)
    await pour(world, made.dataset, many, len(many))
    await ask(world, made.sakai, path(made.dataset), f="csv")
    await send(world, made.own, made.dataset, [record(20_000, later)])

    seq, facts = await newest(world)

    assert facts["subjects_all"] is True and "subjects" not in facts
    assert len(await beside(world, seq)) == 1
    assert [(e.seq, e.among_all) for e in await accesses(world, many[7])] == [(seq, True)]
    assert await accesses(world, later) == await accesses(world, nobody) == []


async def test_thousands_of_reads_are_looked_through_a_bounded_part_at_a_time(
    world: World,
) -> None:
    made = await register(world)
    await ask(world, made.sakai, path(made.dataset), no="N-1")
    own = await world.platform.linker.person(KENKO, made.names[0])
    (other,) = await world.platform.linker.new_people(KENKO, 1)
    stranger = await world.platform.linker.person(KENKO, other)
    assert own is not None and stranger is not None
    pool = world.platform.database.pool
    await ask(world, made.own, f"/v1/datasets/{made.dataset}/changes")
    first, _ = await newest(world)
    await pool.execute(_AGAIN, everybody(made.dataset), first, 3_000)

    names = await world.platform.linker.names(own)
    pages = [page async for page in _paged(pool, names, 1_000)]
    strangers = await world.platform.linker.names(stranger)
    nothing = [page async for page in _paged(pool, strangers, 100)]

    seqs = [each.seq for page in pages for each in page]
    assert seqs == sorted(set(seqs), reverse=True) and len(seqs) >= 3_000
    assert all(len(page) <= 1_000 for page in pages)
    assert not any(nothing) and len(nothing) == 2


async def _paged(
    pool: "asyncpg.Pool[Any]", names: Any, limit: int
) -> AsyncIterator[Sequence[Access]]:
    before: int | None = None
    while True:
        listed = await list_accesses(pool, names, before=before, limit=limit)
        yield listed.found
        if listed.before is None:
            return
        before = listed.before


async def test_who_is_forgotten_is_told_of_by_nothing_and_the_log_still_verifies(
    world: World,
) -> None:
    made = await register(world)
    database: Database = world.platform.database
    await ask(world, made.sakai, path(made.dataset))
    seq, facts = await newest(world)
    before = await accesses(world, made.names[0])
    person = await world.platform.linker.person(KENKO, made.names[0])
    assert person is not None
    names = await world.platform.linker.names(person)

    async with database.writing() as session:
        gone = await forget_subject(session, names, by="test")

    left = await beside(world, seq)
    assert (len(before), gone) == (1, 1)
    assert await accesses(world, made.names[0]) == []
    assert [e.seq for e in await accesses(world, made.names[1])] == [seq]
    assert hashlib.sha256(b"".join(left)).hexdigest() == facts["subjects_sha256"]
    assert (await verify(database.pool)).is_whole
    (entry,) = await world.log(Event.SUBJECT_FORGOTTEN)
    assert entry.keys() == {"at", "by", "event"}


async def test_what_cannot_be_a_name_is_kept_nowhere(world: World) -> None:
    long = "".join(secrets.token_hex(4) for _ in range(1_000))
    specs = tuple(("person", "text") if spec[0] == "person" else spec for spec in SPECS)
    rows = [record(at, each) for at, each in enumerate(["田中太郎", long], start=1)]
    made = await register(world, 0, specs=specs, rows=rows)

    answers = [await ask(world, who, path(made.dataset)) for who in (made.own, made.sakai)]

    kept = "SELECT count(*) FROM subject_salt WHERE name = ANY($1)"
    assert [each.status_code for each in answers] == [200, 200]
    assert (await newest(world))[1]["subjects"] == 0
    assert await world.platform.database.pool.fetchval(kept, ["田中太郎", long]) == 0


async def test_what_is_told_of_people_is_only_ever_added_to(world: World, made: Register) -> None:
    await ask(world, made.sakai, path(made.dataset))
    pool = world.platform.database.pool

    for statement in (
        "DELETE FROM log_subject",
        "UPDATE log_subject SET seq = seq + 1",
        "TRUNCATE log_subject",
        "UPDATE subject_salt SET salt = 'x'",
        "TRUNCATE subject_salt",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_entries_of_one_commit_keep_their_own_people(world: World, made: Register) -> None:
    asked = [{"no": "N-1"}, {"no": "N-2"}, {}, {"no": "X"}] * 5

    await asyncio.gather(*(ask(world, made.sakai, path(made.dataset), **each) for each in asked))

    log = await world.log(Event.RECORDS_READ)
    counted = sorted(entry["subjects"] for entry in log)
    pool = world.platform.database.pool
    rows = await pool.fetchval("SELECT count(*) FROM log_subject WHERE seq > $1", world.first)
    assert counted == sorted([1, 1, 3, 0] * 5)
    assert rows == sum(counted)


async def test_of_rows_that_are_gone_a_read_of_very_many_counts(world: World) -> None:
    made = await register(world)
    await ask(world, made.own, f"/v1/datasets/{made.dataset}/changes")
    (before,) = await accesses(world, made.names[0])

    await against_the_rules(
        world, "UPDATE version SET table_name = 'v_gone' WHERE dataset_id = $1", made.dataset
    )

    assert await accesses(world, made.names[0]) == [before]
