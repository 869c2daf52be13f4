"""What a provider publishes of itself: its endpoints and its keys, kept for a while.

Takes no document that is not the issuer's own, and no key that is not the provider's.
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound

# RS256 is what OpenID Connect Core 1.0, 15.1 obliges every provider to; none and HS* never.
ALGORITHMS: Final = ("ES256", "PS256", "RS256")
_KEPT_S: Final = 600.0
_KEYS_AGAIN_S: Final = 60.0
_MOST_KEYS: Final = 50
_MOST_PROVIDERS: Final = 1_000
_RSA_BITS: Final = range(2048, 8193)  # RFC 7518, 3.3; and no key that takes seconds to check
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_SCOPE: Final = "openid profile email"
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderMisdescribed(AppError):
    """What the provider says of itself cannot be used."""

    kind = Kind.UNAVAILABLE
    code = "provider_misdescribed"
    ja = "認証プロバイダー {issuer} の公開情報が使えません（{why}）。組織の管理者に連絡してください。"
    en = "What the identity provider {issuer} publishes cannot be used ({why}). Tell who runs it."


@dataclass(frozen=True, slots=True)
class Metadata:
    """The members of a discovery document that a sign-in needs (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    says_iss: bool  # RFC 9207, 3: its answers name their issuer
    scope: str  # what we ask for


class Discovery:
    """Documents and keys of providers, by issuer. One a process."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._documents: dict[str, tuple[float, Metadata]] = {}
        self._keys: dict[str, tuple[float, Mapping[str, ECKey | RSAKey]]] = {}
        self._again: dict[str, tuple[float, None]] = {}  # when keys were read for an unknown name

    async def metadata(self, issuer: str) -> Metadata:
        """The provider's document, at most ten minutes old."""
        read_at, held = self._documents.get(issuer, (0.0, None))
        if held is not None and time.monotonic() - read_at < _KEPT_S:
            return held
        answer = await self._outbound.fetch("GET", issuer.rstrip("/") + _WELL_KNOWN)
        if answer.status != 200:
            raise ProviderMisdescribed(issuer=issuer, why=f"HTTP {answer.status}")
        found = self._read(issuer, answer.json_object())
        _keep(self._documents, issuer, found)
        return found

    async def key(self, metadata: Metadata, kid: str | None) -> ECKey | RSAKey | None:
        """The key named `kid`, or the only one where none is named.

        For a name that is not known the keys are read again, once a minute at most: whoever sends
        made-up names keeps neither us nor the provider busy.
        """
        never = float("-inf")
        read_at, held = self._keys.get(metadata.jwks_uri, (never, {}))
        again_at, _ = self._again.get(metadata.jwks_uri, (never, None))
        now = time.monotonic()
        found = _named(held, kid)
        if now - read_at > _KEPT_S:
            return _named(await self._read_keys(metadata), kid)
        if found is None and now - again_at > _KEYS_AGAIN_S:
            _keep(self._again, metadata.jwks_uri, None)
            return _named(await self._read_keys(metadata), kid)
        return found

    async def key_of(self, issuer: str, kid: str) -> ECKey | RSAKey | None:
        """The key that an issuer publishes by this name."""
        return await self.key(await self.metadata(issuer), kid)

    async def _read_keys(self, metadata: Metadata) -> Mapping[str, ECKey | RSAKey]:
        answer = await self._outbound.fetch("GET", metadata.jwks_uri)
        listed = answer.json_object().get("keys") if answer.status == 200 else None
        if not isinstance(listed, list):
            raise ProviderMisdescribed(issuer=metadata.issuer, why="jwks_uri")
        keys = {}
        for each in listed[:_MOST_KEYS]:
            key = _key(each)
            if key is not None:
                keys[str(each.get("kid", ""))] = key
        _keep(self._keys, metadata.jwks_uri, keys)
        return keys

    def _read(self, issuer: str, told: dict[str, Any]) -> Metadata:
        # Discovery 1.0, 4.3: identical, or another could speak for this issuer (mix-up).
        if told.get("issuer") != issuer:
            raise ProviderMisdescribed(issuer=issuer, why="issuer")
        for name in (*_ENDPOINTS, "userinfo_endpoint"):
            url = told.get(name)
            if url is None and name == "userinfo_endpoint":
                continue
            # Plain HTTP only where the issuer itself was let speak it.
            schemes = ("https://", issuer.partition("://")[0] + "://")
            if not isinstance(url, str) or not url.startswith(schemes):
                raise ProviderMisdescribed(issuer=issuer, why=name)
            self._outbound.check(url)
        return Metadata(
            issuer,
            told["authorization_endpoint"],
            told["token_endpoint"],
            told["jwks_uri"],
            told.get("userinfo_endpoint"),
            told.get("authorization_response_iss_parameter_supported") is True,
            _SCOPE + (" groups" if "groups" in _texts(told.get("scopes_supported")) else ""),
        )


def _texts(told: object) -> list[object]:
    return told if isinstance(told, list) else []


def _keep(held: dict[str, tuple[float, Any]], name: str, value: Any) -> None:
    if len(held) >= _MOST_PROVIDERS:
        held.clear()
    held[name] = (time.monotonic(), value)


def _named(keys: Mapping[str, ECKey | RSAKey], kid: str | None) -> ECKey | RSAKey | None:
    if kid is not None:
        return keys.get(kid)
    return next(iter(keys.values())) if len(keys) == 1 else None


def _key(told: object) -> ECKey | RSAKey | None:
    """A public key for one of our algorithms; None for all else, which others may well publish."""
    if not isinstance(told, dict) or told.get("use", "sig") != "sig":
        return None
    try:
        if told.get("kty") == "EC" and told.get("crv") == "P-256":
            return ECKey.import_key({name: told[name] for name in ("kty", "crv", "x", "y")})
        if told.get("kty") == "RSA" and _bits(told["n"]) in _RSA_BITS:
            return RSAKey.import_key({name: told[name] for name in ("kty", "n", "e")})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return None


def _bits(number: str) -> int:
    """How long a number of a JWK is (RFC 7518, 2: Base64urlUInt)."""
    return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()
