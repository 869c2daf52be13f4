"""Rows and calls a day are terms like any other: offered, compared, hashed; never quietly ignored."""

from typing import Any

import orjson
import pytest

from app.models.parties import Role
from tests.agreements.test_access import AGREEMENTS, acting, agreed, ask
from tests.agreements.test_lifecycle import asked
from tests.world import SAKAI, World

NORTH = "name LIKE '北%'"
BOUNDS = {"rows": NORTH, "per_day": 100}


async def test_rows_and_calls_a_day_stand_in_offer_agreement_and_hashed_terms(world: World) -> None:
    table = await asked(world, **BOUNDS)

    made = (await table.does("steward", "approve")).json()
    terms = await world.client.get(
        f"{AGREEMENTS}/{made['id']}/terms", headers=table.who["consumer"][1]
    )

    offer = (await table.shown())["offers"][0]
    assert [(each["rows"], each["per_day"]) for each in (offer, made)] == [(NORTH, 100)] * 2
    told = orjson.loads(terms.content)
    assert (told["rows"], told["per_day"]) == (NORTH, 100)


async def test_terms_without_them_are_the_bytes_that_they_always_were(world: World) -> None:
    made, consumer, _ = await agreed(world)

    terms = await world.client.get(f"{AGREEMENTS}/{made['id']}/terms", headers=consumer)

    assert terms.json().keys().isdisjoint({"rows", "per_day", "group"})


@pytest.mark.parametrize(
    ("asked_for", "granted", "got"),
    [
        ({}, BOUNDS, (NORTH, 100)),
        ({"rows": NORTH}, {"per_day": 5}, (NORTH, 5)),
        ({"per_day": 100}, {"per_day": 99}, (None, 99)),
        (BOUNDS, BOUNDS, (NORTH, 100)),
        ({"rows": NORTH}, {"rows": "name LIKE '%'"}, "other_rows"),
        ({"per_day": 100}, {"per_day": 101}, "wider_than_asked"),
        ({}, {"rows": "no_such_field = 1"}, "unknown_parameter"),
    ],
)
async def test_approval_may_bound_what_was_unbounded_and_never_loosens(
    world: World, asked_for: dict[str, Any], granted: dict[str, Any], got: Any
) -> None:
    table = await asked(world, **asked_for)

    answer = await table.does("steward", "approve", granted)

    told = answer.json()
    if isinstance(got, str):
        assert (answer.status_code, told["errors"][0]["code"]) == (422, got)
    else:
        assert (answer.status_code, (told["rows"], told["per_day"])) == (201, got)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("name LIKE", "invalid_filter"),
        ("nam = '北'", "unknown_parameter"),
        ("S_INTERSECTS(geometry, POINT(135.5 34.7))", "invalid_value"),
        ("capacity = '" + "x" * 1_985 + "'", None),
    ],
)
async def test_a_condition_on_rows_is_read_before_anyone_agrees_to_it(
    world: World, rows: str, code: str | None
) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)

    answer = await ask(world, dataset, consumer, columns=["name"], rows=rows)

    if code is None:
        assert answer.status_code == 201
        assert (await ask(world, dataset, consumer, rows=rows + "  OR 1=1")).status_code == 422
    else:
        assert [each["code"] for each in answer.json()["errors"]] == [code]
        assert answer.json()["errors"][0]["pointer"] == "/rows"


async def test_a_counter_offer_keeps_them_unless_it_takes_them_away(world: World) -> None:
    table = await asked(world, **BOUNDS)

    kept = (await table.does("steward", "counter", {"columns": ["name"]})).json()
    less = (await table.does("consumer", "counter", {"rows": None})).json()
    none = (await table.does("steward", "counter", {"per_day": None})).json()
    same = await table.does("consumer", "counter", {"rows": None, "per_day": None})
    made = (await table.does("consumer", "accept", {"offer": 4})).json()

    offers = [(each["rows"], each["per_day"]) for each in (kept, less, none, made)]
    assert offers == [(NORTH, 100), (None, 100), (None, None), (None, None)]
    assert same.json()["errors"][0]["code"] == "nothing_changed"
