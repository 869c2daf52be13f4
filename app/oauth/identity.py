"""Who signed in, told to the app that they signed in to (OpenID Connect Core). Opens no door."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import asyncpg
from joserfc import jwt

from app.kit import clock
from app.oauth.keys import ALGORITHM, Keys
from app.oauth.tokens import CitizenGrant, PersonGrant, said_of

USERINFO_PATH: Final = "/oauth/userinfo"
LIFETIME_S: Final = 300
# Core, 3.1.3.3: which scope tells which claim.
CLAIMS: Final = {"profile": "name", "email": "email"}
_PERSON: Final = "SELECT name, email FROM person WHERE id = $1"


async def claims_about(
    pool: "asyncpg.Pool[Any]", person_id: str, scope: Collection[str]
) -> dict[str, str]:
    """What the scope lets an app know of a person, as the registry has it now."""
    (row,) = await pool.fetch(_PERSON, person_id)  # nobody is ever deleted
    told = {claim: row[claim] for name, claim in CLAIMS.items() if name in scope}
    return {"sub": person_id, **told}


def id_token(
    keys: Keys,
    issuer: str,
    client_id: str,
    person: PersonGrant,
    about: dict[str, str],
    *,
    methods: Sequence[str],
    nonce: str | None,
) -> str:
    """A signed statement for the one app of which member of staff signed in to it."""
    told = {"auth_time": person.auth_time, "acr": person.acr, "amr": list(methods)}
    return _signed(keys, issuer, client_id, {**about, **told}, nonce)


def citizen_id_token(
    keys: Keys, issuer: str, client_id: str, citizen: CitizenGrant, *, nonce: str | None
) -> str:
    """A signed statement for the one app of how its organisation calls who signed in to it."""
    return _signed(keys, issuer, client_id, said_of(citizen), nonce)


def _signed(
    keys: Keys, issuer: str, client_id: str, told: dict[str, Any], nonce: str | None
) -> str:
    """Its type is not that of an access token (RFC 9068, 2.1)."""
    now = int(clock.now().timestamp())
    claims = {"iss": issuer, **told, "aud": client_id, "iat": now, "exp": now + LIFETIME_S}
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"alg": ALGORITHM, "typ": "JWT", "kid": keys.current_kid}
    return jwt.encode(header, claims, keys.current, algorithms=[ALGORITHM])
