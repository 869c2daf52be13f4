"""Rows that were not agreed leave by no door, nor are they counted, told apart or named by one."""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Final

import httpx
import polars as pl
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.ckan.datastore import ACTIONS
from app.api.state import Platform
from app.audit.events import Event
from app.tasks.files import make_files
from tests.rows.town import SECRETS, Town, ask, town
from tests.stock import path
from tests.world import World

pytestmark = pytest.mark.usefixtures("worker")

# Every operation on one dataset that gives something, with all the ways to ask it that look for
# rows in their own manner. One that is added and not listed here fails a test.
DOORS: Final[dict[str, list[dict[str, str]]]] = {
    "/v1/datasets/{dataset_id}/records": [
        {"count": "true"},
        {"version": "1", "count": "true"},
        {"as_of": "2099"},
        {"sort": "-size", "limit": "1"},
        {"q": "hisui"},
        {"filter": "size > 0 OR size IS NULL OR 1=1"},
        {"filter": "NOT (name = 'aoba')"},
        {"no": "S-8801"},
        {"bbox": "135,34,136,35", "count": "true"},
        {"lat": "34.123", "lon": "135.987", "radius": "900000"},
        {"filter": "S_INTERSECTS(geometry, BBOX(135,34,136,35))", "count": "true"},
        {"f": "geojson"},
        {"f": "csv"},
        {"f": "csv", "charset": "cp932", "labels": "ja"},
        {"f": "ndjson"},
        {"f": "parquet"},
        {"f": "xlsx"},
    ],
    "/v1/datasets/{dataset_id}/records/{key:path}": [{}, {"f": "geojson"}, {"f": "csv"}],
    "/v1/datasets/{dataset_id}/aggregate": [
        {"group_by": "name", "metrics": "count,sum(size),max(size),min(lat),count_distinct(no)"},
        {"metrics": "count,sum(size)"},
        {"group_by": "mesh3(geometry)", "metrics": "count"},
        {"group_by": "name", "f": "csv"},
    ],
    "/v1/datasets/{dataset_id}/changes": [{}, {"limit": "1"}],
    "/v1/datasets/{dataset_id}/diff": [{"from": "1"}, {"from": "2", "to": "1"}],
    "/v1/datasets/{dataset_id}/files": [{}],
    "/v1/datasets/{dataset_id}/files/{name}": [{}],
    "/v1/datasets/{dataset_id}/versions/{number}/source": [{}],
    "/ogc/collections/{dataset_id}/items": [
        {},
        {"f": "html"},
        {"bbox": "135,34,136,35"},
        {"no": "S-8801"},
        {"limit": "1"},
        {"filter": "size > 0"},
    ],
    "/ogc/collections/{dataset_id}/items/{item:path}": [{}, {"f": "html"}],
    # About the dataset and its fields: the same for whoever may know that it exists.
    "/v1/datasets/{dataset_id}": [{}],
    "/v1/datasets/{dataset_id}/schema": [{}],
    "/v1/datasets/{dataset_id}/quality": [{}, {"version": "1"}],
    "/v1/datasets/{dataset_id}/readers": [{}],
    "/v1/datasets/{dataset_id}/repairs": [{}],
    "/v1/datasets/{dataset_id}/purposes": [{}],
    "/v1/datasets/{dataset_id}/purposes/{purpose}": [{}],
    "/v1/datasets/{dataset_id}/versions": [{}],
    "/v1/datasets/{dataset_id}/versions/{number}": [{}],
    "/ogc/collections/{collection_id}": [{}],
    "/ogc/collections/{collection_id}/queryables": [{}],
    "/ogc/collections/{collection_id}/schema": [{}],
    "/ogc/collections/{collection_id}/schema/geojson": [{}],
    "/opendata/datasets/{dataset_id}": [{}],
    "/opendata/datasets/{dataset_id}.jsonld": [{}],
    "/opendata/datasets/{dataset_id}.rdf": [{}],
    "/opendata/datasets/{dataset_id}.ttl": [{}],
    "/opendata/datasets/{dataset_id}/croissant.json": [{}],
    "/opendata/datasets/{dataset_id}/schema-org.jsonld": [{}],
}
# CKAN's words for records ask for open data alone, as nobody: no agreement is ever their ground.
CKAN: Final = {"datastore_search", "datastore_info", "datastore_search_sql"}


def operations(app: FastAPI) -> Iterator[str]:
    """The paths of all that can be got of one dataset."""
    for route in app.routes:
        router = getattr(route, "original_router", None)
        for each in router.routes if router is not None else [route]:
            where = getattr(each, "path", "")
            if "GET" in (getattr(each, "methods", None) or ()) and re.search(
                r"\{(dataset_id|collection_id)", where
            ):
                yield where


def test_every_operation_on_a_dataset_is_in_the_table(app: FastAPI) -> None:
    assert set(operations(app)) == DOORS.keys()
    assert {name for name in ACTIONS if name.startswith("datastore")} == CKAN


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def north(platform: Platform, client: httpx.AsyncClient, worker: None) -> Town:
    """The town, with its ready-made files."""
    world = World(platform, client)
    made = await town(world)
    await make_files(platform.database, platform.store, made.dataset, 2)
    platform.live.changed("dataset", made.dataset)
    return made


def addresses(where: str, dataset: str) -> Iterator[str]:
    """The path with everything in it that could lead to a secret."""
    named = {"dataset_id": dataset, "collection_id": dataset, "number": "1"}
    keys = [{"key:path": key, "item:path": key} for key in ("S-8801", "S-8802", "N-1")]
    for more in [{"name": f"{dataset}.{each}"} for each in ("csv", "parquet")] + keys:
        yield re.sub(r"\{([^}]+)\}", lambda hole: {**named, **more}.get(hole[1], "1"), where)  # noqa: B023


def text_of(answer: httpx.Response) -> str:
    """All that an answer says, unpacked, its headers and links too."""
    media_type = answer.headers.get("content-type", "")
    headers = str(answer.headers)
    if "parquet" in media_type:
        return headers + str(pl.read_parquet(io.BytesIO(answer.content)).rows())
    if "spreadsheet" in media_type:
        parts = zipfile.ZipFile(io.BytesIO(answer.content))
        return headers + "".join(parts.read(name).decode() for name in parts.namelist())
    return headers + answer.content.decode("cp932" if "Shift" in media_type else "utf-8")


@pytest.mark.parametrize("where", DOORS)
async def test_no_door_tells_of_a_row_that_may_not_leave(
    world: World, north: Town, where: str
) -> None:
    for query in DOORS[where]:
        asked = set(query.values())
        for address in dict.fromkeys(addresses(where, north.dataset)):
            answer = await ask(world, address, north.asking, **query)
            told = text_of(answer)

            found = [each for each in SECRETS if each in told]
            assert answer.status_code < 500, told
            assert not [each for each in found if each not in address and each not in str(asked)], (
                address, query, told,
            )  # fmt: skip


@pytest.mark.parametrize(
    "where",
    [each for each in DOORS if re.search("records|aggregate|changes|diff|items|name}", each)],
)
async def test_the_same_questions_show_them_to_whom_they_belong(
    world: World, north: Town, where: str
) -> None:
    told = ""
    for query in DOORS[where]:
        for address in dict.fromkeys(addresses(where, north.dataset)):
            told += text_of(await ask(world, address, north.own, **query))
            if "hisui" in told or "770033" in told:
                return
    pytest.fail(told)


@pytest.mark.parametrize(
    ("door", "query", "figure", "of_north", "of_all"),
    [
        ("records", {"count": "true"}, "numberMatched", 2, 4),
        ("records", {"count": "true", "version": "1"}, "numberMatched", 2, 3),
        ("records", {"count": "true", "bbox": "135,34,136,35"}, "numberMatched", 2, 4),
        ("records", {"count": "true", "filter": "size > 100"}, "numberMatched", 0, 2),
        ("records", {"limit": "1", "count": "true"}, "numberMatched", 2, 4),
        ("changes", {}, "numberReturned", 2, 4),
        ("diff", {"from": "1"}, "numberReturned", 3, 4),
    ],
)
async def test_what_is_counted_is_what_may_leave(
    world: World, north: Town, door: str, query: dict[str, str], figure: str, of_north: int,
    of_all: int,
) -> None:  # fmt: skip
    where = f"/v1/datasets/{north.dataset}/{door}"

    told = [(await ask(world, where, who, **query)).json() for who in (north.asking, north.own)]

    assert [each[figure] for each in told] == [of_north, of_all]


async def test_sums_and_groups_are_of_the_rows_that_may_leave(world: World, north: Town) -> None:
    where = f"/v1/datasets/{north.dataset}/aggregate"

    whole = await ask(world, where, north.asking, metrics="count,sum(size)")
    named = await ask(world, where, north.asking, group_by="name")

    assert whole.json()["groups"][0]["values"] == {"count": 2, "sum(size)": 41}
    assert [each["by"]["name"] for each in named.json()["groups"]] == ["aoba", "sora"]
    [read, *_] = [each for each in await world.log() if each.get("groups") == 1]
    assert read["rows"] == 2


async def test_features_are_counted_and_found_among_those_that_may_leave(
    world: World, north: Town
) -> None:
    where = f"/ogc/collections/{north.dataset}/items"

    listed = (await ask(world, where, north.asking)).json()
    one = await ask(world, f"{where}/N-1", north.asking)
    secret = await ask(world, f"{where}/S-8801", north.asking)
    none = await ask(world, f"{where}/X-1", north.asking)

    assert (listed["numberMatched"], listed["numberReturned"]) == (2, 2)
    assert one.status_code == 200
    assert secret.status_code == none.status_code == 404
    assert secret.json()["detail"].replace("S-8801", "X-1") == none.json()["detail"]


async def test_a_record_that_may_not_leave_is_not_there(world: World, north: Town) -> None:
    here = await ask(world, path(north.dataset, "N-1"), north.asking)
    secret, none = [
        await ask(world, path(north.dataset, each), north.asking) for each in ("S-8801", "X-1")
    ]

    assert here.status_code == 200
    assert (secret.status_code, secret.json()["code"]) == (404, "record_not_found")
    assert secret.json().keys() == none.json().keys()
    assert secret.json()["detail"].replace("S-8801", "X-1") == none.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [{"filter": "ward = 'south'"}, {"ward": "south"}, {"sort": "ward"}, {"fields": "ward"}],
)
async def test_the_field_that_the_condition_names_stays_hidden(
    world: World, north: Town, query: dict[str, str]
) -> None:
    answer = await ask(world, path(north.dataset), north.asking, **query)

    assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible")


async def test_ready_made_files_have_all_rows_and_so_are_not_given(
    world: World, north: Town
) -> None:
    where = f"/v1/datasets/{north.dataset}/files"

    listed = (await ask(world, where, north.asking)).json()
    file = await ask(world, f"{where}/{north.dataset}.csv", north.asking)
    own = await ask(world, f"{where}/{north.dataset}.csv", north.own)

    assert listed["files"] == []
    assert (file.status_code, file.json()["code"]) == (403, "file_has_all_rows")
    assert own.status_code == 200
    refused = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert refused == ["file_has_all_rows"]
