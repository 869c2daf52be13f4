"""ID tokens (OpenID Connect Core 1.0, 3.1.3.7), read strictly: what an answer of a provider says.

A key that a token brings along is never used, nor an algorithm that is not in our list.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.signin.discovery import ALGORITHMS

_SKEW_S: Final = 60
_OLDEST_S: Final = 600  # a sign-in takes no longer, and its token is made at its end
_LONGEST_SUBJECT: Final = 255  # OpenID Connect Core 1.0, 2
_EC: Final = "ES256"
_TYPES: Final = frozenset({None, "JWT"})

FindKey = Callable[[str | None], Awaitable[ECKey | RSAKey | None]]


class IdTokenRefused(AppError):
    """What the provider says about who signed in is not exactly right. `why` is for the log."""

    kind = Kind.UNAUTHENTICATED
    code = "id_token_refused"
    ja = "認証プロバイダーの応答を確認できませんでした（{why}）。もう一度サインインしてください。"
    en = "The identity provider's answer could not be verified ({why}). Sign in once more."


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token must say for this sign-in."""

    issuer: str
    client_id: str
    nonce: str
    not_before_s: float | None = None  # with max_age=0: the person signed in again since


async def verify(text: object, expected: Expected, find_key: FindKey) -> dict[str, Any]:
    """The claims of a token that is right in every way, or `IdTokenRefused`."""
    if not isinstance(text, str):
        raise IdTokenRefused(why="absent")
    try:
        parsed = jws.extract_compact(text.encode("ascii"))
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError) as exc:
        raise IdTokenRefused(why="malformed") from exc
    await _check_signature(parsed, find_key)
    if not isinstance(claims, dict):
        raise IdTokenRefused(why="claims")
    _check_parties(claims, expected)
    _check_times(claims, expected, clock.now().timestamp())
    return claims


async def _check_signature(parsed: jws.CompactSignature, find_key: FindKey) -> None:
    header = parsed.headers()
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if alg not in ALGORITHMS or "crit" in header or "b64" in header:
        raise IdTokenRefused(why="alg")
    if not isinstance(typ, str | None) or typ not in _TYPES or not isinstance(kid, str | None):
        raise IdTokenRefused(why="header")
    key = await find_key(kid)
    if key is None or isinstance(key, ECKey) != (alg == _EC):
        raise IdTokenRefused(why="key")
    try:
        is_signed = jws.validate_compact(parsed, key, [str(alg)])
    except JoseError:
        is_signed = False
    if not is_signed:
        raise IdTokenRefused(why="signature")


def _check_parties(claims: dict[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise IdTokenRefused(why="iss")
    audience, party = claims.get("aud"), claims.get("azp")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    is_shared = isinstance(audience, list) and expected.client_id in audience
    if audience != expected.client_id and not (is_shared and party is not None):
        raise IdTokenRefused(why="aud")
    if party is not None and party != expected.client_id:
        raise IdTokenRefused(why="azp")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(), expected.nonce.encode()
    ):
        raise IdTokenRefused(why="nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _LONGEST_SUBJECT:
        raise IdTokenRefused(why="sub")
    if not (subject.isascii() and subject.isprintable()):
        raise IdTokenRefused(why="sub")


def _check_times(claims: dict[str, Any], expected: Expected, now: float) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires <= now - _SKEW_S:
        raise IdTokenRefused(why="exp")
    if not now - _OLDEST_S - _SKEW_S <= issued <= now + _SKEW_S:
        raise IdTokenRefused(why="iat")
    if "nbf" in claims and _time(claims, "nbf") > now + _SKEW_S:
        raise IdTokenRefused(why="nbf")
    if expected.not_before_s is not None and not is_since(claims, expected.not_before_s):
        raise IdTokenRefused(why="auth_time")


def is_since(claims: dict[str, Any], moment_s: float) -> bool:
    """Whether the token says that the person signed in since a moment, and not in the future."""
    if "auth_time" not in claims:
        return False
    at = _time(claims, "auth_time")
    return moment_s - _SKEW_S <= at <= clock.now().timestamp() + _SKEW_S


def _time(claims: dict[str, Any], name: str) -> float:
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise IdTokenRefused(why=name)
    return found
