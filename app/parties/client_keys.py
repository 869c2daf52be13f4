"""The public keys that a client registers: P-256 only, two at most. A private key is refused."""

from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.kit.errors import AppError, Fault, Kind

MOST_KEYS: Final = 2
# RFC 7518, 6.2.2 and 6.3.2 and 6.4: what a public key never has.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final = ("kty", "crv", "x", "y")


class KeysInvalid(AppError):
    """The JWKS is not one or two public EC P-256 keys for ES256."""

    kind = Kind.INVALID
    code = "jwks_invalid"
    ja = "公開鍵（JWKS）に誤りがあります。"
    en = "The public keys (JWKS) are wrong."


def check_jwks(jwks: dict[str, Any]) -> dict[str, Any]:
    """The key set as it is stored: `kid` is the RFC 7638 thumbprint. Raises `KeysInvalid`."""
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise _wrong("/keys", "jwks_size", "keys は1個か2個です。", "keys holds one or two keys.")
    checked = [_check_key(key, f"/keys/{place}") for place, key in enumerate(keys)]
    if len({key["kid"] for key in checked}) != len(checked):
        raise _wrong("/keys/1", "jwks_same", "同じ鍵が二つあります。", "The two keys are the same.")
    return {"keys": checked}


def _check_key(key: object, pointer: str) -> dict[str, str]:
    if not isinstance(key, dict):
        raise _wrong(pointer, "jwk_invalid", "JWKではありません。", "This is not a JWK.")
    if not _PRIVATE.isdisjoint(key):
        raise _wrong(
            pointer,
            "private_key",
            "秘密鍵が含まれています。公開鍵だけを送り、この鍵は使わないでください。",
            "It holds a private key. Send the public key only, and do not use this key any more.",
        )
    if key.get("kty") != "EC" or key.get("crv") != "P-256":
        raise _wrong(pointer, "jwk_curve", "EC の P-256 だけです。", "Only EC keys on P-256.")
    if key.get("alg", "ES256") != "ES256" or key.get("use", "sig") != "sig":
        raise _wrong(pointer, "jwk_use", "署名用（ES256）だけです。", "Only for signing (ES256).")
    if not all(isinstance(key.get(name), str) and len(key[name]) <= 64 for name in _MEMBERS):
        raise _wrong(pointer, "jwk_invalid", "x と y が必要です。", "x and y are needed.")
    try:
        made = ECKey.import_key({name: key[name] for name in _MEMBERS})
        public = {name: str(value) for name, value in made.as_dict(private=False).items()}
    except (JoseError, ValueError) as exc:
        raise _wrong(
            pointer, "jwk_invalid", "曲線上の点ではありません。", "Not a point on the curve."
        ) from exc
    return {**public, "kid": made.thumbprint(), "use": "sig", "alg": "ES256"}


def _wrong(pointer: str, code: str, ja: str, en: str) -> KeysInvalid:
    return KeysInvalid(faults=[Fault(pointer, code, ja, en)])
