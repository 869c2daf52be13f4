"""Tokens of the judged server, got as any client gets them, and requests that carry them.

What proves the judge goes to the judged server's own origin, or to the one authorization server that
was named beside it: where a document leads elsewhere that is said, and nothing is sent.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

import orjson
from joserfc import jws
from joserfc.jwk import ECKey

from app.certify.client import Exchange, NoAnswer, Server
from app.certify.judge import NotShown, not_unless
from app.certify.lent import Client

_ALGORITHM: Final = "ES256"
_ASSERTED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_S: Final = 50
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_LONGEST: Final = 8_000  # of a token: no header takes more
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who gives tokens, by its own word (RFC 8414)."""

    name: str
    token_endpoint: str
    revocation_endpoint: str | None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was given. `bond`: the key that it is bound to, where it is bound."""

    text: str = field(repr=False)
    scope: tuple[str, ...]
    bond: ECKey | None = field(default=None, repr=False)

    def shown(self, method: str, url: str, nonce: str | None = None) -> dict[str, str]:
        """The headers that send it, as RFC 9449 or RFC 6750 says."""
        if self.bond is None:
            return {"authorization": f"Bearer {self.text}"}
        shown = proof(self.bond, method, url, self.text, nonce)
        return {"authorization": f"DPoP {self.text}", "dpop": shown}


def proof(
    bond: ECKey, method: str, url: str, token: str | None = None, nonce: str | None = None
) -> str:
    """RFC 9449, 4.2."""
    where = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
    said: dict[str, Any] = {
        "htm": method, "htu": where, "iat": int(time.time()), "jti": secrets.token_urlsafe(16),
    }  # fmt: skip
    if token is not None:
        said["ath"] = encoded(hashlib.sha256(token.encode()).digest())
    if nonce is not None:
        said["nonce"] = nonce
    head = {"typ": "dpop+jwt", "alg": _ALGORITHM, "jwk": bond.as_dict(private=False)}
    return jws.serialize_compact(head, orjson.dumps(said), bond, [_ALGORITHM])


def encoded(data: bytes) -> str:
    """As JOSE writes bytes."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def call(
    server: Server, token: Token | None, method: str, path: str,
    query: Mapping[str, Any] | None = None, given: Any = None, **headers: str,
) -> Exchange:  # fmt: skip
    """One request with this token, or with none; again where a nonce is asked for (RFC 9449, 9).

    Raises `NoAnswer`.
    """
    url = server.url_of(path)
    if query:
        url += "?" + urlencode(query, doseq=True)
    body, rest = b"", dict(headers)
    if given is not None:
        body, rest = orjson.dumps(given), {"content-type": "application/json", **headers}
    if token is None:
        return await server.send(method, url, {"authorization": "", **rest}, body)
    answer = await server.send(method, url, {**token.shown(method, url), **rest}, body)
    nonce = answer.headers.get("dpop-nonce")
    if answer.status != _UNAUTHORIZED or nonce is None or token.bond is None:
        return answer
    return await server.send(method, url, {**token.shown(method, url, nonce), **rest}, body)


async def token_for(server: Server, *scopes: str, bound: bool = True) -> Token:
    """A token for these scopes, or for as many as are given; bound to a key where the server does
    so and it is wished. One for all cases. Raises `NotShown` where none is to be had."""
    name = f"token {' '.join(scopes)} {bound}"
    token: Token = await server.once(name, lambda: new_token(server, *scopes, bound=bound))
    return token


async def entitled(server: Server, *scopes: str) -> Token:
    """What the judge asks with: a token of the lent client, else the one that was lent as it is.

    Raises `NotShown`.
    """
    if server.lent.client is None and server.token is not None:
        return Token(server.token, ())
    return await token_for(server, *scopes)


async def new_token(server: Server, *scopes: str, bound: bool = True) -> Token:
    """The same, of its own."""
    bond = ECKey.generate_key("P-256") if bound else None
    form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
    answer = await _proven(server, (await issuer_of(server)).token_endpoint, form, bond)
    text, scheme = answer.member("access_token"), str(answer.member("token_type")).lower()
    if answer.status != _OK or not _is_token(text) or scheme not in ("bearer", "dpop"):
        told = f"HTTP {answer.status} {answer.member('error') or answer.media_type}"
        raise NotShown(
            f"the token endpoint gave no token for {' '.join(scopes)}: {told}",
            f"トークンエンドポイントが {' '.join(scopes)} のトークンを発行しません（{told}）",
        )
    server.secrets.add(str(text))
    scope = answer.member("scope")
    given = tuple(scope.split()) if isinstance(scope, str) else scopes  # RFC 6749, 5.1
    return Token(str(text), given, bond if scheme == "dpop" else None)


def _is_token(text: Any) -> bool:
    is_text = isinstance(text, str) and text.isascii() and text.isprintable()
    return is_text and 0 < len(text.strip()) <= _LONGEST


async def revoke(server: Server, token: Token) -> None:
    """End it (RFC 7009). Raises `NotShown` where that is not offered."""
    endpoint = (await issuer_of(server)).revocation_endpoint
    not_unless(endpoint, "no revocation is offered", "失効エンドポイントがありません")
    answer = await _proven(server, str(endpoint), {"token": token.text}, None)
    not_unless(
        answer.status == _OK, f"the revocation was answered by {answer.status}",
        f"失効要求への応答が {answer.status} です",
    )  # fmt: skip


async def issuer_of(server: Server) -> Issuer:
    """Who gives tokens. Raises `NotShown`."""
    client_of(server)  # nobody is asked in vain
    issuer: Issuer = await server.once("issuer", lambda: _issuer(server))
    return issuer


async def _issuer(server: Server) -> Issuer:
    name = server.lent.authorization_server or await _named(server)
    url = _within(server, name)
    parts = urlsplit(url)
    where = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    told = await _answer(server, "GET", urlunsplit(parts._replace(path=where, query="")))
    if told.member("issuer") != name:  # RFC 8414, 3.3: it would be mixed up with another
        seen = f"{told.status}, {str(told.member('issuer'))[:200]}"
        raise NotShown(
            f"the metadata of the authorization server {name} do not name it: {seen}",
            f"認可サーバ {name} のメタデータの issuer が一致しません（{seen}）",
        )
    revocation = told.member("revocation_endpoint")
    return Issuer(
        name, _within(server, told.member("token_endpoint")),
        _within(server, revocation) if revocation is not None else None,
    )  # fmt: skip


async def _named(server: Server) -> str:
    """The authorization server that the judged server names (RFC 9728); itself, without a word."""
    url = server.url_of("/.well-known/oauth-protected-resource")
    told = await _answer(server, "GET", url)
    named = told.member("authorization_servers")
    if told.status == 200 and isinstance(named, list) and named and isinstance(named[0], str):
        return named[0]
    return server.base.rstrip("/")


def _within(server: Server, url: Any) -> str:
    """The address, where the judge may go there with what proves it. Raises `NotShown`."""
    ours = (server.base, server.lent.authorization_server or server.base)
    try:
        is_ours = urlsplit(str(url))[:2] in [urlsplit(each)[:2] for each in ours]
    except ValueError:
        is_ours = False
    if not is_ours or not isinstance(url, str):
        told = str(url)[:200]
        raise NotShown(
            f"the server's documents lead to {told}, which was not asked; if it is right, name it"
            " with --authorization-server",
            f"サーバの文書が {told} を指していますが、接続していません。正しければ"
            " --authorization-server で指定してください",
        )
    return url


def client_of(server: Server) -> Client:
    """The client that was lent. Raises `NotShown`."""
    if server.lent.client is None:
        raise NotShown(
            "no client was lent (--client-id with --client-key or --client-secret-file)",
            "クライアントの資格情報がありません（--client-id と --client-key または"
            " --client-secret-file）",
        )
    return server.lent.client


async def _proven(
    server: Server, url: str, form: Mapping[str, str], bond: ECKey | None
) -> Exchange:
    """The answer to a form that the lent client sends, by one method alone."""
    answer = await _sent(server, url, form, bond, None)
    nonce = answer.headers.get("dpop-nonce")
    if answer.member("error") == "use_dpop_nonce" and nonce is not None:  # RFC 9449, 8
        return await _sent(server, url, form, bond, nonce)
    return answer


async def _sent(
    server: Server, url: str, form: Mapping[str, str], bond: ECKey | None, nonce: str | None
) -> Exchange:
    client, told = client_of(server), dict(form)
    sent = {"content-type": _FORM, "authorization": ""}
    if bond is not None:
        sent["dpop"] = proof(bond, "POST", url, nonce=nonce)
    if client.key is not None:
        assertion = _assertion(client.id, client.key, (await issuer_of(server)).name)
        server.secrets.add(assertion)
        told |= {"client_assertion_type": _ASSERTED, "client_assertion": assertion}
    else:
        pair = base64.b64encode(
            f"{quote_plus(client.id)}:{quote_plus(client.secret or '')}".encode()
        ).decode()
        server.secrets.add(pair)
        sent["authorization"] = f"Basic {pair}"
    return await _answer(server, "POST", url, sent, urlencode(told).encode())


async def _answer(
    server: Server, method: str, url: str, sent: Mapping[str, str] | None = None, given: bytes = b""
) -> Exchange:
    """An answer about tokens: where none comes the rules on them stay unseen, and others do not."""
    try:
        return await server.send(method, url, sent or {"authorization": ""}, given)
    except NoAnswer as none:
        said = replace(none.exchange, given=b"", sent={})
        raise NotShown(
            f"{said.url} gave no answer: {said.error}", f"{said.url} が応答しません（{said.error}）"
        ) from None


def _assertion(name: str, key: ECKey, audience: str) -> str:
    """RFC 7523, 3; its audience is the issuer alone."""
    now = int(time.time())
    said = {
        "iss": name, "sub": name, "aud": audience, "iat": now, "exp": now + _ASSERTION_S,
        "jti": secrets.token_urlsafe(16),
    }  # fmt: skip
    head = {"alg": _ALGORITHM, "kid": key.thumbprint()}
    return jws.serialize_compact(head, orjson.dumps(said), key, [_ALGORITHM])
