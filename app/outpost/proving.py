"""How an agent proves each of its requests: a DPoP proof (RFC 9449) that holds the body's hash too.

A gateway between that takes TLS apart can neither make a request of its own nor change one.
"""

import hashlib
import secrets
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from app.kit import clock
from app.outpost.signed import ALGORITHM

BODY_CLAIM: Final = "body_sha256"


def prove(key: ECKey, method: str, uri: str, body: bytes) -> str:
    """The proof of one request."""
    public = key.as_dict(private=False)
    header = {
        "alg": ALGORITHM, "typ": "dpop+jwt",
        "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")},
    }  # fmt: skip
    claims: dict[str, Any] = {
        "htm": method, "htu": uri, "iat": int(clock.now().timestamp()),
        "jti": secrets.token_urlsafe(16), BODY_CLAIM: hash_of(body),
    }  # fmt: skip
    return jws.serialize_compact(header, orjson.dumps(claims), key, [ALGORITHM])


def hash_of(body: bytes) -> str:
    """A body's hash as a proof names it."""
    return urlsafe_b64encode(hashlib.sha256(body).digest()).decode()


def names_body(proof: bytes, body: bytes) -> bool:
    """Whether a proof, whose signature is known to be right, is of this body."""
    claims = orjson.loads(jws.extract_compact(proof).payload)
    return bool(claims.get(BODY_CLAIM) == hash_of(body))
