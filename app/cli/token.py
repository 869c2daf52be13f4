"""`urbanos token`: asks a running server for an access token, as any client from outside does."""

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.key_files import read_key
from app.cli.shell import read_settings
from app.cli.words import Json, language, show_json
from app.kit.errors import AppError, Kind

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METADATA = "/.well-known/oauth-authorization-server"
_LIFETIME_S = 50


class TokenRefused(AppError):
    """The server gave no token."""

    kind = Kind.FORBIDDEN
    code = "token_refused"
    ja = "トークンが発行されませんでした（{error}）: {why}"
    en = "No token was issued ({error}): {why}"


class ServerUnreachable(AppError):
    """Nothing that speaks OAuth answers at the address."""

    kind = Kind.UNAVAILABLE
    code = "server_unreachable"
    ja = "{url} に接続できません（{why}）。urbanos serve は起動していますか。"
    en = "{url} cannot be reached ({why}). Is urbanos serve running?"


def token(
    client: Annotated[str, typer.Option(help="The client's id")],
    key: Annotated[Path, typer.Option(help="Its private key (JWK)")],
    scope: Annotated[
        list[str],
        typer.Option(help="Such as dataset:{id}:read; several times, or parted by blanks"),
    ],
    url: Annotated[str | None, typer.Option(help="The server; the setting's if absent")] = None,
    as_json: Json = False,
) -> None:
    """Get an access token of a running server. アクセストークンを取得する。"""
    base = (url or read_settings().issuer).rstrip("/")
    answer = _ask(base, client, key, " ".join(scope))
    if as_json:
        show_json(answer)
        return
    typer.echo(answer["access_token"])


def _ask(base: str, client: str, key_file: Path, scope: str) -> dict[str, Any]:
    import httpx  # noqa: PLC0415

    key = read_key(key_file)
    try:
        with httpx.Client(headers={"Accept-Language": language()}, timeout=30) as http:
            found = http.get(base + _METADATA).raise_for_status().json()
            response = http.post(
                found["token_endpoint"],
                data={
                    "grant_type": "client_credentials",
                    "scope": scope,
                    "client_assertion_type": _ASSERTION,
                    "client_assertion": _assertion(key, client, found["issuer"]),
                },
            )
            answer: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        raise ServerUnreachable(url=base, why=type(exc).__name__) from exc
    if response.status_code != 200:
        told = answer.get("error_description_ja") or answer.get("error_description", "")
        raise TokenRefused(error=answer.get("error", response.status_code), why=told)
    return answer


def _assertion(key: Any, client: str, issuer: str) -> str:
    """Who we are, signed (RFC 7523, 3): good once, for the one server, for less than a minute."""
    from joserfc import jwt  # noqa: PLC0415

    now = int(time.time())
    claims = {
        "iss": client,
        "sub": client,
        "aud": issuer,
        "iat": now,
        "exp": now + _LIFETIME_S,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims, key, algorithms=["ES256"])
