"""The token endpoint refuses what lenient servers take, and grants what policy allows, no more."""

import asyncio
import json
import secrets
import time
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from app.api.handlers import routes_of
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role, Zone
from app.oauth.used import UsedOnce, forget_used
from tests.bound import asked
from tests.conftest import ISSUER
from tests.world import KENKO, SAKAI, World

NOW = int(time.time())


async def test_names_that_expired_are_forgotten_by_the_tidying_and_by_no_request(
    world: World,
) -> None:
    database, owner = world.platform.database, secrets.token_hex(8)
    used = UsedOnce(database)
    past = clock.now() - timedelta(seconds=1)

    first, again = [await used.use(owner, "name", past) for _ in range(2)]
    await forget_used(database.pool)
    later = await used.use(owner, "name", past)

    assert (first, again, later) == (True, False, True)


async def test_an_asserted_client_gets_a_token_and_the_log_has_it(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    response = await client.post("/oauth/token", data=party.form("audit:read"))

    assert response.status_code == 200
    assert response.json()["token_type"] == "Bearer"
    assert response.json()["expires_in"] == 900
    assert response.headers["cache-control"] == "no-store"
    issued = await world.log(Event.TOKEN_ISSUED)
    assert [(e["client"], e["scope"]) for e in issued] == [(party.id, ["audit:read"])]
    assert response.json()["access_token"] not in str(issued)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": [ISSUER]}, "assertion_aud"),
        ({"aud": f"{ISSUER}/oauth/token"}, "assertion_aud"),
        ({"aud": "http://elsewhere.test"}, "assertion_aud"),
        ({"exp": NOW + 3600}, "assertion_exp"),
        ({"exp": NOW + 315_360_000}, "assertion_exp"),
        ({"exp": NOW - 5, "iat": NOW - 50}, "assertion_expired"),
        ({"exp": "soon"}, "assertion_exp"),
        ({"iat": NOW + 120, "exp": NOW + 150}, "assertion_iat"),
        ({"nbf": NOW + 120}, "assertion_nbf"),
        ({"nbf": "x"}, "assertion_iat"),
        ({"iss": "somebody-else"}, "assertion_iss"),
        ({"jti": ""}, "assertion_jti"),
        ({"jti": 7}, "assertion_jti"),
        ({"jti": "x" * 200}, "assertion_jti"),
        ({"jti": "a\u0000b"}, "assertion_jti"),
    ],
)
async def test_an_assertion_with_a_wrong_claim_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, claims: dict[str, Any], why: str
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    late = int(time.time()) - NOW  # the claims were written down when this file was read
    now: dict[str, Any] = {name: v + late if name != "jti" and isinstance(v, int) else v
           for name, v in claims.items()}  # fmt: skip
    form = party.form("audit:read", client_assertion=party.assertion(**now))

    response = await client.post("/oauth/token", data=form)

    assert response.status_code == 401
    assert response.json()["error"] == "invalid_client"
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == [why]


@pytest.mark.parametrize("claim", ["iat", "exp", "jti", "aud", "iss", "sub"])
async def test_an_assertion_without_a_claim_is_refused(
    client: httpx.AsyncClient, world: World, claim: str
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    form = party.form("audit:read", client_assertion=party.assertion(without=(claim,)))

    response = await client.post("/oauth/token", data=form)

    assert response.status_code == 401
    assert len(await world.log(Event.TOKEN_REFUSED)) == 1


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"typ": "at+jwt"}, "assertion_typ"),
        ({"typ": "dpop+jwt"}, "assertion_typ"),
        ({"typ": ["JWT"]}, "assertion_header"),
        ({"kid": ""}, "assertion_kid"),
        ({"kid": "unknown"}, "assertion_not_by_client"),
        ({"alg": "none"}, "assertion_alg"),
        ({"alg": "HS256"}, "assertion_alg"),
        ({"alg": "ES384"}, "assertion_alg"),
        ({"jwk": {"kty": "EC"}}, "assertion_header"),
        ({"jku": "http://127.0.0.1/keys"}, "assertion_header"),
        ({"crit": ["exp"]}, "assertion_header"),
        ({"b64": False}, "assertion_malformed"),
    ],
)
async def test_an_assertion_with_a_strange_header_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, header: dict[str, Any], why: str
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    _, payload, signature = party.assertion().split(".")
    head = {"alg": "ES256", "kid": party.key.thumbprint(), **header}
    encoded = urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
    form = party.form("audit:read", client_assertion=f"{encoded}.{payload}.{signature}")

    response = await client.post("/oauth/token", data=form)

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == [why]


async def test_a_clock_that_is_30_seconds_ahead_is_tolerated(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    now = int(time.time())
    ahead = party.assertion(iat=now + 25, exp=now + 80, nbf=now + 25)

    response = await client.post(
        "/oauth/token", data=party.form("audit:read", client_assertion=ahead)
    )

    assert response.status_code == 200


async def test_unknown_client_wrong_key_and_wrong_method_get_the_identical_answer(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    secretive = await world.party(KENKO, Role.AUDITOR, by_secret=True)
    stranger = party.assertion(iss="nobody", sub="nobody")
    wrong_key = party.assertion(key=ECKey.generate_key("P-256"))
    wrong_method = secretive.assertion()

    answers = [
        await client.post("/oauth/token", data=party.form("audit:read", client_assertion=assertion))
        for assertion in (stranger, wrong_key, wrong_method)
    ]
    answers.append(
        await client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(secretive.id, secrets.token_urlsafe(32)),
        )
    )
    answers.append(
        await client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=("nobody", secrets.token_urlsafe(32)),
        )
    )

    assert {(a.status_code, a.text, a.headers["www-authenticate"]) for a in answers} == {
        (401, answers[0].text, 'Basic realm="urbanos", charset="UTF-8"')
    }
    assert len(await world.log(Event.TOKEN_REFUSED)) == 5


async def test_the_same_assertion_twice_at_once_succeeds_exactly_once(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    form = party.form("audit:read")

    answers = await asyncio.gather(*(client.post("/oauth/token", data=form) for _ in range(8)))

    assert sorted(a.status_code for a in answers) == [200] + [401] * 7
    refused = await world.log(Event.TOKEN_REFUSED)
    assert {(e["why"], e["client"]) for e in refused} == {("assertion_replayed", party.id)}


async def test_the_same_jti_of_another_client_is_no_replay(
    client: httpx.AsyncClient, world: World
) -> None:
    one, other = await world.party(KENKO, Role.AUDITOR), await world.party(SAKAI, Role.AUDITOR)
    jti = secrets.token_hex(8)

    answers = [
        await client.post(
            "/oauth/token",
            data=party.form("audit:read", client_assertion=party.assertion(jti=jti)),
        )
        for party in (one, other)
    ]

    assert [a.status_code for a in answers] == [200, 200]


async def test_a_secret_gets_a_token_and_a_wrong_one_does_not(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR, by_secret=True)
    form = {"grant_type": "client_credentials", "scope": "audit:read"}
    assert party.secret is not None

    right = [
        await client.post("/oauth/token", data=form, auth=(party.id, party.secret))
        for _ in range(2)
    ]
    wrong = await client.post("/oauth/token", data=form, auth=(party.id, party.secret[::-1]))

    assert [a.status_code for a in right] == [200, 200]
    assert wrong.status_code == 401
    stored = await world.platform.database.pool.fetchval(
        "SELECT secret_hash FROM client WHERE id = $1", party.id
    )
    assert stored.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"client_id": "another"}, "client_id_mismatch"),
        ({"client_secret": "x"}, "client_secret_post"),
        ({"client_assertion_type": "jwt"}, "assertion_type"),
        ({"grant_type": "password"}, "grant_type"),
        ({"grant_type": "refresh_token"}, "grant_type"),
        ({"grant_type": "implicit"}, "grant_type"),
        ({"scope": ""}, "unreadable"),
        ({"scope": "admin:read  audit:read"}, "unreadable"),
        ({"scope": 'a"b'}, "unreadable"),
        ({"scope": " ".join(f"dataset:d{i}:read" for i in range(101))}, "unreadable"),
        ({"scope": "dataset:none:read"}, "nothing_granted"),
        ({"scope": "admin:write"}, "nothing_granted"),
        ({"scope": "admin:*"}, "nothing_granted"),
        ({"client_assertion": "x"}, "assertion_malformed"),
        ({"client_assertion": "トークン"}, "assertion_malformed"),
    ],
)
async def test_a_wrong_parameter_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, change: dict[str, str], why: str
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    response = await client.post("/oauth/token", data={**party.form("audit:read"), **change})

    assert response.status_code in (400, 401)
    assert set(response.json()) == {"error", "error_description"}
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == [why]


async def test_two_authentication_methods_at_once_are_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    response = await client.post(
        "/oauth/token", data=party.form("audit:read"), auth=(party.id, "x")
    )

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == ["two_methods"]


async def test_no_authentication_is_refused(client: httpx.AsyncClient, world: World) -> None:
    response = await client.post("/oauth/token", data={"grant_type": "client_credentials"})

    assert response.status_code == 401
    assert len(await world.log(Event.TOKEN_REFUSED)) == 1


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        ("grant_type=a&grant_type=b", "application/x-www-form-urlencoded", "duplicate"),
        ("scope=a&scope=a", "application/x-www-form-urlencoded", "duplicate"),
        ("{}", "application/json", "content_type"),
        ("a=1", None, "content_type"),
        ("a=" + "x" * 17_000, "application/x-www-form-urlencoded", "too_long"),
        ("&".join(f"a{i}=1" for i in range(50)), "application/x-www-form-urlencoded", "form"),
        ("%ff=%ff", "application/x-www-form-urlencoded", "form"),
        ("nothing", "application/x-www-form-urlencoded", "form"),
    ],
)
async def test_an_unreadable_request_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, body: str, kind: str | None, why: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}

    response = await client.post("/oauth/token", content=body, headers=headers)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == [why]


async def test_parameters_in_the_query_are_refused(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    response = await client.post("/oauth/token?scope=audit:read", data=party.form("audit:read"))

    assert response.status_code == 400
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == ["query"]


async def test_only_part_of_what_is_asked_is_granted_and_the_answer_says_so(
    client: httpx.AsyncClient, world: World
) -> None:
    own, foreign = await world.dataset(KENKO), await world.dataset(SAKAI)
    party = await world.party(KENKO, Role.STEWARD)
    scope = f"dataset:{own}:read dataset:{foreign}:read catalogue:write admin:write"

    response, _ = await asked(client, party.issuer, party.form(scope))
    unbound = await client.post("/oauth/token", data=party.form(scope))

    assert response.json()["scope"] == f"dataset:{own}:read catalogue:write"
    assert response.json()["expires_in"] == 300  # a restricted dataset is within reach
    assert (unbound.json()["scope"], unbound.json()["expires_in"]) == ("catalogue:write", 900)


async def test_a_token_that_sees_a_restricted_column_of_an_internal_dataset_lives_as_short(
    client: httpx.AsyncClient, world: World
) -> None:
    field = {"name": "memo", "column": "memo", "label": "memo", "type": "text"}
    datasets = [
        await world.dataset(KENKO, data_class="internal", fields=[{**field, **more}])
        for more in ({}, {"visibility": "restricted"})
    ]
    party = await world.party(KENKO)

    lives = [
        (await asked(client, party.issuer, party.form(f"dataset:{each}:read")))[0].json()
        for each in datasets
    ]
    as_bearer = await client.post("/oauth/token", data=party.form(f"dataset:{datasets[1]}:read"))

    assert [each["expires_in"] for each in lives] == [900, 300]
    assert as_bearer.json()["expires_in"] == 900  # it sees no such column


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.OPERATOR, "admin:read admin:write audit:read"),
        (Role.COORDINATOR, "admin:read audit:read"),
        (Role.AUDITOR, "audit:read"),
        (Role.STEWARD, "catalogue:write agreements:write"),
        (Role.DEVELOPER, "agreements:write"),
    ],
)
async def test_a_role_carries_its_scopes_and_no_other(
    client: httpx.AsyncClient, world: World, role: Role, scopes: str
) -> None:
    party = await world.party(KENKO, role)
    all_fixed = "admin:read admin:write audit:read catalogue:write agreements:write"

    response = await client.post("/oauth/token", data=party.form(all_fixed))

    assert set(response.json()["scope"].split()) == set(scopes.split())


async def test_a_secret_reaches_nothing_above_internal(
    client: httpx.AsyncClient, world: World
) -> None:
    internal = await world.dataset(KENKO, data_class="internal")
    restricted = await world.dataset(KENKO, data_class="restricted")
    party = await world.party(KENKO, by_secret=True)
    assert party.secret is not None

    response = await client.post(
        "/oauth/token",
        data={
            "grant_type": "client_credentials",
            "scope": f"dataset:{internal}:read dataset:{restricted}:read",
        },
        auth=(party.id, party.secret),
    )

    assert response.json()["scope"] == f"dataset:{internal}:read"


@pytest.mark.parametrize(
    ("data_class", "organization", "granted"),
    [
        ("public", SAKAI, True),
        ("internal", "271004-digital", True),  # 庁内: another unit of the same body
        ("internal", SAKAI, False),
        ("restricted", "271004-digital", False),
        ("personal", KENKO, False),  # needs a token bound to its sender
        ("specific-personal", KENKO, False),
    ],
)
async def test_the_class_decides_who_may_name_a_dataset(
    client: httpx.AsyncClient, world: World, data_class: str, organization: str, granted: bool
) -> None:
    dataset = await world.dataset(KENKO, data_class=data_class)
    party = await world.party(organization)

    response = await client.post("/oauth/token", data=party.form(f"dataset:{dataset}:read"))

    assert (response.status_code == 200) is granted


async def test_a_client_of_another_zone_gets_no_token_here(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR, zone=Zone.LGWAN)

    response = await client.post("/oauth/token", data=party.form("audit:read"))

    assert (response.status_code, response.json()["error"]) == (400, "unauthorized_client")
    assert [entry["why"] for entry in await world.log(Event.TOKEN_REFUSED)] == ["zone"]


async def test_a_japanese_reader_gets_japanese_words_too(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/oauth/token", data={"grant_type": "x"}, headers={"Accept-Language": "ja"}
    )

    assert response.json()["error_description"].isascii()
    assert "クライアント認証" in response.json()["error_description_ja"]


async def test_an_issued_token_names_its_key_and_lives_no_longer_than_the_answer_says(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    answer = (await client.post("/oauth/token", data=party.form("audit:read"))).json()

    keys = await world.platform.keys.get()
    token = jwt.decode(answer["access_token"], keys.current)
    thumbprint = keys.current.thumbprint()  # RFC 7638
    assert token.header == {"alg": "ES256", "typ": "at+jwt", "kid": thumbprint}
    assert token.claims["aud"] == ISSUER
    assert token.claims["exp"] - token.claims["iat"] == answer["expires_in"] == 900


async def test_a_secret_with_the_client_id_of_another_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR, by_secret=True)
    other = await world.party(KENKO, Role.AUDITOR, by_secret=True)
    assert party.secret is not None
    form = {"grant_type": "client_credentials", "scope": "audit:read", "client_id": other.id}

    response = await client.post("/oauth/token", data=form, auth=(party.id, party.secret))

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    refused = await world.log(Event.TOKEN_REFUSED)
    assert [entry["why"] for entry in refused] == ["client_id_mismatch"]


async def test_metadata_names_what_is_really_on(client: httpx.AsyncClient) -> None:
    server = (await client.get("/.well-known/oauth-authorization-server")).json()
    resource = (await client.get("/.well-known/oauth-protected-resource")).json()

    assert server["issuer"] == resource["resource"] == ISSUER
    assert server["grant_types_supported"] == [
        "authorization_code",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    for endpoint in (server["jwks_uri"], resource["jwks_uri"]):
        assert (await client.get(endpoint)).status_code == 200
    assert (await client.post(server["token_endpoint"])).status_code == 400


async def test_every_oauth_route_is_in_the_metadata_and_every_endpoint_there_is_a_route(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    server = (await client.get("/.well-known/oauth-authorization-server")).json()
    named = {
        value.removeprefix(ISSUER)
        for name, value in server.items()
        if name.endswith("_endpoint") or name == "jwks_uri"
    }

    there = {r.path for r in routes_of(app.router.routes) if r.path.startswith("/oauth/")}

    assert named == there
    for name in ("token", "revocation", "introspection"):
        methods = server[f"{name}_endpoint_auth_methods_supported"]
        assert methods == ["private_key_jwt", "client_secret_basic"]
        assert (await client.post(server[f"{name}_endpoint"], data={})).status_code == 400
