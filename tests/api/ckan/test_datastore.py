"""CKAN's datastore over the broker: filters, sort, pages by number, dumps; hostile ones too."""

import asyncio
import csv
import io
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from tests.api.ckan.shelves import ROWS, call, opened, refused, resource_of
from tests.serving import served
from tests.stock import Spec, put
from tests.world import World

TYPED: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号", "description": "管理番号"}),
    ("name", "text"),
    ("size", "integer", {"unit": "人"}),
    ("rate", "decimal"),
    ("open", "boolean"),
    ("since", "date"),
    ("at", "datetime"),
)
TYPED_ROWS: list[dict[str, Any]] = [
    {"no": "01", "name": '改行\nと "引用", 読点', "size": 3, "rate": 1.10, "open": True,
     "since": "2024-04-01", "at": "2026-04-01T09:00:00+09:00"},
    {"no": "02", "name": "=1+1"},
    {"no": "03", "name": "Park 50%", "size": 12, "open": False},
]  # fmt: skip


async def stored(client: httpx.AsyncClient, world: World) -> str:
    return await resource_of(client, await opened(world, TYPED_ROWS, *TYPED))


async def nos(client: httpx.AsyncClient, resource: str, **given: Any) -> list[str]:
    result = await call(client, "datastore_search", resource_id=resource, **given)
    return [each["no"] for each in result["records"]]


async def test_an_answer_has_ckans_shape_and_types(client: httpx.AsyncClient, world: World) -> None:
    resource = await stored(client, world)

    result = await call(client, "datastore_search", resource_id=resource, limit=1)

    assert result["records"][0] == {"_id": 1, **TYPED_ROWS[0], "at": result["records"][0]["at"]}
    assert [(each["id"], each["type"]) for each in result["fields"]] == [
        ("_id", "int"), ("no", "text"), ("name", "text"), ("size", "int8"), ("rate", "numeric"),
        ("open", "bool"), ("since", "date"), ("at", "timestamp"),
    ]  # fmt: skip
    assert result["fields"][1]["info"]["label"] == "番号"
    assert result["fields"][1]["info"]["notes"] == "管理番号"
    assert (result["total"], result["total_was_estimated"], result["limit"]) == (3, False, 1)
    following = (await client.get(result["_links"]["next"])).json()["result"]
    assert [each["_id"] for each in following["records"]] == [2]
    assert "prev" in following["_links"]
    info = await call(client, "datastore_info", id=resource)
    assert info["meta"]["count"] == 3
    assert [each["id"] for each in info["fields"]] == [spec[0] for spec in TYPED]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["01", "02", "03"]),
        ({"filters": {"no": "02"}}, ["02"]),
        ({"filters": {"no": ["01", "03", "zz"]}}, ["01", "03"]),
        ({"filters": '{"size": 12}'}, ["03"]),
        ({"filters": {"size": None}}, ["02"]),
        ({"filters": {"size": [3, None]}}, ["01", "02"]),
        ({"filters": {"size": {"gt": 3, "lte": 12}}}, ["03"]),
        ({"filters": {"open": True}}, ["01"]),
        ({"filters": {"rate": "1.1"}}, ["01"]),
        ({"filters": {"since": "2024-04-01"}}, ["01"]),
        ({"filters": {"no": []}}, []),
        ({"filters": {"name": "' OR 1=1 --"}}, []),
        ({"filters": {"name": '改行\nと "引用", 読点'}}, ["01"]),
        ({"q": "ﾊﾟｰｸ"}, []),
        ({"q": "ＰＡＲＫ"}, ["03"]),
        ({"q": "引用 改行"}, ["01"]),
        ({"q": "park", "filters": {"open": True}}, []),
        ({"q": {"name": "park 50%"}}, ["03"]),
        ({"q": '{"name": "%"}'}, ["03"]),
        ({"sort": "size desc"}, ["03", "01", "02"]),
        ({"sort": ["open asc", "_id"]}, ["03", "01", "02"]),
        ({"sort": '"no" DESC'}, ["03", "02", "01"]),
        ({"sort": "_id"}, ["01", "02", "03"]),
        ({"offset": 2}, ["03"]),
        ({"offset": 10**12}, []),
        ({"limit": 0}, []),
        (
            {"plain": True, "language": "english", "total_estimation_threshold": 10},
            ["01", "02", "03"],
        ),
    ],
)
async def test_a_question_finds_what_it_says(
    client: httpx.AsyncClient, typed: str, given: dict[str, Any], found: list[str]
) -> None:
    result = await call(client, "datastore_search", resource_id=typed, **given)

    assert [each["no"] for each in result["records"]] == found
    paged = "offset" in given or "limit" in given
    assert result["total"] == (3 if paged else len(found))


@pytest.fixture(scope="module")
async def typed(platform: Any, client: httpx.AsyncClient) -> str:
    """The resource that the questions of this module are about."""
    world = World(platform, client)
    await world.start()
    return await stored(client, world)


async def test_records_come_in_every_format_of_ckans(client: httpx.AsyncClient, typed: str) -> None:
    given = {"resource_id": typed, "fields": ["_id", "no", "name"]}

    objects, lists, commas, tabs = [
        (await call(client, "datastore_search", records_format=form, **given))["records"]
        for form in ("objects", "lists", "csv", "tsv")
    ]

    assert lists == [list(each.values()) for each in objects]
    as_text = [[str(value) for value in row] for row in lists]
    assert list(csv.reader(io.StringIO(commas))) == as_text
    assert list(csv.reader(io.StringIO(tabs), delimiter="\t")) == as_text


async def test_fields_alone_cost_no_records_and_leave_the_number_out(
    client: httpx.AsyncClient, typed: str
) -> None:
    named = await call(client, "datastore_search", resource_id=typed, fields="name, no")
    bare = await call(client, "datastore_search", resource_id=typed, limit=0, include_total=False)

    assert list(named["records"][0]) == ["name", "no"]
    assert (bare["records"], len(bare["fields"])) == ([], 8)
    assert "total" not in bare


async def test_a_hidden_column_is_nowhere(client: httpx.AsyncClient, world: World) -> None:
    specs: tuple[Spec, ...] = (
        ("no", "code", {"key": True}),
        ("secret", "text", {"visibility": "restricted"}),
    )
    resource = await resource_of(client, await opened(world, [{"no": "1", "secret": "x"}], *specs))

    shown = await call(client, "datastore_search", resource_id=resource)
    info = await call(client, "datastore_info", id=resource)
    dumped = await client.get(f"/datastore/dump/{resource}", params={"format": "json"})

    assert [each["id"] for each in shown["fields"]] == ["_id", "no"]
    assert "secret" not in json.dumps(info) + dumped.text
    for given in ({"filters": {"secret": "x"}}, {"sort": "secret"}, {"fields": "secret"}):
        status, error = await refused(client, "datastore_search", resource_id=resource, **given)
        assert (status, error["code"]) == (403, "column_not_visible")


async def test_sql_is_refused_with_the_reason_and_the_way(client: httpx.AsyncClient) -> None:
    status, error = await refused(client, "datastore_search_sql", sql='SELECT * FROM "x"')

    assert (status, error["__type"]) == (409, "Validation Error")
    assert "/v1/datasets/{id}/records?filter=" in error["sql"][0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limit": -1}, "0 or more"),
        ({"offset": -1}, "0 or more"),
        ({"offset": 10**30}, "0 or more"),
        ({"filters": "{"}, "no JSON"),
        ({"filters": [1]}, "no JSON"),
        ({"filters": {"no": {"near": 1}}}, "compare with"),
        ({"filters": {"no": [str(at) for at in range(100_000)]}}, "1000 values"),
        ({"filters": {"nope": 1}}, "There is no"),
        ({"filters": {"no) OR (1=1": "x"}}, "There is no"),
        ({"filters": {"size": "many"}}, "is a number"),
        ({"filters": {"no": "a\x00"}}, "NUL"),
        ({"sort": "no; DROP TABLE x"}, "There is no field"),
        ({"fields": "no,nam"}, "Did you mean name?"),
        ({"fields": "_id"}, "name a field"),
        ({"distinct": True}, "aggregate"),
        ({"records_format": "xml"}, "objects"),
        ({"resource": "x"}, "Did you mean resource_id?"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    client: httpx.AsyncClient, typed: str, given: dict[str, Any], says: str
) -> None:
    status, error = await refused(client, "datastore_search", resource_id=typed, **given)

    assert (status, error["__type"]) == (409, "Validation Error"), error
    assert says in str(error), error


async def test_an_id_that_was_made_up_is_not_found(client: httpx.AsyncClient, typed: str) -> None:
    forged = typed[:14] + str(uuid4())[14:]  # the beginning of a real one

    for asked in (forged, str(uuid4()), "no-such-dataset", "../../etc/passwd", "x" * 5000):
        for action in ("datastore_search", "resource_show", "package_show"):
            status, error = await refused(client, action, id=asked)
            assert (status, error["__type"]) == (404, "Not Found Error"), (action, asked)


async def test_another_form_of_the_dataset_says_which_is_in_the_datastore(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await opened(world, ROWS)
    package = await call(client, "package_show", id=dataset)

    status, error = await refused(
        client, "datastore_search", resource_id=package["resources"][1]["id"]
    )
    by_name = await call(client, "datastore_search", resource_id=dataset)

    assert status == 404
    assert package["resources"][0]["id"] in error["message"]
    assert by_name["total"] == 2


async def test_pages_by_number_lose_and_double_nothing(
    client: httpx.AsyncClient, many: str
) -> None:
    seen: list[int] = []
    while page := (
        await call(
            client, "datastore_search", resource_id=many, offset=len(seen), limit=32_000,
            sort="name desc", include_total=not seen, records_format="lists",
        )
    )["records"]:  # fmt: skip
        seen += [row[0] for row in page]

    assert len(seen) == MANY
    assert set(seen) == set(range(1, MANY + 1))


MANY = 25_000


@pytest.fixture(scope="module")
async def many(platform: Any, client: httpx.AsyncClient) -> str:
    """A resource of 25,000 records, more than two pages, many of which sort alike."""
    world = World(platform, client)
    await world.start()
    specs: tuple[Spec, ...] = (("no", "code", {"key": True}), ("name", "text"))
    rows = [{"no": f"{at}", "name": f"架空{at % 7}"} for at in range(MANY)]
    dataset = await opened(world, rows[:1], *specs)
    for begin in range(1, MANY, 8_333):
        await put(world, dataset, rows[begin : begin + 8_333])
    return await resource_of(client, dataset)


async def test_a_dump_holds_every_record_in_every_format(
    client: httpx.AsyncClient, many: str
) -> None:
    path = f"/datastore/dump/{many}"

    commas = await client.get(path, params={"bom": "true"})
    tabs = await client.get(path, params={"format": "tsv", "limit": 20_000, "offset": 100})
    lists = await client.get(path, params={"format": "json"})
    lines = await client.get(path, params={"format": "ndjson", "filters": '{"name": "架空0"}'})

    assert commas.content.startswith("\ufeff_id,no,name\n".encode())
    assert commas.headers["content-disposition"] == f'attachment; filename="{many}.csv"'
    assert len(commas.text.splitlines()) == MANY + 1
    rows = list(csv.reader(io.StringIO(tabs.text), delimiter="\t"))
    assert (len(rows), rows[1][0], rows[-1][0]) == (20_001, "101", "20100")
    told = lists.json()
    assert [each["id"] for each in told["fields"]] == ["_id", "no", "name"]
    assert [row[0] for row in told["records"]] == list(range(1, MANY + 1))
    assert all(json.loads(line)["name"] == "架空0" for line in lines.text.splitlines())


async def test_a_dump_of_nothing_is_whole(client: httpx.AsyncClient, typed: str) -> None:
    given = {"filters": '{"no": "zz"}'}

    commas = await client.get(f"/datastore/dump/{typed}", params=given)
    lists = await client.get(f"/datastore/dump/{typed}", params={**given, "format": "json"})

    assert commas.text == "_id,no,name,size,rate,open,since,at\n"
    assert lists.json()["records"] == []


@pytest.mark.parametrize(
    ("given", "status"),
    [({"format": "xml"}, 409), ({"limit": "0"}, 409), ({"colour": "red"}, 409)],
)
async def test_a_dump_that_cannot_be_made_is_refused(
    client: httpx.AsyncClient, typed: str, given: dict[str, str], status: int
) -> None:
    answer = await client.get(f"/datastore/dump/{typed}", params=given)

    assert (answer.status_code, answer.json()["success"]) == (status, False)


async def test_a_dump_that_nobody_takes_holds_up_nobody_else(
    app: FastAPI, client: httpx.AsyncClient, many: str
) -> None:
    query = f"GET /datastore/dump/{many} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with served(app) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port, limit=4_096) for _ in range(6)]
        for taking, giving in slow:
            giving.write(query)
            for _ in range(100):
                await taking.readexactly(1)  # a byte at a time, and then no more
        async with asyncio.timeout(10):
            whole = await client.get(f"/datastore/dump/{many}")
        for _, giving in slow:
            giving.transport.abort()

        async with asyncio.timeout(10):  # who is gone leaves nothing running
            while app.state.platform.broker._exports:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert len(whole.content.splitlines()) == MANY + 1
