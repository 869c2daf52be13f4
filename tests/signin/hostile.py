"""A provider that says whatever a test wants it to say: for what no honest one ever sends."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT = "urban-os"
_RSA = RSAKey.generate_key(2048)  # takes a while to make
Said = Callable[[Request], Response]


@dataclass(slots=True)
class Hostile:
    """One issuer of the hostile server. Every member may be made wrong."""

    name: str
    issuer: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    rsa: RSAKey = field(default_factory=lambda: _RSA)
    published: list[dict[str, Any]] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    id_token: str | None = None
    instead: dict[str, Said] = field(default_factory=dict)  # by the last part of the path
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.published = [_public(self.key, "ec"), _public(self.rsa, "rsa")]
        self.document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "authorization_response_iss_parameter_supported": True,
        }

    def claims(self, right_nonce: str, **changed: Any) -> dict[str, Any]:
        """Claims that are right but for what is named; None leaves one out."""
        now = int(time.time())
        full = {
            "iss": self.issuer,
            "sub": "hanako",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": right_nonce,
            "email": f"hanako@{self.name}.example.jp",
            "email_verified": True,
            **changed,
        }
        return {name: value for name, value in full.items() if value is not None}

    def signed(
        self, claims: dict[str, Any], *, key: Any = None, header: dict[str, Any] | None = None
    ) -> str:
        """A token by the published key, or by another."""
        full = {"alg": "ES256", "kid": "ec", **(header or {})}
        head = {name: value for name, value in full.items() if value is not None}
        algorithms = [head["alg"]]
        return jws.serialize_compact(head, json.dumps(claims), key or self.key, algorithms)


def _public(key: ECKey | RSAKey, kid: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig"}


def unsigned(claims: dict[str, Any], header: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand, as no library makes it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class HostileServer:
    """All hostile issuers, at one port."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.issuers: dict[str, Hostile] = {}
        self.app = Starlette(
            routes=[Route("/{name}/{path:path}", self._speak, methods=["GET", "POST"])]
        )

    def issuer(self) -> Hostile:
        """A new one, right in everything."""
        name = f"h{secrets.token_hex(4)}"
        self.issuers[name] = Hostile(name, f"{self.base}/{name}")
        return self.issuers[name]

    async def _speak(self, request: Request) -> Response:
        its = self.issuers[request.path_params["name"]]
        what = request.path_params["path"].rpartition("/")[2]
        its.asked.append(what)
        if what in its.instead:
            return its.instead[what](request)
        if what == "openid-configuration":
            return JSONResponse(its.document)
        if what == "jwks":
            return JSONResponse({"keys": its.published})
        if what == "userinfo":
            return JSONResponse(its.userinfo)
        told = {"access_token": "a", "token_type": "Bearer", "id_token": its.id_token}
        return JSONResponse({name: value for name, value in told.items() if value is not None})


def elsewhere(url: str) -> Said:
    """Sends whoever asks to another address."""
    return lambda _request: RedirectResponse(url)
