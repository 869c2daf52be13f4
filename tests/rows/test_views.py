"""A purpose view bounds what leaves for its purpose on every ground but one's own."""

from typing import Any

import pytest

from app.audit.events import Event
from app.models.parties import Role
from app.policy import rules
from tests.rows.town import NORTH, SPECS, ask, consumer_of
from tests.stock import PURPOSE, path, stocked
from tests.versioned import base, steward_of
from tests.world import KENKO, SAKAI, World

RECORDS = [
    {"no": "N-1", "name": "aoba", "size": 10, "ward": "north", "lat": 34.7, "lon": 135.5},
    {"no": "N-2", "name": "sora", "size": 99, "ward": "north", "lat": 34.7, "lon": 135.5},
    {"no": "S-1", "name": "hisui", "size": 10, "ward": "south", "lat": 34.1, "lon": 135.9},
]
OF_TWO_CLASSES = [
    (name, kind, {**dict(*more), **({"visibility": "restricted"} if name == "ward" else {})})
    for name, kind, *more in SPECS
]
SMALL = {"columns": ["no", "name", "ward"], "rows": "size < 50"}


async def viewed(world: World, view: dict[str, Any] = SMALL, purpose: str = PURPOSE) -> str:
    """A dataset of internal data with a view."""
    dataset = await stocked(world, RECORDS, SPECS, data_class="internal")
    answer = await declare(world, dataset, view, purpose)
    assert answer.status_code == 200, answer.text
    return dataset


async def declare(world: World, dataset: str, view: dict[str, Any], purpose: str = PURPOSE) -> Any:
    where = f"{base(dataset)}/purposes/{purpose}"
    return await world.client.put(where, json=view, headers=await steward_of(world))


async def seen(world: World, dataset: str, headers: dict[str, str]) -> tuple[set[str], set[str]]:
    """The rows and the columns that a caller gets."""
    answer = await ask(world, path(dataset), headers)
    assert answer.status_code == 200, answer.text
    records = answer.json()["records"]
    return {each["no"] for each in records}, {name for each in records for name in each}


async def test_a_view_bounds_agreement_and_body_and_never_its_own_organisation(
    world: World,
) -> None:
    dataset = await viewed(world)
    _, agreed = await consumer_of(world, dataset, NORTH)
    body = await world.token(await world.party("271004-digital"), f"dataset:{dataset}:read")
    own = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")

    got = [await seen(world, dataset, who) for who in (agreed, body, own)]

    assert got == [
        ({"N-1"}, {"no", "name"}),
        ({"N-1", "S-1"}, {"no", "name", "ward"}),
        ({"N-1", "N-2", "S-1"}, {name for name, *_ in SPECS}),
    ]
    read = await world.log(Event.RECORDS_READ)
    assert {(each["purpose"], each["ground"]) for each in read} == {
        (PURPOSE, "agreement"), (PURPOSE, "body"), (PURPOSE, "own"),
    }  # fmt: skip


async def test_a_view_of_another_purpose_bounds_nothing(world: World) -> None:
    dataset = await viewed(world, purpose="health")
    _, agreed = await consumer_of(world, dataset, None)

    rows, _ = await seen(world, dataset, agreed)

    assert rows == {"N-1", "N-2", "S-1"}


async def test_a_view_with_none_of_the_agreed_columns_refuses_and_says_why(world: World) -> None:
    dataset = await stocked(world, RECORDS, SPECS, data_class="internal")
    _, agreed = await consumer_of(world, dataset, None)
    await declare(world, dataset, {"columns": ["ward"]})

    answer = await ask(world, path(dataset), agreed)

    assert (answer.status_code, answer.json().get("code")) == (403, "not_for_purpose")
    assert PURPOSE in answer.json()["detail"]
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["not_for_purpose"]


async def test_a_view_is_in_force_and_taken_back_at_once_here_and_in_the_log(world: World) -> None:
    dataset = await viewed(world)
    steward = await steward_of(world)
    where = f"{base(dataset)}/purposes/{PURPOSE}"
    _, agreed = await consumer_of(world, dataset, None)
    before, _ = await seen(world, dataset, agreed)

    shown = await world.client.get(where, headers=steward)
    listed = await world.client.get(f"{base(dataset)}/purposes", headers=steward)
    gone = await world.client.delete(where, headers=steward)
    again = await world.client.delete(where, headers=steward)
    after, _ = await seen(world, dataset, agreed)

    assert (before, after) == ({"N-1", "S-1"}, {"N-1", "N-2", "S-1"})
    assert SMALL.items() <= shown.json().items()
    assert listed.json() == [shown.json()]
    assert (gone.status_code, again.json()["code"]) == (204, "purpose_view_not_found")
    events = await world.log(Event.PURPOSE_VIEW_SET, Event.PURPOSE_VIEW_REMOVED)
    assert [each["purpose"] for each in events] == [PURPOSE, PURPOSE]


async def test_a_view_that_leaves_nothing_of_an_agreement_leaves_its_party_a_token(
    world: World,
) -> None:
    """For other purposes the body's own ground still holds."""
    dataset = await stocked(world, RECORDS, OF_TWO_CLASSES, data_class="internal")
    party, _ = await consumer_of(world, dataset, None, "271004-digital", columns=["no"])
    await declare(world, dataset, {"columns": ["ward"]})

    reading = await world.token(party, f"dataset:{dataset}:read")
    refused = await ask(world, path(dataset), reading)
    other = await ask(world, path(dataset), reading, purpose="health")

    assert (refused.status_code, refused.json()["code"]) == (403, "not_for_purpose")
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("view", "purpose", "code"),
    [
        ({"rows": "no_such = 1"}, PURPOSE, "unknown_parameter"),
        ({"rows": "size <"}, PURPOSE, "invalid_filter"),
        ({"columns": ["no_such"]}, PURPOSE, "unknown_column"),
        ({"columns": ["no"]}, "no-such-purpose", "purpose_unknown"),
        ({}, PURPOSE, None),
        ({"columns": []}, PURPOSE, None),
    ],
)
async def test_what_is_no_view_is_refused(
    world: World, view: dict[str, Any], purpose: str, code: str | None
) -> None:
    dataset = await stocked(world, RECORDS, SPECS, data_class="internal")

    answer = await declare(world, dataset, view, purpose)

    assert answer.status_code == 422
    if code is not None:
        assert [each["code"] for each in answer.json()["errors"]] == [code]


async def test_a_view_is_for_stewards_of_the_publisher_alone(world: World) -> None:
    dataset = await viewed(world)
    where = f"{base(dataset)}/purposes/{PURPOSE}"
    other = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")

    answers = [
        await world.client.put(where, json=SMALL, headers=other),
        await world.client.get(where, headers=other),
        await world.client.delete(where, headers=other),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (403, "not_the_publisher")
    }


async def test_an_explanation_shows_the_rows_of_agreement_and_view(world: World) -> None:
    dataset = await viewed(world)
    consumer, _ = await consumer_of(world, dataset, NORTH)
    admin = await world.token(await world.party(KENKO, Role.OPERATOR), "admin:read")
    asked = {"client": consumer.id, "dataset": dataset, "purpose": PURPOSE}

    answer = await world.client.post("/v1/admin/decisions/explain", json=asked, headers=admin)

    told = answer.json()
    assert (told["decision"], told["columns"]) == ("allow", ["no", "name"])
    assert told["rows"] == [NORTH, SMALL["rows"]]


async def test_a_view_made_to_let_everything_through_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "viewed", lambda _facts, allowed: allowed)

    with pytest.raises(AssertionError):
        await test_a_view_bounds_agreement_and_body_and_never_its_own_organisation(world)
