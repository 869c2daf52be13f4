"""Where parts meet: what one of them hides, bounds or refuses, no other lets through."""

import time
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from tests.files.ready import made
from tests.ogc.town import POINTS, items, point, points
from tests.stock import PURPOSE, Spec, path, reader, stocked
from tests.world import KENKO, World

HIDDEN: dict[str, Any] = {"visibility": "restricted"}
MEMBERS: tuple[Spec, ...] = (("no", "code", {"key": True}), ("person", "code", HIDDEN))
PEOPLE: tuple[Spec, ...] = (
    ("no", "code", {"key": True, **HIDDEN}), ("name", "text"), ("seen_at", "datetime"),
)  # fmt: skip
AGED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}), ("name", "text"), ("seen_at", "datetime", HIDDEN),
)  # fmt: skip
PERSON = {"no": "P-77", "name": "架空", "seen_at": "2026-04-01T09:00:00+09:00"}


async def joined(world: World, dataset: str, other: str, **more: Any) -> None:
    """Have a dataset's publisher declare a join that it may."""
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    join = {"name": "beside", "dataset": other, "there": "no", **more}
    answer = await world.client.patch(
        f"/v1/datasets/{dataset}", json={"joins": [join]}, headers=steward
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("door", ["records?expand=beside", "aggregate?expand=beside"])
async def test_a_join_by_a_hidden_field_of_ones_own_tells_nothing(
    client: httpx.AsyncClient, world: World, door: str
) -> None:
    here = await stocked(world, [{"no": "1", "person": "P-77"}], MEMBERS)
    people = await stocked(world, [PERSON], (("no", "code", {"key": True}), *PEOPLE[1:]))
    await joined(world, here, people, here="person")

    answer = await client.get(f"/v1/datasets/{here}/{door}")

    assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible"), answer.text
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert (entry["dataset"], entry["reason"]) == (here, "column_not_visible")


@pytest.mark.parametrize(
    ("specs", "more"),
    [(PEOPLE, {}), (AGED, {"as_of": "seen_at", "stale_after_seconds": 60})],
)
async def test_a_join_by_what_the_other_dataset_hides_tells_nothing(
    client: httpx.AsyncClient, world: World, specs: tuple[Spec, ...], more: dict[str, Any]
) -> None:
    here = await stocked(world, [{"no": "P-77"}], (("no", "code", {"key": True}),))
    people = await stocked(world, [PERSON], specs)
    await joined(world, here, people, here="no", **more)

    answer = await client.get(f"/v1/datasets/{here}/records?expand=beside")

    assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible"), answer.text
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert (entry["dataset"], entry["reason"]) == (people, "column_not_visible")


@pytest.mark.parametrize("key", ["P-77", "P-78", "P-77?f=csv"])
async def test_a_hidden_key_cannot_be_tried(
    client: httpx.AsyncClient, world: World, key: str
) -> None:
    dataset = await stocked(world, [PERSON], PEOPLE)

    answer = await client.get(path(dataset, key))

    assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible"), answer.text
    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [
        "column_not_visible"
    ]


@pytest.mark.parametrize("text", ["a" * 60_000, "a ILIKE '" * 3_000, "a = '2026-04-01" * 2_000])
async def test_a_long_filter_of_gdal_is_read_in_a_time_that_grows_with_its_length(
    client: httpx.AsyncClient, world: World, text: str
) -> None:
    collection = await points(world, 1)
    begun = time.perf_counter()

    answer = await client.get(items(collection), params={"filter-lang": "cql-text", "filter": text})

    assert answer.status_code == 400
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    "door",
    ["records?", "records?f=csv&", "aggregate?", "files/{}.csv?", "/ogc/collections/{}/items?"],
)
async def test_who_has_it_already_gets_no_rows_and_the_log_says_so(
    client: httpx.AsyncClient, world: World, door: str
) -> None:
    dataset = await stocked(world, [point(1), point(2)], POINTS, data_class="internal")
    await made(world, dataset)
    headers = await reader(world, dataset)
    place = door if door.startswith("/") else f"/v1/datasets/{dataset}/{door}"
    address = f"{place.format(dataset)}purpose={PURPOSE}"
    first = await client.get(address, headers=headers)

    again = await client.get(address, headers={**headers, "If-None-Match": first.headers["etag"]})

    assert (first.status_code, again.status_code) == (200, 304)
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [2, 0]


@pytest.mark.parametrize("action", ["datastore_search", "package_search"])
@pytest.mark.parametrize("name", ["plain", "include_total", "limit", "rows", "facet", "filters"])
async def test_a_body_nested_without_end_is_a_bad_request(
    client: httpx.AsyncClient, action: str, name: str
) -> None:
    deep = "[" * 1_000 + "]" * 1_000

    answer = await client.post(f"/api/3/action/{action}", content=f'{{"{name}":{deep}}}')

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "body_unreadable")
