"""Aggregates: groups that add up, decided, logged and held as reads are."""

import base64
import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.stock import PURPOSE, Spec, agreed, path, put, reader, stocked
from tests.world import KENKO, SAKAI, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("kind", "text"),
    ("area", "local_government_code"),
    ("size", "integer"),
    ("cost", "decimal"),
    ("open", "boolean"),
    ("day", "date"),
    ("at", "datetime"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
RECORDS: Final[list[dict[str, Any]]] = [
    {"no": "1", "kind": "保育所", "area": "271276", "size": 9_223_372_036_854_775_807,
     "cost": 0.1, "open": True, "day": "2026-03-31", "at": "2026-03-31T23:59:59+09:00",
     "lat": 34.7025, "lon": 135.4959},
    {"no": "2", "kind": "保育所", "area": "271021", "size": 9_223_372_036_854_775_807,
     "cost": 0.2, "open": False, "day": "2026-04-01", "at": "2026-04-01T00:00:00+09:00",
     "lat": 34.7026, "lon": 135.4958},
    {"no": "3", "kind": "診療所", "area": "271411", "size": 1, "cost": 3,
     "at": "2026-03-31T15:00:00Z", "lat": 34.5, "lon": 135.5},
    {"no": "4", "area": "131016", "size": None},
]  # fmt: skip


def groups_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["groups"]
    return found


def at(dataset: str) -> str:
    return f"/v1/datasets/{dataset}/aggregate"


def column(groups: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
    return [{**group["by"], **group["values"]}[name] for group in groups]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dataset(platform: Platform, client: httpx.AsyncClient) -> str:
    """For questions: nobody writes to it."""
    world = World(platform, client)
    await world.start()
    return await stocked(world, RECORDS, SPECS)


async def test_all_records_are_one_group(client: httpx.AsyncClient, dataset: str) -> None:
    metrics = "count,sum(size),avg(cost),min(day),max(at),count(day),distinct(kind),min(kind)"

    answer = await client.get(at(dataset), params={"metrics": metrics})

    assert answer.json()["groups"] == [
        {
            "by": {},
            "values": {
                "count": 4, "sum(size)": 18_446_744_073_709_551_615, "avg(cost)": 1.1,
                "min(day)": "2026-03-31", "max(at)": "2026-04-01T00:00:00+09:00",
                "count(day)": 2, "distinct(kind)": 2, "min(kind)": "保育所",
            },
        }
    ]  # fmt: skip
    assert b"18446744073709551615" in answer.content
    assert answer.json()["numberReturned"] == 1


@pytest.mark.parametrize(
    ("bucket", "values"),
    [
        ("kind", ["保育所", "診療所", None]),
        ("open", [False, True, None]),
        ("year(day)", ["2026", None]),
        ("month(at)", ["2026-03", "2026-04", None]),
        ("day(at)", ["2026-03-31", "2026-04-01", None]),
        ("hour(at)", ["2026-03-31T23:00:00+09:00", "2026-04-01T00:00:00+09:00", None]),
        ("fiscal_year(at)", ["2025", "2026", None]),
        ("weekday(day)", [2, 3, None]),
        ("mesh1(geometry)", ["5135", "5235", None]),
        ("mesh3(geometry)", ["51356400", "52350349", None]),
        ("municipality(area)", ["131016", "271004", "271403"]),
        ("prefecture(area)", ["130001", "270008"]),
        ("bin(cost, 0.15)", [0, 0.15, 3, None]),
    ],
)
async def test_buckets(
    client: httpx.AsyncClient, dataset: str, bucket: str, values: list[Any]
) -> None:
    groups = groups_of(await client.get(at(dataset), params={"group_by": bucket}))

    assert column(groups, bucket.replace(" ", "")) == values
    assert sum(column(groups, "count")) == 4


async def test_a_shape_is_counted_in_the_square_of_the_middle_of_its_bounds(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (("no", "code", {"key": True}), ("shape", "geometry"))
    line = {"type": "LineString", "coordinates": [[135.49, 34.70], [135.5018, 34.70497]]}
    dataset = await stocked(world, [{"no": "1", "shape": line}, {"no": "2"}], specs)

    for name in ("geometry", "shape"):
        answer = await client.get(at(dataset), params={"group_by": f"mesh3({name})"})
        assert column(groups_of(answer), f"mesh3({name})") == ["52350349", None]
    whole = await client.get(at(dataset), params={"group_by": "shape"})

    assert whole.json()["errors"][0]["code"] == "geometry_not_comparable"


async def test_groups_come_in_pages_over_free_text(client: httpx.AsyncClient, world: World) -> None:
    texts = [f"{number % 90:02}のこと" for number in range(200)]
    dataset = await stocked(
        world, [{"no": f"{at}", "name": text} for at, text in enumerate(texts)] + [{"no": "x"}]
    )
    link: str | None = f"{at(dataset)}?group_by=name&limit=40"
    found: list[dict[str, Any]] = []

    while link is not None:
        page = await client.get(link)
        found += groups_of(page)
        await put(world, dataset, [{"no": f"later-{len(found)}", "name": "00のこと"}])
        link = next((x["href"] for x in page.json()["links"] if x["rel"] == "next"), None)
        assert (link is not None) == ('rel="next"' in page.headers.get("link", ""))

    assert column(found, "name") == [*sorted(set(texts)), None]
    assert sum(column(found, "count")) == 201
    cursor = httpx.URL(f"{at(dataset)}?group_by=name&limit=40")
    cursor = httpx.URL((await client.get(cursor)).json()["links"][1]["href"])
    other = await client.get(str(cursor).replace("group_by=name", "group_by=size"))
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("by", ["size", "cost", "day", "year(at)", "hour(at)", "mesh3(geometry)"])
async def test_a_forged_cursor_names_a_position_or_is_refused(
    client: httpx.AsyncClient, dataset: str, by: str
) -> None:
    page = await client.get(at(dataset), params={"group_by": by, "limit": "1"})
    link = httpx.URL(page.json()["links"][1]["href"])
    parts = json.loads(base64.urlsafe_b64decode(link.params["cursor"] + "=="))
    wrong: list[Any] = [
        None, 2**63, 1e400, 0.5, "x", "", "\x00", True, [1], {}, "0001-01-01", "9999-12-31T23:59:59Z",
    ]  # fmt: skip

    for after in ([], [None, None], *[[each] for each in wrong]):
        forged = json.dumps([*parts[:4], *after]).encode()
        cursor = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
        answer = await client.get(str(link.copy_set_param("cursor", cursor)))
        assert answer.status_code == 200 or answer.json()["code"] == "invalid_cursor", after


async def test_the_counts_add_up_to_what_matches_the_same_conditions(
    client: httpx.AsyncClient, dataset: str
) -> None:
    for asked in (
        {},
        {"kind": "保育所,診療所"},
        {"filter": "size > 1 OR open IS NULL"},
        {"bbox": "135.4,34.6,135.6,34.8"},
        {"lat": "34.7025", "lon": "135.4959", "radius": "50"},
        {"kind": "ない"},
    ):
        records = (
            await client.get(path(dataset), params={**asked, "count": "true", "limit": "1"})
        ).json()
        for by in ("kind", "municipality(area),day(at)"):
            groups = groups_of(await client.get(at(dataset), params={**asked, "group_by": by}))
            assert sum(column(groups, "count")) == records["numberMatched"], asked
        (whole,) = groups_of(await client.get(at(dataset), params=asked))
        assert whole["values"]["count"] == records["numberMatched"]


async def test_an_earlier_version_and_an_earlier_time_are_counted_as_they_were(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "甲", "size": 1}])
    before = datetime.now(UTC)
    await put(world, dataset, [{"no": "2", "name": "乙", "size": 2}])

    then = await client.get(at(dataset), params={"as_of": before.isoformat()})
    now = await client.get(at(dataset), params={"version": "1", "metrics": "sum(size)"})

    assert groups_of(then) == [{"by": {}, "values": {"count": 1}}]
    assert groups_of(now) == [{"by": {}, "values": {"sum(size)": 3}}]


async def test_an_unchanged_answer_is_304_and_a_changed_one_is_not(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, RECORDS, SPECS)
    asked = {"group_by": "kind"}
    first = await client.get(at(dataset), params=asked)
    tag = {"If-None-Match": first.headers["etag"]}

    same = await client.get(at(dataset), params=asked, headers=tag)
    await put(world, dataset, [{"no": "9", "kind": "図書館"}])
    changed = await client.get(at(dataset), params=asked, headers=tag)

    assert (same.status_code, same.content) == (304, b"")
    assert changed.headers["etag"] != first.headers["etag"]
    assert "図書館" in column(groups_of(changed), "kind")


async def test_groups_as_csv(client: httpx.AsyncClient, dataset: str) -> None:
    asked = {"group_by": "kind,open", "metrics": "count,sum(size),avg(cost)", "f": "csv"}

    plain = await client.get(at(dataset), params=asked)
    marked = await client.get(at(dataset), params={**asked, "bom": "true"})
    old = await client.get(at(dataset), params={**asked, "charset": "cp932"})

    assert list(csv.reader(io.StringIO(plain.text))) == [
        ["kind", "open", "count", "sum(size)", "avg(cost)"],
        ["保育所", "false", "1", "9223372036854775807", "0.2"],
        ["保育所", "true", "1", "9223372036854775807", "0.1"],
        ["診療所", "", "1", "1", "3"],
        ["", "", "1", "", ""],
    ]
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    assert old.content.decode("cp932") == plain.text
    assert plain.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    ("asked", "parameter", "named"),
    [
        ({"group_by": "knd"}, "group_by", "kind"),
        ({"group_by": "years(day)"}, "group_by", "fiscal_year"),
        ({"group_by": "year(kind)"}, "group_by", "kind"),
        ({"group_by": "hour(day)"}, "group_by", "day"),
        ({"group_by": "mesh7(geometry)"}, "group_by", "mesh7"),
        ({"group_by": "mesh3(kind)"}, "group_by", "kind"),
        ({"group_by": "municipality(kind)"}, "group_by", "kind"),
        ({"group_by": "bin(size,0)"}, "group_by", "bin(capacity,100)"),
        ({"group_by": "bin(size,NaN)"}, "group_by", "bin(capacity,100)"),
        ({"group_by": "bin(size)"}, "group_by", "bin(capacity,100)"),
        ({"group_by": "bin(size,1e999999999)"}, "group_by", "bin(capacity,100)"),
        ({"group_by": "year((day)"}, "group_by", "day"),
        ({"group_by": ","}, "group_by", "field"),
        ({"group_by": "no,kind,area,size,cost,open,day,at,lat"}, "group_by", "8"),
        ({"metrics": "sum(kind)"}, "metrics", "kind"),
        ({"metrics": "avg(day)"}, "metrics", "day"),
        ({"metrics": "min(open)"}, "metrics", "open"),
        ({"metrics": "median(size)"}, "metrics", "median"),
        ({"metrics": ",".join(f"count(f{at})" for at in range(21))}, "metrics", "20"),
        ({"metrics": "sum(zise)"}, "metrics", "size"),
        ({"limit": "0"}, "limit", "10000"),
        ({"filter": "sum(size) > 1"}, "filter", ""),
        ({"fields": "kind"}, "fields", ""),
        ({"sort": "kind"}, "sort", ""),
        ({"count": "true"}, "count", ""),
    ],
)
async def test_what_cannot_be_grouped_or_worked_out_is_refused_by_name(
    client: httpx.AsyncClient, dataset: str, asked: dict[str, str], parameter: str, named: str
) -> None:
    answer = await client.get(at(dataset), params=asked)

    assert answer.status_code == 400, answer.text
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == parameter
    assert named in fault["detail"]


async def test_other_forms_are_not_acceptable(client: httpx.AsyncClient, dataset: str) -> None:

    for form in ("geojson", "ndjson", "pdf"):
        answer = await client.get(at(dataset), params={"f": form})
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


HIDING: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("kind", "text"),
    ("salary", "integer", {"visibility": "restricted"}),
    ("lat", "latitude"),
    ("lon", "longitude", {"visibility": "restricted"}),
)


@pytest.mark.parametrize(
    "asked",
    [
        {"group_by": "salary"},
        {"group_by": "bin(salary,10)"},
        {"group_by": "mesh3(geometry)"},
        {"metrics": "sum(salary)"},
        {"metrics": "count,distinct(salary)"},
        {"salary": "1"},
        {"filter": "salary > 1"},
        {"bbox": "0,0,1,1"},
    ],
)
async def test_a_hidden_column_is_refused_wherever_it_is_named_and_that_is_logged(
    client: httpx.AsyncClient, world: World, asked: dict[str, str]
) -> None:
    dataset = await stocked(world, [{"no": "1", "salary": 5}], HIDING)

    answer = await client.get(at(dataset), params=asked)

    assert (answer.status_code, answer.json()["code"]) == (403, "column_not_visible")
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert (entry["dataset"], entry["reason"]) == (dataset, "column_not_visible")


@pytest.mark.parametrize(
    ("data_class", "status", "reason"),
    [
        ("restricted", 401, "token_required"),
        ("personal", 401, "token_required"),
        ("specific-personal", 403, "never_brokered"),
    ],
)
async def test_who_may_not_read_may_not_count(
    client: httpx.AsyncClient, world: World, data_class: str, status: int, reason: str
) -> None:
    dataset = await world.dataset(data_class=data_class)

    answer = await client.get(at(dataset), params={"purpose": PURPOSE})

    assert (answer.status_code, answer.json()["code"]) == (status, reason)
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert entry["reason"] == reason


async def test_the_log_has_the_records_that_went_in_and_the_groups_that_came_out(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, RECORDS, SPECS, data_class="restricted")
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer, columns=["kind", "size"])
    headers = await world.token(consumer, f"dataset:{dataset}:read")
    asked = {"group_by": "kind", "metrics": "sum(size)", "purpose": PURPOSE}

    first = await client.get(at(dataset), params=asked, headers=headers)
    again = await client.get(at(dataset), params=asked, headers=headers)
    refused = await client.get(
        at(dataset), params={**asked, "metrics": "sum(cost)"}, headers=headers
    )

    assert first.content == again.content
    assert refused.json()["code"] == "column_not_visible"
    entries = await world.log(Event.RECORDS_READ)
    assert len(entries) == 2
    for entry in entries:
        assert (entry["rows"], entry["groups"], entry["columns"]) == (4, 3, ["kind", "size"])
    assert first.headers["linkage-receipt"] != again.headers["linkage-receipt"]


async def test_groups_by_a_field_of_a_dataset_beside(
    client: httpx.AsyncClient, world: World
) -> None:
    cities: tuple[Spec, ...] = (("code", "local_government_code", {"key": True}), ("city", "text"))
    beside = await stocked(
        world, [{"code": "271276", "city": "北区"}, {"code": "271411", "city": "堺区"}], cities
    )
    dataset = await stocked(world, RECORDS, SPECS)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    join = {"name": "city", "dataset": beside, "here": "area", "there": "code"}
    patched = await client.patch(f"/v1/datasets/{dataset}", json={"joins": [join]}, headers=steward)
    assert patched.status_code == 200, patched.text

    answer = await client.get(
        at(dataset), params={"expand": "city", "group_by": "city.city", "metrics": "count"}
    )
    record = await client.get(path(dataset, "1"), params={"expand": "city"})

    assert column(groups_of(answer), "city.city") == ["北区", "堺区", None]
    assert record.json()["record"]["city"] == {"code": "271276", "city": "北区"}


async def test_a_join_that_is_no_join_is_refused(client: httpx.AsyncClient, world: World) -> None:
    beside = await stocked(world, [{"no": "1", "name": "x"}])
    dataset = await stocked(world, RECORDS, SPECS)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    for here, there, code in (
        ("zzz", "no", "invalid_join"),
        ("kind", "name", "join_not_by_key"),
        ("size", "no", "join_of_two_types"),
    ):
        join = {"name": "x", "dataset": beside, "here": here, "there": there}
        refused = await client.patch(
            f"/v1/datasets/{dataset}", json={"joins": [join]}, headers=steward
        )
        assert refused.status_code == 422
        assert [fault["code"] for fault in refused.json()["errors"]] == [code]


async def test_own_records_are_counted_whatever_their_class(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, RECORDS, SPECS, data_class="restricted")

    answer = await client.get(
        at(dataset), params={"purpose": PURPOSE}, headers=await reader(world, dataset)
    )

    assert groups_of(answer) == [{"by": {}, "values": {"count": 4}}]
    assert answer.headers["cache-control"] == "private, no-cache"
