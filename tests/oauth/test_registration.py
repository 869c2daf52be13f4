"""A vendor registers its client, and nothing comes of it until a second person says so."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.models.registrations import ClientRegistration, RegistrationToken
from app.parties import registrations
from app.parties.registrations import forget_undecided
from tests.oauth.registering import (
    LIST,
    REGISTER,
    SCOPE,
    TOKENS,
    decide,
    make,
    person,
    public,
    register,
    token_of,
    told,
)
from tests.world import KENKO, SAKAI, World


async def test_a_registered_client_gets_tokens_once_a_second_person_approved_it(
    world: World,
) -> None:
    maker, other = [await person(world, Role.OPERATOR) for _ in range(2)]
    key = ECKey.generate_key("P-256")
    token = await make(world, maker, roles=["steward"])

    made = await register(world, token, jwks=public(key), software_id="x", tos_uri="https://x.jp")
    client_id = made.json()["client_id"]
    before = await token_of(world, client_id, key)
    approved = await decide(world, other, client_id, "approve")
    after = await token_of(world, client_id, key)

    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    answer = made.json()
    assert (answer["client_name"], answer["software_id"]) == ("保健所アプリ", "x")
    assert answer["token_endpoint_auth_method"] == "private_key_jwt"
    assert (answer["grant_types"], answer["response_types"]) == (["client_credentials"], [])
    assert answer["jwks"]["keys"][0]["kid"] == key.thumbprint()
    assert isinstance(answer["client_id_issued_at"], int)
    assert answer["approval_state"] == "pending"
    assert "tos_uri" not in answer
    assert (before.status_code, before.json()["error"]) == (401, "invalid_client")
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert (after.status_code, after.json()["scope"]) == (200, "catalogue:write")
    log = await world.log(Event.REGISTRATION_TOKEN_MADE, Event.CLIENT_REGISTERED)
    log += await world.log(Event.CLIENT_ADDED, Event.REGISTRATION_DECIDED)
    assert token not in str(log)
    (decided,) = await world.log(Event.REGISTRATION_DECIDED)
    assert (decided["client"], decided["state"]) == (client_id, "approved")


async def test_a_pending_client_is_unknown_everywhere_and_refused_as_any_stranger(
    world: World,
) -> None:
    maker = await person(world, Role.OPERATOR)
    admin = await world.token(await world.party(KENKO, Role.OPERATOR), "admin:read admin:write")
    key = ECKey.generate_key("P-256")
    made = await register(world, await make(world, maker), jwks=public(key))
    client_id = made.json()["client_id"]

    pending = await token_of(world, client_id, key)
    stranger = await token_of(world, "nobody-at-all", key)
    shown = await world.client.get(f"/v1/admin/clients/{client_id}", headers=admin)
    path = f"/v1/admin/clients/{client_id}/exchange-from"
    allowed = await world.client.put(path, json={"clients": []}, headers=admin)

    assert (pending.status_code, pending.json()) == (stranger.status_code, stranger.json())
    assert pending.status_code == 401
    assert (shown.status_code, allowed.status_code) == (404, 404)


async def test_whoever_made_the_token_does_not_approve_nor_does_a_machine_nor_one_factor(
    world: World,
) -> None:
    maker = await person(world, Role.OPERATOR)
    client_id = (await register(world, await make(world, maker))).json()["client_id"]
    machine = await world.token(await world.party(KENKO, Role.OPERATOR), SCOPE)
    path = f"/v1/admin/clients/{client_id}/approve"
    weak = await person(world, Role.OPERATOR, second_factor=False)
    no_role = await person(world)

    answers = [
        await decide(world, maker, client_id, "approve"),
        await world.client.post(path, headers=machine),
        await decide(world, weak, client_id, "approve"),
        await decide(world, no_role, client_id, "approve"),
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (403, "registration_second_person"),
        (403, "registration_second_person"),
        (401, "insufficient_user_authentication"),
        (403, "role_missing"),
    ]
    refused = [entry["code"] for entry in await world.log(Event.CALL_REFUSED)]
    assert refused.count("registration_second_person") == 2
    assert await world.log(Event.REGISTRATION_DECIDED) == []


async def test_nobody_makes_the_token_as_a_machine_and_approves_in_person(world: World) -> None:
    machine = await world.token(await world.party(KENKO, Role.OPERATOR), SCOPE)

    refused = await world.client.post(TOKENS, json={"organization": KENKO}, headers=machine)

    assert (refused.status_code, refused.json()["code"]) == (403, "registration_by_person")
    assert await world.log(Event.REGISTRATION_TOKEN_MADE) == []
    assert [e["code"] for e in await world.log(Event.CALL_REFUSED)] == ["registration_by_person"]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE client_registration SET state = 'approved', decided_by = token_by,"
        " decided_at = now() WHERE client_id = $1",
        "UPDATE client_registration SET state = 'approved', decided_by = 'a-machine',"
        " decided_at = now() WHERE client_id = $1",
        "UPDATE client_registration SET state = 'approved' WHERE client_id = $1",
        "UPDATE client_registration SET state = 'approved', token_by = 'person:other',"
        " decided_by = token_by, decided_at = now() WHERE client_id = $1",
    ],
)
async def test_the_database_itself_refuses_an_approval_by_no_second_person(
    world: World, sql: str
) -> None:
    maker = await person(world, Role.OPERATOR)
    client_id = (await register(world, await make(world, maker))).json()["client_id"]

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await world.platform.database.pool.execute(sql, client_id)


async def test_a_decision_is_made_once(world: World) -> None:
    maker, other = [await person(world, Role.OPERATOR) for _ in range(2)]
    key = ECKey.generate_key("P-256")
    token = await make(world, maker)
    client_id = (await register(world, token, jwks=public(key))).json()["client_id"]

    rejected = await decide(world, other, client_id, "reject")
    again = [await decide(world, other, client_id, each) for each in ("approve", "reject")]

    assert (rejected.status_code, rejected.json()["state"]) == (200, "rejected")
    assert [each.json()["code"] for each in again] == ["registration_settled"] * 2
    assert (await token_of(world, client_id, key)).status_code == 401
    assert (await decide(world, other, "nobody-x", "approve")).status_code == 404


async def test_of_two_who_approve_at_once_one_makes_the_client(world: World) -> None:
    maker, *others = [await person(world, Role.OPERATOR) for _ in range(3)]
    client_id = (await register(world, await make(world, maker))).json()["client_id"]

    answers = await asyncio.gather(*(decide(world, each, client_id, "approve") for each in others))

    assert sorted(each.status_code for each in answers) == [200, 409]
    assert len(await world.log(Event.CLIENT_ADDED)) == 4  # the three apps, and it


async def test_a_token_registers_no_more_clients_than_it_says_on_two_workers_at_once(
    world: World, replica: httpx.AsyncClient
) -> None:
    token = await make(world, await person(world, Role.OPERATOR), uses=2)

    answers = await asyncio.gather(
        *(register(world, token, each) for each in [world.client, replica] * 4)
    )

    assert sorted(each.status_code for each in answers) == [201] * 2 + [401] * 6
    assert {each.json()["error"] for each in answers if each.is_error} == {"invalid_token"}


async def test_what_is_refused_costs_no_use(world: World) -> None:
    token = await make(world, await person(world, Role.OPERATOR), uses=1)

    wrong = await register(world, token, jwks={"keys": []})
    right = await register(world, token)

    assert (wrong.status_code, right.status_code) == (400, 201)


async def test_every_token_that_opens_nothing_gets_one_answer(world: World) -> None:
    maker = await person(world, Role.OPERATOR)
    used, old = [await make(world, maker) for _ in range(2)]
    await register(world, used)
    async with world.platform.database.writing() as session:
        found = await session.get_one(RegistrationToken, await _id_of(world, old))
        found.expires_at = clock.now()
    access = maker.token
    headers: list[dict[str, str]] = [
        {},
        *({"Authorization": f"Bearer {each}"} for each in (used, old, "x", access, "x" * 5_000)),
        {"Authorization": f"Basic {used}"},
        {"Authorization": "Bearer "},
    ]

    answers = [await world.client.post(REGISTER, json=told(), headers=each) for each in headers]

    assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
    assert answers[0].json()["error"] == "invalid_token"
    assert answers[0].headers["www-authenticate"].startswith("Bearer")
    whys = {entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)}
    assert whys == {f"registration_{why}" for why in ("missing", "used_up", "expired", "wrong")}


async def _id_of(world: World, token: str) -> Any:
    pool = world.platform.database.pool
    return await pool.fetchval(
        "SELECT id FROM registration_token WHERE secret_sha256 = $1", registrations._hash(token)
    )


async def test_people_sign_in_to_a_registered_client_only_from_its_own_organisation(
    world: World,
) -> None:
    maker, other = [await person(world, Role.OPERATOR) for _ in range(2)]
    uri = "https://app.example.jp/callback"
    token = await make(world, maker, SAKAI)

    made = await register(world, token, redirect_uris=[uri], grant_types=["authorization_code"])
    await decide(world, other, made.json()["client_id"], "approve")

    assert made.json()["grant_types"] == ["client_credentials", "authorization_code"]
    assert made.json()["response_types"] == ["code"]
    facts = await world.platform.clients.get(made.json()["client_id"])
    assert (list(facts.redirect_uris), list(facts.staff_of)) == ([uri], [SAKAI])
    assert (list(facts.roles), list(facts.exchange_from), facts.zone) == ([], [], "internet")


async def test_a_coordinator_deals_with_its_own_body_alone(world: World) -> None:
    mine = await person(world, Role.COORDINATOR, of="271004-digital")
    operator = await person(world, Role.OPERATOR)
    inside = (await register(world, await make(world, operator, KENKO))).json()["client_id"]
    outside = (await register(world, await make(world, operator, SAKAI))).json()["client_id"]
    body = {"organization": SAKAI}

    refused = await world.client.post(TOKENS, json=body, headers=mine.headers(TOKENS, "POST"))
    foreign = await decide(world, mine, outside, "approve")
    own = await decide(world, mine, inside, "approve")
    listed = await world.client.get(LIST, headers=mine.headers(LIST))

    assert (refused.status_code, refused.json()["code"]) == (403, "registration_not_yours")
    assert (foreign.status_code, own.status_code) == (404, 200)
    ids = {each["client_id"]: each for each in listed.json()["items"]}
    assert (inside in ids, outside in ids) == (True, False)
    assert ids[inside]["metadata"]["client_name"] == "保健所アプリ"


async def test_who_may_invite_nobody_makes_no_token(world: World) -> None:
    steward = await person(world, Role.STEWARD)
    machine = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    body = {"organization": KENKO}

    answers = [
        await world.client.post(TOKENS, json=body, headers=headers)
        for headers in (steward.headers(TOKENS, "POST"), machine)
    ]

    assert [each.json()["code"] for each in answers] == ["role_missing", "insufficient_scope"]


async def test_a_registration_that_nobody_decides_on_expires_and_is_forgotten(
    world: World,
) -> None:
    maker, other = [await person(world, Role.OPERATOR) for _ in range(2)]
    client_id = (await register(world, await make(world, maker))).json()["client_id"]
    async with world.platform.database.writing() as session:
        found = await session.get_one(ClientRegistration, client_id)
        due = found.expires_at - found.registered_at
        found.expires_at = clock.now() - timedelta(seconds=1)

    late = await decide(world, other, client_id, "approve")
    await forget_undecided(world.platform.database.pool)
    gone = await decide(world, other, client_id, "approve")

    assert due == timedelta(days=30)
    assert (late.json()["code"], gone.status_code) == ("registration_settled", 404)


async def test_no_token_is_kept_as_it_was_shown(world: World) -> None:
    token = await make(world, await person(world, Role.OPERATOR))

    stored = await world.platform.database.pool.fetchval(
        "SELECT count(*) FROM registration_token t WHERE t::text LIKE '%' || $1 || '%'", token
    )

    assert stored == 0
    assert len(token) == 43  # 256 random bits
