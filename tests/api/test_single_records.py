"""Single records by key, and what is said of things that are not there."""

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.api.test_reading import ROWS, code, got
from tests.stock import PURPOSE, Spec, path, reader, stocked
from tests.world import KENKO, World

COMPOSED: tuple[Spec, ...] = (
    ("ward", "text", {"key": True}),
    ("no", "text", {"key": True}),
    ("name", "text"),
)


async def test_keys_of_several_fields_hold_commas_and_slashes(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [
        {"ward": "a,b", "no": "c/d", "name": "1"},
        {"ward": "a", "no": "b,c/d", "name": "2"},
        {"ward": "北区", "no": "/records/", "name": "3"},
        {"ward": "50%", "no": "?#", "name": "4"},
    ]
    dataset = await stocked(world, rows, COMPOSED)

    for key, name in {
        "a%2Cb,c%2Fd": "1",
        "a,b%2Cc%2Fd": "2",
        "%E5%8C%97%E5%8C%BA,/records/": "3",
        "%E5%8C%97%E5%8C%BA,%2Frecords%2F": "3",
        "50%25,%3F%23": "4",
    }.items():
        found = await client.get(path(dataset, key))
        assert found.json()["record"]["name"] == name, key
    assert code(await client.get(path(dataset, "a"))) == (400, "invalid_parameter")
    assert code(await client.get(path(dataset, "a,b,c"))) == (400, "invalid_parameter")
    assert code(await client.get(path(dataset, "a,b"))) == (404, "record_not_found")


@pytest.mark.parametrize("asked", ["", "?f=csv", "?f=ndjson", "?fields=no"])
async def test_a_record_that_is_not_there_is_not_found_in_any_form(
    client: httpx.AsyncClient, world: World, asked: str
) -> None:
    dataset = await stocked(world, ROWS)

    for header in ({}, {"If-None-Match": "*"}):
        missing = await client.get(path(dataset, "9") + asked, headers=header)
        assert code(missing) == (404, "record_not_found")
    there = await client.get(path(dataset, "1") + asked, headers={"If-None-Match": "*"})
    assert there.status_code == 304


async def test_a_dataset_without_a_key_has_no_single_records(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (("name", "text"),)
    dataset = await stocked(world, [], specs)

    assert code(await client.get(path(dataset))) == (404, "no_version_published")
    assert code(await client.get(path("no-such-thing"))) == (404, "dataset_not_found")
    assert code(await client.get("/v1/datasets/%00/records")) == (404, "dataset_not_found")
    assert code(await client.get(f"/v1/datasets/{'x' * 5000}/records")) == (
        404,
        "dataset_not_found",
    )


async def test_a_hidden_dataset_does_not_exist_for_others(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted", hidden=True)
    own = await reader(world, dataset)

    for asked in (
        "",
        "?version=9",
        "?cursor=x",
        "?limt=1",
        "?version=x",
        "/1",
        f"?purpose={PURPOSE}",
    ):
        refused = await client.get(path(dataset) + asked)
        assert code(refused) == (404, "dataset_not_found"), asked
    assert code(await client.post(path(dataset), json=[])) == (404, "dataset_not_found")
    assert code(await client.delete(path(dataset, "1"))) == (404, "dataset_not_found")
    seen = await client.get(path(dataset), params={"purpose": PURPOSE}, headers=own)
    assert seen.status_code == 200
    assert len(await world.log(Event.RECORDS_REFUSED)) == 9


async def test_a_withdrawn_dataset_is_gone_with_its_reason(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    why = {"reason": "制度の終了"}
    ended = await client.post(f"/v1/datasets/{dataset}/withdraw", json=why, headers=steward)
    assert ended.status_code < 300, ended.text

    for asked in ("", "/1", "?f=csv", "?version=1"):
        gone = await client.get(path(dataset) + asked)
        assert code(gone) == (410, "dataset_withdrawn")
        assert "制度の終了" in gone.json()["detail"]


async def test_an_unreadable_version_number_is_not_found(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    assert await got(client, dataset, version="1") == ["1", "2", "3"]
    for number in ("0", "2", "999999999"):
        missing = await client.get(path(dataset), params={"version": number})
        assert code(missing) == (404, "version_not_found")
