"""The open-data shelf: what is public, licensed and published, as DCAT that harvesters read."""

from typing import Any, get_args

import httpx
import pytest

from app.api.dataset_shapes import Frequency
from app.formats.shelf.dcat import CONTEXT, FREQUENCIES
from app.models.parties import Role
from tests.stock import Spec, stocked
from tests.world import KENKO, World

CATALOG = "/opendata/catalog.jsonld"
PLACED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
ROWS = [
    {"no": "1", "name": "架空", "lat": 34.5, "lon": 135.5},
    {"no": "2", "name": "架空", "lat": 34.7, "lon": 135.6},
]


async def opened(world: World, rows: list[dict[str, Any]], *specs: Spec, **changes: Any) -> str:
    """A dataset that is open data."""
    dataset = await stocked(world, rows, specs or PLACED)
    if changes:
        steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
        path = f"/v1/datasets/{dataset}"
        changed = await world.client.patch(path, json=changes, headers=steward)
        assert changed.status_code == 200, changed.text
    return dataset


async def listed(client: httpx.AsyncClient) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    path: str | None = f"{CATALOG}?limit=2"
    while path:
        page = (await client.get(path)).json()
        found += [each["dct:identifier"] for each in page["dcat:dataset"]]
        path = page["hydra:view"].get("hydra:next", {}).get("@id")
    return found


async def one(client: httpx.AsyncClient, dataset: str) -> dict[str, Any]:
    response = await client.get(f"/opendata/datasets/{dataset}.jsonld")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/ld+json"
    node: dict[str, Any] = response.json()
    return node


async def test_an_open_dataset_is_described_with_all_that_harvesters_ask_for(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(
        world,
        ROWS,
        title_en="Parks",
        description_ja="公園の一覧",
        themes=["公園", "緑地"],
        temporal_start="2025-04-01",
        temporal_end="2026-03-31",
        update_frequency="monthly",
        steward={"name": "建設局 公園課", "email": "parks@example.jp"},
    )

    node = await one(client, dataset)

    base = f"http://urbanos.test/opendata/datasets/{dataset}"
    assert (node["@id"], node["@type"]) == (base, "dcat:Dataset")
    assert node["@context"] == CONTEXT
    assert node["dct:title"][1] == {"@value": "Parks", "@language": "en"}
    assert node["dct:description"] == [{"@value": "公園の一覧", "@language": "ja"}]
    assert [each["@value"] for each in node["dcat:keyword"]] == ["公園", "緑地"]
    assert node["dct:license"] == {"@id": "https://creativecommons.org/licenses/by/4.0/"}
    assert node["dct:publisher"]["dct:identifier"] == KENKO
    assert node["dct:accrualPeriodicity"]["@id"].endswith("/authority/frequency/MONTHLY")
    assert node["dct:temporal"]["dcat:startDate"] == {"@value": "2025-04-01", "@type": "xsd:date"}
    assert node["dct:temporal"]["dcat:endDate"]["@value"] == "2026-03-31"
    assert node["dct:spatial"]["dcat:bbox"]["@value"] == (
        "POLYGON((135.5 34.5, 135.6 34.5, 135.6 34.7, 135.5 34.7, 135.5 34.5))"
    )
    assert node["dct:modified"]["@value"].endswith("+09:00")
    assert node["dct:issued"]["@value"] <= node["dct:modified"]["@value"]
    assert node["dcat:contactPoint"]["vcard:hasEmail"] == {"@id": "mailto:parks@example.jp"}


async def test_every_distribution_gives_all_records_to_anyone_at_its_address(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)

    forms = {
        each["dct:format"]["@id"].rpartition("/")[2]: each
        for each in (await one(client, dataset))["dcat:distribution"]
    }

    assert set(forms) == {"CSV", "JSON", "GEOJSON"}
    for name, form in forms.items():
        answer = await client.get(form["dcat:downloadURL"]["@id"])
        assert answer.status_code == 200, name
        media_type = answer.headers["content-type"].partition(";")[0]
        assert form["dcat:mediaType"]["@id"].endswith(f"/{media_type}")
        assert answer.text.count("架空") == len(ROWS)
        assert form["dct:license"]["@id"] == "https://creativecommons.org/licenses/by/4.0/"


async def test_records_without_places_have_no_geojson(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, [{"no": "1"}], ("no", "code", {"key": True}))

    node = await one(client, dataset)

    assert len(node["dcat:distribution"]) == 2
    assert "dct:spatial" not in node


async def test_what_no_page_holds_is_no_download(
    client: httpx.AsyncClient, world: World, platform: Any
) -> None:
    dataset = await opened(world, ROWS)
    await platform.database.pool.execute(
        "UPDATE version SET row_count = 10001 WHERE dataset_id = $1", dataset
    )

    forms = (await one(client, dataset))["dcat:distribution"]

    assert ["dcat:downloadURL" in form for form in forms] == [True, False, False]
    assert all("dcat:accessURL" in form for form in forms)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("data_class = 'internal'", 404, "not_open_data"),
        ("data_class = 'restricted'", 404, "not_open_data"),
        ("license = NULL", 404, "not_open_data"),
        ("current_version = NULL", 404, "not_open_data"),
        ("zone = 'lgwan'", 404, "not_open_data"),
        ("hidden = true", 404, "dataset_not_found"),
        ("state = 'withdrawn', withdrawn_reason = '統合'", 410, "dataset_withdrawn"),
    ],
)
async def test_what_is_not_open_is_not_on_the_shelf(
    client: httpx.AsyncClient, world: World, platform: Any, change: str, status: int, code: str
) -> None:
    dataset = await opened(world, ROWS)
    assert dataset in await listed(client)

    await platform.database.pool.execute(f"UPDATE dataset SET {change} WHERE id = $1", dataset)

    assert dataset not in await listed(client)
    answer = await client.get(f"/opendata/datasets/{dataset}.jsonld")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_catalogue_comes_in_pages_that_miss_nothing(
    client: httpx.AsyncClient, world: World
) -> None:
    made = {await opened(world, ROWS) for _ in range(5)}

    found = await listed(client)
    first = await client.get(CATALOG, params={"limit": 2})

    assert made <= set(found)
    assert found == sorted(set(found))
    assert first.json()["hydra:view"]["hydra:next"]["@id"] in first.headers["link"]
    assert first.json()["@type"][0] == "dcat:Catalog"


async def test_the_entry_of_the_catalogue_is_the_datasets_own(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)

    alone = await one(client, dataset)
    entries = (await client.get(CATALOG, params={"limit": 1000})).json()["dcat:dataset"]

    entry = next(each for each in entries if each["dct:identifier"] == dataset)
    told = {name: value for name, value in alone.items() if name in entry}
    for form in told["dcat:distribution"]:  # described there, only named here
        form["dcat:accessService"] = {"@id": form["dcat:accessService"]["@id"]}
    assert told == entry
    assert set(alone) - set(entry) == {"@context", "dcat:hasVersion"}


async def test_a_harvester_that_has_the_page_is_told_so(
    client: httpx.AsyncClient, world: World
) -> None:
    await opened(world, ROWS)
    first = await client.get(CATALOG)

    again = await client.get(CATALOG, headers={"If-None-Match": first.headers["etag"]})
    await opened(world, ROWS)
    changed = await client.get(CATALOG, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, changed.status_code) == (304, 200)


@pytest.mark.parametrize(
    ("licence", "node"),
    [
        ("cc0-1.0", {"@id": "https://creativecommons.org/publicdomain/zero/1.0/"}),
        ("https://example.jp/rules", {"@id": "https://example.jp/rules"}),
        ("市の利用規約", None),
    ],
)
async def test_a_licence_without_an_address_is_a_statement_of_rights(
    client: httpx.AsyncClient, world: World, licence: str, node: dict[str, str] | None
) -> None:
    dataset = await opened(world, ROWS, license=licence)

    told = await one(client, dataset)

    assert told.get("dct:license") == node
    assert ("dct:rights" in told) is (node is None)


def test_every_frequency_of_the_catalogue_has_its_word_in_the_eus_vocabulary() -> None:
    assert set(FREQUENCIES) == set(get_args(Frequency))


async def test_a_period_that_ends_before_it_begins_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS, temporal_start="2026-04-01")
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    response = await client.patch(
        f"/v1/datasets/{dataset}", json={"temporal_end": "2025-04-01"}, headers=steward
    )

    assert (response.status_code, response.json()["code"]) == (422, "dataset_invalid")
    assert response.json()["errors"][0]["pointer"] == "/temporal_end"
