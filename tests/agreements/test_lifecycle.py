"""Both sides offer until one takes; what is in force is replaced in one moment, by two people."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from app.agreements.canonical import canonical
from app.agreements.standing import ANSWER_WITHIN
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from tests.agreements.test_access import AGREEMENTS, REQUESTS, WHY, acting, agreed, ask
from tests.oauth import senders
from tests.world import KENKO, SAKAI, Party, World

ONE_COLUMN = {"columns": ["name"], "reason": "定員は提供できません。"}


class Table:
    """Two organisations over one request."""

    def __init__(self, world: World, request: str, **who: tuple[Party, dict[str, str]]) -> None:
        self.world, self.path, self.who = world, f"{REQUESTS}/{request}", who

    async def does(self, who: str, verb: str, body: Any = None) -> httpx.Response:
        headers = self.who[who][1]
        return await self.world.client.post(f"{self.path}/{verb}", json=body or {}, headers=headers)

    async def shown(self, who: str = "consumer") -> dict[str, Any]:
        answer = await self.world.client.get(self.path, headers=self.who[who][1])
        found: dict[str, Any] = answer.json()
        return found


async def asked(world: World, **change: Any) -> Table:
    """A request of Sakai that a steward of the publisher must answer."""
    dataset = await world.dataset()
    consumer = await acting(world, SAKAI, Role.DEVELOPER)
    steward = await acting(world, KENKO, Role.STEWARD)
    request = (await ask(world, dataset, consumer[1], **change)).json()["id"]
    return Table(world, request, consumer=consumer, steward=steward)


def later(monkeypatch: pytest.MonkeyPatch, **by: float) -> None:
    """Move the clock."""
    moved = clock.now() + timedelta(**by)
    monkeypatch.setattr(clock, "now", lambda: moved)


async def amended(world: World, agreement: dict[str, Any], who: dict[str, str]) -> httpx.Response:
    path = f"{AGREEMENTS}/{agreement['id']}/amend"
    return await world.client.post(path, json=ONE_COLUMN, headers=who)


async def test_a_counter_offer_that_is_accepted_makes_the_agreement_of_two_people(
    world: World,
) -> None:
    table = await asked(world)
    countered = (await table.does("steward", "counter", ONE_COLUMN)).json()

    accepted = await table.does("consumer", "accept", {"offer": 2})

    assert countered["state"] == "countered"
    assert countered["waiting_for"]["organization"] == SAKAI
    assert [(each["side"], each["columns"]) for each in countered["offers"]] == [
        ("consumer", ["name", "capacity"]),
        ("provider", ["name"]),
    ]
    made = accepted.json()
    assert (accepted.status_code, made["state"], made["columns"]) == (201, "active", ["name"])
    assert made["requested_by"] == table.who["consumer"][0].id
    assert made["approved_by"] == table.who["steward"][0].id
    log = await world.log(Event.ACCESS_COUNTERED, Event.ACCESS_DECIDED)
    assert [entry.get("decision") for entry in log] == [None, "accepted"]
    assert log[1]["terms_sha256"] == made["terms_sha256"]


async def test_the_consumer_counters_again_and_the_steward_approves_that(world: World) -> None:
    table = await asked(world)
    await table.does("steward", "counter", ONE_COLUMN)
    other = {"purpose": "statistics", "columns": ["capacity"], "legal_basis": "統計条例"}
    again = (await table.does("consumer", "counter", other)).json()

    old = await table.does("steward", "approve", {"offer": 1})
    approved = await table.does("steward", "approve", {"offer": 3})

    assert (again["state"], again["waiting_for"]["roles"]) == ("requested", ["steward"])
    assert old.json()["code"] == "offer_replaced"
    assert (approved.json()["purpose"], approved.json()["columns"]) == ("statistics", ["capacity"])


@pytest.mark.parametrize(
    ("countered", "who", "verb", "code"),
    [
        (False, "consumer", "accept", "other_side_answers"),
        (False, "consumer", "counter", "not_the_steward"),
        (True, "steward", "approve", "other_side_answers"),
        (True, "steward", "counter", "not_the_requester"),
        (True, "steward", "accept", "not_the_requester"),
    ],
)
async def test_nobody_answers_out_of_turn(
    world: World, countered: bool, who: str, verb: str, code: str
) -> None:
    table = await asked(world)
    if countered:
        await table.does("steward", "counter", ONE_COLUMN)
    body = {"accept": {"offer": 1 + countered}, "counter": {"columns": ["capacity"]}}.get(verb)

    answer = await table.does(who, verb, body)

    assert answer.json()["code"] == code
    refused = [entry["code"] for entry in await world.log(Event.CALL_REFUSED)]
    assert refused == ([code] if answer.status_code == 403 else [])


async def test_nobody_takes_their_own_counter_offer(world: World) -> None:
    dataset = await world.dataset()
    both = await acting(world, "271004", Role.STEWARD)  # above the publisher, and the asker
    request = (await ask(world, dataset, both[1])).json()["id"]
    table = Table(world, request, both=both)
    await table.does("both", "counter", ONE_COLUMN)

    accepted = await table.does("both", "accept", {"offer": 2})

    assert (accepted.status_code, accepted.json()["code"]) == (403, "same_person")


async def test_an_offer_of_a_revoked_client_is_not_taken(world: World) -> None:
    table = await asked(world)
    await table.does("steward", "counter", ONE_COLUMN)
    await world.platform.database.pool.execute(
        "UPDATE client SET revoked_at = now() WHERE id = $1", table.who["steward"][0].id
    )

    accepted = await table.does("consumer", "accept", {"offer": 2})

    assert accepted.json()["code"] == "requester_revoked"


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({}, "nothing_changed"),
        ({"columns": ["capacity", "name"]}, "nothing_changed"),
        ({"columns": ["secret"]}, "unknown_column"),
        ({"purpose": "curiosity"}, "purpose_unknown"),
        ({"valid_until": "2020-01-01T00:00:00+09:00"}, "period_order"),
    ],
)
async def test_wrong_counter_terms_are_refused_with_their_place(
    world: World, other: dict[str, Any], code: str
) -> None:
    table = await asked(world)

    answer = await table.does("steward", "counter", other)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
    assert len((await table.shown())["offers"]) == 1


async def test_a_request_that_nobody_answers_expires_by_date(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = await asked(world)
    waits = (await table.shown())["waiting_for"]
    since, due = (datetime.fromisoformat(waits[name]) for name in ("since", "due_at"))
    steward = table.who["steward"][0]

    with monkeypatch.context() as patch:
        later(patch, days=30, seconds=1)
        now = int(clock.now().timestamp())
        form = steward.form(
            "agreements:write", client_assertion=steward.assertion(iat=now, exp=now + 50)
        )
        token = (await world.client.post("/oauth/token", data=form)).json()["access_token"]
        table.who["steward"] = (steward, {"Authorization": f"Bearer {token}"})
        answers = [await table.does("steward", verb, WHY) for verb in ("approve", "reject")]
        shown = await table.shown("steward")
        listed = await world.client.get(
            REQUESTS, params={"state": "expired"}, headers=table.who["steward"][1]
        )

    assert (waits["organization"], due - since) == (KENKO, ANSWER_WITHIN)
    assert [a.json()["code"] for a in answers] == ["access_request_expired"] * 2
    assert (shown["state"], shown["waiting_for"]) == ("expired", None)
    assert shown["id"] in [each["id"] for each in listed.json()["items"]]


@pytest.mark.parametrize("by", ["consumer", "steward"])
async def test_an_amendment_takes_the_place_of_what_it_amends_in_one_moment(
    world: World, by: str
) -> None:
    agreement, consumer, steward = await agreed(world)
    mine, other = (consumer, steward) if by == "consumer" else (steward, consumer)
    request = (await amended(world, agreement, mine)).json()
    path = f"{AGREEMENTS}/{agreement['id']}"
    before = (await world.client.get(path, headers=consumer)).json()["state"]
    verb, body = ("approve", {}) if by == "consumer" else ("accept", {"offer": 1})

    made = await world.client.post(f"{REQUESTS}/{request['id']}/{verb}", json=body, headers=other)

    old = (await world.client.get(path, headers=consumer)).json()
    assert (request["amends"], before, made.status_code) == (agreement["id"], "active", 201)
    assert (old["state"], old["superseded_by"]) == ("superseded", made.json()["id"])
    assert (made.json()["series"], made.json()["version"]) == (agreement["id"], 2)
    assert made.json()["columns"] == ["name"]
    refused = await world.client.post(f"{path}/revoke", json=WHY, headers=consumer)
    assert refused.json()["code"] == "wrong_agreement_state"
    states = [entry["state"] for entry in await world.log(Event.AGREEMENT_CHANGED)]
    assert states == ["superseded"]


async def test_readers_get_what_the_newest_version_says(world: World) -> None:
    agreement, consumer, steward = await agreed(world)
    request = (await amended(world, agreement, consumer)).json()
    await world.client.post(f"{REQUESTS}/{request['id']}/approve", json={}, headers=steward)
    newest = (await world.client.get(AGREEMENTS, headers=consumer)).json()["items"]
    live = next(each for each in newest if each["superseded_by"] is None and
                each["series"] == agreement["id"])  # fmt: skip
    party = await world.party(SAKAI, Role.DEVELOPER)
    await world.token(party, f"dataset:{agreement['dataset']}:read")

    await world.client.post(f"{AGREEMENTS}/{live['id']}/revoke", json=WHY, headers=steward)

    after = await senders.asked(world, party, f"dataset:{agreement['dataset']}:read")
    assert after.json()["error"] == "invalid_scope"  # the superseded version gives nothing


async def test_of_two_amendments_at_once_one_wins(world: World) -> None:
    agreement, consumer, steward = await agreed(world)
    both = [(await amended(world, agreement, consumer)).json()["id"] for _ in range(2)]

    answers = await asyncio.gather(
        *(
            world.client.post(f"{REQUESTS}/{request}/approve", json={}, headers=steward)
            for request in both
        )
    )

    assert sorted(a.status_code for a in answers) == [201, 409]
    assert {a.json().get("code") for a in answers} == {None, "wrong_agreement_state"}


async def test_what_is_suspended_is_not_amended_and_a_later_start_is_refused(world: World) -> None:
    agreement, consumer, steward = await agreed(world)
    path = f"{AGREEMENTS}/{agreement['id']}"
    start = {"valid_from": (clock.now() + timedelta(days=1)).isoformat()}
    late = await world.client.post(f"{path}/amend", json=start, headers=consumer)
    request = (await amended(world, agreement, consumer)).json()["id"]
    await world.client.post(f"{path}/suspend", json=WHY, headers=steward)

    answers = [
        await amended(world, agreement, consumer),
        await world.client.post(f"{REQUESTS}/{request}/approve", json={}, headers=steward),
    ]

    assert late.json()["errors"][0]["code"] == "amended_start"
    assert [a.json()["code"] for a in answers] == ["wrong_agreement_state"] * 2


async def test_the_terms_are_the_bytes_that_were_hashed(world: World) -> None:
    agreement, consumer, _ = await agreed(world)

    path = f"{AGREEMENTS}/{agreement['id']}/terms"
    terms = (await world.client.get(path, headers=consumer)).content

    assert hashlib.sha256(terms).hexdigest() == agreement["terms_sha256"]
    told = orjson.loads(terms)
    assert list(told) == sorted(told)
    assert (told["purpose"], told["columns"], told["version"]) == (
        "disaster-response", ["name", "capacity"], 1,
    )  # fmt: skip
    assert (await world.log(Event.ACCESS_DECIDED))[0]["terms_sha256"] == agreement["terms_sha256"]


def test_canonical_json_is_that_of_the_standard() -> None:
    # The text of RFC 8785, 3.2.2, with the numbers left out, which terms do not have.
    said: dict[str, str | int | list[str]] = {
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": ["\u2028", "ﾃ"],
        "a": 1,
    }

    assert canonical(said) == (
        '{"a":1,"literals":["\u2028","ﾃ"],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_request_offer SET columns = '{capacity}' WHERE request_id = $1::uuid",
        "DELETE FROM access_request_offer WHERE request_id = $1::uuid",
        "INSERT INTO access_request_offer SELECT request_id, number + 1, side, purpose, legal_basis,"
        " actions, columns, valid_from, valid_until, reason, made_by, made_at"
        " FROM access_request_offer WHERE request_id = $1::uuid",
        "UPDATE access_request SET columns = '{capacity}' WHERE id = $1::uuid",
        "UPDATE access_request SET state = 'expired' WHERE id = $1::uuid",
        "UPDATE access_request SET state = 'countered', offer_number = 2, offered_at = now()"
        " WHERE id = $1::uuid",  # an offer that was not kept
        "UPDATE access_request SET state = 'approved', decided_by = offered_by, decided_at = now()"
        " WHERE id = $1::uuid",  # one person for both
        "UPDATE access_request SET due_at = due_at + interval '1 day' WHERE id = $1::uuid",
    ],
)
async def test_the_database_refuses_what_no_service_does(world: World, statement: str) -> None:
    table = await asked(world)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(statement, table.path.rpartition("/")[2])


@pytest.mark.parametrize(
    "change",
    [
        "state = 'superseded'",  # by nothing
        "state = 'suspended', terms = terms || ' '",
        "state = 'suspended', terms_sha256 = repeat('0', 64)",
        "state = 'suspended', version = 2",
        "state = 'revoked', state_changed_at = valid_until",  # after its end
        "terms = terms",
    ],
)
async def test_the_database_keeps_the_terms_of_an_agreement(world: World, change: str) -> None:
    agreement, _, _ = await agreed(world)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(
            f"UPDATE agreement SET {change} WHERE id = $1::uuid", agreement["id"]
        )
