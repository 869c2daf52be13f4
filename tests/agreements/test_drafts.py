"""A draft is its own organisation's alone, binds nobody, and is looked at again when submitted."""

from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from tests.agreements.test_access import REQUESTS, acting, ask
from tests.agreements.test_lifecycle import Table, later
from tests.world import KENKO, SAKAI, World


async def drafted(world: World, **change: Any) -> tuple[Table, dict[str, Any]]:
    dataset = await world.dataset()
    consumer = await acting(world, SAKAI, Role.DEVELOPER)
    steward = await acting(world, KENKO, Role.STEWARD)
    made = await ask(world, dataset, consumer[1], draft=True, **change)
    assert made.status_code == 201, made.text
    return Table(world, made.json()["id"], consumer=consumer, steward=steward), made.json()


async def renew(table: Table) -> None:
    """A fresh token for the consumer: the clock has moved."""
    party, now = table.who["consumer"][0], int(clock.now().timestamp())
    form = party.form("agreements:write", client_assertion=party.assertion(iat=now, exp=now + 50))
    token = (await table.world.client.post("/oauth/token", data=form)).json()["access_token"]
    table.who["consumer"] = party, {"Authorization": f"Bearer {token}"}


async def patch(table: Table, who: str, body: dict[str, Any]) -> httpx.Response:
    return await table.world.client.patch(table.path, json=body, headers=table.who[who][1])


async def test_a_draft_is_worded_submitted_and_then_answered_like_any_request(
    world: World,
) -> None:
    table, draft = await drafted(world, reason="下書き")

    edited = (await patch(table, "consumer", {"columns": ["name"], "per_day": 9})).json()
    submitted = (await table.does("consumer", "submit")).json()
    made = await table.does("steward", "approve")

    assert (draft["state"], draft["waiting_for"], draft["offers"]) == ("draft", None, [])
    assert (edited["state"], edited["columns"], edited["per_day"]) == ("draft", ["name"], 9)
    assert (edited["reason"], edited["offers"]) == ("下書き", [])
    assert submitted["state"] == "requested"
    assert submitted["waiting_for"]["organization"] == KENKO
    assert [(each["number"], each["columns"]) for each in submitted["offers"]] == [(1, ["name"])]
    assert (made.status_code, made.json()["per_day"]) == (201, 9)


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_nobody_but_the_asking_organisation_learns_of_a_draft(
    world: World, withdrawn: bool
) -> None:
    table, draft = await drafted(world)
    operator = await world.party(KENKO, Role.OPERATOR)
    table.who["operator"] = operator, await world.token(operator, "admin:read")
    if withdrawn:
        assert (await table.does("consumer", "withdraw")).json()["state"] == "withdrawn"

    seen = {who: await seen_by(table, who, draft["id"]) for who in table.who}
    answers = [
        await table.does("steward", "reject", {"reason": "-"}),
        await table.does("steward", "approve"),
        await patch(table, "steward", {}),
    ]

    assert seen == {"consumer": (200, True), "steward": (404, False), "operator": (404, False)}
    assert {each.json()["code"] for each in answers} == {"access_request_not_found"}
    told = await world.log(Event.ACCESS_REQUESTED, Event.ACCESS_COUNTERED, Event.ACCESS_DECIDED)
    assert told == []


async def seen_by(table: Table, who: str, request: str) -> tuple[int, bool]:
    """How a request is shown to somebody, and whether it is listed."""
    headers = table.who[who][1]
    shown = await table.world.client.get(table.path, headers=headers)
    listed = (await table.world.client.get(REQUESTS, headers=headers)).json()["items"]
    return shown.status_code, request in {item["id"] for item in listed}


@pytest.mark.parametrize(
    ("verb", "body"),
    [("approve", {}), ("reject", {"reason": "-"}), ("counter", {"columns": ["name"]}), ("accept", {"offer": 1})],
)  # fmt: skip
async def test_nothing_is_answered_before_it_was_submitted(
    world: World, verb: str, body: dict[str, Any]
) -> None:
    dataset = await world.dataset()
    both = await acting(world, "271004", Role.STEWARD)  # above the publisher, and the asker
    request = (await ask(world, dataset, both[1], draft=True)).json()["id"]

    answer = await Table(world, request, both=both).does("both", verb, body)

    assert (answer.status_code, answer.json()["code"]) == (409, "access_request_draft")


async def test_what_was_submitted_is_no_draft_any_more(world: World) -> None:
    table, _ = await drafted(world)
    await table.does("consumer", "submit")

    answers = [await patch(table, "consumer", {}), await table.does("consumer", "submit")]

    assert [each.json()["code"] for each in answers] == ["access_request_not_a_draft"] * 2


async def test_a_draft_has_no_deadline_and_is_looked_at_again_when_it_is_submitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _ = await drafted(world, valid_until=str(clock.now() + timedelta(days=60)))
    later(monkeypatch, days=59)
    await renew(table)
    in_time = await table.shown()
    later(monkeypatch, days=2)
    await renew(table)

    refused = await table.does("consumer", "submit")
    mended = {"valid_until": str(clock.now() + timedelta(days=60))}
    await patch(table, "consumer", mended)
    submitted = await table.does("consumer", "submit")

    assert in_time["state"] == "draft"
    assert refused.json()["errors"][0]["code"] == "period_order"
    assert submitted.json()["state"] == "requested"


@pytest.mark.parametrize(
    ("change", "may"),
    [
        ("legal_basis = '別の条例'", True),
        ("state = 'withdrawn', decided_by = 'x', decided_at = now()", True),
        ("state = 'approved', decided_by = 'x', decided_at = now()", False),
        ("state = 'rejected', decided_by = 'x', decided_at = now()", False),
        ("state = 'countered', offer_number = 1, due_at = now() + interval '1 day'", False),
        ("state = 'requested', offer_number = 2, due_at = now() + interval '1 day'", False),
        ("due_at = now() + interval '1 day'", False),
        ("consumer_id = '271004'", False),
        ("state = 'requested', offer_number = 1, due_at = now() + interval '1 day'", "no offer"),
    ],
)
async def test_the_database_lets_a_draft_become_a_first_offer_or_nothing(
    world: World, change: str, may: bool | str
) -> None:
    _, draft = await drafted(world)
    statement = f"UPDATE access_request SET {change} WHERE id = '{draft['id']}'"

    if may is True:
        await world.platform.database.pool.execute(statement)
    else:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await world.platform.database.pool.execute(statement)
        assert ("was not kept" in str(refused.value)) is (may == "no offer")
