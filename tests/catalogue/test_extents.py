"""Where records lie is told where everybody may read it: the outermost places are values."""

import json
from typing import Any

import httpx
import pytest

from app.models.parties import Role
from tests.stock import Spec, stocked
from tests.world import SAKAI, World

PLACE: dict[str, Any] = {"no": "1", "name": "架空", "lat": 34.123456, "lon": 135.654321}
AROUND = {"bbox": "135.65432,34.12345,135.65433,34.12346"}
RULES = {"k": 3, "dimensions": ["name"], "count": None}


def specs(**coordinates: Any) -> tuple[Spec, ...]:
    return (
        ("no", "code", {"key": True}), ("name", "text"),
        ("lat", "latitude", coordinates), ("lon", "longitude", coordinates),
    )  # fmt: skip


async def placed(world: World, kind: str) -> str:
    """A dataset of one place, which is told or not."""
    is_hidden = kind == "hidden"
    data_class = kind if kind in ("internal", "restricted") else "public"
    hiding = {"visibility": "restricted"} if is_hidden else {}
    dataset = await stocked(world, [PLACE], specs(**hiding), data_class=data_class)
    change = {"counted": "suppression = $2::jsonb", "lgwan": "zone = $2::jsonb #>> '{k}'"}.get(kind)
    if change is not None:
        told = json.dumps(RULES if kind == "counted" else {"k": "lgwan"})
        await world.platform.database.pool.execute(
            f"UPDATE dataset SET {change} WHERE id = $1", dataset, told
        )
        world.platform.live.changed("dataset", dataset)
    return dataset


async def told(client: httpx.AsyncClient, dataset: str, headers: dict[str, str]) -> set[str]:
    """The doors that tell where the record lies."""
    doors = (
        f"/ogc/collections/{dataset}", "/ogc/collections?limit=1000",
        f"/opendata/datasets/{dataset}.jsonld", f"/opendata/datasets/{dataset}.ttl",
        f"/opendata/datasets/{dataset}/schema-org.jsonld", "/opendata/data.json",
        f"/api/3/action/package_show?id={dataset}",
    )  # fmt: skip
    found = set()
    for door in doors:
        answer = await client.get(door, headers=headers)
        if "135.654" in answer.text:
            found.add(door)
    around = await client.get("/v1/datasets", params=AROUND, headers=headers)
    return found | {each["id"] for each in around.json()["datasets"]}


@pytest.mark.parametrize("kind", ["hidden", "counted", "lgwan", "internal", "restricted"])
async def test_no_door_tells_where_records_lie_that_not_everybody_may_read(
    client: httpx.AsyncClient, world: World, kind: str
) -> None:
    dataset = await placed(world, kind)
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")

    assert await told(client, dataset, {}) == set()
    assert await told(client, dataset, stranger) == set()


async def test_every_door_tells_where_open_records_lie(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await placed(world, "open")

    assert {each for each in await told(client, dataset, {}) if dataset in each} == {
        f"/ogc/collections/{dataset}", f"/opendata/datasets/{dataset}.jsonld",
        f"/opendata/datasets/{dataset}.ttl", f"/opendata/datasets/{dataset}/schema-org.jsonld",
        f"/api/3/action/package_show?id={dataset}", dataset,
    }  # fmt: skip


async def test_no_map_is_offered_of_places_that_are_hidden(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await placed(world, "hidden")
    asked = {"fq": f"name:{dataset} AND res_format:GeoJSON"}

    found = await client.get("/api/3/action/package_search", params=asked)

    assert found.json()["result"]["count"] == 0
    shown = await client.get("/api/3/action/package_show", params={"id": dataset})
    assert "GeoJSON" not in {each["format"] for each in shown.json()["result"]["resources"]}
