"""A masked value is shown whole by no door, in no form, whatever is asked."""

from typing import Final

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.tasks.files import make_files
from tests.masks.town import SECRETS, Town, town
from tests.rows import test_doors as of_rows
from tests.rows.town import ask
from tests.stock import path
from tests.world import World

pytestmark = pytest.mark.usefixtures("worker")

# The ways to ask where something is shown; of the other doors of `tests/rows/test_doors.py` the
# plain one. A door that is added there is asked here too.
WAYS: Final[dict[str, list[dict[str, str]]]] = {
    "/v1/datasets/{dataset_id}/records": [
        {"count": "true"},
        {"version": "1"},
        {"as_of": "2099"},
        {"fields": "no,name,born,pay"},
        {"fields": "no,born,pay,lat,lon"},
        {"sort": "-pay", "limit": "1"},
        {"limit": "1"},
        {"q": "north"},
        {"filter": "pay > 0 OR pay IS NULL"},
        {"filter": "ward = 'north'", "count": "true"},
        {"bbox": "135,34,136,35"},
        {"lat": "34.5", "lon": "135.4", "radius": "900000"},
        {"originals": "true"},
        {"labels": "ja"},
        *({"f": each} for each in ("geojson", "csv", "ndjson", "parquet", "xlsx")),
        {"f": "csv", "charset": "cp932", "labels": "ja"},
    ],
    "/v1/datasets/{dataset_id}/records/{key:path}": [{}, {"f": "geojson"}, {"f": "csv"}],
    "/v1/datasets/{dataset_id}/aggregate": [
        {"group_by": "ward", "metrics": "count,sum(pay),max(pay),min(lat),distinct(no)"},
        {"group_by": "ward", "metrics": "count"},
        {"group_by": "born"},
        {"group_by": "mesh6(geometry)", "metrics": "count"},
        {"group_by": "pay", "f": "csv"},
    ],
    "/v1/datasets/{dataset_id}/changes": [{}, {"limit": "1"}],
    "/v1/datasets/{dataset_id}/diff": [{"from": "1"}, {"from": "2", "to": "1"}],
    "/ogc/collections/{dataset_id}/items": [
        {}, {"f": "html"}, {"bbox": "135,34,136,35"}, {"no": "R-8801"}, {"limit": "1"},
        {"filter": "pay > 0"},
    ],
    "/ogc/collections/{dataset_id}/items/{item:path}": [{}, {"f": "html"}],
}  # fmt: skip
SHOW: Final = [each for each in WAYS if "diff" not in each]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def there(platform: Platform, client: httpx.AsyncClient, worker: None) -> Town:
    """The register in two versions, with its ready-made files."""
    world = World(platform, client)
    made = await town(world, loaded=True)
    await make_files(platform.database, platform.store, made.dataset, 2)
    platform.live.changed("dataset", made.dataset)
    return made


def addresses(where: str, dataset: str) -> list[str]:
    """The path with everything in it that could lead to the first record."""
    found = of_rows.addresses(where, dataset)
    keyed = [each.replace("S-8801", "R-8801").replace("S-8802", "1") for each in found]
    return list(dict.fromkeys(keyed))


@pytest.mark.parametrize("where", of_rows.DOORS)
async def test_no_door_shows_a_masked_value(world: World, there: Town, where: str) -> None:
    for query in WAYS.get(where, [{}]):
        for address in addresses(where, there.dataset):
            answer = await ask(world, address, there.asking, **query)
            told = of_rows.text_of(answer)

            assert answer.status_code < 500, told
            asked = address + str(query)
            assert not [each for each in SECRETS if each in told and each not in asked], (
                address, query, told,
            )  # fmt: skip


@pytest.mark.parametrize("where", SHOW)
async def test_the_same_questions_show_it_to_whom_it_belongs(
    world: World, there: Town, where: str
) -> None:
    told = ""
    for query in WAYS[where]:
        for address in addresses(where, there.dataset):
            told += of_rows.text_of(await ask(world, address, there.own, **query))
            if any(each in told for each in SECRETS):
                return
    pytest.fail(told)


async def test_ready_made_files_hold_whole_values_and_so_are_not_given(
    world: World, there: Town
) -> None:
    where = f"/v1/datasets/{there.dataset}/files"

    listed = (await ask(world, where, there.asking)).json()
    file = await ask(world, f"{where}/{there.dataset}.csv", there.asking)
    own = await ask(world, f"{where}/{there.dataset}.csv", there.own)

    assert listed["files"] == []
    assert (file.status_code, file.json()["code"]) == (403, "column_not_visible")
    assert own.status_code == 200


async def test_what_may_not_be_asked_by_is_no_queryable(world: World, there: Town) -> None:
    told = await ask(world, f"/ogc/collections/{there.dataset}/queryables", there.asking)

    assert set(told.json()["properties"]) == {"ward"}
    assert (await ask(world, path(there.dataset), there.asking)).status_code == 200
