"""CKAN's catalogue actions: what a client finds of open data, and what it is told of the rest."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.api.ckan.shelves import ROWS, call, changed, opened, refused
from tests.world import KENKO, World

# Every key of a package that CKAN 2.9's own answers have, `revision_id` of older ones aside.
PACKAGE = set(
    [
        "author",
        "author_email",
        "creator_user_id",
        "extras",
        "groups",
        "id",
        "isopen",
        "license_id",
        "license_title",
        "license_url",
        "maintainer",
        "maintainer_email",
        "metadata_created",
        "metadata_modified",
        "name",
        "notes",
        "num_resources",
        "num_tags",
        "organization",
        "owner_org",
        "private",
        "relationships_as_object",
        "relationships_as_subject",
        "resources",
        "state",
        "tags",
        "title",
        "type",
        "url",
        "version",
    ]
)
RESOURCE = set(
    [
        "cache_last_updated",
        "cache_url",
        "created",
        "datastore_active",
        "description",
        "format",
        "hash",
        "id",
        "last_modified",
        "mimetype",
        "mimetype_inner",
        "name",
        "package_id",
        "position",
        "resource_type",
        "size",
        "state",
        "url",
        "url_type",
    ]
)


async def test_a_package_has_every_key_that_ckans_own_have(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(
        world, ROWS, title_en="Parks", description_ja="公園の一覧", themes=["公園", "木"],
        steward={"name": "建設局 公園課", "email": "parks@example.jp"},
    )  # fmt: skip

    package = await call(client, "package_show", id=dataset)

    assert set(package) >= PACKAGE
    assert all(set(each) >= RESOURCE for each in package["resources"])
    assert (package["name"], package["state"]) == (dataset, "active")
    assert (package["license_id"], package["isopen"]) == ("CC-BY-4.0", True)
    assert package["organization"]["name"] == KENKO
    assert package["organization"]["id"] == package["owner_org"]
    assert [each["title"] for each in package["groups"]] == ["公園", "木"]
    assert [each["name"] for each in package["tags"]] == ["公園"]  # CKAN: two letters or more
    assert all(re.fullmatch(r"[a-z0-9_-]{2,100}", each["name"]) for each in package["groups"])
    extras = {each["key"]: each["value"] for each in package["extras"]}
    assert extras["title_en"] == "Parks"
    assert extras["spatial"].startswith('{"type": "Polygon"')
    assert all(isinstance(value, str) for value in extras.values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", package["metadata_modified"])


async def test_ids_stay_whatever_is_published_and_find_the_thing_again(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS, themes=["公園"])
    before = await call(client, "package_show", id=dataset)

    await changed(world, dataset, "title_ja = '別の題名'")
    after = await call(client, "package_show", id=before["id"])
    resource = await call(client, "resource_show", id=before["resources"][2]["id"].upper())
    body = await call(client, "organization_show", id=before["owner_org"])
    group = await call(client, "group_show", id=before["groups"][0]["id"])

    assert UUID(before["id"]).version == 5
    assert [each["id"] for each in after["resources"]] == [e["id"] for e in before["resources"]]
    assert after["title"] == "別の題名"
    assert resource["format"] == "GeoJSON"
    assert (body["name"], group["title"]) == (KENKO, "公園")
    assert await call(client, "group_show", id=group["name"]) == group
    assert (await call(client, "tag_show", id="公園"))["id"] == group["id"]


async def test_every_resource_gives_its_records_at_its_address(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)

    for each in (await call(client, "package_show", id=dataset))["resources"]:
        answer = await client.get(each["url"])
        assert answer.headers["content-type"].partition(";")[0] == each["mimetype"]
        assert answer.text.count("架空") == len(ROWS)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("data_class = 'restricted'", "not_open_data"),
        ("license = NULL", "not_open_data"),
        ("current_version = NULL", "not_open_data"),
        ("zone = 'lgwan'", "not_open_data"),
        ("hidden = true", "dataset_not_found"),
        ("state = 'withdrawn', withdrawn_reason = '統合のため'", "dataset_withdrawn"),
    ],
)
async def test_what_is_not_open_data_is_not_here(
    client: httpx.AsyncClient, world: World, change: str, code: str
) -> None:
    dataset = await opened(world, ROWS)
    package = await call(client, "package_show", id=dataset)
    resource = package["resources"][0]["id"]

    await changed(world, dataset, change)

    status, error = await refused(client, "package_show", id=dataset)
    assert (status, error["__type"], error["code"]) == (404, "Not Found Error", code)
    assert error["message"].startswith("Not found: ")
    assert ("統合のため" in error["message"]) is (code == "dataset_withdrawn")
    for action in ("resource_show", "datastore_search", "datastore_info"):
        status, error = await refused(client, action, id=resource)
        assert status == 404, action
        assert (dataset in error["message"]) is (code == "dataset_withdrawn"), action
    assert (await client.get(f"/datastore/dump/{resource}")).status_code == 404
    assert (await client.get(f"/dataset/{dataset}")).status_code == 404
    assert dataset not in await call(client, "package_list")
    found = await call(client, "package_search", fq=f"name:{dataset}")
    assert found["count"] == 0


async def test_lists_count_open_data_only_and_page_by_number(
    client: httpx.AsyncClient, world: World
) -> None:
    theme = f"分野{world.first}"
    made = sorted([await opened(world, ROWS, themes=[theme]) for _ in range(3)])
    await changed(world, await opened(world, ROWS, themes=[theme]), "hidden = true")

    names = await call(client, "package_list")
    page = await call(client, "package_list", limit=2, offset=1)
    groups = await call(client, "group_list", all_fields=True)
    bodies = await call(client, "organization_list", all_fields=True, sort="package_count desc")
    group = await call(client, "group_show", id=theme, include_datasets=True)
    body = await call(client, "organization_show", id=KENKO, include_datasets=True)

    assert set(made) <= set(names)
    assert page == names[1:3]
    assert {each["title"]: each["package_count"] for each in groups}[theme] == 3
    assert bodies[0]["package_count"] == len(names) == len(body["packages"])
    assert sorted(each["name"] for each in group["packages"]) == made
    assert len(await call(client, "group_package_show", id=theme, limit=2)) == 2
    assert theme in await call(client, "tag_list", query=theme)
    assert await call(client, "tag_list", query="どこにもない") == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"q": "*:*"}, "ABC"),
        ({"q": ""}, "ABC"),
        ({"q": "みどり"}, "A"),
        ({"q": "ﾐﾄﾞﾘ"}, "A"),
        ({"q": "title:みどり OR title:なぎさ"}, "AB"),
        ({"fq": "tags:緑地"}, "AB"),
        ({"fq": 'tags:"緑地" -title:みどり'}, "B"),
        ({"fq": "+tags:緑地 +tags:海"}, "B"),
        ({"fq": "tags:(海 OR 山)"}, "BC"),
        ({"fq": "NOT tags:緑地"}, "C"),
        ({"fq": "res_format:GeoJSON"}, "AB"),
        ({"fq": "res_format:PDF"}, ""),
        ({"fq": "license_id:cc0-1.0"}, "C"),
        ({"fq": "dataset_type:dataset state:active private:false"}, "ABC"),
        ({"fq": "metadata_modified:[2024-01-01T00:00:00Z TO *]"}, "ABC"),
        ({"fq": "metadata_modified:[* TO 2024-01-01T00:00:00Z]"}, ""),
        ({"fq": "metadata_modified:[NOW-1DAY TO NOW]"}, "ABC"),
        ({"fq": "metadata_created:{2024-01-01 TO *}", "fq_list": ["tags:山"]}, "C"),
        ({"q": "title:' OR 1=1 --"}, None),
        ({"q": "'; DROP TABLE dataset; --"}, None),
        ({"q": "'; DROP TABLE dataset;"}, ""),
    ],
)
async def test_a_search_finds_what_its_query_says(
    client: httpx.AsyncClient,
    world: World,
    shelf: dict[str, str],
    given: dict[str, Any],
    found: str,
) -> None:
    here = f"id:({' OR '.join(shelf)})"

    answer = await client.get(
        "/api/3/action/package_search",
        params={**given, "fq": f"({given['fq']}) {here}" if "fq" in given else here, "rows": 50},
    )

    if found is None:
        assert (answer.status_code, answer.json()["error"]["__type"]) == (409, "Validation Error")
        return
    result = answer.json()["result"]
    assert "".join(sorted(shelf[each["name"]] for each in result["results"])) == found
    assert result["count"] == len(found)


@pytest.fixture(scope="module")
async def shelf(platform: Any, client: httpx.AsyncClient) -> dict[str, str]:
    """Three datasets by id: a letter each."""
    world = World(platform, client)
    a = await opened(world, ROWS, title_ja="みどり公園", themes=["緑地"])
    b = await opened(world, ROWS, title_ja="なぎさ公園", themes=["緑地", "海"])
    one = ("no", "code", {"key": True})
    c = await opened(world, [{"no": "1"}], one, title_ja="登山道", themes=["山"], license="CC0-1.0")
    return {a: "A", b: "B", c: "C"}


async def test_a_search_sorts_pages_and_counts_by_facet(
    client: httpx.AsyncClient, shelf: dict[str, str]
) -> None:
    here = f"id:({' OR '.join(shelf)})"
    facets = ["organization", "groups", "tags", "res_format", "license_id"]

    first = await call(
        client, "package_search", fq=here, rows=2, sort="name desc", fl="id,name",
        **{"facet.field": facets, "facet.limit": 1},
    )  # fmt: skip
    rest = await call(client, "package_search", fq=here, rows=2, start=2, sort="name desc")
    none = await call(client, "package_search", fq=here, rows=0)
    newest = await call(client, "package_search", fq=here)

    assert (first["count"], rest["count"], none["count"]) == (3, 3, 3)
    names = [each["name"] for each in [*first["results"], *rest["results"]]]
    assert names == sorted(shelf, reverse=True)
    assert set(first["results"][0]) == {"id", "name"}
    assert first["facets"]["tags"] == {"緑地": 2}
    assert first["facets"]["organization"] == {KENKO: 3}
    assert first["search_facets"]["res_format"]["items"][0]["count"] == 3
    assert first["facets"]["license_id"] == {"CC-BY-4.0": 2}
    assert none["results"] == []
    times = [each["metadata_modified"] for each in newest["results"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "q", ["暗渠分布調査票", "text:暗渠分布調査票", "暗渠分布調査票 OR text:無い語"]
)
async def test_the_count_is_of_packages_that_paging_yields_also_for_a_long_word(
    client: httpx.AsyncClient, alike: dict[str, bool], q: str
) -> None:
    first = await call(client, "package_search", q=q, rows=2, **{"facet.field": ["organization"]})
    rest = await call(client, "package_search", q=q, rows=2, start=2)
    none = await call(client, "package_search", q=q, rows=0)

    names = [each["name"] for each in [*first["results"], *rest["results"]]]
    assert sorted(names) == sorted(name for name, has_it in alike.items() if has_it)
    assert (first["count"], rest["count"], none["count"]) == (3, 3, 3)
    assert first["facets"]["organization"] == {KENKO: 3}


@pytest.fixture(scope="module")
async def alike(platform: Any, client: httpx.AsyncClient) -> dict[str, bool]:
    """Datasets of which each has the word's pairs of characters, and whether it has the word."""
    world = World(platform, client)
    titles = {f"暗渠分布調査票 {at}": True for at in (1, 2, 3)}
    titles["暗渠 渠分 分布 布調 調査 査票"] = False
    return {await opened(world, ROWS, title_ja=each): held for each, held in titles.items()}


async def test_resources_are_found_by_name_and_format(
    client: httpx.AsyncClient, world: World
) -> None:
    title = f"唯一の題名{world.first}"
    dataset = await opened(world, ROWS, title_ja=title)

    every = await call(client, "resource_search", query=f"name:{title}")
    one = await call(client, "resource_search", query=["format:geojson", f"name:{title}"])
    second = await call(client, "resource_search", query=f"name:{title}", offset=1, limit=1)

    assert [each["format"] for each in every["results"]] == ["CSV", "JSON", "GeoJSON"]
    assert (every["count"], one["count"], second["count"]) == (3, 1, 3)
    assert second["results"] == [every["results"][1]]
    package = await call(client, "package_show", id=dataset)
    assert one["results"] == [package["resources"][2]]


@pytest.mark.parametrize(
    ("action", "given", "status", "kind", "says"),
    [
        ("package_show", {}, 409, "Validation Error", "Missing value"),
        ("package_show", {"id": ["a"]}, 409, "Validation Error", "give text"),
        ("package_show", {"id": "a\x00b"}, 409, "Validation Error", "NUL"),
        ("package_show", {"ids": "x"}, 409, "Validation Error", "Did you mean id?"),
        ("package_search", {"rowz": 1}, 409, "Validation Error", "Did you mean rows?"),
        ("package_search", {"rows": -1}, 409, "Validation Error", "0 or more"),
        ("package_search", {"rows": "10; DROP"}, 409, "Validation Error", "0 or more"),
        ("package_search", {"sort": "titel asc"}, 409, "Validation Error", "title"),
        ("package_search", {"fq": "organisation:x"}, 409, "Validation Error", "organization"),
        ("package_search", {"fq": "(a OR b"}, 409, "Validation Error", "Solr"),
        ("package_search", {"fq": "(" * 5_000}, 409, "Validation Error", "Solr"),
        ("package_search", {"fq": "(" * 50 + "a" + ")" * 50}, 409, "Validation Error", "Solr"),
        ("package_search", {"q": "foo~2"}, 409, "Validation Error", "Solr"),
        ("package_search", {"fq": "title:[a TO b]"}, 409, "Validation Error", "no search field"),
        ("package_search", {"facet.field": ["x"]}, 409, "Validation Error", "has no facet"),
        (
            "package_search",
            {"facet": "perhaps"},
            409,
            "Validation Error",
            "true or false",
        ),
        ("organization_show", {"id": "nobody"}, 404, "Not Found Error", "organization_list"),
        ("group_show", {"id": "theme-000000000000"}, 404, "Not Found Error", "group_list"),
        ("package_shw", {}, 400, "Bad Request", "package_show"),
        ("package_create", {"name": "x"}, 403, "Authorization Error", "only reads"),
        ("datastore_upsert", {}, 403, "Authorization Error", "only reads"),
    ],
)
async def test_a_refusal_is_ckans_and_names_the_mend(
    client: httpx.AsyncClient, action: str, given: dict[str, Any], status: int, kind: str, says: str
) -> None:
    answered, error = await refused(client, action, **given)

    assert (answered, error["__type"]) == (status, kind)
    assert says in str(error), error
    assert error["code"]


async def test_a_refusal_speaks_japanese_unless_asked_otherwise(client: httpx.AsyncClient) -> None:
    response = await client.get(
        "/api/3/action/package_show", params={"id": "nothing"}, headers={"Accept-Language": "ja"}
    )

    assert response.headers["content-language"] == "ja"
    assert "見つかりません" in response.json()["error"]["message"]


async def test_what_would_change_something_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    await refused(client, "package_delete", id="x")

    entries = [each for each in await world.log() if each.get("code") == "read_only"]
    assert [each["path"] for each in entries] == ["/api/3/action/package_delete"]


async def test_parameters_come_by_address_form_or_json_whatever_it_is_called(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)
    path = "/api/action/package_show"
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    ways = [
        await client.get(path, params={"id": dataset}),
        await client.post(path, json={"id": dataset}),
        await client.post(path, data={"id": dataset}),
        await client.post(path, content=f'{{"id": "{dataset}"}}', headers=form),
        await client.post(path, params={"id": dataset}),
    ]
    unread = [
        await client.post(path, content=b"[1]"),
        await client.post(path, content=b'{"id": '),
        await client.post(path, content=b"\xff\xfe", headers=form),
    ]

    assert len({each.text for each in ways}) == 1
    assert [each.status_code for each in ways] == [200] * 5
    assert [each.json()["error"]["code"] for each in unread] == ["body_unreadable"] * 3


async def test_a_client_that_has_the_answer_is_told_so(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)
    path = f"/api/3/action/package_show?id={dataset}"
    first = await client.get(path)

    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_ckans_addresses_of_pages_lead_to_ours(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)
    package = await call(client, "package_show", id=dataset)

    page = await client.get(f"/dataset/{package['id']}")
    resource = await client.get(f"/dataset/{dataset}/resource/{package['resources'][1]['id']}")

    assert (page.status_code, page.headers["location"]) == (302, package["url"])
    assert resource.headers["location"] == package["resources"][1]["url"]
    assert (await client.get("/dataset/a%00b")).status_code == 404
    assert (await client.get("/api/3")).json() == {"version": 3}


async def test_every_action_explains_itself(client: httpx.AsyncClient) -> None:
    told = await call(client, "help_show", name="datastore_search")

    assert "records_format" in told
    assert (await call(client, "status_show"))["site_url"] == "http://urbanos.test"
    assert await call(client, "site_read") is True
    assert {each["id"] for each in await call(client, "license_list")} >= {"CC-BY-4.0", "PDL-1.0"}
