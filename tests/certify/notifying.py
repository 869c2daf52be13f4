"""What a provider of the class `push` does besides: records that change, and notices over real sockets."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

PUBLIC: Final = "sandbox-facilities"
TUNNEL: Final = "https://hooks.example.jp"


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
class Notifying:
    """The part of `SecureProvider` that is written to and that tells of it."""

    faults: frozenset[str] = frozenset()
    tunnel: str = ""  # where TUNNEL leads
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    written: dict[str, dict[str, Any]] = field(default_factory=dict)
    position: int = 0
    listens_s: float = 1.0
    out: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    sending: set[asyncio.Task[None]] = field(default_factory=set)

    def does(self, fault: str) -> bool:
        return fault in self.faults

    def _allowed(self, claims: dict[str, Any] | None, action: str) -> None:
        if claims is None:
            if self.does(f"{action} without a token"):
                return
            raise Refused(401, "token_required")
        has = f"dataset:{PUBLIC}:{action}" in claims["scope"].split()
        if not has and not self.does(f"{action} without its scope"):
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
        records = [each for each in json.loads(request.content) if "no" in each]
        for record in records:
            self.written[record["no"]] = record
            self._changed(record.get("name", ""))
        results = [
            {"index": at, "key": each["no"], "status": "updated"} for at, each in enumerate(records)
        ]
        told = {"dataset": PUBLIC, "accepted": len(records), "rejected": 0 if records else 1,
                "results": results}  # fmt: skip
        return httpx.Response(200, json=told)

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
            "since": encoded(str(self.position).encode()),
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
        for wait in (0.5, 0.1) if steady else (0.1, 0.5):
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


def _secret(of: Subscription) -> str:
    return f"whsec_{base64.b64encode(of.secret).decode()}"


def _is_inside(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
