"""A token is ended by its own client on every replica, and told only to who may know of it."""

import time
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.oauth.revocation import forget_revoked
from tests.conftest import ISSUER
from tests.world import ASSERTION_TYPE, KENKO, SAKAI, Party, World

OPERATOR = "270008-smartcity"
ASKS = "/v1/admin/organizations/271004"
STATUS_DOORS = ["/oauth/revoke", "/oauth/introspect"]


def about(party: Party, token: str, **more: str) -> dict[str, str]:
    """A request about a token that is right but for what is named."""
    proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": party.assertion()}
    return {"token": token, **proof, **more}


def bare(headers: dict[str, str]) -> str:
    return headers["Authorization"].partition(" ")[2]


async def refused_within(
    client: httpx.AsyncClient, headers: dict[str, str], seconds: float
) -> bool:
    began = time.monotonic()
    while (await client.get(ASKS, headers=headers)).status_code == 200:
        if time.monotonic() - began > seconds:
            return False
    return True


async def test_a_revoked_token_is_refused_here_at_once_and_elsewhere_within_two_seconds(
    client: httpx.AsyncClient, replica: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    ended, other = [await world.token(party, "admin:read") for _ in range(2)]
    for asking in (client, replica):
        assert (await asking.get(ASKS, headers=ended)).status_code == 200

    response = await client.post("/oauth/revoke", data=about(party, bare(ended)))

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "no-store"
    assert (await client.get(ASKS, headers=ended)).status_code == 401
    assert await refused_within(replica, ended, 2)
    for asking in (client, replica):
        assert (await asking.get(ASKS, headers=other)).status_code == 200
    (entry,) = await world.log(Event.TOKEN_REVOKED)
    assert (entry["client"], bare(ended) in str(entry)) == (party.id, False)
    assert {e["why"] for e in await world.log(Event.CALL_REFUSED)} == {"revoked"}


async def test_a_replica_that_first_sees_a_token_after_its_end_refuses_it(
    client: httpx.AsyncClient, replica: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    headers = await world.token(party, "admin:read")

    await client.post("/oauth/revoke", data=about(party, bare(headers)))

    assert (await replica.get(ASKS, headers=headers)).status_code == 401


async def test_a_replica_that_lost_the_notification_refuses_after_its_next_poll(
    client: httpx.AsyncClient, replica: httpx.AsyncClient, replica_app: FastAPI, world: World
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    headers = await world.token(party, "admin:read")
    assert (await replica.get(ASKS, headers=headers)).status_code == 200
    live = replica_app.state.platform.live
    await live._connection.remove_listener("urbanos", live._heard)

    await client.post("/oauth/revoke", data=about(party, bare(headers)))

    assert await refused_within(replica, headers, 3)


async def test_another_clients_token_lives_on_and_the_answer_does_not_say_so(
    client: httpx.AsyncClient, world: World
) -> None:
    owner = await world.party(OPERATOR, Role.COORDINATOR)
    stranger = await world.party(OPERATOR, Role.OPERATOR)
    headers = await world.token(owner, "admin:read")

    response = await client.post("/oauth/revoke", data=about(stranger, bare(headers)))

    assert (response.status_code, response.content) == (200, b"")
    assert (await client.get(ASKS, headers=headers)).status_code == 200
    assert await world.log(Event.TOKEN_REVOKED) == []
    assert [e["why"] for e in await world.log(Event.TOKEN_NOT_REVOKED)] == ["foreign"]


@pytest.mark.parametrize("token", ["x", "a.b.c", "トークン", "x" * 9_000])
async def test_what_is_no_token_is_neither_ended_nor_active(
    client: httpx.AsyncClient, world: World, token: str
) -> None:
    party = await world.party(OPERATOR, Role.OPERATOR)

    ended = await client.post("/oauth/revoke", data=about(party, token))
    asked = await client.post("/oauth/introspect", data=about(party, token))

    assert (ended.status_code, ended.content) == (200, b"")
    assert (asked.status_code, asked.json()) == (200, {"active": False})
    assert len(await world.log(Event.TOKEN_NOT_REVOKED)) == 1
    assert [e["active"] for e in await world.log(Event.TOKEN_INTROSPECTED)] == [False]


async def test_a_token_is_ended_once_and_ending_it_again_is_no_error(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    token = bare(await world.token(party, "admin:read"))

    answers = [
        await client.post(
            "/oauth/revoke", data=about(party, token, token_type_hint="refresh_token")
        )
        for _ in range(2)
    ]

    assert [a.status_code for a in answers] == [200, 200]
    assert len(await world.log(Event.TOKEN_REVOKED)) == 1
    assert [e["why"] for e in await world.log(Event.TOKEN_NOT_REVOKED)] == ["revoked"]


@pytest.mark.parametrize("door", STATUS_DOORS)
@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"token": ""}, 400, "token"),
        ({"client_id": "another"}, 401, "client_id_mismatch"),
        ({"client_secret": "x"}, 400, "client_secret_post"),
        ({"client_assertion": "x"}, 401, "assertion_malformed"),
    ],
)
async def test_a_wrong_request_about_a_token_is_refused_and_logged(
    client: httpx.AsyncClient,
    world: World,
    door: str,
    change: dict[str, str],
    status: int,
    why: str,
) -> None:
    party = await world.party(KENKO)

    response = await client.post(door, data={**about(party, "x"), **change})

    assert response.status_code == status
    refused = await world.log(Event.TOKEN_REFUSED)
    assert [(entry["why"], entry["path"]) for entry in refused] == [(why, door)]


@pytest.mark.parametrize("door", STATUS_DOORS)
async def test_a_request_about_a_token_is_read_as_strictly_as_one_for_a_token(
    client: httpx.AsyncClient, world: World, door: str
) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    answers = [
        await client.post(door, data={"token": "x"}),
        await client.post(door, content="token=a&token=b", headers=form),
        await client.post(door, json={"token": "x"}),
        await client.post(f"{door}?token=x", content="a=b", headers=form),
    ]

    assert [a.status_code for a in answers] == [401, 400, 400, 400]
    refused = await world.log(Event.TOKEN_REFUSED)
    assert {entry["path"] for entry in refused} == {door}
    assert [entry["why"] for entry in refused] == [
        "no_authentication",
        "duplicate",
        "content_type",
        "query",
    ]


async def test_a_client_and_an_operator_see_what_a_token_says(
    client: httpx.AsyncClient, world: World
) -> None:
    owner = await world.party(OPERATOR, Role.COORDINATOR)
    operator = await world.party(OPERATOR, Role.OPERATOR)
    token = bare(await world.token(owner, "admin:read"))

    mine = await client.post("/oauth/introspect", data=about(owner, token))
    theirs = await client.post("/oauth/introspect", data=about(operator, token))

    assert mine.headers["cache-control"] == "no-store"
    assert mine.json() == theirs.json()
    said = mine.json()
    assert said["exp"] - said.pop("iat") == 900
    assert said.pop("exp") > time.time()
    entries = await world.log(Event.TOKEN_INTROSPECTED)
    assert [(e["client"], e["jti"], e["active"]) for e in entries] == [
        (owner.id, said["jti"], True),
        (operator.id, said.pop("jti"), True),
    ]
    assert said == {
        "active": True,
        "token_type": "Bearer",
        "scope": "admin:read",
        "client_id": owner.id,
        "sub": owner.id,
        "iss": ISSUER,
        "aud": ISSUER,
        "org": OPERATOR,
        "zone": "internet",
    }


async def test_a_token_that_is_ended_foreign_or_of_a_revoked_client_is_just_not_active(
    client: httpx.AsyncClient, world: World
) -> None:
    stranger = await world.party(SAKAI, Role.COORDINATOR)
    operator = await world.party(OPERATOR, Role.OPERATOR)
    owner, gone = [await world.party(OPERATOR, Role.COORDINATOR) for _ in range(2)]
    foreign, ended = [bare(await world.token(owner, "admin:read")) for _ in range(2)]
    orphan = bare(await world.token(gone, "admin:read"))
    admin = await world.token(operator, "admin:write")
    await client.post(f"/v1/admin/clients/{gone.id}/revoke", headers=admin)
    await client.post("/oauth/revoke", data=about(owner, ended))

    answers = [
        await client.post("/oauth/introspect", data=about(asker, token))
        for asker, token in ((stranger, foreign), (operator, ended), (operator, orphan))
    ]

    assert [(a.status_code, a.json()) for a in answers] == [(200, {"active": False})] * 3
    entries = await world.log(Event.TOKEN_INTROSPECTED)
    assert [e["why"] for e in entries] == ["foreign", "revoked", "client_revoked"]


async def test_what_binds_a_token_is_told(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    keys = await world.platform.keys.get()
    plain = bare(await world.token(party, "admin:read"))
    claims = jwt.decode(plain, keys.current).claims
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    bound = jwt.encode(header, {**claims, "cnf": {"jkt": "k" * 43}, "jti": "b"}, keys.current)

    said = (await client.post("/oauth/introspect", data=about(party, bound))).json()

    assert (said["token_type"], said["cnf"]) == ("DPoP", {"jkt": "k" * 43})


async def test_revocations_are_forgotten_once_their_tokens_have_expired(
    client: httpx.AsyncClient, platform: Platform, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    token = bare(await world.token(party, "admin:read"))
    await client.post("/oauth/revoke", data=about(party, token))
    count = "SELECT count(*) FROM revoked_token WHERE client_id = $1"

    await forget_revoked(platform.database.pool)
    kept = await platform.database.pool.fetchval(count, party.id)
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    await forget_revoked(platform.database.pool)

    assert kept == 1
    assert await platform.database.pool.fetchval(count, party.id) == 0
