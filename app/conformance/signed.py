"""Certificates and revocation lists as signed files (JWS, RFC 7515): made and opened. Pure.

Their types are their own, so that no token is taken for one of them, nor one of them for a token.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.conformance.refusals import CertificateInvalid

CERTIFICATE: Final = "conformance-certificate+jwt"
REVOCATIONS: Final = "conformance-revocations+jwt"
ALGORITHM: Final = "ES256"
_LONGEST: Final = 1024 * 1024
_HEADER: Final = frozenset({"alg", "typ", "kid"})


def sign(type_: str, claims: Mapping[str, Any], kid: str, key: ECKey) -> str:
    """Claims as a compact JWS."""
    header = {"alg": ALGORITHM, "typ": type_, "kid": kid}
    payload = orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)
    return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


def opened(type_: str, text: str, key_set: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a file whose signature is right. Raises `CertificateInvalid`.

    Every character counts: base64 that reads the same is refused unless it is the very same.
    """
    if len(text) > _LONGEST:
        raise _invalid("it is too long", "長すぎます")
    try:
        parsed = jws.extract_compact(text.encode("ascii"))
        header = parsed.headers()
        key = _key_of(header, key_set)
        if header.keys() != _HEADER or header["typ"] != type_ or header["alg"] != ALGORITHM:
            raise _invalid("it is a file of another kind", "別の種類のファイルです")
        good = jws.validate_compact(parsed, key, [ALGORITHM])
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise _invalid(
            "it was changed, or is no such file", "改変されているか、形式が違います"
        ) from exc
    if not good or not isinstance(claims, dict) or not _is_canonical(text):
        raise _invalid("it was changed", "改変されています")
    return claims


def check_in_force(
    claims: Mapping[str, Any], now: datetime, revoked: Collection[str] | None = None
) -> None:
    """Raise `CertificateInvalid` for what has expired, or is revoked as far as is known."""
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or not isinstance(issued, int):
        raise _invalid("it says no times", "期間が書かれていません")
    if now.timestamp() >= expires:
        raise _invalid("it has expired", "有効期限が切れています")
    if claims.get("jti") in (revoked or ()):
        raise _invalid("it is revoked", "失効しています")


def revoked_in(claims: Mapping[str, Any], now: datetime) -> frozenset[str]:
    """The ids in a revocation list. Raises `CertificateInvalid` for one that is out of date."""
    check_in_force(claims, now)
    listed = claims.get("revoked")
    if not isinstance(listed, list):
        raise _invalid("it is no revocation list", "失効リストではありません")
    return frozenset(str(each.get("id")) for each in listed if isinstance(each, dict))


def _key_of(header: Mapping[str, Any], key_set: Mapping[str, Any]) -> ECKey:
    listed: Iterable[Any] = key_set["keys"]
    for each in listed:
        if isinstance(each, dict) and each.get("kid") == header.get("kid"):
            return ECKey.import_key(each)
    raise _invalid("no key of the issuer has signed it", "発行元の鍵による署名ではありません")


def _is_canonical(text: str) -> bool:
    for part in text.split("."):
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        if urlsafe_b64encode(raw).decode().rstrip("=") != part:
            return False
    return True


def _invalid(why: str, why_ja: str) -> CertificateInvalid:
    return CertificateInvalid(why=why, why_ja=why_ja)
