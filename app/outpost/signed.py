"""Signed words between a platform and its agents: JWS by ES256, each of one type. Keeps no key.

The type keeps an access token, an assertion or a proof from being taken for one of these, and one of
these for another (RFC 8725, 3.11). The algorithm is never the header's choice.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.kit import clock
from app.kit.errors import AppError, Kind

ALGORITHM: Final = "ES256"
JOB: Final = "agent-job+jwt"
KEYS: Final = "agent-keys+jwt"
ALLOWANCE: Final = "agent-allowance+jwt"
BUNDLE: Final = "agent-bundle+jwt"
LONGEST_S: Final = 60  # that a platform's word may live
SKEW_S: Final = 5
_LONGEST: Final = 1 << 19


class _Registry(jws.JWSRegistry):
    max_payload_length = _LONGEST


_REGISTRY: Final = _Registry(algorithms=[ALGORITHM])
_HEADER: Final = frozenset({"alg", "typ", "kid"})


class WordRefused(AppError):
    """A signed word is not what it should be; `why` says in which respect."""

    kind = Kind.FORBIDDEN
    code = "agent_word_refused"
    ja = "署名された指示を受け入れません（{why_ja}）。"
    en = "The signed word is not accepted: {why}."

    def __init__(self, why: str, why_ja: str) -> None:
        super().__init__(why=why, why_ja=why_ja)


class SignerUnknown(WordRefused):
    """Signed by a key that is none of those that are pinned."""

    code = "agent_signer_unknown"


def sign(key: ECKey, typ: str, claims: Mapping[str, Any]) -> str:
    """Claims, signed."""
    header = {"alg": ALGORITHM, "typ": typ, "kid": key.thumbprint()}
    return jws.serialize_compact(header, orjson.dumps(claims), key, registry=_REGISTRY)


def opened(word: str, typ: str, keys: Mapping[str, ECKey]) -> dict[str, Any]:
    """The claims of a word of a type, signed by one of `keys`. Raises `WordRefused`."""
    try:
        parsed = jws.extract_compact(word.encode("ascii"), registry=_REGISTRY)
        header, claims = parsed.headers(), orjson.loads(parsed.payload)
    except (JoseError, ValueError, TypeError):
        raise WordRefused("it is no JWS", "JWSではありません") from None
    if header.keys() != _HEADER or (header["alg"], header["typ"]) != (ALGORITHM, typ):
        raise WordRefused(f"it is no {typ}", f"{typ} ではありません")
    key = keys.get(str(header["kid"]))
    if key is None:
        raise SignerUnknown("its key is not pinned", "署名鍵が登録されていません")
    try:
        good = jws.validate_compact(parsed, key, registry=_REGISTRY)
    except JoseError:
        good = False
    if not good or not isinstance(claims, dict):
        raise WordRefused("its signature is wrong", "署名が正しくありません")
    return claims


def check_young(claims: Mapping[str, Any]) -> None:
    """Raise `WordRefused` unless a word lives now, and for a minute at most."""
    now, issued, ends = clock.now().timestamp(), claims.get("iat"), claims.get("exp")
    if not (_is_time(issued) and _is_time(ends) and 0 < ends - issued <= LONGEST_S):
        raise WordRefused("it lives longer than a minute", "有効期間が60秒を超えています")
    if ends <= now:
        raise WordRefused("it has expired; check the clock", "期限切れです。時計を確認してください")
    if issued > now + SKEW_S:
        raise WordRefused(
            "it is of the future; check the clock", "未来の日時です。時計を確認してください"
        )


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
