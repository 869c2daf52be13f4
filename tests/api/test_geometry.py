"""Geometry as a type: written, loaded, searched by area, shown in every form, and what is refused."""

import csv
import io
import json
import random
from typing import Any

import httpx
import pytest
import shapely

from app.models.parties import Role
from tests.stock import PURPOSE, Spec, agreed, path, put, stocked
from tests.world import KENKO, SAKAI, World

SHAPED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("shape", "geometry"),
)


def square(west: float, south: float, side: float = 0.1) -> dict[str, Any]:
    """A square as an office's software writes it: clockwise."""
    east, north = west + side, south + side
    ring = [[west, south], [west, north], [east, north], [east, south], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


ROWS: list[dict[str, Any]] = [
    {"no": "a", "name": "北", "shape": square(135.0, 34.0)},
    {"no": "b", "name": "南", "shape": {"type": "LineString", "coordinates": [[136, 35], [137, 36, 9]]}},
    {"no": "c", "name": "無", "shape": None},
]  # fmt: skip


async def got(client: httpx.AsyncClient, dataset: str, **asked: str) -> list[str]:
    response = await client.get(path(dataset), params=asked)
    assert response.status_code == 200, response.text
    return [record["no"] for record in response.json()["records"]]


async def extent(world: World, dataset: str) -> list[float]:
    row = await world.platform.database.pool.fetchrow(
        "SELECT west, south, east, north FROM version WHERE dataset_id = $1", dataset
    )
    return list(row or ())


async def test_a_geometry_is_an_object_in_json_and_the_geometry_of_a_feature(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHAPED)

    records = (await client.get(path(dataset))).json()["records"]
    features = (await client.get(path(dataset), params={"f": "geojson"})).json()["features"]
    lines = (await client.get(path(dataset), params={"f": "ndjson"})).text.splitlines()
    table = list(
        csv.DictReader(io.StringIO((await client.get(path(dataset), params={"f": "csv"})).text))
    )

    ring = records[0]["shape"]["coordinates"][0]
    assert shapely.LinearRing(ring).is_ccw
    assert shapely.equals(shapely.from_geojson(json.dumps(ROWS[0]["shape"])), shapely.Polygon(ring))
    assert records[1]["shape"] == {
        "type": "LineString",
        "coordinates": [[136.0, 35.0], [137.0, 36.0]],
    }
    assert records[2]["shape"] is None
    assert [feature["geometry"] for feature in features] == [record["shape"] for record in records]
    assert [set(feature["properties"]) for feature in features] == [{"no", "name"}] * 3
    assert [json.loads(line)["shape"] for line in lines] == [record["shape"] for record in records]
    assert json.loads(table[1]["shape"]) == records[1]["shape"]
    assert table[2]["shape"] == ""


async def test_a_box_finds_the_shapes_that_it_meets(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHAPED)

    assert await got(client, dataset, bbox="134,33,138,37") == ["a", "b"]
    assert await got(client, dataset, bbox="135.1,34.1,136,35") == ["a", "b"]
    assert await got(client, dataset, bbox="135.1000005,34,135.9999995,36") == []
    assert await got(client, dataset, bbox="136.9,30,-170,40") == ["b"]
    assert await got(client, dataset, bbox="136.6,35,137,35.4") == []


async def test_boxes_on_random_shapes_answer_as_another_library_does(
    client: httpx.AsyncClient, world: World
) -> None:
    dice = random.Random(20260401)
    shapes = {
        str(at): shapely.buffer(
            shapely.Point(dice.uniform(134, 137), dice.uniform(33, 36)), dice.uniform(0.001, 0.4)
        )
        for at in range(120)
    }
    records = [
        {"no": no, "shape": json.loads(shapely.to_geojson(shape))} for no, shape in shapes.items()
    ]
    dataset = await stocked(world, records, SHAPED)

    for _ in range(25):
        x, y = (
            sorted(dice.uniform(133, 138) for _ in "ab"),
            sorted(dice.uniform(32, 37) for _ in "ab"),
        )
        box = shapely.box(x[0], y[0], x[1], y[1])
        expected = {no for no, shape in shapes.items() if shape.intersects(box)}
        asked = f"{x[0]!r},{y[0]!r},{x[1]!r},{y[1]!r}"
        assert set(await got(client, dataset, bbox=asked, limit="500")) == expected


async def test_the_index_serves_the_box(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS, SHAPED)
    pool = world.platform.database.pool

    name = await pool.fetchval("SELECT table_name FROM version WHERE dataset_id = $1", dataset)
    indexes = await pool.fetch(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'hosted' AND tablename = $1", name
    )

    assert any("USING gist (box(" in row["indexdef"] for row in indexes)
    _ = client


async def test_a_geometry_can_be_changed_emptied_and_left_as_it_is(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHAPED)

    await put(
        world, dataset, [{**ROWS[0], "shape": square(140.0, 40.0)}, {"no": "b", "name": "南"}]
    )
    again = await client.post(
        path(dataset), json=[{**ROWS[0], "shape": square(140.0, 40.0)}],
        headers=await world.token(await world.party(KENKO), f"dataset:{dataset}:write"),
    )  # fmt: skip

    assert await got(client, dataset, bbox="139,39,141,41") == ["a"]
    assert await got(client, dataset, bbox="134,33,138,37") == []
    assert again.json()["results"][0]["status"] == "unchanged"
    assert await extent(world, dataset) == [135.0, 34.0, 140.1, 40.1]


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ("POINT(135 34)", "invalid_geometry"),
        ({"type": "Circle", "coordinates": [135, 34]}, "invalid_geometry"),
        ({"type": "Point", "coordinates": ["135", "34"]}, "invalid_geometry"),
        ({"type": "Point", "coordinates": [True, 34]}, "invalid_geometry"),
        ({"type": "Point", "coordinates": [135]}, "invalid_geometry"),
        ({"type": "Polygon", "coordinates": [135, 34]}, "invalid_geometry"),
        ({"type": "Point", "coordinates": [34.7, 135.5]}, "coordinate_out_of_area"),
        ({"type": "Point", "coordinates": [-3.7, 40.4]}, "coordinate_out_of_area"),
        ({"type": "LineString", "coordinates": [[135, 34]]}, "geometry_too_few_points"),
        (
            {"type": "Polygon", "coordinates": [[[135, 34], [136, 34], [135, 34]]]},
            "geometry_too_few_points",
        ),
        (
            {"type": "Polygon", "coordinates": [[[135, 34], [136, 34], [136, 35], [135, 35]]]},
            "geometry_ring_open",
        ),
    ],
)
async def test_what_is_no_geometry_is_refused_with_its_reason(
    client: httpx.AsyncClient, world: World, shape: object, code: str
) -> None:
    dataset = await stocked(world, [], SHAPED)
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")

    sent = await client.post(path(dataset), json=[{"no": "x", "shape": shape}], headers=headers)

    (result,) = sent.json()["results"]
    assert (result["status"], result["errors"][0]["code"]) == ("rejected", code)
    assert result["errors"][0]["pointer"] == "/0/shape"


async def test_collections_within_collections_end_somewhere(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [], SHAPED)
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")
    deep: dict[str, Any] = {"type": "Point", "coordinates": [135, 34]}
    for _ in range(50):
        deep = {"type": "GeometryCollection", "geometries": [deep]}

    sent = await client.post(path(dataset), json=[{"no": "x", "shape": deep}], headers=headers)

    assert sent.json()["results"][0]["errors"][0]["code"] == "invalid_geometry"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"shape": "x"}, 400),
        ({"sort": "shape"}, 400),
        ({"filter": "shape = 'x'"}, 400),
        ({"filter": "shape LIKE '%x%'"}, 400),
        ({"filter": "shape IS NULL"}, 200),
        ({"lat": "34", "lon": "135", "radius": "10"}, 400),
    ],
)
async def test_a_geometry_is_neither_compared_nor_sorted_by(
    client: httpx.AsyncClient, world: World, asked: dict[str, str], status: int
) -> None:
    dataset = await stocked(world, ROWS, SHAPED)

    answer = await client.get(path(dataset), params=asked)

    assert answer.status_code == status, answer.text
    if status == 400:
        assert any(mend in answer.text for mend in ("bbox", "LIKE", "S_INTERSECTS"))


async def test_a_hidden_geometry_shows_itself_by_no_way(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHAPED, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, party, columns=["no", "name"])
    headers = await world.token(party, f"dataset:{dataset}:read")

    for asked in ({"bbox": "134,33,138,37"}, {"f": "geojson"}, {"fields": "shape"}):
        params = {"purpose": PURPOSE, **asked}
        answer = await client.get(path(dataset), params=params, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible")
    plain = await client.get(path(dataset), params={"purpose": PURPOSE}, headers=headers)
    assert set(plain.json()["records"][0]) == {"no", "name"}


async def test_a_geometry_is_no_key(client: httpx.AsyncClient, world: World) -> None:
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    dataset = await stocked(world, [], SHAPED)

    answer = await client.patch(
        f"/v1/datasets/{dataset}",
        json={"fields": [{"name": "shape", "type": "geometry", "key": True}]},
        headers=steward,
    )

    assert "geometry_not_comparable" in answer.text


async def test_the_schema_says_geojson(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS, SHAPED)

    schema = (await client.get(f"/v1/datasets/{dataset}/schema")).json()

    said = schema["properties"]["shape"]
    assert said["anyOf"] == [{"$ref": "https://geojson.org/schema/Geometry.json"}, {"type": "null"}]
    assert (said["format"], said["x-type"]) == ("geometry-any", "geometry")


@pytest.mark.usefixtures("worker")
async def test_a_file_of_shapes_becomes_a_searchable_version(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await world.dataset(data_class="public", fields=[])
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    features = [
        {
            "type": "Feature",
            "properties": {"no": row["no"], "名称": row["name"]},
            "geometry": row["shape"],
        }
        for row in ROWS
    ]
    wrong = {"type": "Feature", "properties": {"no": "d"}, "geometry": {"type": "LineString", "coordinates": [[135, 34]]}}  # fmt: skip
    file = json.dumps({"type": "FeatureCollection", "features": [*features, wrong]}).encode()

    run = await world.load(headers, dataset, file)
    await world.publish(headers, run)

    assert (run["state"], run["rows_accepted"], run["rows_rejected"]) == ("degraded", 3, 1)
    assert await got(client, dataset, bbox="135.05,34.05,135.06,34.06") == ["a"]
    assert await extent(world, dataset) == [135.0, 34.0, 137.0, 36.0]


@pytest.mark.usefixtures("worker")
async def test_the_system_of_metres_is_told_with_the_file(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await world.dataset(data_class="public")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0', fields = NULL WHERE id = $1", dataset
    )
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    file = "no,X座標,Y座標\n1,-125700.5,-16500.5\n".encode()

    run = await world.load(headers, dataset, file, crs="EPSG:6676")
    await world.publish(headers, run)

    assert "coordinates_converted" in [notice["code"] for notice in run["notices"]]
    assert await got(client, dataset, bbox="138.319,34.866,138.320,34.868") == ["1"]
