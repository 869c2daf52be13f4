"""Clients as people have them, on a listening server: GDAL and OWSLib unchanged, QGIS replayed."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx
import pytest
import pytest_asyncio
from owslib.ogcapi.features import Features

from app.api.state import Platform
from tests.ogc import gdal
from tests.ogc.conftest import Door
from tests.ogc.town import points, squares
from tests.world import World

MANY = 2_500
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
FILTER = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(platform: Platform, client: httpx.AsyncClient) -> tuple[str, str]:
    """Many points and some squares, made once for this module."""
    world = World(platform, client)
    await world.start()
    return await points(world, MANY), await squares(world, 40)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """The process that GDAL runs in."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


async def asked(process: ProcessPoolExecutor, what: Callable[..., Any], *given: Any) -> Any:
    """What GDAL says, within a time that no answer should take."""
    answer = asyncio.get_running_loop().run_in_executor(process, what, *given)
    return await asyncio.wait_for(answer, 30)


async def test_gdal_lists_the_layers_and_reads_every_point_once_over_many_pages(
    door: Door, town: tuple[str, str], process: ProcessPoolExecutor
) -> None:
    address = f"OAPIF:{door.address}"

    listed = await asked(process, gdal.layers, address)
    door.asked.clear()
    found = await asked(process, gdal.read, address, town[0], {"PAGE_SIZE": "400"})
    pages = [each for each in door.asked if "limit=400" in each]
    known = await asked(process, gdal.described, address, town[0])

    assert set(town) <= set(listed)
    assert len(pages) == 7
    assert sorted(each["no"] for each in found) == [f"{at:04}" for at in range(1, MANY + 1)]
    assert found[0] == {
        "id": "0001",
        "no": "0001",
        "name": "公園1",
        "size": 1,
        "day": "2026-04-02",
        "seen_at": "2026-04-02T09:00:00.000",
        "latitude": 34.51,
        "longitude": 135.0,
        "wkt": "POINT (135 34.51)",
    }
    assert known == {"features": MANY, "kind": "Point", "bounds": [135.0, 34.5, 135.5, 34.99]}


@pytest.mark.parametrize(
    ("where", "sent", "count"),
    [
        ("size > 2490 AND name LIKE '公園%'", "(size > 2490) AND (name LIKE '公園%')", 10),
        ("name ILIKE '公園1_' OR size = 7", "(name ILIKE '公園1_') OR (size = 7)", 11),
        ("day >= '2026-04-28'", "day >= '2026-04-28T'", 59),
        ("NOT (size < 2499)", "NOT (size < 2499)", 2),
        ("no = '0042'", "no = '0042'", 1),
    ],
)
async def test_gdal_leaves_conditions_to_the_server(
    door: Door,
    town: tuple[str, str],
    process: ProcessPoolExecutor,
    where: str,
    sent: str,
    count: int,
) -> None:
    door.asked.clear()

    found = await asked(process, gdal.read, f"OAPIF:{door.address}", town[0], {"where": where})

    assert len(found) == count
    assert f"filter={sent}&filter-lang=cql-text" in door.asked[-1]


async def test_gdal_reads_the_polygons_of_an_area(
    door: Door, town: tuple[str, str], process: ProcessPoolExecutor
) -> None:
    address, area = f"OAPIF:{door.address}", {"bbox": (135.0, 34.0, 135.105, 35.0)}

    found = await asked(process, gdal.read, address, town[1], area)

    assert [each["no"] for each in found] == [f"{at:04}" for at in range(1, 11)]
    assert found[0]["wkt"].startswith("POLYGON ((135.01 34.5, 135.015 34.5")


async def test_owslib_finds_its_way(door: Door, town: tuple[str, str]) -> None:
    def ask() -> dict[str, Any]:
        client = Features(door.address)
        narrow = {"bbox": [135, 34, 135.005, 35], "datetime_": "2026-04-02/2026-04-03"}
        return {
            "conformance": client.conformance()["conformsTo"],
            "api": client.api()["openapi"],
            "names": client.feature_collections(),
            "queryables": client.collection_queryables(town[0])["properties"],
            "items": client.collection_items(town[0], **narrow, filter="size < 40", limit=5),
            "item": client.collection_item(town[0], "0007"),
        }

    found = await asyncio.to_thread(ask)

    assert FILTER in found["conformance"]
    assert found["api"].startswith("3.0")
    assert set(town) <= set(found["names"])
    assert list(found["queryables"])[:3] == ["no", "name", "size"]
    # 3 and 6 have no time, which every interval meets; 29 and 30 are of the next month's turn.
    assert [each["id"] for each in found["items"]["features"]] == [
        "0001",
        "0002",
        "0003",
        "0006",
        "0009",
    ]
    assert found["items"]["numberMatched"] == 16
    assert found["item"]["properties"]["name"] == "公園7"


async def test_the_requests_of_qgis_are_answered(door: Door, town: tuple[str, str]) -> None:
    """In the order and with the headers of its provider (src/providers/wfs/oapif)."""
    async with httpx.AsyncClient() as qgis:

        async def get(url: str, accept: str = "application/json") -> Any:
            response = await qgis.get(url, headers={"Accept": accept})
            assert response.status_code == 200, response.text
            return response.json()

        def find(links: list[dict[str, str]], rel: str, media_type: str) -> str:
            return next(x["href"] for x in links if (x["rel"], x["type"]) == (rel, media_type))

        landing = (await get(door.address))["links"]
        accept = f"{OPENAPI}, application/openapi+json;version=3.0, application/json"
        api = await get(find(landing, "service-desc", OPENAPI), accept)
        collection_url = find(landing, "data", "application/json") + f"/{town[0]}"
        collection = await get(collection_url)
        conformance = await get(next(x["href"] for x in landing if x["rel"] == "conformance"))
        queryables = await get(f"{collection_url}/queryables", "application/schema+json")
        geo = "application/geo+json, application/json"
        first = await get(f"{collection_url}/items?limit=10", geo)
        schema = find(
            collection["links"],
            "http://www.opengis.net/def/rel/ogc/1.0/schema",
            "application/schema+json",
        )
        told = await get(schema, "application/schema+json")
        url: str | None = (
            f'{collection_url}/items?limit=1000&filter=("size" > 100)&filter-lang=cql2-text'
            "&bbox=135,34,136,35"
        )
        found: list[str] = []
        while url is not None:
            page = await get(url, geo)
            found += [each["id"] for each in page["features"]]
            url = next((x["href"] for x in page["links"] if x["rel"] == "next"), None)

    limit = api["components"]["parameters"]["limit"]["schema"]
    assert (limit["default"], limit["maximum"]) == (100, 10_000)
    assert FILTER in conformance["conformsTo"]
    # It takes a queryable only with one type, or as a geometry by reference.
    known = queryables["properties"]
    assert known.pop("geometry")["$ref"].startswith("https://geojson.org/schema/")
    assert all(isinstance(each["type"], str) for each in known.values())
    assert collection["storageCrs"] in collection["crs"]
    assert first["numberMatched"] == MANY
    assert told["properties"]["day"]["format"] == "date"
    assert sorted(found) == [f"{at:04}" for at in range(101, MANY + 1)]
