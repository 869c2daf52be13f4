"""Client assertions (RFC 7523), read strictly. A key that an assertion brings is never used."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.kit import clock
from app.oauth.keys import ALGORITHM
from app.oauth.refusals import InvalidAssertion
from app.oauth.tokens import SKEW_S, is_time

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_S: Final = 60
_HEADER: Final = frozenset({"alg", "typ", "kid"})
# An access token or another kind of JWT is never taken for an assertion (RFC 8725, 3.11).
_TYPES: Final = frozenset({None, "JWT", "client-authentication+jwt"})
_LONGEST_JTI: Final = 128


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion whose claims are right in themselves. Its signature is not yet checked."""

    client_id: str
    jti: str
    kid: str
    expires_at: datetime
    parsed: jws.CompactSignature

    def is_signed_by(self, key: ECKey) -> bool:
        """Whether the signature is `key`'s, by ES256 and nothing else."""
        try:
            return jws.validate_compact(self.parsed, key, [ALGORITHM])
        except JoseError:
            return False


def read_assertion(text: str, issuer: str) -> Assertion:
    """Read and judge an assertion without knowing any client; raises `InvalidAssertion`.

    `aud` must be the issuer as one string (RFC 7523bis: neither a list nor the endpoint's URL).
    """
    try:
        parsed = jws.extract_compact(text.encode("ascii"))
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError) as exc:
        raise _wrong("malformed", "JWS ではありません", "it is not a JWS") from exc
    header = parsed.headers()
    _check_header(header)
    if not isinstance(claims, dict):
        raise _wrong("claims", "クレームがJSONオブジェクトではありません", "claims are no object")
    _check_parties(claims, issuer)
    _check_times(claims, clock.now().timestamp())
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= _LONGEST_JTI or "\0" in jti:
        raise _wrong(
            "jti", "jti（128文字以内）が必要です", "jti of at most 128 characters is needed"
        )
    return Assertion(
        client_id=claims["sub"],
        jti=jti,
        kid=header["kid"],
        # Kept a little longer than it is valid: the replicas' clocks differ.
        expires_at=datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=2 * SKEW_S),
        parsed=parsed,
    )


def key_named_by(text: str) -> tuple[str, object]:
    """Who signed an assertion, and the key whose thumbprint it names (RFC 7800, 3.4), if any.

    Only for an assertion that proved its client.
    """
    parsed = jws.extract_compact(text.encode("ascii"))
    confirmed = orjson.loads(parsed.payload).get("cnf")
    named = confirmed.get("jkt") if isinstance(confirmed, dict) else None
    return parsed.headers()["kid"], named


def _check_header(header: dict[str, Any]) -> None:
    if header.get("alg") != ALGORITHM:
        raise _wrong("alg", "alg は ES256 だけです", "alg must be ES256")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _wrong("kid", "ヘッダに kid が必要です", "the header needs kid")
    typ = header.get("typ")
    if not header.keys() <= _HEADER or not (typ is None or isinstance(typ, str)):
        raise _wrong(
            "header", "ヘッダは alg, kid, typ だけです", "the header is alg, kid, typ only"
        )
    if typ not in _TYPES:
        raise _wrong("typ", "typ が違います", "typ is that of another kind of token")


def _check_parties(claims: dict[str, Any], issuer: str) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or claims.get("iss") != subject:
        raise _wrong(
            "iss", "iss と sub は client_id です", "iss and sub must both be the client_id"
        )
    if claims.get("aud") != issuer:
        raise _wrong(
            "aud",
            f"aud は発行者 {issuer} という一つの文字列です",
            f"aud must be the issuer {issuer} as one string",
        )


def _check_times(claims: dict[str, Any], now: float) -> None:
    exp, iat, nbf = (claims.get(name) for name in ("exp", "iat", "nbf"))
    if not is_time(exp) or not is_time(iat):
        raise _wrong("exp", "exp と iat（数値）が必要です", "exp and iat are needed as numbers")
    assert isinstance(exp, int | float) and isinstance(iat, int | float)  # noqa: S101 - for mypy
    if exp <= now:
        raise _wrong("expired", "期限切れです", "it has expired")
    if iat > now + SKEW_S or (nbf is not None and not is_time(nbf)):
        raise _wrong("iat", "iat が未来です", "iat lies in the future")
    if nbf is not None and nbf > now + SKEW_S:
        raise _wrong("nbf", "nbf が未来です", "nbf lies in the future")
    if not 0 < exp - iat <= LONGEST_S:
        raise _wrong("exp", "exp は iat から60秒以内です", "exp must be within 60 s of iat")


def _wrong(why: str, mend_ja: str, mend_en: str) -> InvalidAssertion:
    return InvalidAssertion(f"assertion_{why}", mend_ja=mend_ja, mend_en=mend_en)
