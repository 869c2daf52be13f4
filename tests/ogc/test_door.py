"""The OGC door against its standards: what is claimed is kept, and what is wrong is refused."""

import json
import re
import time
from urllib.parse import quote

import httpx
import pytest
import shapely
from fastapi import FastAPI

from app.api.handlers import routes_of
from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.ogc.town import (
    CRS84,
    GEOJSON,
    HTML,
    POINTS,
    got,
    ids,
    items,
    links_of,
    point,
    points,
    refused,
    square,
    squares,
)
from tests.stock import PURPOSE, against_the_rules, agreed, put, stocked
from tests.world import KENKO, SAKAI, World


async def test_a_page_has_its_numbers_its_time_and_its_links(
    client: httpx.AsyncClient, dozen: str, platform: Platform
) -> None:
    response = await client.get(items(dozen), params={"limit": "5", "filter": "size > 1"})

    page, base = response.json(), f"{platform.issuer}{items(dozen)}"
    links = links_of(page)
    assert (page["type"], page["numberReturned"], page["numberMatched"]) == (
        "FeatureCollection",
        5,
        11,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", page["timeStamp"])
    assert links["self", GEOJSON] == f"{base}?limit=5&filter=size+%3E+1"
    assert links["alternate", "text/html"] == f"{base}?limit=5&filter=size+%3E+1&f=html"
    assert links["collection", "application/json"] == base.removesuffix("/items")
    assert links["next", GEOJSON].startswith(f"{base}?limit=5&filter=size+%3E+1&cursor=")
    for rel in ("alternate", "collection", "next"):
        assert f'rel="{rel}"' in response.headers["link"]
    assert response.headers["content-crs"] == f"<{CRS84}>"
    assert response.headers["etag"].startswith('W/"')


async def test_pages_hold_every_feature_once_and_the_count_is_told_on_the_first(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 23)

    found, numbers, address = [], [], f"{items(town)}?limit=5&datetime=2026-04-01/.."
    while address:
        page = await got(client, address)
        found += [each["id"] for each in page["features"]]
        numbers.append(page.get("numberMatched"))
        address = links_of(page).get(("next", GEOJSON), "")

    assert found == [f"{at:04}" for at in range(1, 24)]
    assert numbers == [23, None, None, None, None]


async def test_one_s_copy_is_still_right(client: httpx.AsyncClient, dozen: str) -> None:
    first = await client.get(items(dozen))

    again = await client.get(items(dozen), headers={"If-None-Match": first.headers["etag"]})
    head = await client.head(items(dozen))

    assert (again.status_code, again.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_feature_is_found_by_its_id_whatever_it_holds(
    client: httpx.AsyncClient, world: World
) -> None:
    names = ["a/b", "100%", "1,2", "?x#y", "公園", "a~1b", "%2F", "長" * 60]
    town = await stocked(world, [{**point(1), "no": name} for name in names], POINTS)
    pair = (("kind", "code", {"key": True}), *POINTS)
    rows = [{**point(1), "kind": kind, "no": no} for kind in ("a,b", "a~") for no in ("1", "~0,")]
    pairs = await stocked(world, rows, pair)

    for collection, key in ((town, "no"), (pairs, "kind")):
        for feature in (await got(client, items(collection)))["features"]:
            one = await got(client, items(collection, quote(feature["id"], safe="")))
            assert one.pop("links")[0]["rel"] == "self"
            assert one == feature
            assert key in one["properties"]
    assert sorted(await ids(client, town)) == sorted(names)
    assert len(set(await ids(client, pairs))) == 4


async def test_what_has_no_key_is_found_by_the_number_of_its_row(
    client: httpx.AsyncClient, world: World, worker: None
) -> None:
    keyless = [(spec[0], spec[1]) for spec in POINTS]
    town = await stocked(world, [], keyless)
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    rows = [",".join(str(value or "") for value in point(at).values()) for at in (1, 2, 3)]
    file = "\n".join([",".join(name for name, _ in keyless), *rows]).encode()
    await world.publish(headers, await world.load(headers, town, file))

    one = await got(client, items(town, "2"))

    assert await ids(client, town) == [1, 2, 3]
    assert (one["id"], one["properties"]["name"]) == (2, "公園2")
    for nobody in ("4", "0", "-1", "x", "2.5", "9" * 30, "1e400000", "NaN"):
        assert await refused(client, items(town, nobody)) == (404, "record_not_found")


async def test_a_feature_that_is_not_there_is_404_and_stands_in_the_log(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 1, data_class="internal")
    # A proof, which names the address, is shorter than this one.
    headers = await world.bearer(await world.party(KENKO), f"dataset:{town}:read")

    response = await client.get(
        items(town, "9" * 5_000), params={"purpose": "own-duty"}, headers=headers
    )

    assert (response.status_code, response.json()["code"]) == (404, "record_not_found")
    assert len(response.json()["detail"]) < 500
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [0]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2026-04-03", [2, 3]),
        ("2026-04-03T00:00:00Z", [2, 3]),
        ("2026-04-03T09:00:00+09:00", [2, 3]),
        ("2026-04-03T09:00:01+09:00", [3]),
        ("2026-04-03/2026-04-05", [2, 3, 4]),
        ("../2026-04-02", [1, 3]),
        ("/2026-04-02", [1, 3]),
        ("2026-04-05T00:00:00Z/..", [3, 4, 5]),
        ("2026-04-05T00:00:01Z/", [3, 5]),
    ],
)
async def test_a_time_finds_what_meets_it_and_what_has_none(
    client: httpx.AsyncClient, dozen: str, asked: str, found: list[int]
) -> None:
    assert await ids(client, dozen, datetime=asked, bbox="134,34,136,34.555") == [
        f"{at:04}" for at in found
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bbox", "135,34,NaN,35"), ("bbox", "135,34,inf,35"), ("bbox", "135,34,136"),
        ("bbox", "135,34,0,136,35"), ("bbox", "135,34,9,136,35,1"), ("bbox", "135,34,x,136,35,y"),
        ("bbox", "135,36,136,35"), ("bbox", "135,34,1360,35"), ("bbox", ""),
        ("datetime", "garbage"), ("datetime", ""), ("datetime", "../.."), ("datetime", "/"),
        ("datetime", "2026-04-05/2026-04-03"), ("datetime", "2026-04-01/2026-04-02/2026-04-03"),
        ("datetime", "2026-04-01T00:00:00"), ("datetime", "0001-01-01"), ("datetime", "9999-12-31"),
        ("datetime", "2026-02-30"), ("datetime", "null"),
        ("limit", "0"), ("limit", "-1"), ("limit", "many"), ("limit", ""), ("limit", "１"),
        ("crs", "http://www.opengis.net/def/crs/EPSG/0/4326"), ("bbox-crs", "x"), ("filter-crs", "x"),
        ("filter-lang", "sql"), ("size", "large"), ("cursor", "x"), ("name", "\x00"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused(
    client: httpx.AsyncClient, dozen: str, name: str, value: str
) -> None:
    status, code = await refused(client, items(dozen), **{name: value})

    assert (status, code) in ((400, "invalid_parameter"), (400, "invalid_cursor"))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("limt", "limit"), ("bbx", "bbox"), ("nmae", "name"), ("offset", "cursor"),
        ("version", "limit"), ("sort", ""), ("labels", ""), ("expand", ""),
    ],
)  # fmt: skip
async def test_what_is_unknown_is_refused_with_the_nearest_name(
    client: httpx.AsyncClient, dozen: str, name: str, nearest: str
) -> None:
    response = await client.get(items(dozen), params={name: "1"})

    assert (response.status_code, response.json()["code"]) == (400, "unknown_parameter")
    assert nearest in response.json()["detail"]
    assert await refused(client, items(dozen, "0001"), limit="1") == (400, "unknown_parameter")
    assert await refused(client, "/ogc", limit="1") == (400, "unknown_parameter")
    assert await refused(client, items(dozen) + "?f=json&f=json") == (400, "invalid_parameter")


async def test_more_than_the_most_is_the_most_and_heights_are_passed_over(
    client: httpx.AsyncClient, dozen: str
) -> None:
    assert len(await ids(client, dozen, limit="10001")) == 12
    assert len(await ids(client, dozen, limit="9" * 4_000)) == 12
    assert await ids(client, dozen, bbox="134,34.515,-10,136,34.525,10") == ["0002"]
    assert await ids(client, dozen, bbox="134,34,-170,34.525") == ["0001", "0002"]
    assert await ids(client, dozen, bbox="136,34,-170,35") == []


async def test_a_comma_in_a_value_is_a_comma(client: httpx.AsyncClient, world: World) -> None:
    rows = [{**point(at), "name": name} for at, name in enumerate(("a,b", "a", "b"), start=1)]
    town = await stocked(world, rows, POINTS)

    assert await ids(client, town, name="a,b") == ["0001"]


async def test_a_cursor_belongs_to_its_collection_and_its_question(
    client: httpx.AsyncClient, world: World
) -> None:
    one, other = await points(world, 5), await points(world, 5)
    following = links_of(await got(client, items(one), limit=2, filter="size > 1"))["next", GEOJSON]
    cursor = following.partition("cursor=")[2]

    asked = {"cursor": cursor, "limit": "2"}
    assert await refused(client, items(other), **asked, filter="size > 1") == (
        400,
        "invalid_cursor",
    )
    assert await refused(client, items(one), **asked, filter="size > 2") == (400, "invalid_cursor")
    assert await ids(client, one, **asked, filter="size > 1") == ["0004", "0005"]


async def test_who_may_not_read_gets_no_feature_and_the_log_says_so(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 3, data_class="restricted")
    hidden = await points(world, 3, data_class="restricted", hidden=True)

    assert await refused(client, items(town)) == (401, "token_required")
    assert await refused(client, f"/ogc/collections/{town}") == (401, "token_required")
    for path in ("", "/queryables", "/schema", "/items", "/items/0001", "/items?nonsense=1"):
        assert await refused(client, f"/ogc/collections/{hidden}{path}") == (
            404,
            "dataset_not_found",
        )
    assert await refused(client, items("no-such")) == (404, "dataset_not_found")
    refusals = [entry["dataset"] for entry in await world.log(Event.RECORDS_REFUSED)]
    assert refusals[0] == town


async def test_an_agreement_opens_its_columns_and_no_others(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 2, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, town, party, columns=["no", "latitude", "longitude", "name"])
    headers = await world.token(party, f"dataset:{town}:read")
    asked = {"purpose": PURPOSE}

    page = await client.get(items(town), params=asked, headers=headers)
    told = await client.get(f"/ogc/collections/{town}/queryables", params=asked, headers=headers)
    hidden = await client.get(items(town), params={**asked, "size": "1"}, headers=headers)
    listed = await client.get("/ogc/collections", headers=headers)

    assert page.status_code == 200, page.text
    assert list(page.json()["features"][0]["properties"]) == ["no", "name", "latitude", "longitude"]
    assert page.headers["linkage-receipt"].isdigit()
    assert list(told.json()["properties"]) == ["no", "name", "latitude", "longitude", "geometry"]
    assert (hidden.status_code, hidden.json()["code"]) == (403, "column_not_visible")
    assert town in [each["id"] for each in listed.json()["collections"]]
    read, denied = (await world.log(Event.RECORDS_READ))[-1], await world.log(Event.RECORDS_REFUSED)
    assert (read["rows"], read["purpose"]) == (2, PURPOSE)
    assert denied[-1]["reason"] == "column_not_visible"


async def test_a_key_that_is_hidden_makes_no_id(client: httpx.AsyncClient, world: World) -> None:
    specs = (("no", "code", {"key": True, "visibility": "internal"}), *POINTS[1:])
    town = await stocked(world, [point(7), point(8)], specs)

    assert await ids(client, town) == [1, 2]
    assert (await got(client, items(town, "2")))["properties"]["name"] == "公園8"
    assert await refused(client, items(town, "0007")) == (404, "record_not_found")


async def test_what_is_withdrawn_is_gone_with_the_reason(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 1)
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    await client.post(
        f"/v1/datasets/{town}/withdraw", json={"reason": "測量の誤り"}, headers=headers
    )

    for path in (
        f"/ogc/collections/{town}",
        f"/ogc/collections/{town}/queryables",
        items(town),
        items(town, "0001"),
    ):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (410, "dataset_withdrawn")
        assert "測量の誤り" in response.json()["detail"]
    assert town not in (await client.get("/ogc/collections")).text


async def test_what_has_no_place_is_no_collection(client: httpx.AsyncClient, world: World) -> None:
    plain = await stocked(world, [{"no": "1", "name": "x", "size": 1}])
    empty = await stocked(world, [], POINTS)
    specs = [*POINTS[:-1], ("longitude", "longitude", {"visibility": "internal"})]
    covered = await stocked(world, [point(1)], specs)

    listed = {each["id"] for each in (await got(client, "/ogc/collections"))["collections"]}

    assert not listed & {plain, empty, covered}
    assert await refused(client, f"/ogc/collections/{plain}") == (404, "dataset_has_no_place")
    assert await refused(client, items(plain)) == (404, "dataset_has_no_place")
    assert await refused(client, items(empty)) == (404, "no_version_published")
    assert await refused(client, items(covered)) == (403, "column_not_visible")


async def test_polygons_are_the_geometry_and_no_property(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await squares(world, 3)

    found = await got(client, f"/ogc/collections/{town}/queryables")
    feature = await got(client, items(town, "0002"))

    assert found["properties"]["area"] == {
        "$ref": "https://geojson.org/schema/Geometry.json",
        "format": "geometry-any",
        "title": "area",
        "x-ogc-propertySeq": 3,
        "x-ogc-role": "primary-geometry",
    }
    assert set(feature["properties"]) == {"no", "name"}
    expected = json.dumps(square(2)["area"])
    assert shapely.equals(*shapely.from_geojson([json.dumps(feature["geometry"]), expected]))
    extent = (await got(client, f"/ogc/collections/{town}"))["extent"]["spatial"]
    assert extent == {"bbox": [[135.01, 34.5, 135.035, 34.505]], "crs": CRS84}


@pytest.mark.parametrize(
    ("asked", "accept", "answer"),
    [
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        ("f=html", "application/json", HTML),
        ("f=json", "text/html", GEOJSON),
        ("", "application/json", GEOJSON),
        ("", "*/*", GEOJSON),
        ("", "image/png", None),
        ("f=gml", "*/*", None),
    ],
)
async def test_the_form_is_as_asked(
    client: httpx.AsyncClient, dozen: str, asked: str, accept: str, answer: str | None
) -> None:
    response = await client.get(f"{items(dozen)}?{asked}", headers={"Accept": accept})

    if answer is None:
        assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")
        return
    assert (response.status_code, response.headers["content-type"]) == (200, answer)


async def test_a_page_for_people_runs_nothing_and_leads_on(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [{**point(at), "name": "<script>alert(1)</script>"} for at in (1, 2)]
    town = await stocked(world, rows, POINTS)

    response = await client.get(items(town), params={"f": "html", "limit": "1"})
    japanese = await client.get("/ogc?f=html", headers={"Accept-Language": "ja"})

    assert "<script" not in response.text
    assert "&lt;script&gt;" in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert re.search(r'href="[^"]*limit=1&amp;cursor=[^"]*">Next page', response.text)
    assert re.search(r'href="[^"]*f=json[^"]*">Another form', response.text)
    assert '<html lang="ja">' in japanese.text
    assert "地物コレクション一覧" in japanese.text


async def test_links_never_follow_the_host_header(client: httpx.AsyncClient, dozen: str) -> None:
    for path in (
        "/ogc",
        "/ogc/api",
        "/ogc/collections",
        f"/ogc/collections/{dozen}",
        f"{items(dozen)}?limit=1",
        items(dozen, "0001"),
    ):
        response = await client.get(
            path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        )
        assert response.status_code == 200
        assert "evil" not in response.text + str(response.headers)


async def test_the_definition_describes_the_paths_that_answer_and_no_others(
    client: httpx.AsyncClient, dozen: str, app: FastAPI
) -> None:
    definition = await got(client, "/ogc/api")

    for path, operations in definition["paths"].items():
        address = path.replace("{collectionId}", dozen).replace("{featureId}", "0001")
        assert list(operations) == ["get"]
        assert (await client.get(f"/ogc{address}")).status_code == 200
    paths = {route.path for route in routes_of(app.router.routes) if route.path.startswith("/ogc")}
    mounted = {
        re.sub(r"\{(?:collection_id|dataset_id)\}", "{collectionId}", path).replace(
            "{item:path}", "{featureId}"
        )
        for path in paths
    }
    assert mounted == {f"/ogc{path}" for path in definition["paths"]} | {"/ogc"}


async def test_ten_thousand_collections_are_listed_in_pages_and_in_time(
    client: httpx.AsyncClient, world: World
) -> None:
    model = await points(world, 1)
    for table, key in (("dataset", "id"), ("version", "dataset_id")):
        changes = f"jsonb_build_object('{key}', 'zz-' || lpad(at::text, 5, '0')"
        changes += ", 'table_name', 'zz_' || at)" if table == "version" else ")"
        await against_the_rules(
            world,
            f"INSERT INTO {table} SELECT made.* FROM {table} AS model, generate_series(1, 10000) AS at,"
            f" jsonb_populate_record(model, {changes}) AS made WHERE model.{key} = $1",
            model,
        )
    began = time.perf_counter()

    found, address = [], "/ogc/collections"
    while address:
        page = await got(client, address)
        assert len(page["collections"]) <= 1_000
        found += [each["id"] for each in page["collections"]]
        address = links_of(page).get(("next", "application/json"), "")

    assert len(found) == len(set(found))
    assert sum(each.startswith("zz-") for each in found) == 10_000
    assert time.perf_counter() - began < 30  # however busy the machine is


async def test_features_go_on_reading_what_they_began_with(
    client: httpx.AsyncClient, world: World
) -> None:
    town = await points(world, 4)
    first = await got(client, items(town), limit=2)

    await put(world, town, [{**point(9), "no": "0009"}, {**point(3), "name": "改"}])

    rest = await got(client, links_of(first)["next", GEOJSON])
    assert [each["properties"]["name"] for each in rest["features"]] == ["公園3", "公園4"]
    assert (await got(client, items(town)))["numberMatched"] == 5


async def test_a_path_that_leads_nowhere_is_told_so(client: httpx.AsyncClient, dozen: str) -> None:
    assert await refused(client, "/ogc/collections/%00") == (400, "invalid_parameter")
    assert await refused(client, f"/ogc/collections/{'x' * 3_000}") == (404, "dataset_not_found")
    assert await refused(client, "/ogc/collections/..%2F/items") == (404, "route_not_found")
    assert await refused(client, items(dozen, "%FF")) == (400, "invalid_parameter")
    assert await refused(client, items(dozen, "0001/..x")) == (404, "record_not_found")
    assert await refused(client, items(dozen, "")) == (404, "record_not_found")
    assert await refused(client, f"/ogc/collections/{dozen}/nothing") == (404, "route_not_found")
