"""The platform's real answers against the Linkage Interface: core, changes, write and secure."""

from typing import Any, Final

import httpx
import jsonschema_rs
import pytest

from app.models.parties import Role
from tests.openapi.test_linkage_document import DOCUMENT
from tests.stock import Spec, against_the_rules, path, stocked
from tests.world import KENKO, SAKAI, World

PLACED: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("name", "text", {"required": True}),
    ("quantity", "integer", {"unit": "個"}),
    ("at", "datetime"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
RECORDS: Final[list[dict[str, Any]]] = [
    {"no": "1", "name": "甲", "quantity": 3, "at": "2026-04-01T00:00:00Z", "lat": 34.7, "lon": 135.5},
    {"no": "2", "name": "乙"},
]  # fmt: skip


def _resolve(node: Any) -> Any:
    while isinstance(node, dict) and isinstance(node.get("$ref"), str):
        found: Any = DOCUMENT
        for part in node["$ref"][2:].split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def check(operation: str, response: httpx.Response) -> None:
    """The answer is one that the standard knows of this operation, with its headers and body."""
    method, _, route = operation.partition(" ")
    known = DOCUMENT["paths"][route][method.lower()]["responses"]
    assert str(response.status_code) in known, f"{operation} answers {response.status_code}"
    told = _resolve(known[str(response.status_code)])
    for name, header in told.get("headers", {}).items():
        if _resolve(header).get("required"):
            assert name in response.headers, f"{operation} {response.status_code} lacks {name}"
    if "content" not in told:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in told["content"], f"{operation} answers {media_type}"
    body = response.json()
    schema = {
        "$ref": "#/schema",
        "schema": told["content"][media_type]["schema"],
        "components": DOCUMENT["components"],
    }
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    faults = [
        f"{'/'.join(map(str, fault.instance_path))}: {fault.message}"
        for fault in validator.iter_errors(body)
    ]
    assert faults == [], response.text
    if response.status_code >= 400:
        assert body["status"] == response.status_code
        assert body["code"] in told["x-codes"], f"{operation} has no code {body['code']}"
        assert response.headers["cache-control"] == "no-store"


READ: Final = "/v1/datasets/{dataset}"
LIST: Final = f"GET {READ}/records"
AGGREGATE: Final = f"GET {READ}/aggregate"
ONE: Final = f"GET {READ}/records/{{key}}"
CHANGES: Final = f"GET {READ}/changes"
POST: Final = f"POST {READ}/records"
DELETE: Final = f"DELETE {READ}/records/{{key}}"


async def _writer(world: World, dataset: str) -> dict[str, str]:
    return await world.token(await world.party(KENKO), f"dataset:{dataset}:write")


async def test_the_catalogue(client: httpx.AsyncClient, world: World) -> None:
    one = await stocked(world, RECORDS, PLACED)
    await stocked(world, [])

    page = await client.get("/v1/datasets", params={"limit": 1})
    check("GET /v1/datasets", page)
    assert 'rel="next"' in page.headers["link"]
    tag = {"If-None-Match": page.headers["etag"]}
    again = await client.get("/v1/datasets", params={"limit": 1}, headers=tag)
    assert again.status_code == 304
    check("GET /v1/datasets", again)
    entry = await client.get(f"/v1/datasets/{one}")
    check(f"GET {READ}", entry)
    tag = {"If-None-Match": entry.headers["etag"]}
    check(f"GET {READ}", await client.get(f"/v1/datasets/{one}", headers=tag))
    for query in ("", "?f=tableschema", "?version=1"):
        schema = await client.get(f"/v1/datasets/{one}/schema{query}")
        check(f"GET {READ}/schema", schema)
        tag = {"If-None-Match": schema.headers["etag"]}
        same = await client.get(f"/v1/datasets/{one}/schema{query}", headers=tag)
        assert same.status_code == 304
        check(f"GET {READ}/schema", same)


async def test_records(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, RECORDS, PLACED)
    schema = (await client.get(f"/v1/datasets/{dataset}/schema")).json()

    for query in ("", "?f=geojson", "?limit=1&count=true", "?limit=1&f=geojson", "?version=1"):
        check(LIST, await client.get(path(dataset) + query))
    found = await client.get(path(dataset))
    one = await client.get(path(dataset, "1"))
    check(ONE, one)
    for record in [*found.json()["records"], one.json()["record"]]:
        jsonschema_rs.validate(schema, record)
    assert one.json()["record"]["at"] == "2026-04-01T09:00:00+09:00"
    for operation, answer in ((LIST, found), (ONE, one)):
        tag = {"If-None-Match": answer.headers["etag"]}
        same = await client.get(answer.request.url, headers=tag)
        assert same.status_code == 304
        check(operation, same)


async def test_aggregates(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, RECORDS, PLACED)
    place = f"/v1/datasets/{dataset}/aggregate"
    metrics = "count,count(at),distinct(name),sum(quantity),avg(quantity),min(at),max(name)"

    for query in ("", f"?group_by=name&metrics={metrics}&limit=1", "?group_by=month(at)&version=1"):
        answer = await client.get(place + query)
        assert answer.status_code == 200
        check(AGGREGATE, answer)
    tag = {"If-None-Match": answer.headers["etag"]}
    check(AGGREGATE, await client.get(answer.request.url, headers=tag))
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    rules = {"suppression": {"k": 3, "dimensions": ["name"]}}
    await client.patch(f"/v1/datasets/{dataset}", json=rules, headers=steward)
    for query in ("", "?group_by=name", "?group_by=no", "?version=1"):
        check(AGGREGATE, await client.get(place + query))
    check(LIST, await client.get(path(dataset)))
    check(CHANGES, await client.get(f"/v1/datasets/{dataset}/changes"))


async def test_changes(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, RECORDS, PLACED)
    schema = (await client.get(f"/v1/datasets/{dataset}/schema")).json()
    headers = await _writer(world, dataset)

    first = await client.get(f"/v1/datasets/{dataset}/changes", params={"limit": "1"})
    following = httpx.URL(first.headers["link"].partition(">")[0].removeprefix("<"))
    second = await client.get(following)
    await client.post(path(dataset), json=[{"no": "2", "name": "丙"}], headers=headers)
    await client.delete(path(dataset, "1"), headers=headers)
    since = {"since": second.json()["next"]}
    third = await client.get(f"/v1/datasets/{dataset}/changes", params=since)

    told = []
    for page in (first, second, third):
        check(CHANGES, page)
        told += page.json()["changes"]
    assert [(each["op"], each["key"]) for each in told] == [
        ("upsert", "1"), ("upsert", "2"), ("upsert", "2"), ("delete", "1"),
    ]  # fmt: skip
    for each in told[:3]:
        jsonschema_rs.validate(schema, each["record"])


async def test_writes(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, [], PLACED)
    headers = await _writer(world, dataset)
    batches: list[list[Any]] = [
        [{"name": "no key"}],
        [*RECORDS, {"no": "3", "name": "x", "quantity": "many"}, {"quantity": 1}, None],
        RECORDS,
    ]

    for batch in batches:
        check(POST, await client.post(path(dataset), json=batch, headers=headers))
    gone = await client.delete(path(dataset, "1"), headers=headers)
    again = await client.delete(path(dataset, "1"), headers=headers)

    assert (gone.status_code, again.status_code) == (204, 404)
    check(DELETE, gone)
    check(DELETE, again)


@pytest.mark.parametrize("language", ["ja", "en"])
async def test_refused_reads(client: httpx.AsyncClient, world: World, language: str) -> None:
    dataset = await stocked(world, RECORDS, PLACED)
    inside = await stocked(world, RECORDS, PLACED, data_class="restricted")
    stranger = await world.token(await world.party(SAKAI), f"dataset:{dataset}:read")
    withdrawn = await stocked(world, RECORDS, PLACED)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    ended = await client.post(
        f"/v1/datasets/{withdrawn}/withdraw", json={"reason": "x"}, headers=steward
    )
    assert ended.status_code == 200
    nothing = await stocked(world, [], PLACED)
    keyless = await stocked(world, RECORDS, PLACED)
    await against_the_rules(
        world,
        """UPDATE version SET fields = '[{"name":"no","column":"c001","label":"no","type":"code"}]'
        WHERE dataset_id = $1""",
        keyless,
    )
    world.platform.live.changed("dataset", keyless)
    asked: list[tuple[str, str, int, dict[str, str]]] = [
        ("GET /v1/datasets", "/v1/datasets?q=%00", 400, {}),
        ("GET /v1/datasets", "/v1/datasets?limt=1", 400, {}),
        ("GET /v1/datasets", "/v1/datasets?cursor=AA", 400, {}),
        ("GET /v1/datasets", "/v1/datasets", 401, {"Authorization": "Bearer x"}),
        (f"GET {READ}", "/v1/datasets/nowhere", 404, {}),
        (f"GET {READ}/schema", "/v1/datasets/nowhere/schema", 404, {}),
        (f"GET {READ}/schema", f"/v1/datasets/{dataset}/schema?version=9", 404, {}),
        (f"GET {READ}/schema", f"/v1/datasets/{dataset}/schema?version=0", 400, {}),
        (LIST, path(dataset) + "?limit=0", 400, {}),
        (LIST, path(dataset) + "?zzz=0", 400, {}),
        (LIST, path(dataset) + "?fields=zzz", 400, {}),
        (LIST, path(dataset) + "?filter=zzz", 400, {}),
        (LIST, path(dataset) + "?cursor=zzz", 400, {}),
        (LIST, path(dataset) + "?name=%00", 400, {}),
        (LIST, path(dataset) + "?f=pdf", 406, {}),
        (AGGREGATE, f"/v1/datasets/{dataset}/aggregate?group_by=zzz", 400, {}),
        (AGGREGATE, f"/v1/datasets/{dataset}/aggregate?metrics=sum(name)", 400, {}),
        (AGGREGATE, f"/v1/datasets/{dataset}/aggregate?zzz=1", 400, {}),
        (AGGREGATE, f"/v1/datasets/{dataset}/aggregate?cursor=zzz", 400, {}),
        (AGGREGATE, f"/v1/datasets/{dataset}/aggregate?version=9", 404, {}),
        (AGGREGATE, f"/v1/datasets/{inside}/aggregate", 401, {}),
        (AGGREGATE, f"/v1/datasets/{inside}/aggregate", 403, stranger),
        (AGGREGATE, f"/v1/datasets/{withdrawn}/aggregate", 410, {}),
        (LIST, path(dataset) + "?version=9", 404, {}),
        (LIST, path(nothing), 404, {}),
        (LIST, path(inside), 401, {}),
        (LIST, path(inside), 403, stranger),
        (LIST, path(withdrawn), 410, {}),
        (LIST, path(dataset) + "?as_of=2020-01-01", 404, {}),
        (LIST, path(dataset) + "?as_of=2999-01-01", 400, {}),
        (f"GET {READ}/schema", f"/v1/datasets/{dataset}/schema?as_of=2020-01-01", 404, {}),
        (CHANGES, f"/v1/datasets/{dataset}/changes?since=zzz", 400, {}),
        (CHANGES, f"/v1/datasets/{dataset}/changes?limit=0", 400, {}),
        (CHANGES, f"/v1/datasets/{inside}/changes", 401, {}),
        (CHANGES, f"/v1/datasets/{inside}/changes", 403, stranger),
        (CHANGES, "/v1/datasets/nowhere/changes", 404, {}),
        (CHANGES, f"/v1/datasets/{nothing}/changes", 404, {}),
        (CHANGES, f"/v1/datasets/{keyless}/changes", 409, {}),
        (CHANGES, f"/v1/datasets/{withdrawn}/changes", 410, {}),
        (ONE, path(dataset, "9"), 404, {}),
        (ONE, path(inside, "1"), 401, {}),
        (ONE, path(withdrawn, "1"), 410, {}),
    ]

    for operation, address, status, headers in asked:
        answer = await client.get(address, headers={**headers, "Accept-Language": language})
        assert answer.status_code == status, (address, answer.text)
        assert answer.headers["content-language"] == language
        check(operation, answer)
        if status == 400:
            assert answer.json()["errors"], address


async def test_refused_writes(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, RECORDS, PLACED)
    keyless = await stocked(world, [], (("name", "text"),))
    headers = {**await _writer(world, dataset), "Idempotency-Key": f"s-{dataset}"}
    without_key = await _writer(world, keyless)
    reading = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")
    await client.post(path(dataset), json=RECORDS, headers=headers)
    asked: list[tuple[str, Any, int, dict[str, str]]] = [
        (dataset, b"[", 400, headers),
        (dataset, b"{}", 400, headers),
        (dataset, b"[]", 422, headers),
        (dataset, b'[{"no":"9"}]', 422, headers),
        (dataset, b"x", 415, {**headers, "Content-Type": "text/plain"}),
        (dataset, b" " * (32 * 1024 * 1024 + 1), 413, headers),
        (dataset, b"x", 401, {}),
        (dataset, b"x", 403, reading),
        ("nowhere", b"[]", 404, headers),
        (keyless, b'[{"name":"x"}]', 409, without_key),
    ]

    for target, body, status, sent in asked:
        answer = await client.post(path(target), content=body, headers=sent)
        assert answer.status_code == status, (body[:20], answer.text)
        check(POST, answer)
    for address, status, sent in (
        (path(dataset, "1"), 401, {}),
        (path(dataset, "1"), 403, reading),
    ):
        answer = await client.delete(address, headers=sent)
        assert answer.status_code == status
        check(DELETE, answer)


async def test_health(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/health")

    check("GET /v1/health", answer)
    assert answer.json()["source"]["reachable"] is True
    assert answer.json()["source"]["reached_at"].endswith("+09:00")
    assert answer.json()["conformance"] == ["core", "query", "changes", "write", "push", "secure"]
