"""Datasets whose records are only counted: no way to a record, nor to a sum over few people."""

import itertools
import json
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.api.test_aggregates import at, column, groups_of
from tests.policy.test_suppression import reduced, span
from tests.stock import PURPOSE, Spec, agreed, path, put, reader, stocked
from tests.world import KENKO, SAKAI, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("mesh", "code"),
    ("hour", "integer"),
    ("age", "text"),
    ("people", "integer"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
# Synthetic: mesh, hour, age band, people.
FLOWS: Final = [
    ("52350349", 8, "20代", 40), ("52350349", 8, "60代", 3), ("52350349", 9, "20代", 12),
    ("52350349", 9, "60代", 15), ("52350359", 8, "20代", 2), ("52350359", 8, "60代", 30),
    ("52350359", 9, "20代", 0), ("52350359", 9, "60代", 11), ("52350369", 8, "60代", 4),
]  # fmt: skip
RECORDS: Final[list[dict[str, Any]]] = [
    {"no": f"{n}", "mesh": mesh, "hour": hour, "age": age, "people": people,
     "lat": 34.7, "lon": 135.5}
    for n, (mesh, hour, age, people) in enumerate(FLOWS)
]  # fmt: skip
DIMENSIONS: Final = ["mesh", "hour", "age"]
RULES: Final[dict[str, Any]] = {"k": 10, "dimensions": DIMENSIONS, "count": "people"}


async def counted(
    world: World, rules: dict[str, Any] | None = None, data_class: str = "public"
) -> str:
    """The flows, only counted."""
    dataset = await stocked(world, RECORDS, SPECS, data_class=data_class)
    await declare(world, dataset, rules or RULES)
    return dataset


async def declare(world: World, dataset: str, rules: dict[str, Any] | None) -> None:
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    answer = await world.client.patch(
        f"/v1/datasets/{dataset}", json={"suppression": rules}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    shown = answer.json()["suppression"]
    assert shown == (None if rules is None else {"count": None, **rules})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def flows(platform: Platform, client: httpx.AsyncClient) -> str:
    """For questions: nobody writes to it."""
    world = World(platform, client)
    await world.start()
    return await counted(world)


async def test_small_cells_are_left_out_and_totals_that_tell_of_them_withheld(
    client: httpx.AsyncClient, flows: str
) -> None:
    asked = {"group_by": "mesh,hour,age", "metrics": "count,sum(people),avg(people)"}

    answer = await client.get(at(flows), params=asked)
    by_age = groups_of(await client.get(at(flows), params={"group_by": "age"}))
    whole = groups_of(await client.get(at(flows)))

    assert [(*group["by"].values(), *group["values"].values()) for group in groups_of(answer)] == [
        ("52350349", 9, "20代", 12, 12, 12), ("52350349", 9, "60代", 15, 15, 15),
        ("52350359", 9, "60代", 11, 11, 11),
    ]  # fmt: skip
    assert answer.json()["meta"]["suppression"] == {"k": 10}
    assert [(group["by"]["age"], group["values"], group["suppressed"]) for group in by_age] == [
        ("20代", {"count": None}, True), ("60代", {"count": None}, True),
    ]  # fmt: skip
    assert whole == [{"by": {}, "values": {"count": 117}}]


async def test_a_condition_selects_whole_cells_or_is_refused(
    client: httpx.AsyncClient, flows: str
) -> None:
    asked = {"group_by": "age", "filter": "hour >= 9 AND mesh IN ('52350349','52350359')"}

    told = groups_of(await client.get(at(flows), params=asked))
    equal = groups_of(await client.get(at(flows), params={"hour": "8", "mesh": "52350349"}))
    small = groups_of(await client.get(at(flows), params={"age": "60代", "mesh": "52350369"}))
    nobody = groups_of(await client.get(at(flows), params={"age": "60代", "mesh": "0"}))

    assert column(told, "count") == [12, 26]
    assert column(equal, "count") == [43]
    assert small == nobody == [{"by": {}, "values": {"count": None}, "suppressed": True}]


async def test_no_questions_through_the_door_isolate_few_people(
    client: httpx.AsyncClient, flows: str
) -> None:
    """Every grouping under every set of values of two dimensions, all answers taken together."""
    rows = []
    meshes = sorted({flow[0] for flow in FLOWS})
    for chosen in _subsets(meshes):
        for hours in _subsets(["8", "9"]):
            for size in range(4):
                for by in itertools.combinations(DIMENSIONS, size):
                    asked = {"mesh": ",".join(chosen), "hour": ",".join(hours)}
                    asked |= {"group_by": ",".join(by)} if by else {}
                    for group in groups_of(await client.get(at(flows), params=asked)):
                        cells = [_is_in(flow, chosen, hours, group["by"]) for flow in FLOWS]
                        if group["values"]["count"] is not None:
                            people = sum(flow[3] for flow in itertools.compress(FLOWS, cells))
                            assert group["values"]["count"] == people
                            rows.append([int(cell) for cell in cells])
    basis = span(rows)

    for one in itertools.product((0, 1), repeat=len(FLOWS)):
        people = sum(flow[3] for flow in itertools.compress(FLOWS, one))
        assert any(reduced(basis, one)) or people >= 10 or people == 0


def _subsets(values: list[str]) -> list[tuple[str, ...]]:
    sizes = range(1, len(values) + 1)
    return [each for size in sizes for each in itertools.combinations(values, size)]


def _is_in(flow: Any, meshes: Any, hours: Any, by: dict[str, Any]) -> bool:
    named = dict(zip(DIMENSIONS, flow, strict=False))
    return (
        flow[0] in meshes
        and str(flow[1]) in hours
        and all(named[name] == value for name, value in by.items())
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"group_by": "no"},
        {"group_by": "bin(hour,2)"},
        {"metrics": "max(people)"},
        {"metrics": "distinct(no)"},
        {"metrics": "count(people)"},
        {"metrics": "sum(hour)"},
        {"no": "1"},
        {"filter": "people < 5"},
        {"filter": "mesh LIKE '5235%'"},
        {"filter": "hour = 8 OR NOT people > 1"},
        {"bbox": "135,34,136,35"},
        {"lat": "34.7", "lon": "135.5", "radius": "10"},
    ],
)
async def test_what_could_part_a_cell_is_refused_with_the_reason_and_logged(
    client: httpx.AsyncClient, world: World, flows: str, asked: dict[str, str]
) -> None:
    answer = await client.get(at(flows), params=asked)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_dimension"), answer.text
    assert "mesh, hour, age" in answer.json()["detail"]
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert entry["reason"] == "not_a_dimension"


@pytest.mark.parametrize("asked", [{"version": "1"}, {"as_of": "2999-01-01"}, {"version": "2"}])
async def test_no_other_state_than_the_published_one_is_counted(
    client: httpx.AsyncClient, flows: str, asked: dict[str, str]
) -> None:
    answer = await client.get(at(flows), params=asked)

    assert answer.status_code in (400, 403, 404)
    if asked == {"version": "1"}:
        assert answer.json()["code"] == "only_as_published"


async def test_what_is_written_is_counted_once_it_is_published_and_not_before(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await counted(world)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    await put(world, dataset, [{**RECORDS[0], "no": "9", "people": 1}])

    before = await client.get(at(dataset))
    await client.post(f"/v1/datasets/{dataset}/versions/1/publish", headers=steward)
    after = await client.get(at(dataset))

    assert column(groups_of(before), "count") == [117]
    assert column(groups_of(after), "count") == [118]
    assert before.headers["etag"] != after.headers["etag"]
    assert "updated_at" not in before.json()["meta"]


async def test_pages_of_groups_go_on_where_they_ended(
    client: httpx.AsyncClient, flows: str
) -> None:
    link: str | None = f"{at(flows)}?group_by=mesh,hour,age&limit=2"
    found: list[Any] = []

    while link is not None:
        page = await client.get(link)
        found += column(groups_of(page), "count")
        link = next((x["href"] for x in page.json()["links"] if x["rel"] == "next"), None)

    assert found == [12, 15, 11]
    text = (await client.get(at(flows), params={"group_by": "mesh", "f": "csv"})).text
    assert text == "mesh,count,suppressed\n52350349,70,false\n52350359,,true\n"


PLACES: Final = (
    "/records", "/records/1", "/records?f=csv", "/records?f=ndjson", "/records?f=geojson",
    "/records?count=true&limit=1", "/records?q=x", "/records?lat=34.7&lon=135.5&radius=9",
    "/changes", "/diff?from=1",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
async def test_no_door_gives_a_record(
    client: httpx.AsyncClient, world: World, flows: str, place: str
) -> None:
    answer = await client.get(f"/v1/datasets/{flows}{place}")

    assert (answer.status_code, answer.json()["code"]) == (403, "aggregate_only"), place
    assert f"/v1/datasets/{flows}/aggregate" in answer.json()["detail"]
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert (entry["dataset"], entry["reason"]) == (flows, "aggregate_only")


async def test_an_agreement_on_reading_counts_and_does_not_read(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await counted(world, data_class="restricted")
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer)
    headers = await world.token(consumer, f"dataset:{dataset}:read")
    asked = {"purpose": PURPOSE, "group_by": "mesh"}

    told = await client.get(at(dataset), params=asked, headers=headers)
    read = await client.get(path(dataset), params={"purpose": PURPOSE}, headers=headers)

    assert told.json()["groups"][0] == {"by": {"mesh": "52350349"}, "values": {"count": 70}}
    assert read.json()["code"] == "aggregate_only"
    (entry,) = await world.log(Event.RECORDS_READ)
    assert (entry["groups"], entry["columns"]) == (len(told.json()["groups"]), ["mesh"])


async def test_its_own_organisation_reads_and_counts_as_ever(
    client: httpx.AsyncClient, world: World, flows: str
) -> None:
    headers = await reader(world, flows)
    asked = {"purpose": PURPOSE}

    records = await client.get(path(flows), params=asked, headers=headers)
    groups = await client.get(
        at(flows), params={**asked, "group_by": "no", "metrics": "max(people)"}, headers=headers
    )

    assert records.json()["numberReturned"] == len(FLOWS)
    assert column(groups_of(groups), "max(people)") == [flow[3] for flow in FLOWS]


async def test_no_join_leads_to_its_records(client: httpx.AsyncClient, world: World) -> None:
    dataset = await counted(world)
    here = await stocked(world, [{"no": "1", "name": "x"}])
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    join = {"name": "flow", "dataset": dataset, "here": "no", "there": "no"}
    await client.patch(f"/v1/datasets/{here}", json={"joins": [join]}, headers=steward)

    for place in (f"{path(here)}?expand=flow", f"{at(here)}?expand=flow&group_by=flow.age"):
        answer = await client.get(place)
        assert (answer.status_code, answer.json()["code"]) == (403, "aggregate_only")
    outward = {"name": "there", "dataset": here, "here": "no", "there": "no"}
    await client.patch(f"/v1/datasets/{dataset}", json={"joins": [outward]}, headers=steward)
    answer = await client.get(at(dataset), params={"expand": "there"})
    assert answer.status_code in (400, 403)


async def test_the_catalogue_tells_nothing_that_was_counted(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await counted(world)

    quality = await client.get(f"/v1/datasets/{dataset}/quality")
    shelf = await client.get(f"/opendata/datasets/{dataset}")
    layer = await client.get(f"/ogc/collections/{dataset}")
    around = await client.get("/v1/datasets", params={"bbox": "135.4,34.6,135.6,34.8"})

    assert quality.json()["code"] == "quality_not_shown"
    assert (shelf.status_code, f"/v1/datasets/{dataset}/aggregate" in shelf.text) == (404, True)
    assert "spatial" not in layer.json().get("extent", {})
    assert dataset not in [each["id"] for each in around.json()["datasets"]]
    entry = await client.get(f"/v1/datasets/{dataset}")
    assert entry.json()["suppression"] == RULES
    assert "だけを、10以上の区分について提供します" in entry.json()["notice_ja"]
    assert "of groups of 10 or more" in entry.json()["notice_en"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"k": 2}, "greater_than_equal"),
        ({"dimensions": ["zzz"]}, "invalid_dimension"),
        ({"dimensions": ["mesh3(age)"]}, "invalid_dimension"),
        ({"dimensions": []}, "too_short"),
        ({"count": "age"}, "invalid_count"),
        ({"count": "zzz"}, "invalid_count"),
    ],
)
async def test_rules_that_make_no_cells_are_refused(
    client: httpx.AsyncClient, world: World, flows: str, change: dict[str, Any], code: str
) -> None:
    headers = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    answer = await client.patch(
        f"/v1/datasets/{flows}", json={"suppression": {**RULES, **change}}, headers=headers
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/suppression"), code


@pytest.mark.parametrize("rules", [{"dimensions": ["gone"]}, {"count": "gone"}, {"count": "mesh"}])
async def test_a_version_that_lacks_what_is_counted_by_is_not_counted_at_all(
    client: httpx.AsyncClient, world: World, rules: dict[str, Any]
) -> None:
    dataset = await stocked(world, RECORDS, SPECS)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET suppression = $2::jsonb WHERE id = $1",
        dataset, json.dumps({**RULES, **rules}),
    )  # fmt: skip
    world.platform.live.changed("dataset", dataset)

    answer = await client.get(at(dataset))

    assert (answer.status_code, answer.json()["code"]) == (403, "cells_not_formed")
    (entry,) = await world.log(Event.RECORDS_REFUSED)
    assert entry["reason"] == "cells_not_formed"


async def test_records_that_are_one_person_each_by_place_and_month(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (
        ("no", "code", {"key": True}), ("at", "datetime"), ("lat", "latitude"), ("lon", "longitude"),
    )  # fmt: skip
    trips = [
        {"no": f"{n}", "at": f"2026-0{4 + n % 2}-01T00:00:00+09:00", "lat": 34.7, "lon": lon}
        for n, lon in enumerate([135.5] * 8 + [135.6] * 3)
    ]
    dataset = await stocked(world, trips, specs)
    await declare(world, dataset, {"k": 4, "dimensions": ["mesh2(geometry)", "month(at)"]})

    told = groups_of(await client.get(at(dataset), params={"group_by": "month(at)"}))
    places = groups_of(await client.get(at(dataset), params={"group_by": "mesh2(geometry)"}))

    assert column(places, "count") in ([8, None], [None], [8], [11])
    assert all(each["values"]["count"] is None or each["values"]["count"] >= 4 for each in told)
    assert column(groups_of(await client.get(at(dataset))), "count") == [11]
