"""Tokens that are bound to a key, sent as their senders do: each request with a proof of its own.

`World.token` gets them. A request says only whose token it carries, and `prove`, a hook of the
tests' clients, adds the proof (RFC 9449); a test of bearer tokens asks for `World.bearer`, and one
of wrong proofs brings its own, which is left as it is.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

import httpx
from joserfc import jws
from joserfc.jwk import ECKey

_SENDERS: Final[dict[str, tuple[ECKey, str]]] = {}  # by token: its key, and the issuer


async def asked(
    http: httpx.AsyncClient, issuer: str, form: dict[str, str]
) -> tuple[httpx.Response, dict[str, str]]:
    """The answer to a token request that proves a fresh key, and the header that sends the token."""
    key = ECKey.generate_key("P-256")
    shown = signed(key, request_claims("POST", f"{issuer}/oauth/token"))
    answer = await http.post("/oauth/token", data=form, headers={"DPoP": shown})
    token = answer.json().get("access_token")
    if token is None:
        return answer, {}
    _SENDERS[token] = (key, issuer)
    return answer, {"Authorization": f"DPoP {token}"}


async def prove(request: httpx.Request) -> None:
    """Add the proof of the request, where its token is one of those and it has none."""
    shown = proof_for(request.method, request.url.raw_path, request.headers)
    if shown is not None:
        request.headers["DPoP"] = shown


HOOKS: Final = {"request": [prove]}


def proof_for(method: str, path: bytes, headers: Mapping[str, str]) -> str | None:
    """The proof that a request with these headers lacks."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme != "DPoP" or "DPoP" in headers or token not in _SENDERS:
        return None
    key, issuer = _SENDERS[token]
    where = issuer + path.partition(b"?")[0].decode("ascii")
    return signed(key, {**request_claims(method, where), "ath": digest(token)})


def request_claims(method: str, where: str) -> dict[str, Any]:
    """What a proof of a request says of it, without the token."""
    return {"htm": method, "htu": where, "iat": int(time.time()), "jti": secrets.token_hex(8)}


def signed(key: ECKey, said: dict[str, Any]) -> str:
    """A proof that says this."""
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jws.serialize_compact(head, json.dumps(said).encode(), key, ["ES256"])


def digest(token: str) -> str:
    """What `ath` must be for a token (RFC 9449, 4.2)."""
    return encoded(hashlib.sha256(token.encode()).digest())


def encoded(data: bytes) -> str:
    """As JOSE writes bytes."""
    return urlsafe_b64encode(data).decode().rstrip("=")
