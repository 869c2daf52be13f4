"""Under an agreement on some rows: what is written, followed, remembered and read of other versions."""

from typing import Any

import pytest

from app.audit.events import Event
from app.broker import permitted
from app.models.parties import Role
from app.policy import rules, views
from tests.api.test_suppression import RECORDS as FLOWS
from tests.api.test_suppression import RULES, declare
from tests.api.test_suppression import SPECS as FLOW_SPECS
from tests.following import Follower, outline
from tests.rows.town import NEW, NORTH, OLD, SPECS, ask, consumer_of
from tests.stock import PURPOSE, agreed, path, put, stocked
from tests.versioned import base, publish, steward_of
from tests.world import SAKAI, World

OTHER = "272078"  # another city
N1 = {"no": "N-1", "name": "aoba", "size": 10, "ward": "north", "lat": 34.7, "lon": 135.5}
S1 = {"no": "S-1", "name": "hisui", "size": 77, "ward": "south", "lat": 34.1, "lon": 135.9}
U1 = {"no": "U-1", "name": "kohaku", "size": 78, "ward": None, "lat": 34.1, "lon": 135.9}


async def stock(world: World, *records: dict[str, Any]) -> str:
    return await stocked(world, records or (N1, S1, U1), SPECS, data_class="restricted")


async def rows_of(world: World, dataset: str, headers: dict[str, str]) -> list[str]:
    answer = await ask(world, path(dataset), headers)
    return [each["no"] for each in answer.json()["records"]]


async def test_of_a_field_without_a_value_nobody_knows_and_the_row_stays(world: World) -> None:
    dataset = await stock(world)
    _, asking = await consumer_of(world, dataset, "ward <> 'south'")

    assert await rows_of(world, dataset, asking) == ["N-1"]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"no": "N-1", "name": "new"}, None),
        ({"no": "N-1", "name": "new", "size": 101}, "row_not_permitted"),  # moved out
        ({"no": "S-1", "name": "new", "size": 1}, "row_not_permitted"),  # moved in
        ({"no": "U-1", "name": "new"}, "row_not_permitted"),
        ({"no": "X-1", "name": "new", "size": 1}, "row_not_permitted"),  # of no ward
    ],
)
async def test_no_row_is_written_outside_nor_moved_in_or_out(
    world: World, record: dict[str, Any], code: str | None
) -> None:
    dataset = await stock(world)
    consumer, _ = await consumer_of(world, dataset, f"{NORTH} AND size < 100 OR ward = 'x'")
    writing = await world.token(consumer, f"dataset:{dataset}:write")
    own = await world.token(await world.party(), f"dataset:{dataset}:read")
    before = (await ask(world, path(dataset), own)).json()["records"]

    record = {"size": 10, "lat": 34.7, "lon": 135.5, **record}
    [result] = (await world.client.post(path(dataset), json=[record], headers=writing)).json()[
        "results"
    ]

    after = (await ask(world, path(dataset), own)).json()["records"]
    assert [each["code"] for each in result["errors"]] == ([code] if code else [])
    assert (after == before) == (code is not None)


async def test_a_row_outside_is_not_there_to_be_deleted(world: World) -> None:
    dataset = await stock(world)
    consumer, _ = await consumer_of(world, dataset, NORTH)
    writing = await world.token(consumer, f"dataset:{dataset}:write")
    own = await world.token(await world.party(), f"dataset:{dataset}:read")

    gone = [
        await world.client.delete(path(dataset, each), headers=writing)
        for each in ("S-1", "X-1", "N-1")
    ]

    assert [each.status_code for each in gone] == [404, 404, 204]
    assert gone[0].json()["code"] == gone[1].json()["code"] == "record_not_found"
    assert sorted(await rows_of(world, dataset, own)) == ["S-1", "U-1"]


async def test_a_dataset_is_not_begun_by_who_may_have_some_rows(world: World) -> None:
    dataset = await stocked(world, [], SPECS, data_class="restricted")
    consumer, _ = await consumer_of(world, dataset, NORTH)
    writing = await world.token(consumer, f"dataset:{dataset}:write")

    answer = await world.client.post(path(dataset), json=[N1], headers=writing)

    assert (answer.status_code, answer.json()["code"]) == (403, "rows_not_told")
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["rows_not_told"]


async def test_the_feed_tells_of_rows_that_come_in_and_go_out_and_of_no_others(
    world: World,
) -> None:
    dataset = await stock(world)
    _, asking = await consumer_of(world, dataset, NORTH)
    follower = Follower(world.client, dataset, asking, PURPOSE)
    assert outline(await follower.catch_up()) == [("upsert", "N-1")]
    own = await world.token(await world.party(), f"dataset:{dataset}:write")

    await put(world, dataset, [{**S1, "name": "unseen"}, {**U1, "size": 79}])
    assert await follower.catch_up(1) == []
    await put(world, dataset, [{**S1, "ward": "north"}, {**N1, "ward": None}])
    moved = await follower.catch_up(1)
    await put(world, dataset, [{**S1, "ward": "south", "name": "secret"}])
    left = await follower.catch_up()
    for each in ("S-1", "U-1"):
        await world.client.delete(path(dataset, each), headers=own)
    unheard = await follower.catch_up()

    assert outline(moved) == [("delete", "N-1"), ("upsert", "S-1")] or outline(moved) == [
        ("upsert", "S-1"), ("delete", "N-1"),
    ]  # fmt: skip
    assert outline(left) == [("delete", "S-1")]
    assert "secret" not in str(left)
    assert unheard == []
    assert follower.replica == {}


@pytest.mark.usefixtures("worker")
async def test_a_publication_is_told_as_far_as_its_rows_may_leave(world: World) -> None:
    dataset = await stocked(world, [], SPECS, data_class="restricted")
    steward = await steward_of(world)
    await publish(world, steward, dataset, OLD)
    _, asking = await consumer_of(world, dataset, NORTH)
    follower = Follower(world.client, dataset, asking, PURPOSE)
    await follower.catch_up()

    await publish(world, steward, dataset, NEW.replace(b"south", b"north"))
    forth = await follower.catch_up(2)
    back = await world.client.post(f"{base(dataset)}/rollback", json={"to": 1}, headers=steward)
    await follower.catch_up(2)

    assert sorted(outline(forth)) == [
        ("delete", "N-2"), ("upsert", "N-1"), ("upsert", "N-3"), ("upsert", "S-8801"),
    ]  # fmt: skip
    assert back.status_code == 200, back.text
    assert sorted(follower.replica) == ["N-1", "N-2"]
    assert "kohaku" not in str(follower.told)


async def test_two_consumers_with_other_rows_share_no_answer_tag_or_cursor(world: World) -> None:
    dataset = await stock(world, N1, {**N1, "no": "N-2"}, S1, {**S1, "no": "S-2"})
    _, north = await consumer_of(world, dataset, NORTH)
    _, south = await consumer_of(world, dataset, "ward = 'south'", OTHER)

    one, other = [await ask(world, path(dataset), who, limit="1") for who in (north, south)]
    again = await world.client.get(
        path(dataset), params={"purpose": PURPOSE, "limit": "1"},
        headers={**south, "If-None-Match": one.headers["etag"]},
    )  # fmt: skip
    next_page = one.json()["links"][-1]["href"]
    followed, taken = [await world.client.get(next_page, headers=who) for who in (north, south)]
    since = (await ask(world, f"{base(dataset)}/changes", north)).json()["next"]
    fed = await ask(world, f"{base(dataset)}/changes", south, since=since)

    assert [each.json()["records"][0]["no"] for each in (one, other)] == ["N-1", "S-1"]
    assert one.headers["etag"] != other.headers["etag"]
    assert again.status_code == 200
    assert followed.json()["records"][0]["no"] == "N-2"
    assert (taken.status_code, taken.json()["code"]) == (400, "invalid_cursor")
    assert (fed.status_code, fed.json()["code"]) == (410, "cursor_expired")


@pytest.mark.usefixtures("worker")
async def test_a_version_without_the_field_of_the_condition_gives_nothing(world: World) -> None:
    dataset = await stocked(world, [], SPECS[:2], data_class="restricted")
    steward = await steward_of(world)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
    )
    runs = [
        await world.load(steward, dataset, each)
        for each in (b"no,name\n1,before\n", b"no,name,ward\n2,after,north\n")
    ]
    for run in runs:
        await world.publish(steward, run)
    _, asking = await consumer_of(world, dataset, NORTH, columns=["no", "name"])

    now = await ask(world, path(dataset), asking)
    before = [
        await ask(world, path(dataset), asking, version="1"),
        await ask(world, f"{base(dataset)}/aggregate", asking, version="1"),
        await ask(world, f"{base(dataset)}/diff", asking, **{"from": "1"}),
    ]

    assert now.json()["records"] == [{"no": "2", "name": "after"}]
    assert {(each.status_code, each.json()["code"]) for each in before} == {(403, "rows_not_told")}
    assert "ward" not in str([each.json() for each in before])
    reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert reasons == ["rows_not_told"] * 3


async def test_rows_by_their_place_are_given_where_places_are_judged_and_nowhere_else(
    world: World,
) -> None:
    dataset = await stock(world)
    around = "S_INTERSECTS(geometry, BBOX(135.4,34.6,135.6,34.8))"
    _, asking = await consumer_of(world, dataset, around)

    records = await rows_of(world, dataset, asking)
    counted = await ask(world, f"{base(dataset)}/aggregate", asking, metrics="count")
    fed = await ask(world, f"{base(dataset)}/changes", asking)

    assert records == ["N-1"]
    assert counted.json()["groups"][0]["values"] == {"count": 1}
    assert (fed.status_code, fed.json()["code"]) == (403, "rows_not_told")
    reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert reasons == ["rows_not_told"]


@pytest.mark.parametrize(
    ("rows", "status"), [("hour = 9", 200), ("no <> '3'", 403), ("hour = 9 AND people > 11", 403)]
)
async def test_where_people_are_only_counted_a_condition_never_parts_a_cell(
    world: World, rows: str, status: int
) -> None:
    dataset = await stocked(world, FLOWS, FLOW_SPECS, data_class="restricted")
    await declare(world, dataset, RULES)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer, rows=rows)
    asking = await world.token(consumer, f"dataset:{dataset}:read")

    answer = await ask(world, f"{base(dataset)}/aggregate", asking, group_by="hour")

    assert answer.status_code == status, answer.text
    if status == 200:
        assert [each["by"] for each in answer.json()["groups"]] == [{"hour": 9}]
    else:
        assert answer.json()["code"] == "rows_not_told"
        reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
        assert reasons == ["rows_not_told"]


async def test_beside_a_record_only_rows_that_may_leave_are_looked_up(world: World) -> None:
    other = await stock(world, N1, S1)
    here = await stocked(
        world, [{"no": "1", "at": "S-1"}, {"no": "2", "at": "N-1"}],
        (("no", "code", {"key": True}), ("at", "text")), data_class="restricted",
    )  # fmt: skip
    steward = await steward_of(world)
    join = {"name": "place", "dataset": other, "here": "at", "there": "no"}
    declared = await world.client.patch(base(here), json={"joins": [join]}, headers=steward)
    assert declared.status_code == 200, declared.text
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, here, consumer)
    await agreed(world, other, consumer, rows=NORTH)
    asking = await world.token(consumer, f"dataset:{here}:read dataset:{other}:read")

    seen = (await ask(world, path(here), asking, expand="place")).json()["records"]
    sought = await ask(
        world, path(here), asking, expand="place", filter="place.size >= 77", count="true"
    )
    grouped = await ask(
        world, f"{base(here)}/aggregate", asking, expand="place", group_by="place.name"
    )

    found = {each["no"]: each["place"] and each["place"]["name"] for each in seen}
    assert found == {"1": None, "2": "aoba"}
    assert sought.json()["numberMatched"] == 0
    assert [each["by"]["place.name"] for each in grouped.json()["groups"]] == ["aoba", None]


async def test_beside_a_record_no_place_is_judged(world: World) -> None:
    other = await stock(world, N1, S1)
    here = await stocked(
        world, [{"no": "1", "at": "S-1"}], (("no", "code", {"key": True}), ("at", "text")),
        data_class="restricted",
    )  # fmt: skip
    steward = await steward_of(world)
    join = {"name": "place", "dataset": other, "here": "at", "there": "no"}
    await world.client.patch(base(here), json={"joins": [join]}, headers=steward)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, here, consumer)
    await agreed(world, other, consumer, rows="S_INTERSECTS(geometry, BBOX(135,34,136,35))")
    asking = await world.token(consumer, f"dataset:{here}:read dataset:{other}:read")

    answer = await ask(world, path(here), asking, expand="place")

    assert (answer.status_code, answer.json()["code"]) == (403, "rows_not_told")
    assert "hisui" not in answer.text
    reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert reasons == ["rows_not_told"]


async def test_conditions_that_nobody_read_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (rules, views):
        monkeypatch.setattr(room, "rows_of", lambda _bound: ())

    with pytest.raises(AssertionError):
        await test_of_a_field_without_a_value_nobody_knows_and_the_row_stays(world)


async def test_rows_that_were_all_permitted_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permitted, "_read_once", lambda _version, _rows: None)

    with pytest.raises(AssertionError):
        await test_of_a_field_without_a_value_nobody_knows_and_the_row_stays(world)
