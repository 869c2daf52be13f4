"""A token with every single claim wrong in turn gets 401, and the log has the refusal."""

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.oauth.keys import Keys, rotate
from app.oauth.tokens import TokenGrant, issue
from tests.conftest import ISSUER
from tests.world import Party, World

ASKS = "/v1/admin/organizations/271004"


def claims_of(party: Party, **wrong: Any) -> dict[str, Any]:
    now = int(time.time())
    right = {
        "iss": ISSUER,
        "sub": party.id,
        "client_id": party.id,
        "aud": ISSUER,
        "iat": now,
        "exp": now + 900,
        "jti": secrets.token_hex(8),
        "scope": "admin:read",
        "org": party.organization_id,
        "zone": "internet",
        "ep": 1,
    }
    return {name: value for name, value in {**right, **wrong}.items() if value is not None}


def bearer(keys: Keys, claims: dict[str, Any], **header: Any) -> str:
    head = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid, **header}
    head = {name: value for name, value in head.items() if value is not None}
    return jwt.encode(head, claims, keys.current, algorithms=["ES256"], default_type=None)


def signed(keys: Keys, claims: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer(keys, claims)}"}


async def test_a_right_token_is_let_in(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)

    response = await client.get(
        ASKS, headers=signed(await world.platform.keys.get(), claims_of(party))
    )

    assert response.status_code == 200
    assert response.json()["name_ja"] == "大阪市"


NOW = int(time.time())  # when tests are collected: the suite may run for minutes after
LATER = NOW + 3_600


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"iss": "http://elsewhere.test"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "http://elsewhere.test"}, "aud"),
        ({"aud": [ISSUER]}, "aud"),
        ({"aud": [ISSUER, "http://elsewhere.test"]}, "aud"),
        ({"aud": f"{ISSUER}/oauth/token"}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": NOW - 1, "iat": NOW - 600}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": str(NOW + 600)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": NOW + 86_400}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": LATER}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"nbf": LATER}, "nbf"),
        ({"nbf": "later"}, "nbf"),
        ({"sub": "somebody-else"}, "sub"),
        ({"sub": None}, "claims"),
        ({"client_id": None}, "claims"),
        ({"client_id": 7}, "claims"),
        ({"jti": None}, "claims"),
        ({"scope": None}, "claims"),
        ({"scope": ["admin:read"]}, "claims"),
        ({"org": None}, "claims"),
        ({"org": "271403"}, "client_revoked"),
        ({"zone": "lgwan"}, "zone"),
        ({"zone": None}, "claims"),
        ({"ep": None}, "ep"),
        ({"ep": "1"}, "ep"),
        ({"sub": "no-such-client", "client_id": "no-such-client"}, "client"),
    ],
)
async def test_a_wrong_claim_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, wrong: dict[str, Any], why: str
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = signed(await world.platform.keys.get(), claims_of(party, **wrong))

    response = await client.get(ASKS, headers=headers)

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    challenge = response.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert f'resource_metadata="{ISSUER}/.well-known/oauth-protected-resource"' in challenge
    refused = await world.log(Event.CALL_REFUSED)
    assert [(entry["code"], entry["why"]) for entry in refused] == [("invalid_token", why)]


def encoded(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forged(name: str, keys: Keys, party: Party) -> str:
    """A token forged in the way that `name` says, or `name` itself."""
    claims = claims_of(party)
    mine = ECKey.generate_key("P-256")
    head = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}

    def by(key: ECKey, **header: Any) -> str:
        return jwt.encode({**head, **header}, claims, key, algorithms=["ES256"])

    def hs256() -> str:
        public = keys.public[keys.current_kid].as_pem(private=False)
        parts = [encoded({**head, "alg": "HS256"}), encoded(claims)]
        mac = hmac.digest(public, ".".join(parts).encode(), "sha256")
        return ".".join([*parts, urlsafe_b64encode(mac).decode().rstrip("=")])

    ways: dict[str, Callable[[], str]] = {
        "no typ": lambda: bearer(keys, claims, typ=None),
        "typ JWT": lambda: by(keys.current, typ="JWT"),
        "typ of a DPoP proof": lambda: by(keys.current, typ="dpop+jwt"),
        "alg none": lambda: f"{encoded({**head, 'alg': 'none'})}.{encoded(claims)}.",
        "HS256 with the public key": hs256,
        "jwk header": lambda: by(mine, kid=mine.thumbprint(), jwk=mine.as_dict(private=False)),
        "jwk header with a right signature": lambda: by(
            keys.current, jwk=mine.as_dict(private=False)
        ),
        "signed by another key": lambda: by(mine),
        "unknown kid": lambda: by(keys.current, kid="x"),
        "a client's own key": lambda: by(party.key, kid=party.key.thumbprint()),
        "cut": lambda: by(keys.current)[:-20],
        "too long": lambda: "x" * 9000,
    }
    return ways.get(name, lambda: name)()


@pytest.mark.parametrize(
    "name",
    [
        "no typ",
        "typ JWT",
        "typ of a DPoP proof",
        "alg none",
        "HS256 with the public key",
        "jwk header",
        "jwk header with a right signature",
        "signed by another key",
        "unknown kid",
        "a client's own key",
        "cut",
        "too long",
        "no.token.at-all",
        "トークン",
    ],
)
async def test_a_forged_token_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, name: str
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    token = forged(name, await world.platform.keys.get(), party)

    response = await client.get(ASKS, headers={b"Authorization": f"Bearer {token}".encode()})

    assert response.status_code == 401
    assert len(await world.log(Event.CALL_REFUSED)) == 1


@pytest.mark.parametrize("shown", ["Basic abc", "Bearer", "bearer ", "Token x"])
async def test_a_malformed_authorization_is_refused(
    client: httpx.AsyncClient, world: World, shown: str
) -> None:
    response = await client.get(ASKS, headers={"Authorization": shown})

    assert response.status_code == 401
    assert response.json()["code"] == "authorization_malformed"
    assert 'error="invalid_request"' in response.headers["www-authenticate"]
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_two_authorization_headers_are_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    right = (await world.token(party, "admin:read"))["Authorization"]

    response = await client.get(ASKS, headers=[("Authorization", right)] * 2)

    assert response.status_code == 401


async def test_no_token_gets_a_challenge_without_an_error(
    client: httpx.AsyncClient, world: World
) -> None:
    response = await client.get(ASKS)

    assert response.status_code == 401
    assert response.json()["code"] == "token_required"
    assert "error=" not in response.headers["www-authenticate"]
    assert [entry["code"] for entry in await world.log(Event.CALL_REFUSED)] == ["token_required"]


async def test_a_token_in_the_query_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.get(ASKS, params={"access_token": "x"})

    assert response.status_code == 400
    assert response.json()["code"] == "unknown_parameter"


async def test_a_token_without_the_scope_is_refused_and_logged(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = await world.token(party, "audit:read")

    response = await client.get(ASKS, headers=headers)

    assert response.status_code == 403
    assert response.json()["code"] == "insufficient_scope"
    assert 'scope="admin:read"' in response.headers["www-authenticate"]
    refused = await world.log(Event.CALL_REFUSED)
    assert [entry["client"] for entry in refused] == [party.id]


async def test_a_revoked_client_fails_at_once_with_an_unexpired_token(
    client: httpx.AsyncClient, world: World
) -> None:
    operator = await world.party("270008-smartcity", Role.OPERATOR)
    other = await world.party("270008-smartcity", Role.COORDINATOR)
    theirs = await world.token(other, "admin:read")
    mine = await world.token(operator, "admin:write")
    assert (await client.get(ASKS, headers=theirs)).status_code == 200

    revoked = await client.post(f"/v1/admin/clients/{other.id}/revoke", headers=mine)

    assert revoked.status_code == 200
    assert (await client.get(ASKS, headers=theirs)).status_code == 401
    again = await client.post("/oauth/token", data=other.form("admin:read"))
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


async def test_a_clients_tokens_fail_within_two_seconds_without_any_call_of_ours(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.COORDINATOR)
    headers = await world.token(party, "admin:read")
    assert (await client.get(ASKS, headers=headers)).status_code == 200

    await world.platform.database.pool.execute(
        "UPDATE client SET revoked_at = now() WHERE id = $1", party.id
    )

    began = time.monotonic()
    while (await client.get(ASKS, headers=headers)).status_code == 200:
        assert time.monotonic() - began < 5  # R06


async def test_rotation_leaves_old_tokens_valid_and_publishes_three_keys(
    client: httpx.AsyncClient, world: World
) -> None:
    platform = world.platform
    party = await world.party("270008-smartcity", Role.COORDINATOR)
    old = await world.token(party, "admin:read")
    before = await platform.keys.get()

    async with platform.database.writing() as session:
        current = await rotate(session, platform.sealer, by="test")
    platform.live.changed("keys", "current")

    after = await platform.keys.get()
    assert after.current_kid == current != before.current_kid
    assert before.current_kid in after.public
    assert len((await client.get("/oauth/jwks")).json()["keys"]) == 3
    assert (await client.get(ASKS, headers=old)).status_code == 200
    new = await world.token(party, "admin:read")
    assert (await client.get(ASKS, headers=new)).status_code == 200
    assert [entry["kid"] for entry in await world.log(Event.KEY_ROTATED)] == [current]


async def test_an_emergency_rotation_refuses_the_old_tokens(
    client: httpx.AsyncClient, world: World
) -> None:
    platform = world.platform
    party = await world.party("270008-smartcity", Role.COORDINATOR)
    old = await world.token(party, "admin:read")
    assert (await client.get(ASKS, headers=old)).status_code == 200

    async with platform.database.writing() as session:
        await rotate(session, platform.sealer, by="test", emergency=True)
    platform.live.changed("keys", "current")
    await platform.keys.get()

    assert (await client.get(ASKS, headers=old)).status_code == 401


async def test_the_private_half_is_sealed_in_the_database(world: World) -> None:
    rows = await world.platform.database.pool.fetch("SELECT * FROM signing_key")

    for row in rows:
        assert b'"d"' not in row["sealed_private_jwk"]
        assert '"d"' not in row["public_jwk"]


async def test_a_token_is_remembered_only_until_it_expires(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = world.platform
    grant = TokenGrant("c", "271004", "internet", ("admin:read",), 1, 900)
    token = issue(await platform.keys.get(), ISSUER, grant).token
    verified = await platform.tokens.verify(token)
    assert platform.tokens.remembered(token) is verified

    later = clock.now().fromtimestamp(time.time() + 901, clock.TOKYO)
    monkeypatch.setattr(clock, "now", lambda: later)

    assert platform.tokens.remembered(token) is None
