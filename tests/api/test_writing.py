"""Writing records: each is answered for, a retry changes nothing, and bad input harms no one."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from tests.stock import KEYED, Spec, path, reader, stocked
from tests.world import KENKO, World

TYPED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("n", "integer"),
    ("x", "decimal"),
    ("t", "text", {"required": True}),
    ("d", "date"),
    ("at", "datetime"),
    ("b", "boolean"),
    ("lg", "local_government_code"),
    ("kind", "code", {"code_list": {"1": "甲"}}),
    ("lat", "latitude"),
    ("lon", "longitude"),
)


async def writer(world: World, dataset: str) -> dict[str, str]:
    return await world.token(await world.party(KENKO), f"dataset:{dataset}:write")


def statuses(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [result["status"] for result in response.json()["results"]]


async def test_each_record_is_inserted_updated_or_unchanged(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a"}, {"no": "2", "name": "b"}])
    headers = await writer(world, dataset)
    records = [{"no": "1", "name": "a"}, {"no": "2"}, {"no": "3"}]

    sent = await client.post(path(dataset), json=records, headers=headers)
    again = await client.post(path(dataset), json=records, headers=headers)

    assert statuses(sent) == ["unchanged", "updated", "inserted"]
    assert statuses(again) == ["unchanged"] * 3
    assert again.json()["revision"] == sent.json()["revision"] == 2
    records_now = (await client.get(path(dataset))).json()["records"]
    assert [(record["no"], record["name"]) for record in records_now] == [
        ("1", "a"), ("2", None), ("3", None),
    ]  # fmt: skip


async def test_a_deleted_record_is_gone_and_can_come_back(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}, {"no": "2"}])
    headers = await writer(world, dataset)

    first = await client.delete(path(dataset, "1"), headers=headers)
    second = await client.delete(path(dataset, "1"), headers=headers)
    missing = await client.get(path(dataset, "1"))
    back = await client.post(path(dataset), json=[{"no": "1", "size": 5}], headers=headers)

    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()["code"]) == (404, "record_not_found")
    assert missing.status_code == 404
    assert statuses(back) == ["inserted"]
    assert (await client.get(path(dataset, "1"))).json()["record"]["size"] == 5
    assert (await client.get(path(dataset), params={"count": "true"})).json()["numberMatched"] == 2


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"n": "12"}, "invalid_integer"), ({"n": 1.5}, "invalid_integer"), ({"n": 2**63}, "invalid_integer"),
        ({"n": True}, "invalid_integer"), ({"x": "1"}, "invalid_decimal"),
        ({"t": 1}, "invalid_text"), ({"t": "\x00"}, "invalid_text"), ({"t": None}, "required_missing"),
        ({"t": ""}, "required_missing"), ({"t": ["a"]}, "invalid_text"), ({"t": {"a": 1}}, "invalid_text"),
        ({"d": "2026-02-30"}, "invalid_date"), ({"d": {"date": "2026-01-01"}}, "invalid_date"),
        ({"at": "2026-01-01T00:00:00"}, "invalid_datetime"), ({"b": 1}, "invalid_boolean"),
        ({"lg": "271005"}, None), ({"kind": "2"}, "not_in_code_list"),
        ({"lat": 135.5}, "coordinate_out_of_area"), ({"lat": "34.5"}, "invalid_latitude"),
        ({"zz": 1}, "unknown_field"), ({"\x00": 1}, "unknown_field"), ({"": 1}, "unknown_field"),
        ({"no": None}, "required_missing"), ({"no": "x" * 5_000}, "too_long"), ({"kind": [[]]}, "invalid_code"),
        (None, "not_an_object"), (5, "not_an_object"), ([], "not_an_object"),
    ],
)  # fmt: skip
async def test_one_wrong_record_is_told_and_the_others_are_stored(
    client: httpx.AsyncClient, world: World, wrong: Any, code: str | None
) -> None:
    dataset = await stocked(world, [], TYPED)
    headers = {**await writer(world, dataset), "Idempotency-Key": "k-" + dataset}
    bad = {"no": "2", "t": "x", **wrong} if isinstance(wrong, dict) else wrong
    body = json.dumps([{"no": "1", "t": "x"}, bad, {"no": "3", "t": "x"}])

    sent = await client.post(path(dataset), content=body, headers=headers)

    assert statuses(sent) == ["inserted", "rejected", "inserted"]
    codes = [error["code"] for error in sent.json()["results"][1]["errors"]]
    assert codes == [code] if code else len(codes) == 1
    assert (sent.json()["accepted"], sent.json()["rejected"]) == (2, 1)
    assert (await client.get(path(dataset), params={"count": "true"})).json()["numberMatched"] == 2


async def test_good_values_of_every_type_come_back_as_they_were(
    client: httpx.AsyncClient, world: World
) -> None:
    record = {
        "no": "01", "n": -(2**63), "x": 0.1, "t": "髙①～𠮷", "d": "2024-02-29", "b": False,
        "at": "2026-04-01T09:00:00+09:00", "lg": "271004", "kind": "1", "lat": 34.5, "lon": 135.5,
    }  # fmt: skip
    dataset = await stocked(world, [record], TYPED)

    found = (await client.get(path(dataset, "01"))).json()["record"]

    assert found == record


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("local_government_code", "27100", "271004"),
        ("integer", 1, 1.0),
        ("decimal", 1.5, 1.50),
        ("datetime", "2026-04-01T00:00:00Z", "2026-04-01T09:00:00+09:00"),
    ],
)
async def test_one_key_in_two_spellings_is_a_double(
    client: httpx.AsyncClient, world: World, kind: str, one: Any, other: Any
) -> None:
    dataset = await stocked(world, [], (("no", kind, {"key": True}), ("name", "text")))
    headers = await writer(world, dataset)
    records = [{"no": one, "name": "first"}, {"no": other, "name": "second"}]

    sent = await client.post(path(dataset), json=records, headers=headers)

    assert statuses(sent) == ["inserted", "rejected"]
    assert sent.json()["results"][1]["errors"][0]["code"] == "duplicate_key"
    key = sent.json()["results"][0]["key"]
    assert (await client.get(path(dataset, key))).json()["record"]["name"] == "first"
    assert statuses(await client.post(path(dataset), json=records[1:], headers=headers)) == [
        "updated"
    ]


async def test_a_retry_with_its_key_gets_the_first_answer_and_writes_nothing(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "0"}])
    headers = {**await writer(world, dataset), "Idempotency-Key": f"a-{dataset}"}

    first = await client.post(path(dataset), json=[{"no": "1"}], headers=headers)
    again = await client.post(path(dataset), json=[{"no": "1"}], headers=headers)
    misused = await client.post(path(dataset), json=[{"no": "2"}], headers=headers)

    assert first.json() == again.json()
    assert (misused.status_code, misused.json()["code"]) == (422, "idempotency_key_reused")
    assert (await client.get(path(dataset))).json()["meta"]["revision"] == 2
    too_long = await client.post(
        path(dataset), json=[{"no": "3"}], headers={**headers, "Idempotency-Key": "x" * 256}
    )
    assert too_long.status_code == 422
    longest = await client.post(
        path(dataset), json=[{"no": "3"}], headers={**headers, "Idempotency-Key": "x" * 255}
    )
    assert statuses(longest) == ["inserted"]


async def test_many_retries_at_once_write_once(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [{"no": "0"}])
    token = await writer(world, dataset)
    headers = {**token, "Idempotency-Key": f"b-{dataset}"}

    answers = await asyncio.gather(
        *(client.post(path(dataset), json=[{"no": "1"}], headers=headers) for _ in range(12))
    )

    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json()["results"][0]["status"] == "inserted"
    assert len(await world.log(Event.RECORDS_WRITTEN)) == 2  # the stock, and these


async def test_writers_at_once_lose_nothing(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [])
    headers = await writer(world, dataset)

    answers = await asyncio.gather(
        *(
            client.post(path(dataset), json=[{"no": f"{at}"}, {"no": "shared", "size": at}], headers=headers)
            for at in range(20)
        )
    )  # fmt: skip

    assert {answer.status_code for answer in answers} == {200}
    found = await client.get(path(dataset), params={"count": "true"})
    assert found.json()["numberMatched"] == 21
    assert sorted(answer.json()["revision"] for answer in answers) == list(range(1, 21))


async def test_ndjson_names_its_bad_line(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [])
    headers = {**await writer(world, dataset), "Content-Type": "application/x-ndjson"}

    good = await client.post(path(dataset), content=b'{"no":"1"}\r\n\n{"no":"2"}', headers=headers)
    bad = await client.post(path(dataset), content=b'{"no":"3"}\n{"no":', headers=headers)

    assert statuses(good) == ["inserted", "inserted"]
    assert (bad.status_code, bad.json()["code"]) == (400, "malformed_body")
    assert "line 2" in bad.json()["detail"]
    assert (await client.get(path(dataset, "3"))).status_code == 404


async def test_ndjson_is_parted_by_line_feeds_only(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [])
    headers = {**await writer(world, dataset), "Content-Type": "application/x-ndjson"}
    record = {"no": "1", "name": "a\u2028b\x85c\x0cd"}

    sent = await client.post(
        path(dataset), content=json.dumps(record, ensure_ascii=False).encode(), headers=headers
    )

    assert statuses(sent) == ["inserted"]
    assert (await client.get(path(dataset, "1"))).json()["record"]["name"] == record["name"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"[", b'[{"no": NaN}]', b'[{"no": Infinity}]', b'[{"no": 1e999}]', b'[{"no": "\\ud800"}]',
     b'[{"no": "\xff"}]', b"[" * 100_000, b'[{"no": 1,}]', b'"a"', b"[1] [2]"],
)  # fmt: skip
async def test_a_body_that_is_no_array_is_refused(
    client: httpx.AsyncClient, world: World, body: bytes
) -> None:
    dataset = await stocked(world, [])

    sent = await client.post(path(dataset), content=body, headers=await writer(world, dataset))

    assert (sent.status_code, sent.json()["code"]) == (400, "malformed_body")


async def test_a_batch_has_bounds(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [])
    headers = await writer(world, dataset)
    most = [{"no": f"{at}"} for at in range(10_000)]

    fits = await client.post(path(dataset), json=most, headers=headers)
    many = await client.post(path(dataset), json=[*most, {"no": "x"}], headers=headers)
    large = await client.post(path(dataset), content=b" " * (32 * 1024 * 1024 + 1), headers=headers)

    assert fits.json()["accepted"] == 10_000
    for refused in (many, large):
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_a_dataset_without_a_key_or_a_licence_takes_no_records(
    client: httpx.AsyncClient, world: World
) -> None:
    keyless = await stocked(world, [], (("name", "text"),))
    unlicensed = await world.dataset(data_class="public", fields=None, columns=("name",))
    undeclared = await stocked(world, [])
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", undeclared
    )
    world.platform.live.changed("dataset", undeclared)

    for dataset, status, code in (
        (keyless, 409, "dataset_has_no_key"),
        (unlicensed, 422, "license_missing"),
        (undeclared, 422, "dataset_invalid"),
    ):
        headers = await writer(world, dataset)
        sent = await client.post(path(dataset), json=[{"name": "x"}], headers=headers)
        assert (sent.status_code, sent.json()["code"]) == (status, code)
        assert (await client.get(path(dataset))).json()["code"] == "no_version_published"


async def test_deleting_names_exactly_one_record(client: httpx.AsyncClient, world: World) -> None:
    specs: tuple[Spec, ...] = (("no", "text", {"key": True}), *KEYED[1:])
    dataset = await stocked(world, [{"no": "b"}, {"no": "a/records/b"}], specs)

    gone = await client.delete(path(dataset, "a/records/b"), headers=await writer(world, dataset))

    assert gone.status_code == 204
    assert [r["no"] for r in (await client.get(path(dataset))).json()["records"]] == ["b"]


async def test_a_reading_token_writes_nothing(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    headers = await reader(world, dataset)

    sent = await client.post(path(dataset), json=[{"no": "2"}], headers=headers)
    gone = await client.delete(path(dataset, "1"), headers=headers)

    assert [sent.status_code, gone.status_code] == [403, 403]
    assert len(await world.log(Event.RECORDS_REFUSED)) == 2
