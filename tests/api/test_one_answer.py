"""Whatever way records leave, the same conditions of place and words find the same records."""

import csv
import io
import json
from typing import Any

import httpx
import polars
import pytest

from tests.api.ckan.shelves import call, opened, resource_of
from tests.ogc.town import ids
from tests.stock import Spec, path
from tests.world import World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("shape", "geometry"),
)
CORNER = "POLYGON((135.8 34.8, 136 34.8, 136 35, 135.8 35, 135.8 34.8))"


def shaped(no: str, name: str | None, *ring: tuple[float, float]) -> dict[str, Any]:
    return {"no": no, "name": name, "shape": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}


# The bounds of 02 and 03 reach into the corner, and they themselves do not.
ROWS = [
    shaped("01", "ひばり障がい者施設", (135.7, 34.7), (135.9, 34.7), (135.9, 34.9)),
    shaped("02", "ひばり公園", (135, 34), (136, 34), (135, 35)),
    shaped("03", "つばめ障害者施設", (135, 34), (136, 34), (135, 35)),
    shaped("04", "つばめ公園", (135.8, 34.8), (136, 34.8), (136, 35)),
    shaped("05", "かもめ障碍者施設", (135.81, 34.81), (135.82, 34.81), (135.82, 34.82)),
    {"no": "06", "name": "障害者施設"},
]
ASKED: dict[str, tuple[dict[str, str], list[str]]] = {
    "intersects": ({"filter": f"S_INTERSECTS(shape, {CORNER})"}, ["01", "04", "05"]),
    "unknown": ({"filter": f"NOT S_INTERSECTS(shape, {CORNER})"}, ["02", "03"]),
    "box": ({"bbox": "135.8,34.8,136,35"}, ["01", "04", "05"]),
    "words": ({"q": "障害者施設"}, ["01", "03", "05", "06"]),
    "all": (
        {"q": "障害者", "bbox": "135.8,34.8,136,35", "filter": f"S_DISJOINT(shape, {CORNER}) OR no <> '05'"},
        ["01"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
async def test_records_files_and_counts_are_of_the_same_records(
    client: httpx.AsyncClient, world: World, asked: str
) -> None:
    parameters, expected = ASKED[asked]
    dataset = await opened(world, ROWS, *SPECS)

    async def got(form: str) -> httpx.Response:
        answer = await client.get(path(dataset), params={**parameters, "f": form, "count": "true"})
        assert answer.status_code == 200, answer.text
        return answer

    page = (await got("json")).json()
    lines = [json.loads(line) for line in (await got("ndjson")).text.splitlines()]
    rows = csv.DictReader(io.StringIO((await got("csv")).text))
    table = polars.read_parquet((await got("parquet")).content)
    counted = await client.get(f"/v1/datasets/{dataset}/aggregate", params=parameters)

    assert [record["no"] for record in page["records"]] == expected
    assert page["numberMatched"] == len(expected)
    assert [record["no"] for record in lines] == expected
    assert [row["no"] for row in rows] == expected
    assert table["no"].to_list() == expected
    assert counted.json()["groups"][0]["values"]["count"] == len(expected)


async def test_the_doors_of_other_standards_find_them_too(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS, *SPECS)
    resource = await resource_of(client, dataset)

    words = await call(client, "datastore_search", resource_id=resource, q="障害者施設")
    shapes = await ids(client, dataset, filter=f"S_INTERSECTS(shape, {CORNER})")
    box = await ids(client, dataset, bbox="135.8,34.8,136,35")

    assert [record["no"] for record in words["records"]] == ["01", "03", "05", "06"]
    assert words["total"] == 4
    assert shapes == box == ["01", "04", "05"]
