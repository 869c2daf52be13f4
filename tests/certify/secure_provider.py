"""The reference provider with what `secure` and `push` ask for besides: tokens, guarded data, notices.

`faults` names what it does wrong, one thing each; without any it keeps every rule that is judged.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.certify.lent import Callback, Client, Lent
from tests.certify.mutants import BASE, Transport, provider

GUARDED: Final = "sandbox-visits"
HIDDEN: Final = "sandbox-hidden"
PUBLIC: Final = "sandbox-facilities"
TUNNEL: Final = "https://hooks.example.jp"
PURPOSE: Final = "own-duty"
FIELDS: Final = ("no", "visitor", "remark")
SEEN: Final = ("no", "visitor")
VISITS: Final = [{"no": str(number), "visitor": f"架空 {number}"} for number in range(3)]
WORDS: Final = {
    "token_not_bound": "Get a token with a DPoP proof (RFC 9449).",
    "insufficient_scope": f"It needs dataset:{GUARDED}:read.",
}
KEY: Final = ECKey.generate_key("P-256")  # of the client that the judge is lent


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


@dataclass(slots=True)
class Subscription:
    id: str
    url: str
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    state: str = "active"
    sent: list[tuple[str, bytes, int]] = field(default_factory=list)  # id, body, position

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id, "dataset": PUBLIC, "url": self.url, "state": self.state,
            "created_at": datetime.now(UTC).isoformat(), "last_delivered_at": None,
        }  # fmt: skip


@dataclass(slots=True)
class SecureProvider(httpx.AsyncBaseTransport):
    """As a transport: the judge asks it without a socket; its notices go over real ones."""

    faults: frozenset[str] = frozenset()
    tunnel: str = ""  # where TUNNEL leads
    base: str = BASE
    inner: httpx.AsyncBaseTransport = field(default_factory=Transport)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    ended: set[str] = field(default_factory=set)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    written: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: list[httpx.Request] = field(default_factory=list)
    position: int = 0
    listens_s: float = 0.4
    out: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    sending: set[asyncio.Task[None]] = field(default_factory=set)

    def does(self, fault: str) -> bool:
        return fault in self.faults

    # --- asked --------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(request)
        path = request.url.path
        try:
            if path.startswith(("/.well-known/", "/oauth/")):
                return self._oauth(request, path)
            return await self._asked(request, path)
        except Refused as refused:
            return self._problem(request, refused)

    async def _asked(self, request: httpx.Request, path: str) -> httpx.Response:
        claims = self._claims(request)
        public = path.startswith(("/v1/datasets", "/v1/health"))
        if claims is None and self.does("public asks for a token") and public:
            raise Refused(401, "token_required")
        if path.startswith("/v1/subscriptions"):
            return self._subscribed(request, path, claims)
        parts = [*path.split("/")[3:], ""]
        if parts[0] == GUARDED:
            return self._guarded(request, parts[1], claims)
        if parts[0] == HIDDEN and self.does("hidden is forbidden"):
            raise Refused(403, "no_agreement")
        if request.method != "GET":
            return self._write(request, parts[2], claims)
        answer = await self.inner.handle_async_request(request)
        if path == "/v1/health":
            told = json.loads(await answer.aread())
            told["conformance"] += ["push", "secure"]
            return httpx.Response(200, json=told)
        return answer

    def _problem(self, request: httpx.Request, refused: Refused) -> httpx.Response:
        request_id = secrets.token_hex(8)
        detail = WORDS.get(refused.code, "拒否しました。")
        if self.does("scope is not named") and refused.code == "insufficient_scope":
            detail = "It lacks a scope."
        if self.does("the bond is not explained") and refused.code == "token_not_bound":
            detail = "No."
        if self.does("errors show the token"):
            detail += request.headers.get("authorization", "")
        told = {
            "type": f"urn:x:{refused.code}", "title": "拒否", "status": refused.status,
            "code": refused.code, "detail": detail, "instance": request.url.path,
            "request_id": request_id,
        }  # fmt: skip
        headers = {"content-type": "application/problem+json", "x-request-id": request_id,
                   "cache-control": "no-store"}  # fmt: skip
        if refused.status == 401 and not self.does("no challenge"):
            headers["www-authenticate"] = 'Bearer realm="sandbox", DPoP algs="ES256"'
        return httpx.Response(refused.status, headers=headers, content=json.dumps(told).encode())

    def token(self, **claims: Any) -> str:
        """One that is bound to nothing."""
        return self._signed(f"dataset:{PUBLIC}:read", **claims)

    # --- tokens -------------------------------------------------------------------------------

    def _oauth(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == "/.well-known/oauth-protected-resource":
            return httpx.Response(200, json={"authorization_servers": [self.base]})
        if path == "/.well-known/oauth-authorization-server":
            told = {"issuer": self.base, "token_endpoint": f"{self.base}/oauth/token",
                    "revocation_endpoint": f"{self.base}/oauth/revoke"}  # fmt: skip
            return httpx.Response(200, json=told)
        form = {name: each[0] for name, each in parse_qs(request.content.decode()).items()}
        said = jwt.decode(form["client_assertion"], KEY, algorithms=["ES256"]).claims
        assert (said["sub"], said["aud"]) == ("judge", self.base)
        if path == "/oauth/revoke":
            self.ended.add(form["token"])
            return httpx.Response(200)
        return httpx.Response(200, json=self._given(request, form["scope"]))

    def _signed(self, scope: str, **more: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.base, "aud": self.base, "sub": "judge", "client_id": "judge", "scope": scope,
            "iat": now, "exp": now + 300, "jti": secrets.token_hex(8), **more,
        }  # fmt: skip
        head = {"alg": "ES256", "typ": "at+jwt"}
        return jwt.encode(head, claims, self.key, algorithms=["ES256"])

    def _given(self, request: httpx.Request, scope: str) -> dict[str, Any]:
        bond = request.headers.get("dpop")
        more = {}
        if bond is not None:
            jwk = ECKey.import_key(jws.extract_compact(bond.encode()).headers()["jwk"])
            more["cnf"] = {"jkt": jwk.thumbprint()}
        text = self._signed(scope, **more)
        kind = "Bearer" if bond is None else "DPoP"
        return {"access_token": text, "token_type": kind, "expires_in": 300, "scope": scope}

    def _claims(self, request: httpx.Request) -> dict[str, Any] | None:
        """What the token says that the request shows; None without one."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not text and self.does("tokens from the URL"):
            scheme, text = "DPoP", request.url.params.get("access_token", "")
        if not text and self.does("tokens from a body"):
            body = parse_qs(request.content.decode("utf-8", "replace"))
            scheme, text = "DPoP", body.get("access_token", [""])[0]
        if not text:
            return None
        claims = self._verified(text)
        if text in self.ended and not self.does("revoked is good"):
            raise Refused(401, "invalid_token")
        self._check_bond(request, scheme, text, claims)
        return claims

    def _verified(self, text: str) -> dict[str, Any]:
        try:
            parts = jws.extract_compact(text.encode())
            told = json.loads(parts.payload)
            unsigned = parts.headers()["alg"] == "none" and self.does("alg none is good")
            if not unsigned and not self.does("any signature is good"):
                jwt.decode(text, self.key, algorithms=["ES256"])
        except (JoseError, ValueError):
            raise Refused(401, "invalid_token") from None
        if told["exp"] < time.time() and not self.does("expired is good"):
            raise Refused(401, "invalid_token")
        claims: dict[str, Any] = told
        return claims

    def _check_bond(
        self, request: httpx.Request, scheme: str, text: str, claims: dict[str, Any]
    ) -> None:
        bound = claims.get("cnf")
        if bound is None and scheme == "Bearer":
            return
        if bound is not None and scheme == "Bearer" and self.does("a bond may be left out"):
            return
        try:
            proof = jws.extract_compact(request.headers["dpop"].encode())
            key = ECKey.import_key(proof.headers()["jwk"])
            jws.deserialize_compact(request.headers["dpop"].encode(), key, algorithms=["ES256"])
            said = json.loads(proof.payload)
            right = {
                "htm": request.method, "htu": str(request.url).partition("?")[0],
                "ath": _encoded(hashlib.sha256(text.encode()).digest()),
            }  # fmt: skip
            held = bound is not None and key.thumbprint() == bound["jkt"]
            told = {name: said.get(name) for name in right}
            if (told != right and not self.does("any proof is good")) or not held:
                raise Refused(401, "invalid_dpop_proof")
        except (JoseError, ValueError, KeyError):
            raise Refused(401, "invalid_dpop_proof") from None

    # --- data above public --------------------------------------------------------------------

    def _guarded(
        self, request: httpx.Request, tail: str, claims: dict[str, Any] | None
    ) -> httpx.Response:
        if not tail:
            return httpx.Response(200, json=_entry())
        if claims is None:
            if self.does("guarded needs no token"):
                return self._visits(SEEN)
            raise Refused(401, "token_required")
        self._check_right(claims)
        self._check_question(request.url.params)
        return self._visits(FIELDS if self.does("hidden fields are given") else SEEN)

    def _check_right(self, claims: dict[str, Any]) -> None:
        if f"dataset:{GUARDED}:read" not in claims["scope"].split():
            if not self.does("any scope will do"):
                raise Refused(403, "insufficient_scope")
        elif "cnf" not in claims and not self.does("no bond is needed"):
            raise Refused(403, "token_not_bound")

    def _check_question(self, query: httpx.QueryParams) -> None:
        if not self.does("any purpose will do"):
            if "purpose" not in query:
                raise Refused(403, "purpose_required")
            if query["purpose"] != PURPOSE:
                known = query["purpose"] == "statistics"
                raise Refused(403, "purpose_not_agreed" if known else "purpose_unknown")
        named = {*query, query.get("fields"), query.get("sort"), *query.get("filter", "").split()}
        if "remark" in named and not self.does("hidden fields sort"):
            raise Refused(403, "column_not_visible")

    def _visits(self, names: tuple[str, ...]) -> httpx.Response:
        records = [{name: each.get(name) for name in names} for each in VISITS]
        told = {"dataset": GUARDED, "version": 1, "records": records, "links": []}
        kept = "public" if self.does("guarded is kept by anybody") else "private, no-cache"
        return httpx.Response(200, json=told, headers={"cache-control": kept})

    # --- writes and notices -------------------------------------------------------------------

    def _allowed(self, claims: dict[str, Any] | None, action: str) -> None:
        if claims is None:
            raise Refused(401, "token_required")
        if f"dataset:{PUBLIC}:{action}" not in claims["scope"].split():
            raise Refused(403, "insufficient_scope")

    def _write(
        self, request: httpx.Request, key: str, claims: dict[str, Any] | None
    ) -> httpx.Response:
        self._allowed(claims, "write")
        if request.method == "DELETE":
            if self.written.pop(key, None) is None:
                raise Refused(404, "record_not_found")
            self._changed("deleted")
            return httpx.Response(204)
        for record in json.loads(request.content):
            self.written[record["no"]] = record
            self._changed(record["name"])
        return httpx.Response(200, json={"dataset": PUBLIC, "accepted": 1, "rejected": 0})

    def _changed(self, value: str) -> None:
        self.position += 1
        if self.does("nothing is told"):
            return
        for each in self.subscriptions.values():
            if each.state == "active":
                self._notify(each, value)

    def _notify(self, to: Subscription, value: str) -> None:
        data = {
            "subscription": to.id,
            "dataset": PUBLIC,
            "since": _encoded(str(self.position).encode()),
        }
        if self.does("notices carry records"):
            data["record"] = value
        body = json.dumps({"type": "dataset.changed", "timestamp": "2026-04-01T09:00:00+09:00",
                           "value": value if self.does("notices show values") else None,
                           "data": data}).encode()  # fmt: skip
        name = "msg_1" if self.does("all notices have one id") else f"msg_{secrets.token_hex(6)}"
        to.sent.append((name, body, self.position))
        self._send(to, name, body)

    def _send(self, to: Subscription, name: str, body: bytes) -> None:
        task = asyncio.create_task(self._deliver(to, name, body))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _deliver(self, to: Subscription, name: str, body: bytes) -> None:
        steady = self.does("intervals do not grow")
        for wait in (0.2, 0.2) if steady else (0.1, 0.5):
            if await self._once(to, name, body) or self.does("nothing is sent again"):
                return
            await asyncio.sleep(wait)
            if self.does("another id each time"):
                name = f"msg_{secrets.token_hex(6)}"
        await self._once(to, name, body)

    async def _once(self, to: Subscription, name: str, body: bytes) -> bool:
        now = str(int(time.time()) - (10_000 if self.does("timestamps are old") else 0))
        key = b"another" if self.does("another key signs") else to.secret
        signed = hmac.new(key, f"{name}.{now}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "webhook-id": name, "webhook-timestamp": now, "content-type": "application/json",
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }  # fmt: skip
        where = to.url.replace(TUNNEL, self.tunnel)
        try:
            answer = await self.out.post(
                where, content=body, headers=headers, timeout=self.listens_s
            )
            if answer.status_code == 307 and self.does("redirects are followed"):
                where = answer.headers["location"].replace(TUNNEL, self.tunnel)
                answer = await self.out.post(where, content=body, headers=headers)
        except httpx.TransportError:
            return self.does("silence is an answer")
        if answer.status_code == 410:
            if not self.does("410 is no end"):
                to.state = "stopped"
            return True
        return answer.is_success

    def _subscribed(
        self, request: httpx.Request, path: str, claims: dict[str, Any] | None
    ) -> httpx.Response:
        self._allowed(claims, "subscribe")
        parts = path.split("/")[3:]
        if not parts:
            return self._subscribe(request) if request.method == "POST" else self._list()
        found = self.subscriptions.get(parts[0])
        if found is None:
            raise Refused(404, "subscription_not_found")
        if request.method == "DELETE":
            if not self.does("an end is no end"):
                del self.subscriptions[found.id]
            return httpx.Response(204)
        if parts[1:] == ["replay"]:
            self._replay(found, int(_decoded(json.loads(request.content)["since"])))
            return httpx.Response(202)
        told = found.told()
        if self.does("the secret is shown again"):
            told["secret"] = _secret(found)
        return httpx.Response(200, json=told)

    def _replay(self, to: Subscription, since: int) -> None:
        for name, body, position in to.sent:
            if position >= since and not self.does("nothing is replayed"):
                self._send(to, name, body)

    def _subscribe(self, request: httpx.Request) -> httpx.Response:
        url = urlsplit(json.loads(request.content)["url"])
        if url.scheme != "https" and not self.does("http is taken"):
            raise Refused(422, "invalid_input")
        if _is_inside(url.hostname or "") and not self.does("inside addresses are taken"):
            raise Refused(422, "url_not_allowed")
        made = Subscription(f"sub_{secrets.token_hex(4)}", url.geturl())
        self.subscriptions[made.id] = made
        return httpx.Response(201, json={**made.told(), "secret": _secret(made)})

    def _list(self) -> httpx.Response:
        told = [each.told() for each in self.subscriptions.values()]
        return httpx.Response(200, json={"numberReturned": len(told), "subscriptions": told})


def _entry() -> dict[str, Any]:
    fields = [{**provider.DATASET["fields"][1], "name": each, "label": each} for each in FIELDS]
    return {**provider.DATASET, "id": GUARDED, "data_class": "restricted", "fields": fields}


def _secret(of: Subscription) -> str:
    return f"whsec_{base64.b64encode(of.secret).decode()}"


def _is_inside(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def lent(port: int, **more: Any) -> Lent:
    """What a judge of this provider is lent, in a hurry."""
    callback = Callback(TUNNEL, "127.0.0.1", port)
    told: dict[str, Any] = {
        "client": Client("judge", KEY), "guarded": GUARDED, "hidden": HIDDEN, "hidden_field": "remark",
        "other_purpose": "statistics", "callback": callback, "patience_s": 3.0, "hang_s": 0.6,
    }  # fmt: skip
    return Lent(**{**told, **more})


@asynccontextmanager
async def quiet(made: SecureProvider) -> AsyncIterator[SecureProvider]:
    """Ends what it still sends."""
    try:
        yield made
    finally:
        for task in [*made.sending]:
            task.cancel()
        await asyncio.gather(*made.sending, return_exceptions=True)
