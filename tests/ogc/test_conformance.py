"""Every conformance class that the OGC door claims has a request that proves it."""

import json
from collections.abc import Awaitable, Callable

import httpx
import shapely
from fastapi import FastAPI

from app.api.ogc import doors
from tests.ogc.town import CRS84, GEOJSON, HTML, OGC, got, ids, items, links_of, refused

# What a class promises, in one request or two each.
Proof = Callable[[httpx.AsyncClient, str], Awaitable[bool]]


async def _core(client: httpx.AsyncClient, town: str) -> bool:
    landing = await got(client, "/ogc")
    reached = [await client.get(link["href"]) for link in landing["links"]]
    return all(each.status_code == 200 for each in reached) and bool(await ids(client, town))


async def _geojson(client: httpx.AsyncClient, town: str) -> bool:
    response = await client.get(items(town))
    geometries = [json.dumps(each["geometry"]) for each in response.json()["features"]]
    known = all(shapely.from_geojson(each).geom_type == "Point" for each in geometries)
    return known and response.headers["content-type"] == GEOJSON


async def _html(client: httpx.AsyncClient, town: str) -> bool:
    paths = ("/ogc", "/ogc/conformance", "/ogc/api", "/ogc/collections", items(town))
    one = (f"/ogc/collections/{town}", items(town, "0001"), f"/ogc/collections/{town}/queryables")
    pages = [await client.get(path, headers={"Accept": "text/html"}) for path in (*paths, *one)]
    return all(page.headers["content-type"] == HTML and page.status_code == 200 for page in pages)


async def _oas30(client: httpx.AsyncClient, town: str) -> bool:
    found = await client.get("/ogc/api")
    described = "application/vnd.oai.openapi+json;version=3.0"
    return found.headers["content-type"] == described and found.json()["openapi"] == "3.0.3"


async def _crs(client: httpx.AsyncClient, town: str) -> bool:
    asked = {"crs": CRS84, "bbox": "135,34,136,35", "bbox-crs": CRS84}
    response = await client.get(items(town), params=asked)
    other = await refused(client, items(town), crs=CRS84.replace("CRS84", "CRS27"))
    return response.headers["content-crs"] == f"<{CRS84}>" and other == (400, "invalid_parameter")


async def _queryables(client: httpx.AsyncClient, town: str) -> bool:
    address = links_of(await got(client, f"/ogc/collections/{town}"))[
        f"{OGC}queryables", "application/schema+json"
    ]
    response = await client.get(address)
    found = response.json()
    is_schema = response.headers["content-type"] == "application/schema+json"
    return is_schema and found["type"] == "object" and found["$id"] == address


async def _parameters(client: httpx.AsyncClient, town: str) -> bool:
    return await ids(client, town, name="公園7", size="7") == ["0007"]


async def _text(client: httpx.AsyncClient, town: str) -> bool:
    asked = {"filter": "size < 3", "filter-lang": "cql2-text", "filter-crs": CRS84}
    return await ids(client, town, **asked) == ["0001", "0002"]


async def _json(client: httpx.AsyncClient, town: str) -> bool:
    tree = {"op": "<", "args": [{"property": "size"}, 3]}
    asked = {"filter": json.dumps(tree), "filter-lang": "cql2-json"}
    return await ids(client, town, **asked) == ["0001", "0002"]


async def _basic(client: httpx.AsyncClient, town: str) -> bool:
    text = "NOT (size <> 2) OR (day IS NULL AND size <= 3) OR day = DATE('2026-04-02')"
    return await ids(client, town, filter=text) == ["0001", "0002", "0003"]


async def _advanced(client: httpx.AsyncClient, town: str) -> bool:
    text = "name LIKE '公園_' AND size BETWEEN 2 AND 5 AND size IN (1, 2, 5)"
    return await ids(client, town, filter=text) == ["0002", "0005"]


def answers(text: str, *found: int) -> Proof:
    """That a filter finds these of the dozen points."""

    async def proof(client: httpx.AsyncClient, town: str) -> bool:
        return await ids(client, town, filter=text) == [f"{at:04}" for at in found]

    return proof


async def _schema(client: httpx.AsyncClient, town: str) -> bool:
    address = links_of(await got(client, f"/ogc/collections/{town}"))[
        f"{OGC}schema", "application/schema+json"
    ]
    told = (await got(client, address))["properties"]
    first = (await got(client, items(town), limit=1))["features"][0]
    place = told.pop("geometry")["format"]
    same = list(told) == list(first["properties"]) and all("type" in x for x in told.values())
    return same and place == "geometry-point"


async def _roles(client: httpx.AsyncClient, town: str) -> bool:
    told = (await got(client, f"/ogc/collections/{town}/schema"))["properties"]
    roles = {each["x-ogc-role"]: name for name, each in told.items() if "x-ogc-role" in each}
    expected = {"id": "no", "primary-instant": "seen_at", "primary-geometry": "geometry"}
    return roles == expected


PROOFS: dict[str, Proof] = {
    "ogcapi-features-1/1.0/conf/core": _core,
    "ogcapi-features-1/1.0/conf/geojson": _geojson,
    "ogcapi-features-1/1.0/conf/html": _html,
    "ogcapi-features-1/1.0/conf/oas30": _oas30,
    "ogcapi-features-2/1.0/conf/crs": _crs,
    "ogcapi-features-3/1.0/conf/filter": _text,
    "ogcapi-features-3/1.0/conf/features-filter": _text,
    "ogcapi-features-3/1.0/conf/queryables": _queryables,
    "ogcapi-features-3/1.0/conf/queryables-query-parameters": _parameters,
    "ogcapi-features-5/1.0/conf/schemas": _schema,
    "ogcapi-features-5/1.0/conf/core-roles-features": _roles,
    "cql2/1.0/conf/cql2-text": _text,
    "cql2/1.0/conf/cql2-json": _json,
    "cql2/1.0/conf/basic-cql2": _basic,
    "cql2/1.0/conf/advanced-comparison-operators": _advanced,
    "cql2/1.0/conf/case-insensitive-comparison": answers("CASEI(no) = CASEI('0007')", 7),
    "cql2/1.0/conf/accent-insensitive-comparison": answers("ACCENTI(no) = ACCENTI('0007')", 7),
    "cql2/1.0/conf/basic-spatial-functions": answers(
        "S_INTERSECTS(geometry, BBOX(134, 34.515, 136, 34.525))", 2
    ),
    "cql2/1.0/conf/basic-spatial-functions-plus": answers(
        "S_INTERSECTS(geometry, POLYGON((134 34.4, 136 34.4, 136 34.515, 134 34.515, 134 34.4)))", 1
    ),
    "cql2/1.0/conf/spatial-functions": answers(
        "S_WITHIN(geometry, POLYGON((134 34.4, 136 34.4, 136 34.525, 134 34.525, 134 34.4)))"
        " AND S_DISJOINT(geometry, POINT(135 34.51))",
        2,
    ),
    "cql2/1.0/conf/temporal-functions": answers("T_BEFORE(day, DATE('2026-04-03'))", 1),
    "cql2/1.0/conf/property-property": answers("day = day AND size < size OR no = '0002'", 2),
    "cql2/1.0/conf/arithmetic": answers("size * 2 = 14", 7),
}


async def test_every_class_that_is_claimed_is_kept(client: httpx.AsyncClient, dozen: str) -> None:
    claimed = (await got(client, "/ogc/conformance"))["conformsTo"]
    kept = {name: await proof(client, dozen) for name, proof in PROOFS.items()}

    assert sorted(each.removeprefix("http://www.opengis.net/spec/") for each in claimed) == sorted(
        kept
    )
    assert [name for name, holds in kept.items() if not holds] == []


def test_a_room_that_is_not_mounted_is_not_claimed() -> None:
    bare = FastAPI()

    doors.mount(bare, doors.ROOMS[1:])

    claimed = bare.state.ogc_conformance
    assert [name.rsplit("/", 1)[-1] for name in claimed][:2] == ["oas30", "html"]
    assert not any(name.endswith(("/core", "/cql2-text")) for name in claimed)
