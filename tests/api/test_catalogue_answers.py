"""The catalogue's answers: tagged, linked by the platform's own name, and proof against bad input."""

from typing import Any

import httpx
import pytest

from app.models.parties import Role
from tests.conftest import ISSUER
from tests.stock import Spec, against_the_rules, path, stocked
from tests.world import KENKO, World

MORE = {"enclosure", "features", "alternate"}


@pytest.mark.parametrize(
    "query",
    ["q=%00", "theme=%00", "publisher=a%00", "profile=%00", "municipality=%00", "cursor=%00", "bbox=%00",
     "modified_since=%00", "q=%ff", "%00=1", "q=%e3%81", "cursor=AA", "cursor=!!!!", "cursor=", "cursor=%E3%81%82"],
)  # fmt: skip
async def test_no_query_breaks_the_catalogue(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/v1/datasets?{query}")

    assert response.status_code == 400, response.text
    assert response.json()["code"] in ("invalid_parameter", "invalid_cursor")
    assert response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("where", ["agreements?dataset=%00", "access-requests?dataset=%00"])
async def test_no_query_breaks_the_other_lists(
    client: httpx.AsyncClient, world: World, where: str
) -> None:
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "agreements:write")

    response = await client.get(f"/v1/{where}", headers=headers)

    assert (response.status_code, response.json()["code"]) in (
        (400, "invalid_parameter"),
        (400, "unknown_parameter"),
    )


@pytest.mark.parametrize("query", ["dataset=%00", "client=%00"])
async def test_no_query_breaks_the_log(client: httpx.AsyncClient, world: World, query: str) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)

    response = await client.get(
        f"/v1/admin/audit?{query}", headers=await world.token(party, "audit:read")
    )

    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["errors"][0]["pointer"] == query.partition("=")[0]


async def test_links_never_come_from_the_host_header(
    client: httpx.AsyncClient, world: World
) -> None:
    for _ in range(2):
        await stocked(world, [])

    first = await client.get("/v1/datasets", params={"limit": 1}, headers={"Host": "evil.example"})

    assert "evil" not in first.text
    links = {link["rel"]: link["href"] for link in first.json()["links"]}
    assert links["self"].startswith(f"{ISSUER}/v1/datasets?")
    assert first.headers["link"] == f'<{links["next"]}>; rel="next"'
    second = await client.get(links["next"])
    assert second.json()["datasets"][0]["id"] > first.json()["datasets"][0]["id"]


@pytest.mark.parametrize("tail", ["", "/schema", "/schema?f=tableschema"])
async def test_an_entry_has_a_tag_that_follows_its_content(
    client: httpx.AsyncClient, world: World, tail: str
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    address = f"/v1/datasets/{dataset}{tail}"

    first = await client.get(address)
    tag = first.headers["etag"]
    same = await client.get(address, headers={"If-None-Match": f'"x", W/{tag}'})
    head = await client.head(address)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET title_ja = 'new' WHERE id = $1", dataset
    )
    await against_the_rules(
        world,
        "UPDATE version SET fields = jsonb_set(fields, '{0,label}', '\"new\"')"
        " WHERE dataset_id = $1",
        dataset,
    )
    changed = await client.get(address, headers={"If-None-Match": tag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert first.headers["cache-control"] == "public, no-cache"
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-length"] == str(len(first.content))
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_the_catalogue_names_publishers_and_times_of_japan(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [])

    page = await client.get("/v1/datasets", params={"q": dataset})
    head = await client.head("/v1/datasets")
    entry: dict[str, Any] = (await client.get(f"/v1/datasets/{dataset}")).json()

    assert page.headers["etag"]
    assert head.status_code == 200
    assert entry["publisher"]["id"] == KENKO
    assert set(entry["publisher"]) == {"id", "name_ja", "name_en"}
    assert entry["modified_at"].endswith("+09:00")


async def test_a_nul_in_a_body_is_told_with_its_mend(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    body = {
        "title_ja": "a\x00",
        "themes": ["\x00"],
        "steward": {"name": "x"},
        "update_frequency": "daily",
    }

    refused = await client.post(
        "/v1/datasets", json=body, headers={**headers, "Accept-Language": "ja"}
    )

    assert refused.status_code == 422
    told = {fault["pointer"]: fault for fault in refused.json()["errors"]}
    assert set(told) == {"/title_ja", "/themes/0"}
    assert told["/title_ja"]["code"] == "control_character"
    assert "取り除いて" in told["/title_ja"]["detail"]


@pytest.mark.parametrize(
    ("query", "parameter", "nearest"),
    [("fields=nam", "fields", "name"), ("sort=-siz", "sort", "size"), ("expand=x", "expand", None)],
)
async def test_a_wrong_name_in_a_value_is_told_with_its_parameter(
    client: httpx.AsyncClient, world: World, query: str, parameter: str, nearest: str | None
) -> None:
    dataset = await stocked(world, [{"no": "1"}])

    refused = await client.get(f"{path(dataset)}?{query}")

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
    (fault,) = refused.json()["errors"]
    assert (fault["pointer"], fault["code"]) == (parameter, "unknown_field")
    assert fault["detail"].startswith("There is no ")
    assert nearest is None or f"Did you mean {nearest}?" in fault["detail"]


async def test_a_value_that_the_database_does_not_take_is_the_callers_fault(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "admin:read")

    response = await client.get("/v1/admin/organizations/a%00", headers=headers)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")


async def test_an_entry_leads_to_what_there_is_of_it_and_to_nothing_else(
    client: httpx.AsyncClient, world: World
) -> None:
    place: tuple[Spec, ...] = (
        ("no", "code", {"key": True}),
        ("lat", "latitude"),
        ("lon", "longitude"),
    )
    public = await stocked(world, [{"no": "1", "lat": 34.7, "lon": 135.5}], place)
    plain = await stocked(world, [{"no": "1"}])
    internal = await stocked(world, [{"no": "1"}], place, data_class="internal")
    restricted = await stocked(world, [{"no": "1"}], data_class="restricted")
    declared = await world.dataset(data_class="public")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = CASE id WHEN $1 THEN 'CC-BY-4.0' END WHERE id = ANY($2)",
        public, [public, plain],
    )  # fmt: skip

    found = {}
    for each in (public, plain, internal, restricted, declared):
        entry = (await client.get(f"/v1/datasets/{each}")).json()
        links = {link["rel"]: link["href"].removeprefix(ISSUER) for link in entry["links"]}
        found[each] = {rel: links[rel] for rel in links.keys() & MORE}

    assert found[public] == {
        "enclosure": f"/v1/datasets/{public}/files",
        "features": f"/ogc/collections/{public}",
        "alternate": f"/opendata/datasets/{public}",
    }
    for address in found[public].values():
        assert (await client.get(address)).status_code == 200
    assert found[plain].keys() == {"enclosure"}
    assert found[internal].keys() == {"enclosure", "features"}
    assert found[restricted] == found[declared] == {}
    assert (await client.get(f"/opendata/datasets/{plain}")).status_code == 404
