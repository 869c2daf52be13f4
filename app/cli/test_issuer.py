"""`urbanos test-issuer`: an OpenID Connect provider of made-up citizens, to try the sign-in with.

It vouches for whatever its visitor chooses, so it listens on this machine alone, sends nobody to
another, and no server of ours takes its word unless `URBANOS_OUTBOUND_ALLOW` names this machine.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from html import escape
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import typer

from app.cli.words import said

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PORT: Final = 8_010
PEOPLE: Final = ("minashi-hanako", "minashi-taro", "minashi-jiro")
LEVELS: Final = {
    "urn:example:password": "low",
    "urn:example:two-factors": "substantial",
    "urn:example:card": "high",
}
_LASTS_S: Final = 300
_ASKED: Final = ("client_id", "redirect_uri", "state", "nonce", "code_challenge")


def test_issuer(
    port: Annotated[int, typer.Option(min=1, max=65_535)] = PORT,
) -> None:
    """Serve made-up citizens on this machine, to try sign-in with. 試験用の住民の認証プロバイダー。"""
    import uvicorn  # noqa: PLC0415

    issuer = f"http://127.0.0.1:{port}"
    typer.echo(
        said(
            f"試験用の認証プロバイダー: {issuer}（実在の住民は扱いません）",
            f"A provider for tests: {issuer}. It knows no real citizen.",
        )
    )
    # No option says where: whoever can reach this address can be anybody.
    uvicorn.run(issuer_app(issuer), host="127.0.0.1", port=port, log_level="warning")


class _Issuer:
    """Its key, and the codes that it gave: in memory alone."""

    def __init__(self, issuer: str) -> None:
        from joserfc.jwk import ECKey  # noqa: PLC0415

        self.issuer = issuer
        self.key = ECKey.generate_key("P-256")
        self.codes: dict[str, dict[str, str]] = {}

    async def describe(self, _request: "Request") -> "Response":
        """OpenID Connect Discovery 1.0, 3."""
        from starlette.responses import JSONResponse  # noqa: PLC0415

        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "acr_values_supported": list(LEVELS),
                "authorization_response_iss_parameter_supported": True,
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )

    async def keys(self, _request: "Request") -> "Response":
        """The one public key."""
        from starlette.responses import JSONResponse  # noqa: PLC0415

        its = {"kid": self.key.thumbprint(), "use": "sig", "alg": "ES256"}
        return JSONResponse({"keys": [{**self.key.as_dict(private=False), **its}]})

    async def choose(self, request: "Request") -> "Response":
        """Asks who the visitor wants to be, and how surely."""
        from starlette.responses import HTMLResponse, PlainTextResponse  # noqa: PLC0415

        asked = dict(request.query_params)
        if not _is_near(asked.get("redirect_uri", "")) or not all(asked.get(n) for n in _ASKED):
            return PlainTextResponse("this provider is for tests on this machine", 400)
        return HTMLResponse(_page(asked))

    async def answer(self, request: "Request") -> "Response":
        """Sends the visitor back as whom they chose, or as nobody."""
        from starlette.responses import PlainTextResponse, RedirectResponse  # noqa: PLC0415

        sent = dict(parse_qsl((await request.body()).decode()))
        if not _is_near(sent.get("redirect_uri", "")):
            return PlainTextResponse("this provider is for tests on this machine", 400)
        told = {"state": sent.get("state", ""), "iss": self.issuer}
        if sent.get("login") in PEOPLE and sent.get("acr") in LEVELS:
            told["code"] = secrets.token_urlsafe(32)
            self.codes[told["code"]] = sent
        else:
            told["error"] = "access_denied"
        return RedirectResponse(f"{sent['redirect_uri']}?{urlencode(told)}", 303)

    async def token(self, request: "Request") -> "Response":
        """An ID token for a code, once (OpenID Connect Core 1.0, 3.1.3)."""
        from starlette.responses import JSONResponse  # noqa: PLC0415

        form = dict(parse_qsl((await request.body()).decode()))
        kept = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            kept is None
            or form.get("redirect_uri") != kept["redirect_uri"]
            or not hmac.compare_digest(challenge, kept["code_challenge"])
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        answer = {"access_token": secrets.token_urlsafe(32), "token_type": "Bearer"}
        return JSONResponse({**answer, "id_token": self._signed(kept)})

    def _signed(self, kept: dict[str, str]) -> str:
        from joserfc import jwt  # noqa: PLC0415

        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": kept["login"],
            "aud": kept["client_id"],
            "nonce": kept["nonce"],
            "acr": kept["acr"],
            "auth_time": now,
            "iat": now,
            "exp": now + _LASTS_S,
        }
        header = {"alg": "ES256", "kid": self.key.thumbprint()}
        return jwt.encode(header, claims, self.key, algorithms=["ES256"])


def issuer_app(issuer: str) -> "Starlette":
    """The provider, to be served at its issuer's address."""
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    its = _Issuer(issuer)
    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", its.describe),
            Route("/jwks", its.keys),
            Route("/authorize", its.choose),
            Route("/authorize", its.answer, methods=["POST"]),
            Route("/token", its.token, methods=["POST"]),
        ]
    )


def _is_near(redirect_uri: str) -> bool:
    """Whether it leads to this machine, or to a name that leads nowhere else (RFC 6761, 6.2)."""
    host = urlsplit(redirect_uri).hostname or ""
    if host == "localhost" or host.endswith(".test"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _page(asked: dict[str, str]) -> str:
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">' for name in _ASKED
    )
    people = "".join(f"<option>{each}</option>" for each in PEOPLE)
    levels = "".join(
        f'<option value="{acr}">{level}</option>' for acr, level in reversed(LEVELS.items())
    )
    return (
        '<!doctype html><html lang="ja"><meta charset="utf-8"><title>試験用 | For tests</title>'
        "<h1>試験用の認証プロバイダー <small>A provider for tests</small></h1>"
        f'<form method="post" action="/authorize">{kept}'
        f'<p><label>架空の住民 Citizen <select name="login">{people}</select></label></p>'
        f'<p><label>保証レベル Level <select name="acr">{levels}</select></label></p>'
        "<button>サインイン Sign in</button></form></html>"
    )
