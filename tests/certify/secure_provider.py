"""The reference provider with what `secure` and `push` ask for besides: tokens, guarded data, notices.

`faults` names what it does wrong, one thing each; without any it keeps every rule that is judged.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from starlette.requests import Request

from app.certify.lent import Callback, Client, Lent
from tests.certify.mutants import BASE, Transport, provider
from tests.certify.notifying import PUBLIC, TUNNEL, Notifying, Refused, encoded
from tests.certify.writing_provider import Writing

GUARDED: Final = "sandbox-visits"
HIDDEN: Final = "sandbox-hidden"
PURPOSE: Final = "own-duty"
FIELDS: Final = ("no", "visitor", "remark")
SEEN: Final = ("no", "visitor")
VISITS: Final = [{"no": str(number), "visitor": f"架空 {number}"} for number in range(3)]
WORDS: Final = {
    "token_not_bound": "Get a token with a DPoP proof (RFC 9449).",
    "insufficient_scope": f"It needs dataset:{GUARDED}:read.",
}
KEY: Final = ECKey.generate_key("P-256")  # of the client that the judge is lent


@dataclass(slots=True)
class SecureProvider(Notifying, httpx.AsyncBaseTransport):
    """As a transport: the judge asks it without a socket; its notices go over real ones."""

    base: str = BASE
    inner: httpx.AsyncBaseTransport = field(default_factory=Transport)
    holds: bool = False  # what is written, within `inner`
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    ended: set[str] = field(default_factory=set)
    heard: list[httpx.Request] = field(default_factory=list)
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
            return await self._written(request, parts[2], claims)
        answer = await self.inner.handle_async_request(request)
        if path == "/v1/health":
            told = json.loads(await answer.aread())
            told["conformance"] += ["push", "secure"]
            return httpx.Response(200, json=told)
        return answer

    async def _written(
        self, request: httpx.Request, key: str, claims: dict[str, Any] | None
    ) -> httpx.Response:
        if not self.holds:
            return self._write(request, key, claims)
        self._allowed(claims, "write")
        answer = await self.inner.handle_async_request(request)
        if answer.is_success:
            self._changed("")
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
        if refused.status == 401 and self.does("a nonce is asked for"):
            headers["dpop-nonce"] = "n-1"
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
        if self.does("a nonce is asked for") and "nonce" not in _said(request):
            told = {"error": "use_dpop_nonce"}
            return httpx.Response(400, json=told, headers={"dpop-nonce": "n-0"})
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
                "ath": encoded(hashlib.sha256(text.encode()).digest()),
            }  # fmt: skip
            if self.does("a nonce is asked for") and said.get("nonce") != "n-1":
                raise Refused(401, "invalid_dpop_proof")
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


class _Trusting(Writing):
    """Whose callers were looked at before it."""

    def check_token(self, request: Request) -> None:
        pass


def whole(**more: Any) -> SecureProvider:
    """One that has every class: what it tells of was written, and can be read and followed."""
    return SecureProvider(inner=httpx.ASGITransport(_Trusting()), holds=True, **more)


def _entry() -> dict[str, Any]:
    fields = [{**provider.DATASET["fields"][1], "name": each, "label": each} for each in FIELDS]
    return {**provider.DATASET, "id": GUARDED, "data_class": "restricted", "fields": fields}


def _said(request: httpx.Request) -> dict[str, Any]:
    """What a proof says; a nonce, where there is none to say it."""
    shown = request.headers.get("dpop")
    told: dict[str, Any] = {"nonce": ""}
    return told if shown is None else json.loads(jws.extract_compact(shown.encode()).payload)


def lent(port: int, **more: Any) -> Lent:
    """What a judge of this provider is lent, in a hurry."""
    callback = Callback(TUNNEL, "127.0.0.1", port)
    told: dict[str, Any] = {
        "client": Client("judge", KEY), "guarded": GUARDED, "hidden": HIDDEN, "hidden_field": "remark",
        "other_purpose": "statistics", "callback": callback, "patience_s": 3.0, "hang_s": 1.5,
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
