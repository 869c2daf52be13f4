"""An exchanged token says through whom it acts, and ends with all that it came from."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt

from app.audit.events import Event
from app.models.parties import Client
from app.parties import clients, people
from tests.oauth.exchanging import (
    ASKS,
    ask,
    claims_of,
    exchange,
    exchanged,
    official,
    revoke,
    service,
)
from tests.world import ASSERTION_TYPE, KENKO, Party, World


async def test_the_end_of_a_token_ends_what_was_exchanged_from_it_on_every_replica(
    world: World, replica: httpx.AsyncClient
) -> None:
    app = await world.party(KENKO)
    first = await official(world, app)
    party = await service(world, app)
    third = await service(world, party)
    second = await exchanged(world, party, first)
    last = await exchanged(world, third, second)
    other = await exchanged(world, party, await official(world, app))
    for each in (second, last, other):
        assert (await ask(world, each)).status_code == 200
        assert (await replica.get(ASKS, headers=each.headers(ASKS))).status_code == 200

    await revoke(world, first)

    assert [(await ask(world, each)).status_code for each in (second, last)] == [401, 401]
    for each in (second, last):
        until = time.monotonic() + 2
        while (await replica.get(ASKS, headers=each.headers(ASKS))).status_code == 200:
            assert time.monotonic() < until
    assert (await ask(world, other)).status_code == 200
    assert {e["why"] for e in await world.log(Event.CALL_REFUSED)} == {"revoked"}


async def _disable_person(world: World, parties: list[Party], person_id: str) -> None:
    async with world.platform.database.writing() as session:
        await people.disable(session, person_id, by="test")
    world.platform.live.changed("person", person_id)


async def _revoke_app(world: World, parties: list[Party], person_id: str) -> None:
    async with world.platform.database.writing() as session:
        await clients.revoke(session, parties[0].id, by="test")
    world.platform.live.changed("client", parties[0].id)


async def _take_back(world: World, parties: list[Party], person_id: str) -> None:
    async with world.platform.database.writing() as session:
        await clients.allow_exchange(session, parties[1].id, [], by="test")
    world.platform.live.changed("client", parties[1].id)


async def _serve_others(world: World, parties: list[Party], person_id: str) -> None:
    async with world.platform.database.writing() as session:
        (await session.get_one(Client, parties[1].id)).staff_of = ["271004"]
    world.platform.live.changed("client", parties[1].id)


async def _app_of_others(world: World, parties: list[Party], person_id: str) -> None:
    async with world.platform.database.writing() as session:
        (await session.get_one(Client, parties[0].id)).staff_of = ["271004"]
    world.platform.live.changed("client", parties[0].id)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (_disable_person, "person_disabled"),
        (_revoke_app, "client_revoked"),
        (_take_back, "exchange_from"),
        (_serve_others, "staff_of"),
        (_app_of_others, "staff_of"),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
async def test_what_let_it_be_exchanged_must_still_hold_when_it_is_used(
    world: World, end: Callable[[World, list[Party], str], Awaitable[None]], why: str
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    third = await service(world, party)
    first = await official(world, app)
    second = await exchanged(world, party, first)
    last = await exchanged(world, third, second)
    before = [(await ask(world, each)).status_code for each in (second, last)]

    person_id = (await claims_of(world, first.token))["sub"]
    await end(world, [app, party], person_id)

    assert before == [200, 200]
    assert [(await ask(world, each)).status_code for each in (second, last)] == [401, 401]
    assert {e["why"] for e in await world.log(Event.CALL_REFUSED)} == {why}


async def test_actors_are_nested_and_a_chain_of_exchanges_has_an_end(world: World) -> None:
    app = await world.party(KENKO)
    parties = [app]
    for _ in range(4):
        parties.append(await service(world, parties[-1]))
    sender = await official(world, app)

    for party in parties[1:4]:
        sender = await exchanged(world, party, sender)
    refused = await exchange(world, parties[4], sender.token)

    one, two, three = (party.id for party in parties[1:4])
    act = (await claims_of(world, sender.token))["act"]
    assert act == {"sub": three, "act": {"sub": two, "act": {"sub": one}}}
    assert (await ask(world, sender)).status_code == 200
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert "at most 3 exchanges" in refused.json()["error_description"]


async def test_introspection_tells_for_whom_and_through_whom_a_token_acts(world: World) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    sender = await exchanged(world, party, await official(world, app))
    answers = []
    for asker in (party, app):
        form = {
            "token": sender.token,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": asker.assertion(),
        }
        answers.append((await world.client.post("/oauth/introspect", data=form)).json())

    told, foreign = answers

    claims = await claims_of(world, sender.token)
    assert (told["active"], told["act"], told["sub"]) == (True, {"sub": party.id}, claims["sub"])
    assert (told["acr"], told["auth_time"]) == (claims["acr"], claims["auth_time"])
    assert "via" not in told
    assert foreign == {"active": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"act": None},
        {"via": None},
        {"via": []},
        {"via": "x"},
        {"via": [["a"]]},
        {"via": [["a", 1]]},
        {"via": [["a", ""]]},
        {"via": [["a", "b"]] * 4},
        {"act": {"sub": "somebody-else"}},
        {"act": "x"},
        {"act": json.loads('{"act":' * 40 + "1" + "}" * 40)},
    ],
    ids=lambda wrong: json.dumps(wrong)[:40],
)
async def test_a_token_whose_chain_does_not_add_up_is_no_token(
    world: World, wrong: dict[str, Any]
) -> None:
    app = await world.party(KENKO)
    good = await exchanged(world, await service(world, app), await official(world, app))
    said = await claims_of(world, good.token) | wrong
    keys = await world.platform.keys.get()
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    whole = {name: value for name, value in said.items() if value is not None}
    forged = jwt.encode(header, whole, keys.current, algorithms=["ES256"])

    refused = await ask(world, replace(good, token=forged))

    assert (await ask(world, good)).status_code == 200
    assert refused.status_code == 401
