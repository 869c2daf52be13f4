"""Versions kept: shown with their source, read as of a time, gone back to, confirmed, compared."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.stock import KEYED, against_the_rules, path, put, reader, stocked
from tests.versioned import FILE, LATER, base, codes, publish, steward_of
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.usefixtures("worker")


def now() -> str:
    return datetime.now(UTC).isoformat()


async def names(client: httpx.AsyncClient, dataset: str, **asked: str) -> dict[str, str]:
    answer = await client.get(path(dataset), params=asked)
    assert answer.status_code == 200, answer.text
    return {record["no"]: record["name"] for record in answer.json()["records"]}


async def test_a_version_shows_its_fields_and_gives_its_file_back(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    steward = await steward_of(world)
    named = "%E5%9C%A8%E5%BA%AB.csv"
    headers = {**steward, "Content-Disposition": f"attachment; filename={named}"}
    run = await publish(world, headers, dataset)

    shown = await client.get(f"{base(dataset)}/versions/1", headers=steward)
    source = await client.get(f"{base(dataset)}/versions/1/source", headers=steward)

    version = shown.json()
    assert [each["name"] for each in version["fields"]] == ["no", "name", "size"]
    assert (version["run_id"], version["row_count"]) == (run["id"], 2)
    assert version["source"]["size"] == len(FILE)
    assert version["source"]["sha256"] == version["source_sha256"]
    assert source.content == FILE
    assert source.headers["content-disposition"] == f"attachment; filename*=UTF-8''{named}"
    entries = await world.log(Event.SOURCE_READ)
    assert [(entry["dataset"], entry["version"]) for entry in entries] == [(dataset, 1)]


async def test_a_file_goes_to_who_manages_the_dataset_only(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    steward = await steward_of(world)
    other = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    personal = await stocked(world, [], data_class="personal")
    await world.load(steward, personal, FILE)
    bearer = await world.bearer(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    answers = [
        await client.get(f"{base(each)}/versions/1/source", headers=headers)
        for each, headers in ((dataset, steward), (dataset, other), (personal, bearer))
    ]

    assert codes(*answers) == [
        (404, "source_not_found"),
        (403, "not_the_publisher"),
        (403, "token_not_bound"),
    ]
    assert await world.log(Event.SOURCE_READ) == []
    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [
        "token_not_bound"
    ]


async def test_records_are_read_as_readers_got_them(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], KEYED)
    steward = await steward_of(world)
    before = now()
    await publish(world, steward, dataset)
    loaded = now()
    await put(world, dataset, [{"no": "1", "name": "A"}])
    written = now()
    await publish(world, steward, dataset, LATER)
    replaced = now()
    await client.post(f"{base(dataset)}/rollback", json={"to": 1}, headers=steward)
    back = now()
    await put(world, dataset, [{"no": "9", "name": "z"}])

    found = {
        moment: await names(client, dataset, as_of=moment)
        for moment in (loaded, written, replaced, back)
    }
    early = await client.get(path(dataset), params={"as_of": before})
    schema = await client.get(f"{base(dataset)}/schema", params={"as_of": written})
    one = await client.get(path(dataset, "1"), params={"as_of": loaded})
    gone = await client.get(path(dataset, "9"), params={"as_of": back})

    assert found == {
        loaded: {"1": "a", "2": "b"},
        written: {"1": "A", "2": "b"},
        replaced: {"2": "B", "3": "c"},
        back: {"1": "A", "2": "b"},
    }
    assert codes(early, gone) == [(404, "version_not_found"), (404, "record_not_found")]
    assert dataset in early.json()["detail"]
    assert list(schema.json()["properties"]) == ["no", "name", "size"]
    assert one.json()["record"]["name"] == "a"
    assert (one.json()["version"], one.json()["meta"]["revision"]) == (1, 0)


async def test_what_was_read_as_of_a_time_stays_the_same_and_is_paged_through(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": f"{at}", "name": "a"} for at in range(6)])
    moment = now()
    await put(world, dataset, [{"no": "1", "name": "b"}, {"no": "7", "name": "b"}])
    first = await client.get(path(dataset), params={"as_of": moment, "limit": "4"})
    await put(world, dataset, [{"no": "5", "name": "c"}])

    again = await client.get(path(dataset), params={"as_of": moment, "limit": "4"})
    link = next(each["href"] for each in first.json()["links"] if each["rel"] == "next")
    second = await client.get(link)
    elsewhere = await client.get(path(dataset), params={"cursor": httpx.URL(link).params["cursor"]})
    tag = {"If-None-Match": first.headers["etag"]}
    same = await client.get(path(dataset), params={"as_of": moment, "limit": "4"}, headers=tag)
    streamed = await client.get(path(dataset), params={"as_of": moment, "f": "csv"})

    assert first.content == again.content
    records = [*first.json()["records"], *second.json()["records"]]
    assert [(record["no"], record["name"]) for record in records] == [
        (f"{at}", "a") for at in range(6)
    ]
    assert same.status_code == 304
    assert codes(elsewhere) == [(400, "invalid_cursor")]
    assert len(streamed.text.splitlines()) == 7


async def test_a_read_of_the_past_is_decided_by_today_and_logged_with_its_rows(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}, {"no": "2"}], data_class="restricted")
    moment = now()
    await put(world, dataset, [{"no": "3"}])
    headers = await reader(world, dataset)
    asked = {"as_of": moment, "purpose": "own-duty", "f": "csv"}

    refused = await client.get(path(dataset), params=asked)
    read = await client.get(path(dataset), params=asked, headers=headers)

    assert codes(refused) == [(401, "token_required")]
    assert len(read.text.splitlines()) == 3
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [2]


@pytest.mark.parametrize(
    "asked",
    [
        {"as_of": "2020-01-01T00:00:00"},  # TIME-03: no offset
        {"as_of": "yesterday"},
        {"as_of": "2999-01-01"},
        {"as_of": "2020-01-01", "version": "1"},
    ],
)
async def test_a_time_that_is_none_is_refused(
    client: httpx.AsyncClient, world: World, asked: dict[str, str]
) -> None:
    dataset = await stocked(world, [{"no": "1"}])

    answers = [
        await client.get(address, params=asked)
        for address in (path(dataset), path(dataset, "1"), f"{base(dataset)}/schema")
    ]

    assert codes(*answers) == [(400, "invalid_parameter")] * 3
    assert all(answer.json()["errors"][0]["pointer"] == "as_of" for answer in answers)


async def test_a_read_of_the_moment_waits_for_the_change_that_is_being_made(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a"}])
    past = now()
    await put(world, dataset, [{"no": "1", "name": "b"}])

    async with world.platform.database.pool.acquire() as connection:
        change = connection.transaction()
        await change.start()
        await connection.execute("SELECT FROM dataset WHERE id = $1 FOR UPDATE", dataset)
        earlier = await names(client, dataset, as_of=past)
        reading = asyncio.create_task(names(client, dataset, as_of=now()))
        done, _ = await asyncio.wait({reading}, timeout=0.3)
        await change.rollback()

    assert earlier == {"1": "a"}
    assert done == set()
    assert await reading == {"1": "b"}


async def test_a_date_alone_is_its_first_moment_in_japan(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a"}])
    await against_the_rules(
        world,
        "UPDATE edition SET began_at = '2026-03-31T15:00:00Z' WHERE dataset_id = $1",
        dataset,
    )

    found = await names(client, dataset, as_of="2026-04-01")
    early = await client.get(path(dataset), params={"as_of": "2026-03-31"})

    assert found == {"1": "a"}
    assert codes(early) == [(404, "version_not_found")]


async def test_going_back_is_recorded_as_that_however_it_is_asked_for(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    steward = await steward_of(world)
    await publish(world, steward, dataset)
    await publish(world, steward, dataset, LATER)
    third = await world.load(steward, dataset, b"no,name,size\n5,e,5\n")

    back = await client.post(f"{base(dataset)}/rollback", json={"to": 1}, headers=steward)
    never = await client.post(
        f"{base(dataset)}/rollback", json={"to": third["version_number"]}, headers=steward
    )
    none = await client.post(f"{base(dataset)}/rollback", json={"to": 9}, headers=steward)
    again = await client.post(f"{base(dataset)}/versions/2/publish", headers=steward)

    assert (back.status_code, back.json()["number"]) == (200, 1)
    assert codes(never, none) == [(409, "version_never_published"), (404, "version_not_found")]
    assert again.status_code == 200
    log = await world.log(Event.VERSION_ROLLED_BACK, Event.VERSION_PUBLISHED)
    assert [(entry["event"], entry["version"], entry.get("instead_of")) for entry in log] == [
        ("version.published", 1, None),
        ("version.published", 2, 1),
        ("version.rolled_back", 1, 2),
        ("version.rolled_back", 2, 1),
    ]
    assert await names(client, dataset) == {"2": "B", "3": "c"}


async def two_shapes(world: World, steward: dict[str, str], *files: bytes) -> str:
    """A dataset without declared fields, a version of each file loaded, the first published."""
    dataset = await world.dataset(data_class="public")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    runs = [await world.load(steward, dataset, file) for file in files]
    await world.publish(steward, runs[0])
    return dataset


async def test_a_schema_that_breaks_readers_is_published_when_confirmed(
    client: httpx.AsyncClient, world: World
) -> None:
    steward = await steward_of(world)
    first = "番号,名称,定員\nA-1,甲,10\nA-2,乙,20\n".encode()
    second = "番号,名称,定員,備考\nA-1,甲,十人,x\nA-2,乙,二十人,y\n".encode()
    dataset = await two_shapes(world, steward, first, second)
    publish_second = f"{base(dataset)}/versions/2/publish"

    refused = await client.post(publish_second, headers=steward)
    confirmed = await client.post(publish_second, params={"confirm": "true"}, headers=steward)
    back = await client.post(f"{base(dataset)}/rollback", json={"to": 1}, headers=steward)

    assert codes(refused) == [(409, "schema_change_unconfirmed")]
    assert [fault["code"] for fault in refused.json()["errors"]] == ["retyped"]
    assert (confirmed.status_code, back.status_code) == (200, 200)


async def test_a_schema_that_only_grows_needs_no_word(
    client: httpx.AsyncClient, world: World
) -> None:
    steward = await steward_of(world)
    first = "番号,名称\nA-1,甲\nA-2,乙\n".encode()
    second = "番号,名称,備考\nA-1,甲,x\nA-2,乙,y\n".encode()
    dataset = await two_shapes(world, steward, first, second)

    grown = await client.post(f"{base(dataset)}/versions/2/publish", headers=steward)

    assert grown.status_code == 200, grown.text


async def test_times_of_what_readers_got_never_go_back(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    for at in range(5):
        await put(world, dataset, [{"no": str(at), "name": "x"}])

    rows = await world.platform.database.pool.fetch(
        "SELECT number, revision, began_at FROM edition WHERE dataset_id = $1 ORDER BY number",
        dataset,
    )

    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["revision"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["began_at"] for row in rows] == sorted(row["began_at"] for row in rows)
    assert rows[-1]["began_at"] > datetime.now(UTC) - timedelta(minutes=1)
