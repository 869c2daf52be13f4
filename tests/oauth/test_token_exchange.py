"""A service gets a token of its own to act for an official: for whom, and for how much."""

import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.models.parties import Client, Role
from app.oauth.exchange import GRANT_TYPE
from app.oauth.scopes import FIXED
from app.oauth.speaking import ACCESS_TOKEN
from app.oauth.tokens import TWO_FACTORS
from app.parties import clients, people
from tests.oauth.exchanging import (
    SCOPE,
    ask,
    claims_of,
    exchange,
    exchanged,
    official,
    resigned,
    revoke,
    service,
)
from tests.oauth.people import acting, somebody
from tests.oauth.senders import TOKEN_PATH, Sender, proof, under
from tests.oauth.test_one_agreement import get, stocked_by_sender
from tests.stock import PURPOSE, agreed
from tests.world import KENKO, SAKAI, Party, World

ALL = " ".join(sorted(FIXED))


async def test_a_service_acts_for_the_official_with_a_token_of_its_own(world: World) -> None:
    app = await world.party(KENKO)
    signed_in = await official(world, app, second_factor=True, ago_s=30)
    party = await service(world, app)

    sender = await exchanged(world, party, signed_in, "admin:read catalogue:write")

    assert sender.answer["issued_token_type"] == ACCESS_TOKEN
    assert (sender.answer["token_type"], sender.answer["scope"]) == ("DPoP", "admin:read")
    first, second = [await claims_of(world, each.token) for each in (signed_in, sender)]
    assert second["act"] == {"sub": party.id}
    assert (second["client_id"], second["cnf"]) == (party.id, {"jkt": sender.key.thumbprint()})
    for same in ("sub", "org", "acr", "auth_time", "zone"):
        assert first[same] == second[same], same
    assert second["acr"] == TWO_FACTORS
    assert second["exp"] <= first["exp"]
    assert (await ask(world, sender)).status_code == 200
    (entry,) = [e for e in await world.log(Event.TOKEN_ISSUED) if "person" in e]
    assert (entry["client"], entry["app"]) == (party.id, app.id)
    assert (entry["person"], entry["subject"]) == (first["sub"], first["jti"])
    assert entry["organization"] == SAKAI


async def test_personal_data_is_read_for_an_official_under_the_agreement_of_their_token(
    world: World,
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    dataset = await stocked_by_sender(world)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, consumer, columns=["no", "name"])
    scope = f"dataset:{dataset}:read"
    signed_in = await official(world, app, scope, agreement=(agreement, PURPOSE))
    key = ECKey.generate_key("P-256")

    granted = await exchange(world, party, signed_in.token, scope, key=key)
    sender = Sender(party, granted.json()["access_token"], granted.json(), key)
    read = await get(world, sender, dataset)
    named = await exchange(
        world, party, signed_in.token, scope, authorization_details=under(agreement)
    )
    again = await exchange(world, await service(world, party), sender.token, scope)

    assert (granted.status_code, granted.json()["expires_in"]) == (200, 60), granted.text
    assert granted.json()["authorization_details"] == json.loads(under(agreement, "read"))
    assert (read.status_code, read.json()["records"]) == (200, [{"no": "1", "name": "架空"}])
    assert named.status_code == 200
    # Whoever has it from the service has it for the same agreement, asked for or not.
    claims = await claims_of(world, again.json()["access_token"])
    assert (claims["agr"], claims["pur"]) == (agreement, PURPOSE)
    (entry,) = await world.log(Event.RECORDS_READ)
    assert (entry["client"], entry["agreement"]) == (party.id, agreement)


async def test_an_exchange_reaches_no_personal_data_that_the_token_of_the_app_did_not(
    world: World,
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    dataset = await stocked_by_sender(world)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, consumer, columns=["no", "name"])
    scope = f"dataset:{dataset}:read"
    signed_in = await official(world, app, scope)

    plain = await exchange(world, party, signed_in.token, scope)
    named = await exchange(
        world, party, signed_in.token, scope, authorization_details=under(agreement)
    )

    assert plain.json()["error"] == "invalid_scope"
    assert named.json()["error"] == "invalid_authorization_details"
    assert [e["why"] for e in await world.log(Event.TOKEN_REFUSED)][-1] == "other_agreement"


async def test_a_stolen_token_is_worth_nothing_to_a_client_that_nobody_named(world: World) -> None:
    app, other = await world.party(KENKO), await world.party(KENKO)
    signed_in = await official(world, app)
    never, for_others = await world.party(KENKO), await service(world, other)

    answers = [await exchange(world, each, signed_in.token) for each in (never, for_others, app)]

    errors = [(each.status_code, each.json()["error"]) for each in answers]
    assert errors == [
        (400, "unauthorized_client"),
        (400, "invalid_request"),
        (400, "unauthorized_client"),
    ]
    refused = await world.log(Event.TOKEN_REFUSED)
    assert [e["why"] for e in refused] == ["exchange", "subject_exchange_from", "exchange"]


async def test_a_client_with_a_secret_exchanges_nothing(world: World) -> None:
    app = await world.party(KENKO)
    signed_in = await official(world, app)
    party = await world.party(KENKO, by_secret=True)
    async with world.platform.database.writing() as session:
        (await session.get_one(Client, party.id)).staff_of = [SAKAI]
        await clients.allow_exchange(session, party.id, [app.id], by="test")
    assert party.secret is not None
    form = {
        "grant_type": GRANT_TYPE,
        "scope": SCOPE,
        "subject_token": signed_in.token,
        "subject_token_type": ACCESS_TOKEN,
    }
    shown = proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH)

    response = await world.client.post(
        TOKEN_PATH, data=form, auth=(party.id, party.secret), headers={"DPoP": shown}
    )

    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")
    (entry,) = await world.log(Event.TOKEN_REFUSED)
    assert (entry["client"], entry["why"]) == (party.id, "exchange")


async def test_a_service_acts_for_the_staff_that_it_is_there_for_alone(world: World) -> None:
    app = await world.party(KENKO)
    signed_in = await official(world, app)
    foreign, nobodys = [
        await service(world, app, staff_of=of) for of in (("271004",), tuple[str, ...]())
    ]

    answers = [await exchange(world, each, signed_in.token) for each in (foreign, nobodys)]

    assert [each.json()["error"] for each in answers] == ["invalid_request"] * 2
    assert {e["why"] for e in await world.log(Event.TOKEN_REFUSED)} == {"subject_staff_of"}


async def _machines(world: World, app: Party) -> str:
    party = await world.party(KENKO, Role.OPERATOR)
    return (await world.token(party, "admin:read"))["Authorization"].partition(" ")[2]


async def _id_token(world: World, app: Party) -> str:
    return await resigned(world, app, "JWT", aud=app.id)


async def _expired(world: World, app: Party) -> str:
    now = int(time.time())
    return await resigned(world, app, "at+jwt", iat=now - 300, exp=now - 1)


async def _of_another_zone(world: World, app: Party) -> str:
    return await resigned(world, app, "at+jwt", zone="lgwan")


async def _of_nobody(world: World, app: Party) -> str:
    return await resigned(world, app, "at+jwt", sub="person:" + "0" * 32)


async def _forged(world: World, app: Party) -> str:
    said = await claims_of(world, (await official(world, app)).token)
    keys = await world.platform.keys.get()
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    return jwt.encode(header, said, ECKey.generate_key("P-256"), algorithms=["ES256"])


async def _of_somebody_disabled(world: World, app: Party) -> str:
    signed_in = await official(world, app)
    person_id = (await claims_of(world, signed_in.token))["sub"]
    async with world.platform.database.writing() as session:
        await people.disable(session, person_id, by="test")
    world.platform.live.changed("person", person_id)
    return signed_in.token


async def _revoked(world: World, app: Party) -> str:
    signed_in = await official(world, app)
    await revoke(world, signed_in)
    return signed_in.token


async def _no_token(_world: World, _app: Party) -> str:
    return "x" * 9_000


@pytest.mark.parametrize(
    "subject",
    [
        _machines,
        _id_token,
        _expired,
        _of_another_zone,
        _of_nobody,
        _forged,
        _of_somebody_disabled,
        _revoked,
        _no_token,
    ],
    ids=lambda made: made.__name__,
)
async def test_what_is_no_token_of_an_official_in_force_is_refused_in_one_wording(
    world: World, subject: Callable[[World, Party], Awaitable[str]]
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)

    response = await exchange(world, party, await subject(world, app))

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert response.json()["error_description"].startswith("The subject_token is not taken.")
    (entry,) = await world.log(Event.TOKEN_REFUSED)
    assert entry["why"].startswith("subject_")


ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"subject_token_type": ID_TOKEN}, "invalid_request"),
        ({"requested_token_type": ID_TOKEN}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"resource": "https://elsewhere.example.jp"}, "invalid_target"),
        ({"audience": "https://elsewhere.example.jp"}, "invalid_target"),
        ({"scope": "invitations:write"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"without": ("scope",)}, "invalid_scope"),
        ({"without": ("DPoP",)}, "invalid_dpop_proof"),
        ({"without": ("subject_token",)}, "invalid_request"),
        ({"without": ("subject_token_type",)}, "invalid_request"),
    ],
    ids=str,
)
async def test_an_exchange_that_asks_for_something_else_is_refused(
    world: World, wrong: dict[str, Any], error: str
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    signed_in = await official(world, app)

    response = await exchange(world, party, signed_in.token, **wrong)

    assert (response.status_code, response.json()["error"]) == (400, error), response.text
    (entry,) = await world.log(Event.TOKEN_REFUSED)
    assert (entry["client"], entry["code"]) == (party.id, error)


async def test_what_is_granted_is_within_the_subject_token_and_what_the_person_may_now(
    world: World,
) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    dice = random.Random(8693)
    for _ in range(25):
        roles = dice.sample(list(Role), dice.randint(0, 3))
        carried, asked = [dice.sample(sorted(FIXED), dice.randint(1, len(FIXED))) for _ in range(2)]
        person_id = await somebody(world, SAKAI, *roles)
        signed_in = await acting(world, app, person_id, " ".join(carried))
        may = {scope for scope in FIXED if not FIXED[scope].isdisjoint(roles)}

        response = await exchange(world, party, signed_in.token, " ".join(asked))

        granted = set(response.json().get("scope", "").split())
        assert granted == set(carried) & set(asked) & may
        assert response.status_code == (200 if granted else 400)


async def test_a_role_taken_away_since_the_sign_in_is_not_handed_on(world: World) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    person_id = await somebody(world, SAKAI, Role.OPERATOR)
    signed_in = await acting(world, app, person_id, ALL)
    async with world.platform.database.writing() as session:
        await people.set_roles(session, person_id, [Role.AUDITOR], by="test")
    world.platform.live.changed("person", person_id)

    sender = await exchanged(world, party, signed_in, ALL)

    assert sender.answer["scope"].split() == [
        "audit:read", "findings:read", "programmes:read", "systems:read",
    ]  # fmt: skip


async def test_an_exchanged_token_ends_no_later_than_the_one_it_came_from(world: World) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    ends_at = int(time.time()) + 40
    token = await resigned(world, app, "at+jwt", exp=ends_at)

    sender = await exchanged(world, party, replace(await official(world, app), token=token))

    assert (await claims_of(world, sender.token))["exp"] == ends_at
    assert 1 <= sender.answer["expires_in"] <= 40


async def test_a_token_for_one_agreement_is_exchanged_for_no_other(world: World) -> None:
    app = await world.party(KENKO)
    party = await service(world, app)
    mine, other = "0" * 8 + "-0000-4000-8000-" + "1" * 12, "0" * 8 + "-0000-4000-8000-" + "2" * 12
    token = await resigned(world, app, "at+jwt", agr=mine, pur="care")

    answers = [
        await exchange(world, party, token),
        await exchange(world, party, token, authorization_details=under(other)),
    ]

    # There is no such agreement: nothing is granted, and a role's scope least of all.
    assert [each.json()["error"] for each in answers] == ["invalid_authorization_details"] * 2
    whys = [e["why"] for e in await world.log(Event.TOKEN_REFUSED)]
    assert whys == ["nothing_granted", "other_agreement"]


async def test_only_an_operator_names_whose_tokens_may_be_exchanged(world: World) -> None:
    app, party = await world.party(KENKO), await world.party(KENKO)
    machine = await world.party(KENKO, Role.OPERATOR)
    admin = await world.token(machine, "admin:write")
    path = f"/v1/admin/clients/{party.id}/exchange-from"
    person = await somebody(world, SAKAI, Role.OPERATOR)
    one_factor = await acting(world, app, person, "admin:write")

    answers = [
        await world.client.put(path, json={"clients": named}, headers=headers)
        for named, headers in (
            ([app.id], admin),
            ([party.id], admin),
            (["nobody-at-all"], admin),
            ([app.id], one_factor.headers(path, "PUT")),
        )
    ]

    assert [each.status_code for each in answers] == [200, 422, 404, 401]
    assert answers[0].json()["exchange_from"] == [app.id]
    assert answers[3].json()["code"] == "insufficient_user_authentication"
