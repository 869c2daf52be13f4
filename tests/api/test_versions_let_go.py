"""Retention: what the policy lets go is let go, what is in use never, and nobody is left guessing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.events import Event
from app.catalogue import retention
from app.catalogue.retention import Kept, is_used, let_go
from app.kit import clock
from app.tables.word_index import index_name
from app.tasks.tidy import let_versions_go
from tests.following import Follower, held
from tests.stock import KEYED, path, stocked
from tests.versioned import steward_of
from tests.world import World

pytestmark = pytest.mark.usefixtures("worker")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
_MOMENTS = st.integers(0, 40 * 24).map(lambda hours: NOW - timedelta(hours=hours))
_KEPT = st.builds(
    Kept,
    number=st.integers(1, 30),
    created_at=_MOMENTS,
    ended_at=st.none() | _MOMENTS,
    has_key=st.booleans(),
    pinned_at=st.none() | _MOMENTS,
    is_current=st.booleans(),
    is_being_corrected=st.booleans(),
)
_COUNT = st.none() | st.integers(1, 10)


@given(
    st.lists(_KEPT, unique_by=lambda one: one.number),
    st.fixed_dictionaries({"keep_versions": _COUNT, "keep_days": _COUNT}),
)
def test_nothing_in_use_and_nothing_that_the_policy_keeps_is_let_go(
    versions: list[Kept], policy: dict[str, int | None]
) -> None:
    gone = let_go(versions, policy, NOW)

    newest, days = policy["keep_versions"], policy["keep_days"]
    ordered = sorted(versions, key=lambda one: -one.number)
    for place, one in enumerate(ordered):
        last = max(one.created_at, one.ended_at or one.created_at)
        kept_by_number = newest is not None and place < newest
        kept_by_age = days is not None and last > NOW - timedelta(days=days)
        keeps_all = newest is None and days is None
        expected = not (keeps_all or kept_by_number or kept_by_age or is_used(one, NOW))
        assert (one.number in gone) == expected


@pytest.mark.parametrize(
    ("what", "used"),
    [
        ({}, False),
        ({"is_current": True}, True),
        ({"is_being_corrected": True}, True),
        ({"pinned_at": NOW - timedelta(hours=20)}, True),
        ({"pinned_at": NOW - timedelta(hours=26)}, False),
        ({"ended_at": NOW - timedelta(hours=20), "has_key": False}, True),
        ({"ended_at": NOW - timedelta(days=2), "has_key": False}, False),
        ({"ended_at": NOW - timedelta(days=6)}, True),  # followers of changes have a week
        ({"ended_at": NOW - timedelta(days=8)}, False),
        ({"created_at": NOW - timedelta(hours=3)}, True),
    ],
)
def test_a_version_is_in_use(what: dict[str, Any], used: bool) -> None:
    old = NOW - timedelta(days=30)
    usual: dict[str, Any] = {
        "number": 1, "created_at": old, "ended_at": old, "has_key": True, "pinned_at": None,
        "is_current": False, "is_being_corrected": False,
    }  # fmt: skip

    assert is_used(Kept(**{**usual, **what}), NOW) is used


def file(at: int) -> bytes:
    return f"no,name,size\n1,{at},{at}\n{at + 10},x,1\n".encode()


async def three_versions(world: World, steward: dict[str, str]) -> str:
    """A dataset with versions 1, 2 and 3 published one after another, of which one is kept."""
    dataset = await stocked(world, [], KEYED)
    for at in range(3):
        run = await world.load(steward, dataset, file(at))
        await world.publish(steward, run)
    kept = {"retention": {"keep_versions": 1}}
    patched = await world.client.patch(f"/v1/datasets/{dataset}", json=kept, headers=steward)
    assert patched.status_code == 200, patched.text
    assert patched.json()["retention"] == {"keep_versions": 1, "keep_days": None}
    return dataset


async def tidy_in(world: World, monkeypatch: pytest.MonkeyPatch, **later: int) -> None:
    """The tidying job, as it will run after that time."""
    now = clock.now
    with monkeypatch.context() as moved:
        moved.setattr(clock, "now", lambda: now() + timedelta(**later))
        await let_versions_go(world.platform.database)


async def states(world: World, steward: dict[str, str], dataset: str) -> dict[int, str]:
    listed = await world.client.get(f"/v1/datasets/{dataset}/versions", headers=steward)
    return {one["number"]: one["state"] for one in listed.json()}


async def tables(world: World) -> set[str]:
    rows = await world.platform.database.pool.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'hosted'"
    )
    return {row["tablename"] for row in rows}


async def test_a_version_that_is_let_go_keeps_its_numbers_and_says_so(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    base, before = f"/v1/datasets/{dataset}", await tables(world)
    moment = datetime.now(UTC).isoformat()
    runs = await world.platform.database.pool.fetch(
        "SELECT id FROM run WHERE dataset_id = $1 ORDER BY created_at", dataset
    )

    await tidy_in(world, monkeypatch, days=30)

    assert await states(world, steward, dataset) == {1: "dropped", 2: "dropped", 3: "published"}
    after = await tables(world)
    gone = {
        name for name in before - after if not name.startswith("s_")
    }  # words: made by the minute
    assert len(gone) == 4  # two of rows, two of differences
    assert after.isdisjoint(map(index_name, gone))
    shown = (await client.get(f"{base}/versions/1", headers=steward)).json()
    assert (shown["row_count"], len(shown["source_sha256"])) == (2, 64)
    assert shown["dropped_at"] is not None
    answers = [
        await client.get(path(dataset), params={"version": "1"}),
        await client.get(path(dataset, "1"), params={"version": "2"}),
        await client.get(f"{base}/diff", params={"from": "1"}),
        await client.get(f"{base}/versions/1/source", headers=steward),
        await client.post(f"{base}/versions/1/publish", headers=steward),
        await client.post(f"{base}/rollback", json={"to": 2}, headers=steward),
        await client.post(
            f"{base}/versions", params={"corrects": str(runs[0]["id"])}, content=b"x",
            headers=steward,
        ),
    ]  # fmt: skip
    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (410, "version_dropped")
    }
    assert (await client.get(path(dataset), params={"as_of": moment})).status_code == 200
    assert (await client.get(f"{base}/schema", params={"version": "1"})).status_code == 200
    events = await world.log(Event.VERSION_DROPPED)
    assert [(entry["version"], entry["rows"]) for entry in events] == [(1, 2), (2, 2)]
    chunks = await world.platform.database.pool.fetchval(
        "SELECT count(*) FROM upload_chunk c JOIN run r ON r.upload_id = c.upload_id"
        " WHERE r.dataset_id = $1",
        dataset,
    )
    assert chunks == 1


async def test_a_read_of_the_past_tells_that_its_version_is_gone(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await stocked(world, [], KEYED)
    run = await world.load(steward, dataset, file(0))
    await world.publish(steward, run)
    moment = datetime.now(UTC).isoformat()
    await world.publish(steward, await world.load(steward, dataset, file(1)))
    kept = {"retention": {"keep_days": 5}}
    await client.patch(f"/v1/datasets/{dataset}", json=kept, headers=steward)

    await tidy_in(world, monkeypatch, days=6)
    still = await client.get(path(dataset), params={"as_of": moment})
    await tidy_in(world, monkeypatch, days=8)
    gone = await client.get(path(dataset), params={"as_of": moment})

    assert still.status_code == 200
    assert (gone.status_code, gone.json()["code"]) == (410, "version_dropped")


async def test_all_is_kept_without_a_policy_and_once_it_is_taken_back(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    taken_back = await client.patch(
        f"/v1/datasets/{dataset}", json={"retention": None}, headers=steward
    )

    await tidy_in(world, monkeypatch, days=400)

    assert taken_back.json()["retention"] is None
    assert set((await states(world, steward, dataset)).values()) == {"published"}


@pytest.mark.parametrize("retention", [{"keep_versions": 0}, {"keep_days": -1}, {"keep": 1}])
async def test_a_policy_that_is_none_is_refused(
    client: httpx.AsyncClient, world: World, retention: dict[str, int]
) -> None:
    steward = await steward_of(world)
    dataset = await stocked(world, [])

    refused = await client.patch(
        f"/v1/datasets/{dataset}", json={"retention": retention}, headers=steward
    )

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


async def test_followers_and_readers_have_their_time(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    follower = Follower(client, dataset)
    await follower.catch_up()
    await world.publish(steward, await world.load(steward, dataset, file(7)))

    await tidy_in(world, monkeypatch, days=6)
    within_a_week = await states(world, steward, dataset)
    await follower.catch_up()
    await world.publish(steward, await world.load(steward, dataset, file(8)))
    await tidy_in(world, monkeypatch, days=8)
    refused = await follower.ask()
    await follower.catch_up()

    assert set(within_a_week.values()) == {"published"}
    assert (refused.status_code, refused.json()["code"]) == (410, "cursor_expired")
    assert "since" in refused.json()["detail"]
    assert follower.restarts == 1
    assert follower.replica == await held(client, dataset)


async def test_a_version_that_somebody_pages_through_or_corrects_waits(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    pool = world.platform.database.pool
    now = clock.now
    with monkeypatch.context() as moved:
        moved.setattr(clock, "now", lambda: now() + timedelta(days=9, hours=23))
        async with world.platform.database.writing() as session:
            await retention.pin(session, dataset, 1)
    second = await pool.fetchrow(
        "SELECT id, upload_id FROM run WHERE dataset_id = $1 AND version_number = 2", dataset
    )
    assert second is not None
    await pool.execute(
        "INSERT INTO run (id, dataset_id, upload_id, corrects_run_id, state, bytes_total,"
        " bytes_done, rows_read, rows_accepted, rows_rejected, cells_repaired, notices, unchanged,"
        " created_at, created_by) VALUES ($1, $2, $3, $4, 'running', 0, 0, 0, 0, 0, 0, '[]', false,"
        " now(), 'test')",
        uuid4(), dataset, second["upload_id"], second["id"],
    )  # fmt: skip

    await tidy_in(world, monkeypatch, days=10)

    assert set((await states(world, steward, dataset)).values()) == {"published"}


async def test_a_page_of_an_older_version_pins_it(client: httpx.AsyncClient, world: World) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)

    page = await client.get(path(dataset), params={"version": "1", "limit": "1"})

    assert "link" in page.headers
    pinned = await world.platform.database.pool.fetch(
        "SELECT number FROM version_pin WHERE dataset_id = $1", dataset
    )
    assert [row["number"] for row in pinned] == [1]


async def test_a_version_that_is_being_read_is_left_for_the_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    pool = world.platform.database.pool
    name = await pool.fetchval(
        "SELECT table_name FROM version WHERE dataset_id = $1 AND number = 1", dataset
    )

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f'LOCK TABLE hosted."{name}" IN ACCESS SHARE MODE')
        await tidy_in(world, monkeypatch, days=30)
        meanwhile = await states(world, steward, dataset)
    await tidy_in(world, monkeypatch, days=30)

    assert meanwhile == {1: "published", 2: "dropped", 3: "published"}
    assert (await states(world, steward, dataset))[1] == "dropped"


async def test_a_file_whose_version_was_let_go_makes_a_version_again(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    unpublished = await world.load(steward, dataset, file(5))
    await client.post(f"/v1/datasets/{dataset}/rollback", json={"to": 2}, headers=steward)
    await client.patch(
        f"/v1/datasets/{dataset}", json={"retention": {"keep_days": 1}}, headers=steward
    )
    await tidy_in(world, monkeypatch, days=30)

    again = await world.load(steward, dataset, file(5))

    assert await states(world, steward, dataset) == {
        1: "dropped", 2: "published", 3: "dropped", 4: "dropped", 5: "loaded",
    }  # fmt: skip
    assert unpublished["version_number"] == 4
    assert (again["state"], again["unchanged"], again["version_number"]) == ("ok", False, 5)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE version SET state = 'loaded' WHERE dataset_id = $1 AND number = 2",
        "UPDATE version SET state = 'dropped' WHERE dataset_id = $1 AND number = 3",
        "UPDATE version SET state = 'published' WHERE dataset_id = $1 AND number = 1",
        "UPDATE version SET fields = '[]' WHERE dataset_id = $1 AND number = 2",
        "UPDATE version SET revision = revision - 1 WHERE dataset_id = $1 AND number = 2",
        "UPDATE dataset SET current_version = 1 WHERE id = $1",
        "UPDATE edition SET began_at = now() WHERE dataset_id = $1",
        "DELETE FROM edition WHERE dataset_id = $1",
    ],
)
async def test_the_database_itself_keeps_versions_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    steward = await steward_of(world)
    dataset = await three_versions(world, steward)
    await tidy_in(world, monkeypatch, days=30)
    await world.publish(steward, await world.load(steward, dataset, file(9)))
    await world.client.post(f"/v1/datasets/{dataset}/rollback", json={"to": 3}, headers=steward)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(statement, dataset)
