"""Tokens that nobody gave, as like a good one as can be. Made of nothing but what the judge was given."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.certify.client import Server
from app.certify.granted import Token, encoded
from app.certify.stage import Stage


def forged(server: Server, stage: Stage, good: Token | None) -> Iterator[tuple[str, Token]]:
    """Each with what it is; the signature of none counts. `good`: the one that they are like."""
    told, bond = _claims(good, server, stage), good.bond if good else None
    own = ECKey.generate_key("P-256")
    head = {"typ": "at+jwt", "alg": "ES256", "kid": own.thumbprint()}
    signed = jws.serialize_compact(head, orjson.dumps(told), own, ["ES256"])
    none = {"typ": "at+jwt", "alg": "none"}
    unsigned = f"{encoded(orjson.dumps(none))}.{encoded(orjson.dumps(told))}."
    scope = good.scope if good else ()
    yield "a token that another key signed", Token(signed, scope, bond)
    yield "a token with alg none", Token(unsigned, scope, bond)
    if good is not None and good.text.count(".") == 2:
        front, body, signature = good.text.split(".")
        middle = len(signature) // 2
        other = "A" if signature[middle] != "A" else "B"
        changed = f"{signature[:middle]}{other}{signature[middle + 1 :]}"
        yield "a changed signature", Token(f"{front}.{body}.{changed}", scope, bond)
        more = encoded(orjson.dumps({**told, "scope": f"dataset:{stage.id}:write"}))
        yield "a changed scope", Token(f"{front}.{more}.{signature}", scope, bond)
    if server.lent.expired_token:
        yield "a token that has expired", Token(server.lent.expired_token, scope)


def _claims(good: Token | None, server: Server, stage: Stage) -> dict[str, Any]:
    """What a token of the server says, read from a good one; else what RFC 9068 asks for."""
    now = int(time.time())
    made = {
        "iss": server.base, "aud": server.base, "sub": "judge", "client_id": "judge", "iat": now,
        "exp": now + 300, "jti": secrets.token_hex(8), "scope": f"dataset:{stage.id}:read",
    }  # fmt: skip
    if good is None or good.text.count(".") != 2:
        return made
    try:
        told = orjson.loads(jws.extract_compact(good.text.encode()).payload)
    except (JoseError, ValueError):
        return made
    return {**told, "exp": now + 300, "jti": secrets.token_hex(8)}
