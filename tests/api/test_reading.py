"""Reading records as interface.md says: places, pages, forms, and what is wrong with a question."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.stock import Spec, path, put, stocked
from tests.world import World

PLACED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
CORNERS: list[dict[str, Any]] = [
    {"no": "sw", "name": "角", "lat": 34.0, "lon": 135.0},
    {"no": "ne", "name": "角", "lat": 35.0, "lon": 136.0},
    {"no": "in", "name": "中", "lat": 34.5, "lon": 135.5},
    {"no": "out", "name": "外", "lat": 34.5, "lon": 136.000001},
    {"no": "nowhere", "name": None, "lat": None, "lon": None},
]
ROWS: list[dict[str, Any]] = [
    {"no": "1", "name": "架空公園", "size": 10},
    {"no": "2", "name": "髙①～", "size": None},
    {"no": "3", "name": 'a,"b"\nc', "size": 10},
]


async def got(client: httpx.AsyncClient, dataset: str, **asked: str) -> list[str]:
    response = await client.get(path(dataset), params=asked)
    assert response.status_code == 200, response.text
    return [record["no"] for record in response.json()["records"]]


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text[:200]
    return response.status_code, response.json()["code"]


async def test_equality_repeats_and_commas_mean_one_of(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    assert await got(client, dataset, no="1") == ["1"]
    assert await got(client, dataset, no="1,3") == ["1", "3"]
    repeated = await client.get(f"{path(dataset)}?no=1&no=2&size=10")
    assert [record["no"] for record in repeated.json()["records"]] == ["1"]
    assert await got(client, dataset, size="10", no="3,2") == ["3"]
    assert await got(client, dataset, size="11") == []
    assert await got(client, dataset, size="99999999999999999999") == []


async def test_a_box_holds_its_borders_and_crosses_the_antimeridian(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, CORNERS, PLACED)

    assert await got(client, dataset, bbox="135,34,136,35") == ["sw", "ne", "in"]
    assert await got(client, dataset, bbox="135.9,34,-170,35") == ["ne", "out"]
    assert await got(client, dataset, bbox="136,34,135,35") == ["sw", "ne", "out"]
    assert await got(client, dataset, bbox="135.5,34.5,135.5,34.5") == ["in"]
    for wrong in ("1,2,3", "a,b,c,d", "nan,34,136,35", "0,35,1,34", "0,0,181,1", "0,0,0,91", ""):
        refused = await client.get(path(dataset), params={"bbox": wrong})
        assert code(refused) == (400, "invalid_parameter"), wrong


async def test_nearness_needs_all_three_and_sane_numbers(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, CORNERS, PLACED)
    here = {"lat": "34.5", "lon": "135.5", "radius": "50000"}

    found = (await client.get(path(dataset), params=here)).json()["records"]
    assert [(record["no"], round(record["distance"])) for record in found] == [
        ("in", 0), ("out", 45819),
    ]  # fmt: skip
    wrongs: list[dict[str, str]] = [
        {"lat": "34"}, {"lat": "34", "lon": "135"}, {**here, "radius": "0"}, {**here, "radius": "-1"},
        {**here, "radius": "nan"}, {**here, "radius": "1e99"}, {**here, "lat": "91"},
        {**here, "lon": "181"}, {**here, "lat": "x"}, {**here, "sort": "no"},
    ]  # fmt: skip
    for wrong in wrongs:
        refused = await client.get(path(dataset), params=wrong)
        assert code(refused) == (400, "invalid_parameter"), wrong


@pytest.mark.parametrize("asked", ["bbox=1,2,3,4", "lat=1&lon=2&radius=3", "f=geojson"])
async def test_places_are_not_asked_of_a_dataset_without_any(
    client: httpx.AsyncClient, world: World, asked: str
) -> None:
    dataset = await stocked(world, ROWS)

    response = await client.get(f"{path(dataset)}?{asked}")

    assert code(response) == (400, "invalid_parameter")


async def test_fields_choose_and_order_the_columns(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS)

    records = (await client.get(path(dataset), params={"fields": "size,no,size"})).json()["records"]

    assert [list(record) for record in records] == [["size", "no"]] * 3
    for wrong, told in (
        ("nam", "invalid_parameter"),
        ("", "invalid_parameter"),
        (",", "invalid_parameter"),
    ):
        refused = await client.get(path(dataset), params={"fields": wrong})
        assert code(refused) == (400, told)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "1.5", "x", "", "１", "99999999999999"])
async def test_a_limit_out_of_bounds_is_refused(
    client: httpx.AsyncClient, world: World, limit: str
) -> None:
    dataset = await stocked(world, ROWS)

    response = await client.get(path(dataset), params={"limit": limit})

    assert code(response) == (400, "invalid_parameter")
    assert response.json()["errors"][0]["pointer"] == "limit"


async def test_a_limit_of_all_rows_has_no_next_page_and_one_less_has(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    whole = await client.get(path(dataset), params={"limit": "3", "count": "true"})
    part = await client.get(path(dataset), params={"limit": "2", "count": "true"})

    assert "link" not in whole.headers
    assert (whole.json()["numberMatched"], whole.json()["numberReturned"]) == (3, 3)
    assert (part.json()["numberMatched"], part.json()["numberReturned"]) == (3, 2)
    assert part.headers["link"].endswith('; rel="next"')
    following = await client.get(part.headers["link"].partition(">")[0][1:])
    assert [record["no"] for record in following.json()["records"]] == ["3"]
    assert following.json()["numberMatched"] == 3


async def test_labels_are_the_publishers_and_never_cut_or_doubled(
    client: httpx.AsyncClient, world: World
) -> None:
    long = "災害時における指定緊急避難場所及び指定避難所の収容可能人数合計"
    labels = ["番号", long + "甲", long + "乙", "備考", "備考", "備考_2", "備考"]
    specs: list[Spec] = [("no", "code", {"key": True, "label": labels[0]})]
    specs += [(f"x{at}", "text", {"label": label}) for at, label in enumerate(labels[1:])]
    dataset = await stocked(world, [{"no": "1", "x1": "乙の値"}], specs)

    one = (await client.get(path(dataset), params={"labels": "ja"})).json()["records"][0]
    as_csv = await client.get(path(dataset), params={"labels": "ja", "f": "csv"})

    assert len(one) == 7
    assert one[long + "乙"] == "乙の値"
    assert as_csv.text.splitlines()[0].split(",") == list(one)
    assert len(set(one)) == len(one)
    refused = await client.get(path(dataset), params={"labels": "en"})
    assert code(refused) == (400, "invalid_parameter")


async def test_every_form_holds_the_same_records(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS)
    as_json = (await client.get(path(dataset))).json()["records"]

    as_csv = await client.get(path(dataset), params={"f": "csv"})
    with_bom = await client.get(path(dataset), params={"f": "csv", "bom": "true"})
    lines = await client.get(path(dataset), params={"f": "ndjson"})

    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode(), newline="")))
    assert [{**row, "size": int(row["size"]) if row["size"] else None, "name": row["name"] or None} for row in rows] == as_json  # fmt: skip
    assert with_bom.content == b"\xef\xbb\xbf" + as_csv.content
    assert [json.loads(line) for line in lines.content.splitlines()] == as_json
    limited = await client.get(path(dataset), params={"f": "ndjson", "limit": "1", "sort": "-no"})
    assert [json.loads(line)["no"] for line in limited.content.splitlines()] == ["3"]


async def test_a_character_that_cp932_lacks_becomes_a_geta(
    client: httpx.AsyncClient, world: World
) -> None:
    rows = [{"no": "1", "name": "髙①～"}, {"no": "2", "name": "𠮷é"}]
    dataset = await stocked(world, rows)

    response = await client.get(path(dataset), params={"f": "csv", "charset": "cp932"})

    assert response.headers["content-type"].lower().startswith("text/csv; charset=shift_jis")
    read = list(csv.DictReader(io.StringIO(response.content.decode("cp932"))))
    assert [row["name"] for row in read] == ["髙①～", "〓〓"]
    for wrong in ({"charset": "cp932"}, {"f": "csv", "charset": "euc-jp"}):
        assert code(await client.get(path(dataset), params=wrong))[0] == 400


async def test_geojson_has_a_null_geometry_where_there_is_no_place(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, CORNERS, PLACED)

    features = (await client.get(path(dataset), params={"f": "geojson", "fields": "no"})).json()["features"]  # fmt: skip

    assert features[0]["geometry"] == {"type": "Point", "coordinates": [135.0, 34.0]}
    assert features[-1] == {
        "type": "Feature",
        "id": "nowhere",
        "geometry": None,
        "properties": {"no": "nowhere"},
    }


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("text/csv", "text/csv"),
        ("application/geo+json;q=0.1, text/csv;q=0.9", "text/csv"),
        ("text/*", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/png, */*;q=0.1", "application/json"),
        ("image/png", None),
        ("text/csv;q=0", None),
        ("", None),
        ("text/csv;q=x", None),
    ],
)
async def test_the_form_is_negotiated(
    client: httpx.AsyncClient, world: World, accept: str, answered: str | None
) -> None:
    dataset = await stocked(world, ROWS)

    response = await client.get(path(dataset), headers={"Accept": accept})

    if answered is None:
        assert code(response) == (406, "not_acceptable")
    else:
        assert response.headers["content-type"].partition(";")[0] == answered


async def test_an_unchanged_answer_is_304_until_the_records_change(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)
    first = await client.get(path(dataset))
    tag = first.headers["etag"]

    for shown in (tag, f'W/{tag}, "x"', f'"x",{tag}', "*"):
        again = await client.get(path(dataset), headers={"If-None-Match": shown})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    others = [{"params": {"f": "csv"}}, {"params": {"limit": "2"}}, {"params": {"fields": "no"}}]
    for other in others:
        assert (await client.get(path(dataset), **other)).headers["etag"] != tag  # type: ignore[arg-type]
    await put(world, dataset, [{"no": "4"}])
    changed = await client.get(path(dataset), headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["numberReturned"]) == (200, 4)


async def test_head_tells_what_get_would_and_sends_no_body(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    for asked in ({}, {"f": "csv"}):
        head = await client.head(path(dataset), params=asked)
        get = await client.get(path(dataset), params=asked)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "etag", "content-length"):
            assert head.headers.get(name) == get.headers.get(name)


async def test_an_unknown_parameter_is_refused_with_the_nearest_name(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    for asked, nearest in (("limt=1", "limit"), ("nmae=x", "name"), ("%00=1", ""), ("a.b=1", "")):
        response = await client.get(f"{path(dataset)}?{asked}")
        assert code(response) == (400, "unknown_parameter")
        assert nearest in response.json()["detail"]


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=2", "name=%ff", "name=%ed%a0%80", "count=yes", "bom=1", "name=%00",
     "size=x", "size=1e99999", "size=nan", "&".join(["no=1"] * 101),
     "version=x", "version=-1", "cursor=x", "sort=no&cursor=", "filter-lang=sql&filter=x",
     "size=0." + "1" * 40_000],
)  # fmt: skip
async def test_what_is_wrong_with_a_query_is_the_askers_fault(
    client: httpx.AsyncClient, world: World, query: str
) -> None:
    dataset = await stocked(world, ROWS)

    # Sent as it stands: httpx would mend it.
    url = httpx.URL(path(dataset)).copy_with(query=query.encode())
    response = await client.get(url)

    assert response.status_code == 400, response.text[:200]
    assert response.json()["code"] in ("invalid_parameter", "invalid_cursor", "unknown_parameter")


@pytest.mark.parametrize(
    "value", ["0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00", "0001-01-01", "9999-12-31"]
)
async def test_the_ends_of_the_calendar_are_refused_and_do_no_harm(
    client: httpx.AsyncClient, world: World, value: str
) -> None:
    dataset = await stocked(
        world, [], (("no", "code", {"key": True}), ("at", "datetime"), ("d", "date"))
    )
    await put(world, dataset, [{"no": "1", "at": "2026-04-01T00:00:00Z", "d": "9999-12-31"}])

    response = await client.get(path(dataset), params={"at": value})

    assert code(response) == (400, "invalid_parameter")
    assert len(await got(client, dataset, d="9999-12-31")) == 1


async def test_the_widest_table_is_read_in_every_form(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: list[Spec] = [("no", "code", {"key": True})]
    specs += [(f"x{at}", "integer") for at in range(1, 1_500)]
    dataset = await stocked(world, [{"no": "1", "x1499": 7}], specs)

    record = (await client.get(path(dataset))).json()["records"][0]
    as_csv = await client.get(path(dataset), params={"f": "csv"})
    sort = ",".join(f"x{at}" for at in range(1, 17))
    sorted_by_many = await client.get(path(dataset), params={"sort": sort})

    assert (len(record), record["x1499"], record["x1"]) == (1_500, 7, None)
    assert as_csv.text.splitlines()[1].count(",") == 1_499
    too_many = await client.get(path(dataset), params={"sort": sort + ",x17"})
    assert (sorted_by_many.status_code, code(too_many)) == (200, (400, "invalid_parameter"))
