"""Who is shown less than a value tries to get the value back: each way is refused, and logged."""

from datetime import date
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.state import Platform
from app.audit.events import Event
from app.broker import answer as broker_answer
from tests.masks.town import MASKS, Town, declare, records, stand_in, town
from tests.rows.town import ask
from tests.stock import KEYED, path, put, stocked
from tests.world import World

HIDDEN = (403, "column_not_visible")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def there(platform: Platform, client: httpx.AsyncClient) -> Town:
    return await town(World(platform, client))


async def refused(world: World, there: Town, door: str = "records", **query: str) -> Any:
    """How the consumer is answered, and what the log has of it."""
    answer = await ask(world, f"/v1/datasets/{there.dataset}/{door}", there.asking, **query)
    [reason] = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)] or [None]
    return (answer.status_code, answer.json().get("code")), reason


@pytest.mark.parametrize(
    "filter_",
    [
        "pay > 8712344",
        "born = DATE('1987-03-14')",
        "no = 'R-8801'",
        "name IS NOT NULL",
        "CASEI(name) = 'hisui'",
        "post LIKE '599-%'",
        "pay * 2 > 10",
        "NOT (pay BETWEEN 1 AND 2)",
        "ward = 'north' OR lat > 34.5",
        "S_INTERSECTS(geometry, BBOX(135,34,136,35))",
        "S_DWITHIN(geometry, POINT(135.4 34.5), 10, metre)",
    ],
)
async def test_a_filter_does_not_tell_the_value(world: World, there: Town, filter_: str) -> None:
    assert await refused(world, there, filter=filter_) == (HIDDEN, HIDDEN[1])


async def test_equality_does_not_tell_the_value_and_neither_does_the_masked_one(
    world: World, there: Town
) -> None:
    standing = await stand_in(world, there.dataset, "no", "R-8801")

    answers = [
        await ask(world, path(there.dataset), there.asking, **query)
        for query in ({"pay": "8712345"}, {"pay": "8700000"}, {"born": "1987"}, {"no": standing})
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [HIDDEN] * 4


@pytest.mark.parametrize("sort", ["pay", "-born", "ward,pay", "no"])
async def test_a_sort_does_not_tell_the_order_of_values(
    world: World, there: Town, sort: str
) -> None:
    assert await refused(world, there, sort=sort) == (HIDDEN, HIDDEN[1])


async def test_a_cursor_of_before_the_mask_does_not_go_on_by_the_value(world: World) -> None:
    there = await town(world, {"columns": [*MASKS, "ward"]})
    where = path(there.dataset)
    first = await ask(world, where, there.asking, sort="pay", limit="1")
    [following] = [each["href"] for each in first.json()["links"] if each["rel"] == "next"]
    await declare(world, there.dataset, {"masks": MASKS})

    again = await world.client.get(following, headers=there.asking)

    assert (again.status_code, again.json()["code"]) == HIDDEN


async def test_a_cursor_holds_no_masked_value(world: World, there: Town) -> None:

    page = await ask(world, path(there.dataset), there.asking, sort="ward", limit="1")
    other = await ask(world, path(there.dataset), there.asking, limit="1")
    following = [
        (await world.client.get(link["href"], headers=there.asking)).json()["records"]
        for answer in (page, other)
        for link in answer.json()["links"]
        if link["rel"] == "next"
    ]

    assert [len(each) for each in following] == [1, 1]
    assert all(each[0]["no"] not in ("R-1", "R-2", "R-8801") for each in following)


async def test_bisecting_a_box_or_a_circle_does_not_tell_the_place(
    world: World, there: Town
) -> None:
    near = {"lat": "34.5", "lon": "135.4", "radius": "900"}

    boxed = await ask(world, path(there.dataset), there.asking, bbox="135,34,136,35")
    circled = await ask(world, path(there.dataset), there.asking, **near)
    items = await ask(
        world, f"/ogc/collections/{there.dataset}/items", there.asking, bbox="135,34,136,35"
    )

    codes = [(each.status_code, each.json()["code"]) for each in (boxed, circled, items)]
    assert codes == [HIDDEN] * 3


async def test_one_masked_coordinate_is_enough_to_refuse_a_search_by_place(world: World) -> None:
    there = await town(world, {"masks": {"lat": "round(1)"}})

    boxed = await ask(world, path(there.dataset), there.asking, bbox="135,34,136,35")
    shown = await ask(world, path(there.dataset), there.asking, f="geojson")

    assert (boxed.status_code, boxed.json()["code"]) == HIDDEN
    assert shown.json()["features"][0]["geometry"]["coordinates"] == [135.48761, 34.5]


async def test_a_dropped_coordinate_leaves_no_geometry(world: World) -> None:
    there = await town(world, {"masks": {"lat": "drop"}})

    assert await refused(world, there, f="geojson") == (HIDDEN, HIDDEN[1])


async def test_words_are_not_found_in_masked_texts(world: World, there: Town) -> None:

    found = await records(world, there, there.asking, q="hisui")
    own = await records(world, there, there.own, q="hisui")
    ward = await records(world, there, there.asking, q="north")

    assert (found, len(own), len(ward)) == ([], 1, 1)


@pytest.mark.parametrize(
    "query",
    [
        {"group_by": "pay"},
        {"group_by": "bin(pay,100000)"},
        {"group_by": "year(born)"},
        {"group_by": "mesh1(geometry)"},
        {"metrics": "max(pay)"},
        {"metrics": "distinct(no)"},
        {"group_by": "ward", "filter": "pay > 1"},
    ],
)
async def test_an_aggregate_tells_nothing_by_a_masked_field(
    world: World, there: Town, query: dict[str, str]
) -> None:
    asked = {"metrics": "count", **query}
    assert await refused(world, there, "aggregate", **asked) == (HIDDEN, HIDDEN[1])


async def test_a_masked_key_opens_no_record_and_no_feature(world: World, there: Town) -> None:
    standing = await stand_in(world, there.dataset, "no", "R-8801")
    items = f"/ogc/collections/{there.dataset}/items"

    keyed = [
        await ask(world, path(there.dataset, key), there.asking) for key in ("R-8801", standing)
    ]
    features = [await ask(world, f"{items}/{item}", there.asking) for item in ("R-8801", standing)]
    numbered = await ask(world, f"{items}/1", there.asking)
    listed = [
        await ask(world, where, who, **query)
        for who in (there.asking, there.other)
        for where, query in (
            (items, {}),
            (path(there.dataset), {"f": "geojson"}),
        )
    ]

    assert [(each.status_code, each.json()["code"]) for each in keyed] == [HIDDEN] * 2
    assert [each.status_code for each in features] == [404, 404]
    # Nor by its number, which is the same for every reader: they could join their stand-ins by it.
    assert numbered.status_code == 404
    for answer in listed:
        assert not [each["id"] for each in answer.json()["features"] if "id" in each]


async def test_a_tag_or_a_held_answer_of_one_organisation_is_no_others(
    world: World, there: Town
) -> None:
    where = path(there.dataset)
    own = await ask(world, where, there.own)
    mine = await ask(world, where, there.asking)

    theirs = await ask(world, where, {**there.other, "If-None-Match": mine.headers["etag"]})
    tried = await ask(world, where, {**there.asking, "If-None-Match": own.headers["etag"]})
    again = await ask(world, where, {**there.asking, "If-None-Match": mine.headers["etag"]})

    assert len({each.headers["etag"] for each in (own, mine, theirs)}) == 3
    assert (theirs.status_code, tried.status_code, again.status_code) == (200, 200, 304)
    assert theirs.json()["records"][0]["no"] != mine.json()["records"][0]["no"]


async def test_a_mask_changes_what_is_held_at_once(world: World) -> None:
    there = await town(world, {"masks": {"pay": "bin(1000)"}})
    before = await ask(world, path(there.dataset), there.asking, fields="pay")
    await declare(world, there.dataset, {"masks": {"pay": "bin(1000000)"}})

    after = await ask(
        world, path(there.dataset),
        {**there.asking, "If-None-Match": before.headers["etag"]}, fields="pay",
    )  # fmt: skip

    assert before.json()["records"][0] == {"pay": 8_712_000}
    assert (after.status_code, after.json()["records"][0]) == (200, {"pay": 8_000_000})


async def test_originals_are_not_given_beside_masks(world: World, there: Town) -> None:

    assert await refused(world, there, originals="true") == (HIDDEN, HIDDEN[1])


async def joined(world: World, view: dict[str, Any], *, of: str) -> tuple[str, str]:
    """A dataset that looks up another one by `no`, and the other; the view is of one of the two."""
    other = await stocked(world, [], KEYED, data_class="internal")
    here = await stocked(world, [], (*KEYED, ("ref", "code")), data_class="internal")
    await put(world, other, [{"no": "P-1", "name": "hisui", "size": 41}])
    await put(world, here, [{"no": "1", "name": "a", "size": 1, "ref": "P-1"}])
    join = f'[{{"name": "person", "dataset": "{other}", "here": "ref", "there": "no"}}]'
    await world.platform.database.pool.execute(
        "UPDATE dataset SET joins = $2::jsonb WHERE id = $1", here, join
    )
    world.platform.live.changed("dataset", here)
    await declare(world, {"here": here, "there": other}[of], view)
    return here, other


@pytest.mark.parametrize(("of", "field"), [("here", "ref"), ("there", "no")])
async def test_a_join_does_not_go_by_a_masked_field_of_either_side(
    world: World, of: str, field: str
) -> None:
    here, other = await joined(world, {"masks": {field: "pseudonymise"}}, of=of)
    body = await world.token(
        await world.party("271004-digital"), f"dataset:{here}:read dataset:{other}:read"
    )

    answer = await ask(world, path(here), body, expand="person")

    assert (answer.status_code, answer.json()["code"]) == HIDDEN


@pytest.mark.parametrize("mask", ["bin(10)", "pseudonymise", "drop"])
async def test_a_masked_field_is_not_looked_up_beside_another_dataset(
    world: World, mask: str
) -> None:
    here, other = await joined(world, {"masks": {"size": mask}}, of="there")
    body = await world.token(
        await world.party("271004-digital"), f"dataset:{here}:read dataset:{other}:read"
    )

    shown = await ask(world, path(here), body, expand="person")
    named = await ask(world, path(here), body, expand="person", filter="person.size > 40")

    assert shown.json()["records"][0]["person"] == {"no": "P-1", "name": "hisui"}
    assert named.status_code in (400, 403)
    assert "records" not in named.json()


async def test_the_feed_and_the_difference_show_no_masked_field(world: World) -> None:
    there = await town(world, {"masks": {"pay": "bin(10)", "name": "drop"}})

    feed = await ask(world, f"/v1/datasets/{there.dataset}/changes", there.asking)
    own = await ask(world, f"/v1/datasets/{there.dataset}/changes", there.own)

    assert feed.status_code == 200, feed.text
    assert "8712345" in own.text
    assert not [each for each in ("8712345", "8712340", "hisui", '"pay"') if each in feed.text]


_PEOPLE = st.lists(
    st.tuples(st.integers(-(10**7), 10**7), st.text("あいうえお", max_size=6), st.dates()),
    min_size=20,
    max_size=40,
)


@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(people=_PEOPLE, width=st.integers(1, 10**6))
async def test_what_is_returned_is_the_masked_value_and_nothing_else(
    world: World, people: list[tuple[int, str, date]], width: int
) -> None:
    specs = (("no", "code", {"key": True}), ("pay", "integer"), ("post", "text"), ("born", "date"))
    rows = [
        {"no": f"{at}", "pay": pay, "post": post or None, "born": born.isoformat()}
        for at, (pay, post, born) in enumerate(people)
    ]
    dataset = await stocked(world, rows, specs, data_class="internal")
    masks = {"no": "drop", "pay": f"bin({width})", "post": "first(3)", "born": "month"}
    await declare(world, dataset, {"masks": masks})
    body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")

    seen = (await ask(world, path(dataset), body)).json()["records"]

    assert seen == [
        {
            "pay": pay // width * width,
            "post": post[:3] if len(post) > 3 else None,
            "born": born.isoformat()[:7],
        }
        for pay, post, born in people
    ]


async def test_masks_that_mask_nothing_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.masks import test_shown  # noqa: PLC0415

    monkeypatch.setattr("app.tables.encode.shown", lambda parts, field, _: parts.column(field))

    with pytest.raises((AssertionError, ValueError)):
        await test_shown.test_each_mask_leaves_what_it_says_and_its_own_organisation_sees_all(world)


async def test_an_answer_held_for_anybody_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_answer, "told_by", lambda *_: ())

    with pytest.raises(AssertionError):
        there = await town(world)
        await test_a_tag_or_a_held_answer_of_one_organisation_is_no_others(world, there)
