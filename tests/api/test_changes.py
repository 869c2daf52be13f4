"""The change feed: a consumer's copy stays true, whoever writes, loads, publishes or goes back."""

import asyncio
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.following import Follower, feed, held, outline, without_nulls
from tests.stock import KEYED, PURPOSE, Spec, agreed, path, put, reader, stocked
from tests.versioned import publish, steward_of
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.usefixtures("worker")
SECRET: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("door", "text"),
)


async def published(
    world: World, steward: dict[str, str], dataset: str, *lines: str
) -> dict[str, Any]:
    """Load a file with these rows and publish it; its run."""
    return await publish(world, steward, dataset, "\n".join(["no,name,size", *lines]).encode())


async def delete(world: World, dataset: str, key: str) -> None:
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")
    gone = await world.client.delete(path(dataset, key), headers=headers)
    assert gone.status_code == 204


async def test_a_consumer_begins_with_the_records_as_they_are_and_follows_on(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a"}, {"no": "2", "name": "b"}])
    follower = Follower(client, dataset)

    began = await follower.catch_up()
    await put(world, dataset, [{"no": "2", "name": "B"}, {"no": "3", "name": "c"}])
    await delete(world, dataset, "1")
    followed = await follower.catch_up()
    nothing = await follower.catch_up()

    assert outline(began) == [("upsert", "1"), ("upsert", "2")]
    assert outline(followed) == [("upsert", "2"), ("upsert", "3"), ("delete", "1")]
    assert nothing == []
    assert follower.replica == await held(client, dataset)
    assert [change["revision"] for change in followed] == [2, 2, 3]
    assert followed[0]["changed_at"] < followed[2]["changed_at"]


async def test_a_write_that_changes_nothing_is_no_change(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a", "size": 1}])
    follower = Follower(client, dataset)
    await follower.catch_up()
    stood = follower.since

    await put(world, dataset, [{"no": "1", "name": "a", "size": 1}])
    told = await follower.catch_up()

    assert told == []
    assert follower.since == stood


async def test_a_whole_file_tells_its_real_differences_only(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], KEYED)
    steward = await steward_of(world)
    await published(world, steward, dataset, "1,a,1", "2,b,2", "3,c,3")
    follower = Follower(client, dataset)
    await follower.catch_up()

    await published(world, steward, dataset, "4,d,4", "3,c,3", "2,B,2")
    changed = await follower.catch_up()
    await published(world, steward, dataset, "2,B,2", "3,c,3", "4,d,4")  # the order only
    same = await follower.catch_up()

    assert outline(changed) == [("delete", "1"), ("upsert", "2"), ("upsert", "4")]
    assert {change["version"] for change in changed} == {2}
    assert same == []
    assert follower.replica == await held(client, dataset)


async def test_going_back_tells_the_way_back(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [], KEYED)
    steward = await steward_of(world)
    await published(world, steward, dataset, "1,a,1", "2,b,2")
    await put(world, dataset, [{"no": "2", "name": "B"}])
    await published(world, steward, dataset, "2,b,2", "3,c,3")
    follower = Follower(client, dataset)
    await follower.catch_up()

    back = await client.post(f"/v1/datasets/{dataset}/rollback", json={"to": 1}, headers=steward)
    told = await follower.catch_up()
    await put(world, dataset, [{"no": "9", "name": "z"}])
    written = await follower.catch_up()

    assert back.status_code == 200, back.text
    assert sorted(outline(told)) == [("delete", "3"), ("upsert", "1"), ("upsert", "2")]
    assert outline(written) == [("upsert", "9")]
    assert (written[0]["version"], written[0]["revision"]) == (1, 2)
    assert follower.replica == await held(client, dataset)
    assert follower.replica["2"]["name"] == "B"


async def test_a_page_is_the_same_however_often_it_is_asked_for(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": str(at)} for at in range(7)])
    follower = Follower(client, dataset)
    await follower.catch_up(limit=3)
    await put(world, dataset, [{"no": str(at), "name": "x"} for at in range(3, 9)])

    first, again = (await follower.ask(4)).json(), (await follower.ask(4)).json()
    await follower.catch_up(limit=4)

    assert first == again
    assert len({change["id"] for change in follower.told}) == len(follower.told) == 13


async def test_what_is_written_while_a_consumer_begins_is_not_lost(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": f"{at:02}"} for at in range(20)])
    steward = await steward_of(world)
    follower = Follower(client, dataset)

    await follower.step(limit=5)
    await put(world, dataset, [{"no": "00", "name": "x"}, {"no": "15", "name": "x"}])
    await delete(world, dataset, "19")
    await follower.step(limit=5)
    await published(world, steward, dataset, *(f"{at:02},y,{at}" for at in range(10, 25)))
    await put(world, dataset, [{"no": "99", "name": "z"}])
    await follower.catch_up(limit=5)

    assert follower.replica == await held(client, dataset)
    assert follower.restarts == 0


async def test_nothing_is_lost_while_many_write_at_once(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "0"}])
    writers = [
        await world.token(await world.party(KENKO), f"dataset:{dataset}:write") for _ in range(3)
    ]
    follower = Follower(client, dataset)
    done = asyncio.Event()

    async def write(at: int) -> None:
        for turn in range(12):
            batch = [{"no": f"{(at + turn * step) % 9}", "size": turn} for step in (1, 2)]
            rows = list({row["no"]: row for row in batch}.values())
            sent = await client.post(path(dataset), json=rows, headers=writers[at])
            assert sent.status_code == 200
            if turn % 3 == at:
                await client.delete(path(dataset, f"{turn % 9}"), headers=writers[at])

    async def follow() -> None:
        while not done.is_set():
            await follower.step(limit=3)
            await asyncio.sleep(0)

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(at) for at in range(3)))
    done.set()
    await following
    await follower.catch_up()

    assert follower.replica == await held(client, dataset)
    assert follower.restarts == 0
    revisions = [change["revision"] for change in follower.told if "." in change["id"]]
    assert len({change["id"] for change in follower.told}) == len(follower.told)
    assert revisions == sorted(revisions)


async def test_following_is_a_read_with_a_purpose_cut_to_what_was_agreed_and_logged(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [{"no": "1", "name": "a", "door": "left"}]
    dataset = await stocked(world, rows, SECRET, data_class="restricted")
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, consumer, columns=["no", "name"])
    headers = await world.token(consumer, f"dataset:{dataset}:read")
    without = await client.get(feed(dataset), headers=headers)
    anonymous = await client.get(feed(dataset))
    follower = Follower(client, dataset, headers, PURPOSE)

    began = await follower.ask()
    await follower.catch_up()
    await put(world, dataset, [{"no": "1", "name": "a", "door": "right"}])  # nothing that he sees
    hidden = await follower.catch_up()
    await put(world, dataset, [{"no": "1", "name": "b", "door": "right"}])
    seen = await follower.catch_up()

    assert (without.status_code, without.json()["code"]) == (403, "purpose_required")
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "token_required")
    assert "resource_metadata" in anonymous.headers["www-authenticate"]
    assert began.headers["cache-control"] == "private, no-store"
    assert [change["record"] for change in seen] == [{"no": "1", "name": "b"}]
    assert hidden == []
    log = await world.log(Event.RECORDS_READ, Event.RECORDS_REFUSED)
    assert [entry["event"] for entry in log[:3]] == [
        "records.refused",
        "records.refused",
        "records.read",
    ]
    assert str(log[2]["agreement"]) == agreement
    assert log[2]["columns"] == ["no", "name"]
    assert (log[2]["rows"], log[2]["purpose"], log[2]["feed"]) == (1, PURPOSE, True)
    assert began.headers["linkage-receipt"].isdigit()


async def test_who_comes_to_see_other_fields_begins_anew(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(
        world,
        [{"no": "1", "name": "a", "door": "left"}],
        (SECRET[0], SECRET[1], ("door", "text", {"visibility": "restricted"})),
    )
    follower = Follower(client, dataset)
    await follower.catch_up()
    owner = Follower(client, dataset, await reader(world, dataset), "own-duty", follower.since)

    refused = await owner.ask()
    owner.since = None
    await owner.catch_up()

    assert (refused.status_code, refused.json()["code"]) == (410, "cursor_expired")
    assert follower.replica == {"1": {"no": "1", "name": "a"}}
    assert owner.replica == {"1": {"no": "1", "name": "a", "door": "left"}}


async def test_without_a_key_there_is_no_feed(client: httpx.AsyncClient, world: World) -> None:
    keyless = await stocked(world, [], (("name", "text"),))
    steward = await steward_of(world)
    run = await world.load(steward, keyless, b"name\na\n")
    await world.publish(steward, run)
    hidden_key = (("no", "code", {"key": True, "visibility": "restricted"}), ("name", "text"))
    hidden = await stocked(world, [{"no": "1"}], hidden_key)
    empty = await stocked(world, [])

    answers = [await client.get(feed(each)) for each in (keyless, hidden, empty, "nowhere")]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (409, "dataset_has_no_key"),
        (403, "column_not_visible"),
        (404, "no_version_published"),
        (404, "dataset_not_found"),
    ]
    reasons = [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)]
    assert reasons == ["column_not_visible"]


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "zzz"},
        {"since": "WzFd"},
        {"limit": "0"},
        {"limit": "10001"},
        {"sinse": "x"},
        {"since": "x" * 2000},
    ],
)
async def test_a_position_or_parameter_that_is_none_is_refused(
    client: httpx.AsyncClient, world: World, asked: dict[str, str]
) -> None:
    dataset = await stocked(world, [{"no": "1"}])

    refused = await client.get(feed(dataset), params=asked)

    assert refused.status_code == 400
    assert refused.json()["code"] in ("invalid_cursor", "invalid_parameter", "unknown_parameter")


async def test_a_position_of_another_dataset_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    one, other = await stocked(world, [{"no": "1"}]), await stocked(world, [{"no": "1"}])
    follower = Follower(client, one)
    await follower.catch_up()

    refused = await client.get(feed(other), params={"since": follower.since or ""})

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


async def test_a_new_field_changes_the_records_that_hold_it(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await world.dataset(data_class="public")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    steward = await steward_of(world)
    first = await world.load(steward, dataset, "番号,名称\nA-1,甲\nA-2,乙\n".encode())
    second = await world.load(steward, dataset, "番号,名称,備考\nA-1,甲,新\nA-2,乙,\n".encode())
    await world.publish(steward, first)
    fields = (await client.get(f"/v1/datasets/{dataset}")).json()["fields"]
    key = next((each["name"] for each in fields if each["key"]), None)
    assert key is not None, fields
    follower = Follower(client, dataset)
    await follower.catch_up()

    await world.publish(steward, second)
    told = await follower.catch_up()

    assert outline(told) == [("upsert", "A-1")]
    now = await held(client, dataset, key)
    assert without_nulls(follower.replica) == without_nulls(now)


async def test_a_withdrawn_dataset_is_followed_no_more(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    steward = await steward_of(world)
    await client.post(f"/v1/datasets/{dataset}/withdraw", json={"reason": "x"}, headers=steward)

    refused = await client.get(feed(dataset))

    assert (refused.status_code, refused.json()["code"]) == (410, "dataset_withdrawn")
