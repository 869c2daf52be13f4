"""What a write is answered: places, languages, media types, and what stands in the log after."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from tests.api.test_writing import statuses, writer
from tests.stock import path, reader, stocked
from tests.world import World


async def test_a_batch_without_a_good_record_opens_no_version(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    headers = await writer(world, dataset)

    empty = await client.post(path(dataset), json=[], headers=headers)
    rejected = await client.post(path(dataset), json=[{"name": "x"}], headers=headers)

    assert (empty.status_code, empty.json()["code"]) == (422, "invalid_input")
    assert statuses(rejected) == ["rejected"]
    assert (rejected.json()["version"], rejected.json()["revision"]) == (None, 0)
    assert (await client.get(path(dataset))).json()["code"] == "no_version_published"
    assert await world.log(Event.VERSION_PUBLISHED) == []


async def test_the_version_that_records_open_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    await client.post(path(dataset), json=[{"no": "2"}], headers=await writer(world, dataset))

    published = await world.log(Event.VERSION_PUBLISHED)

    assert [(entry["dataset"], entry["version"]) for entry in published] == [(dataset, 1)]


async def test_a_wrong_record_takes_its_key_from_no_good_one(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    records = [{"no": "1", "size": "x"}, {"no": "1", "size": 2}, {"no": "1", "size": 3}]

    sent = await client.post(path(dataset), json=records, headers=await writer(world, dataset))

    assert statuses(sent) == ["rejected", "inserted", "rejected"]
    assert sent.json()["results"][2]["errors"][0]["code"] == "duplicate_key"


async def test_faults_point_into_the_body_in_the_callers_language(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])
    headers = {**await writer(world, dataset), "Idempotency-Key": f"l-{dataset}"}
    records = [{"no": "1"}, {"size": 1}, {"no": "2", "a/b~c": 1}, 5]

    english = await client.post(path(dataset), json=records, headers=headers)
    japanese = await client.post(
        path(dataset), json=records, headers={**headers, "Accept-Language": "ja"}
    )

    results = english.json()["results"]
    assert results[0] == {"index": 0, "key": "1", "status": "inserted", "errors": []}
    assert results[1]["key"] is None
    assert [result["errors"][0]["pointer"] for result in results[1:]] == [
        "/1/no", "/2/a~1b~0c", "/3",
    ]  # fmt: skip
    assert results[1]["errors"][0] == {
        "pointer": "/1/no", "code": "required_missing", "detail": "The field no is required.",
    }  # fmt: skip
    assert japanese.json()["results"][1]["errors"][0]["detail"] == "項目 no は必須です。"


async def test_who_may_not_write_is_told_so_before_the_body_is_read(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    asked = []

    async def body() -> Any:
        asked.append(1)
        yield b"x"

    nobody = await client.post(path(dataset), content=body())
    reading = await client.post(path(dataset), content=b"x", headers=await reader(world, dataset))

    assert (nobody.status_code, nobody.json()["code"]) == (401, "token_required")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert (reading.status_code, reading.json()["code"]) == (403, "insufficient_scope")
    assert len(await world.log(Event.RECORDS_REFUSED)) == 2


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "text/csv; charset=utf-8"])
async def test_another_media_type_is_not_taken(
    client: httpx.AsyncClient, world: World, media_type: str
) -> None:
    dataset = await stocked(world, [])
    headers = {**await writer(world, dataset), "Content-Type": media_type}

    sent = await client.post(path(dataset), content=b'[{"no":"1"}]', headers=headers)

    assert (sent.status_code, sent.json()["code"]) == (415, "unsupported_media_type")


async def test_a_delete_that_finds_nothing_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])

    missing = await client.delete(path(dataset, "9"), headers=await writer(world, dataset))

    assert (missing.status_code, missing.json()["code"]) == (404, "record_not_found")
    entries = await world.log(Event.RECORDS_WRITTEN)
    assert (entries[-1]["deleted"], entries[-1]["revision"]) == (0, 1)


async def test_a_withdrawal_while_a_delete_waits_is_seen(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    headers = await writer(world, dataset)
    await client.get(path(dataset))  # the platform remembers the dataset as it was
    await world.platform.database.pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = 'x' WHERE id = $1", dataset
    )

    refused = await client.delete(path(dataset, "1"), headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (410, "dataset_withdrawn")


async def test_a_path_of_two_doors_names_the_methods_of_both(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])

    one = await client.put(path(dataset, "1"))
    many = await client.put(path(dataset))

    assert (one.status_code, one.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert (many.status_code, many.headers["allow"]) == (405, "GET, HEAD, POST")
