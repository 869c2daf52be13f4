"""No door of a dataset tells another organisation a name of its publisher's."""

import re
from typing import Final

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from tests.rows.test_doors import operations, text_of
from tests.subjects.register import Reader, Register, ask, register
from tests.world import World

# Every operation that gives something of one dataset, with the ways to ask it that could tell a
# name. One that is added and not listed here fails a test.
DOORS: Final[dict[str, list[dict[str, str]]]] = {
    "/v1/datasets/{dataset_id}/records": [
        {"count": "true"},
        {"limit": "1"},
        {"limit": "1", "sort": "note"},
        {"version": "1"},
        {"as_of": "2099"},
        {"q": "n1"},
        {"person": "{name}"},
        {"filter": "person = '{name}' OR note = 'n1'"},
        {"filter": "person >= '{name}'"},
        {"filter": "person LIKE '%'"},
        {"sort": "person"},
        {"originals": "true"},
        {"lat": "34.5", "lon": "135.5", "radius": "90000"},
        {"labels": "ja"},
        {"f": "geojson"},
        {"f": "csv"},
        {"f": "csv", "charset": "cp932"},
        {"f": "ndjson"},
    ],
    "/v1/datasets/{dataset_id}/records/{key:path}": [{}, {"f": "geojson"}, {"f": "csv"}],
    "/v1/datasets/{dataset_id}/aggregate": [
        {"group_by": "note", "metrics": "count,distinct(person)"},
        {"group_by": "person", "metrics": "count"},
        {"metrics": "min(person),max(person)"},
        {"group_by": "note", "f": "csv"},
    ],
    "/v1/datasets/{dataset_id}/changes": [{}],
    "/v1/datasets/{dataset_id}/diff": [{"from": "1"}],
    "/v1/datasets/{dataset_id}/files": [{}],
    "/v1/datasets/{dataset_id}/files/{name}": [{}],
    "/v1/datasets/{dataset_id}/versions/{number}/source": [{}],
    "/ogc/collections/{dataset_id}/items": [{}, {"f": "html"}, {"limit": "1"}],
    "/ogc/collections/{dataset_id}/items/{item:path}": [{}, {"f": "html"}],
    "/v1/datasets/{dataset_id}": [{}],
    "/v1/datasets/{dataset_id}/schema": [{}],
    "/v1/datasets/{dataset_id}/quality": [{}],
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
# These tell their publisher the names that are stored, and others nothing.
PUBLISHERS: Final = ("changes", "diff")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def made(platform: Platform, client: httpx.AsyncClient) -> Register:
    """A register of three."""
    return await register(World(platform, client))


def test_every_operation_on_a_dataset_is_in_the_table(app: FastAPI) -> None:
    assert set(operations(app)) == DOORS.keys()


def address(where: str, made: Register) -> str:
    named = {"number": "1", "key:path": "N-1", "item:path": "N-1", "name": f"{made.dataset}.csv"}
    return re.sub(r"\{([^}]+)\}", lambda hole: named.get(hole[1], made.dataset), where)


async def told(world: World, who: Reader, where: str, made: Register, **query: str) -> str:
    asked = {name: value.replace("{name}", made.names[1]) for name, value in query.items()}
    answer = await ask(world, who, address(where, made), **asked)
    assert answer.status_code < 500, answer.text
    return text_of(answer).replace(str(answer.url), "").replace(answer.url.query.decode(), "")


@pytest.mark.parametrize("where", DOORS)
async def test_no_door_tells_another_organisation_a_name_of_the_publishers(
    world: World, made: Register, where: str
) -> None:
    for query in DOORS[where]:
        text = await told(world, made.sakai, where, made, **query)

        assert not [name for name in made.names if name in text], query


@pytest.mark.parametrize("where", [each for each in DOORS if re.search("records|items", each)])
async def test_the_same_doors_tell_the_publisher(world: World, made: Register, where: str) -> None:
    text = await told(world, made.own, where, made)

    assert [name for name in made.names if name in text]


@pytest.mark.parametrize("door", PUBLISHERS)
async def test_where_names_cannot_be_changed_others_are_refused_in_the_log(
    world: World, made: Register, door: str
) -> None:
    where = f"/v1/datasets/{made.dataset}/{door}"
    query = {"from": "1"} if door == "diff" else {}

    refused = await ask(world, made.sakai, where, **query)
    own = await ask(world, made.own, where, **query)

    assert (refused.status_code, refused.json()["code"]) == (403, "subject_not_told")
    assert own.status_code == 200
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["subject_not_told"]
