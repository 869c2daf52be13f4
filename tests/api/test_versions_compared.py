"""Two versions compared: by key or by contents, cut to what the caller sees, paged and logged."""

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.stock import KEYED, PURPOSE, Spec, agreed, put, reader, stocked
from tests.versioned import LATER, base, codes, publish, steward_of
from tests.world import SAKAI, World

pytestmark = pytest.mark.usefixtures("worker")


HIDDEN: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer", {"visibility": "restricted"}),
)


async def test_two_versions_are_compared_by_key(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [], KEYED)
    steward = await steward_of(world)
    await publish(world, steward, dataset)
    await put(world, dataset, [{"no": "1", "name": "A"}])
    await publish(world, steward, dataset, LATER)

    whole = await client.get(f"{base(dataset)}/diff", params={"from": "1"})
    same = await client.get(f"{base(dataset)}/diff", params={"from": "2", "to": "2"})

    told = whole.json()
    assert (told["from"], told["to"]) == (
        {"version": 1, "revision": 1},
        {"version": 2, "revision": 0},
    )
    assert told["key"] == ["no"]
    assert told["rows"] == {"added": 1, "removed": 1, "changed": 1}
    assert told["schema"] == []
    assert told["differences"] == [
        {"op": "removed", "key": "1", "record": {"no": "1", "name": "A", "size": None}},
        {"op": "changed", "key": "2", "fields": {"name": {"before": "b", "after": "B"}}},
        {"op": "added", "key": "3", "record": {"no": "3", "name": "c", "size": 3}},
    ]
    assert same.json()["rows"] == {"added": 0, "removed": 0, "changed": 0}


async def test_a_comparison_is_paged_through_while_others_write(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], KEYED)
    steward = await steward_of(world)
    rows = [f"{at},x,{at}" for at in range(25)]
    await publish(world, steward, dataset, "\n".join(["no,name,size", *rows]).encode())
    changed = [f"{at},y,{at}" for at in range(10, 30)]
    await publish(world, steward, dataset, "\n".join(["no,name,size", *changed]).encode())

    page = await client.get(f"{base(dataset)}/diff", params={"from": "1", "limit": "7"})
    told, counts = list(page.json()["differences"]), [page.json()["rows"]]
    await put(world, dataset, [{"no": "11", "name": "x"}, {"no": "99"}])
    while "link" in page.headers:
        link = page.headers["link"].partition(">")[0].removeprefix("<")
        page = await client.get(link)
        told += page.json()["differences"]
        counts.append(page.json()["rows"])

    assert [each["op"] for each in told] == ["removed"] * 10 + ["changed"] * 15 + ["added"] * 5
    assert len({each["key"] for each in told}) == 30
    assert len(counts) == 5
    assert all(each == {"added": 5, "removed": 10, "changed": 15} for each in counts)


async def test_without_a_key_whole_rows_are_compared(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], (("name", "text"), ("size", "integer")))
    steward = await steward_of(world)
    await publish(world, steward, dataset, b"name,size\na,1\na,1\nb,2\n")
    await publish(world, steward, dataset, b"name,size\na,1\nb,3\n")

    told = (await client.get(f"{base(dataset)}/diff", params={"from": "1"})).json()

    assert told["key"] is None
    assert told["rows"] == {"added": 1, "removed": 2, "changed": 0}
    assert [(each["op"], each["record"]["name"]) for each in told["differences"]] == [
        ("removed", "a"),
        ("removed", "b"),
        ("added", "b"),
    ]


async def test_changes_of_fields_that_were_not_agreed_are_not_told(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], HIDDEN, data_class="restricted")
    steward = await steward_of(world)
    await publish(world, steward, dataset)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = jsonb_set("
        " jsonb_set(fields, '{1,unit}', '\"a\"'), '{2,unit}', '\"b\"') WHERE id = $1",
        dataset,
    )
    run = await world.load(steward, dataset, LATER)
    number = run["version_number"]
    confirmed = await client.post(
        f"{base(dataset)}/versions/{number}/publish", params={"confirm": "true"}, headers=steward
    )
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer, columns=["no", "name"])
    headers = await world.token(consumer, f"dataset:{dataset}:read")

    told = await client.get(
        f"{base(dataset)}/diff", params={"from": "1", "purpose": PURPOSE}, headers=headers
    )

    assert confirmed.status_code == 200, confirmed.text
    assert [change["field"] for change in told.json()["schema"]] == ["name"]


async def test_a_comparison_is_a_read_of_both_versions(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], HIDDEN, data_class="restricted")
    steward = await steward_of(world)
    await publish(world, steward, dataset)
    await publish(world, steward, dataset, b"no,name,size\n1,a,9\n2,B,2\n")
    unpublished = await world.load(steward, dataset, b"no,name,size\n7,g,7\n")
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer, columns=["no", "name"])
    headers = await world.token(consumer, f"dataset:{dataset}:read")
    own = await reader(world, dataset)
    asked = {"from": "1", "to": "2", "purpose": PURPOSE}
    third = {**asked, "to": str(unpublished["version_number"])}

    told = await client.get(f"{base(dataset)}/diff", params=asked, headers=headers)
    refusals = [
        await client.get(f"{base(dataset)}/diff", params=asked),
        await client.get(f"{base(dataset)}/diff", params=third, headers=headers),
        await client.get(f"{base(dataset)}/diff", params={**asked, "to": "9"}, headers=headers),
        await client.get(
            f"{base(dataset)}/diff", params={**asked, "cursor": "AA"}, headers=headers
        ),
    ]
    mine = await client.get(f"{base(dataset)}/diff", params=third, headers=own)

    assert told.json()["rows"] == {"added": 0, "removed": 0, "changed": 1}  # size is not his to see
    assert codes(*refusals) == [
        (401, "token_required"),
        (404, "version_not_found"),
        (404, "version_not_found"),
        (400, "invalid_cursor"),
    ]
    assert mine.json()["rows"] == {"added": 1, "removed": 2, "changed": 0}
    entry = (await world.log(Event.RECORDS_READ))[0]
    assert (entry["version"], entry["compared"], entry["rows"]) == (2, 1, 1)
    assert entry["columns"] == ["no", "name"]
