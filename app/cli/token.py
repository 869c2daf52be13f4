"""`urbanos token`: asks a running server for an access token, as any client from outside does.

It keeps nothing: the key that a token is bound to is made for the one call and forgotten.
"""

import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import typer

from app.cli.key_files import read_key
from app.cli.shell import read_settings
from app.cli.words import Json, language, note, said, show_json
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    import httpx
    from joserfc.jwk import ECKey

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METADATA = "/.well-known/oauth-authorization-server"
_LIFETIME_S = 50
_METHOD: Final = re.compile(r"[A-Z]+")
_ACTIONS: Final = ("read", "write")
_OF_SCOPE: Final = ("invalid_scope", "invalid_authorization_details")


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
    dpop: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="METHOD URL",
            help="Bind the token to this one call (DPoP); prints its headers, for: curl -H @- URL",
        ),
    ] = None,
    agreement: Annotated[
        UUID | None, typer.Option(help="The one agreement that it is for (personal data)")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The server; the setting's if absent")] = None,
    as_json: Json = False,
) -> None:
    """Get an access token of a running server. アクセストークンを取得する。"""
    base = (url or read_settings().issuer).rstrip("/")
    call = _call(*dpop) if dpop else None
    form = _form(" ".join(scope), agreement)
    try:
        answer = _ask(base, client, key, form, call)
    except TokenRefused as refusal:
        if call is None and refusal.named["error"] in _OF_SCOPE:
            note(
                "庁内より上のデータには、--dpop メソッド URL で送信者に結び付くトークンを取得します。",
                "For data above internal, --dpop METHOD URL gets a token that is bound to its sender.",
            )
        raise
    if as_json:
        show_json(answer)
        return
    if call is None:
        typer.echo(answer["access_token"])
        return
    typer.echo(f"Authorization: DPoP {answer['access_token']}\nDPoP: {answer['proof']}")


def _call(method: str, url: str) -> tuple[str, str]:
    """The method and the address or path of a call, or a usage error."""
    method = method.upper()
    if _METHOD.fullmatch(method) and (url.startswith("/") or "://" in url):
        return method, url
    raise typer.BadParameter(
        said(
            "GET http://127.0.0.1:8000/v1/… のように、メソッドとアドレスを続けて指定してください。",
            "Give the method and the address of the call, as GET http://127.0.0.1:8000/v1/…",
        ),
        param_hint="--dpop",
    )


def _form(scope: str, agreement: UUID | None) -> dict[str, str]:
    """What is asked for; under an agreement, the actions are those of the scopes."""
    form = {"grant_type": "client_credentials", "scope": scope}
    if agreement is None:
        return form
    import orjson  # noqa: PLC0415

    named = {each.rpartition(":")[2] for each in scope.split()}
    actions = [each for each in _ACTIONS if each in named] or ["read"]
    detail = {"type": "dataset-agreement", "agreement": str(agreement), "actions": actions}
    return {**form, "authorization_details": orjson.dumps([detail]).decode()}


def _ask(
    base: str, client: str, key_file: Path, form: dict[str, str], call: tuple[str, str] | None
) -> dict[str, Any]:
    import httpx  # noqa: PLC0415

    key = read_key(key_file)
    try:
        with httpx.Client(headers={"Accept-Language": language()}, timeout=30) as http:
            found = http.get(base + _METADATA).raise_for_status().json()
            issuer, endpoint = found["issuer"], found["token_endpoint"]
            form |= {
                "client_assertion_type": _ASSERTION,
                "client_assertion": _assertion(key, client, issuer),
            }
            if call is None:
                return _answer_of(http.post(endpoint, data=form))
            sender = _key_of_this_call()
            shown = {"DPoP": _proof(sender, "POST", endpoint)}
            answer = _answer_of(http.post(endpoint, data=form, headers=shown))
            method, address = call[0], _seen(issuer, call[1])
            return {**answer, "proof": _proof(sender, method, address, answer["access_token"])}
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        raise ServerUnreachable(url=base, why=type(exc).__name__) from exc


def _answer_of(response: "httpx.Response") -> dict[str, Any]:
    """What the token endpoint answers, or `TokenRefused`."""
    answer: dict[str, Any] = response.json()
    if response.status_code != 200:
        told = answer.get("error_description_ja") or answer.get("error_description", "")
        raise TokenRefused(error=answer.get("error", response.status_code), why=told)
    return answer


def _seen(issuer: str, url: str) -> str:
    """The address of a call as the server sees it: below its issuer, by whichever name it is called."""
    if url.startswith(f"{issuer}/"):
        return url
    return issuer + (url if url.startswith("/") else urlsplit(url).path)


def _key_of_this_call() -> "ECKey":
    from joserfc.jwk import ECKey  # noqa: PLC0415

    return ECKey.generate_key("P-256")


def _proof(key: "ECKey", method: str, url: str, token: str | None = None) -> str:
    """That a call is sent with this key (RFC 9449, 4.2), once; with `token`, that it is for that."""
    import hashlib  # noqa: PLC0415

    import orjson  # noqa: PLC0415
    from joserfc import jws  # noqa: PLC0415
    from joserfc.util import urlsafe_b64encode  # noqa: PLC0415

    claims = {
        "htm": method,
        "htu": url.partition("#")[0].partition("?")[0],
        "iat": int(time.time()),
        "jti": secrets.token_hex(16),
    }
    if token is not None:
        claims["ath"] = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode()
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jws.serialize_compact(header, orjson.dumps(claims), key, ["ES256"])


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
