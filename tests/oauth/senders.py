"""Senders that prove a key of theirs with each request (RFC 9449), for tests; any part may be wrong."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey

from tests.bound import digest, encoded, request_claims
from tests.conftest import ISSUER
from tests.world import Party, World

TOKEN_PATH = "/oauth/token"


def proof(
    key: ECKey,
    method: str,
    path: str,
    *,
    token: str | None = None,
    header: dict[str, Any] | None = None,
    signed_by: Any = None,
    without: tuple[str, ...] = (),
    **claims: Any,
) -> str:
    """A proof that is right but for what is named."""
    full = request_claims(method, ISSUER + path)
    if token is not None:
        full["ath"] = digest(token)
    full |= claims
    for name in without:
        del full[name]
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    payload = json.dumps(full).encode()
    if head["alg"] not in ("ES256", "HS256"):
        return f"{encoded(json.dumps(head).encode())}.{encoded(payload)}."
    return jws.serialize_compact(head, payload, signed_by or key, [head["alg"]])


@dataclass(frozen=True, slots=True)
class Sender:
    """A party with a token bound to a key of its own."""

    party: Party
    token: str
    answer: dict[str, Any]
    key: ECKey = field(repr=False)

    def headers(self, path: str, method: str = "GET", **wrong: Any) -> dict[str, str]:
        """What a request is sent with."""
        shown = proof(self.key, method, path, token=self.token, **wrong)
        return {"Authorization": f"DPoP {self.token}", "DPoP": shown}


def under(agreement: str, *actions: str) -> str:
    """Authorization details that name one agreement."""
    detail = {
        "type": "dataset-agreement",
        "agreement": agreement,
        "actions": list(actions or ("read",)),
    }
    return json.dumps([detail])


async def asked(
    world: World, party: Party, scope: str, key: ECKey | None = None, **form: str
) -> httpx.Response:
    """The answer to a token request that proves a key."""
    shown = proof(key or ECKey.generate_key("P-256"), "POST", TOKEN_PATH)
    data = party.form(scope, **form)
    return await world.client.post(TOKEN_PATH, data=data, headers={"DPoP": shown})


async def sender(world: World, party: Party, scope: str, **form: str) -> Sender:
    """The party with a fresh token that is bound to a fresh key."""
    key = ECKey.generate_key("P-256")
    response = await asked(world, party, scope, key, **form)
    assert response.status_code == 200, response.text
    return Sender(party, response.json()["access_token"], response.json(), key)
