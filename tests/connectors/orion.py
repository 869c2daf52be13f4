"""A context broker of a test's own, over real HTTP, after the two specifications: NGSIv2 as Orion has
it, and NGSI-LD (ETSI GS CIM 009). It pages, filters, subscribes and notifies; no more."""

import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.sources import Asked, Web, reply, web

Post = Callable[[str, dict[str, str], bytes], Awaitable[int]]
_TERM = re.compile(r"^([^=<>!]+)(==|>=|<=|>|<)(.+)$")


@dataclass(slots=True)
class Orion:
    """Entities with plain values, and who wants to be told."""

    version: str
    server: Web = field(init=False)
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)  # headers that each request has to have
    wrong: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.server.base

    def put(self, **entity: Any) -> None:
        """An entity, new or changed."""
        self.entities[entity["id"]] = entity

    def answer(self, asked: Asked) -> bytes:
        """As the broker says it."""
        for name, value in self.expected.items():
            if asked.headers.get(name) != value:
                self.wrong.append(f"{asked.method} {asked.path}: {name}")
        if asked.path == "/":
            return reply({"error": "BadRequest", "description": "service not found"}, "400 -")
        path = asked.path.removeprefix("/v2/").removeprefix("/ngsi-ld/v1/")
        assert asked.path.startswith("/v2/" if self.version == "v2" else "/ngsi-ld/v1/")
        if path == "entities":
            return self._entities(asked)
        if path == "types":
            return self._types()
        if path == "subscriptions":
            return self._subscribe(asked)
        return self._subscription(asked, path.removeprefix("subscriptions/"))

    def _entities(self, asked: Asked) -> bytes:
        query = asked.query
        found = [each for each in self.entities.values() if each["type"] == query["type"]]
        found = [each for each in found if query.get("id") in (None, each["id"])]
        found = [each for each in found if all(map(_meets(each), query.get("q", "").split(";")))]
        offset, limit = int(query["offset"]), int(query["limit"])
        assert 1 <= limit <= 1_000
        page = [self._shown(each, asked) for each in found[offset : offset + limit]]
        name = "Fiware-Total-Count" if self.version == "v2" else "NGSILD-Results-Count"
        return reply(page, **{name.replace("-", "_"): str(len(found))})

    def _shown(self, entity: dict[str, Any], asked: Asked) -> dict[str, Any]:
        if "keyValues" in asked.query.get("options", ""):
            return entity
        return _normalized(entity, self.version)

    def _types(self) -> bytes:
        names = dict.fromkeys(each["type"] for each in self.entities.values())
        if self.version == "ld":
            return reply({"id": "urn:ngsi-ld:EntityTypeList:1", "typeList": list(names)})
        attributes = {
            name: {key: {"types": ["Text"]} for each in self.entities.values()
                   if each["type"] == name for key in each if key not in ("id", "type")}
            for name in names
        }  # fmt: skip
        return reply(
            [{"type": name, "attrs": attrs, "count": 1} for name, attrs in attributes.items()]
        )

    def _subscribe(self, asked: Asked) -> bytes:
        body = json.loads(asked.body)
        assert asked.headers["content-type"] == "application/json"
        self._check_subscription(body)
        name = (
            secrets.token_hex(12)
            if self.version == "v2"
            else f"urn:ngsi-ld:Subscription:{secrets.token_hex(6)}"
        )
        self.subscriptions[name] = body
        return reply(b"", "201 Created", Location=f"{asked.path}/{name}")

    def _check_subscription(self, body: dict[str, Any]) -> None:
        if self.version == "v2":
            assert set(body) == {"subject", "notification", "expires"}
            assert body["subject"]["entities"][0].keys() == {"idPattern", "type"}
            assert body["subject"].get("condition") != {}
        else:
            assert body["type"] == "Subscription"
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["expiresAt"])
            assert body["notification"]["endpoint"]["uri"].startswith("http")

    def _subscription(self, asked: Asked, name: str) -> bytes:
        name = name.replace("%3A", ":")
        if name not in self.subscriptions:
            return reply({"error": "NotFound"}, "404 Not Found")
        if asked.method == "DELETE":
            del self.subscriptions[name]
        else:
            assert asked.method == "PATCH"
            self.subscriptions[name] |= json.loads(asked.body)
        return reply(b"", "204 No Content")

    async def tell(self, post: Post, *entities: dict[str, Any], gone: bool = False) -> list[int]:
        """Have it so, and send it to everybody who has subscribed; the statuses of the answers."""
        for each in entities:
            self.entities.pop(each["id"], None)
            if not gone:
                self.put(**each)
        return [
            await post(*self.notification(name, list(entities), gone=gone))
            for name in list(self.subscriptions)
        ]

    def notification(
        self, name: str, entities: list[dict[str, Any]], *, gone: bool = False
    ) -> tuple[str, dict[str, str], bytes]:
        """Where to, with which headers, and what."""
        told = self.subscriptions[name]["notification"]
        is_plain = told.get("attrsFormat", told.get("format")) == "keyValues"
        data = [each if is_plain else _normalized(each, self.version) for each in entities]
        if self.version == "v2":
            url, headers = told["httpCustom"]["url"], told["httpCustom"]["headers"]
            if "alterationType" in told.get("attrs", ()):
                said = "entityDelete" if gone else "entityChange"
                marked = said if is_plain else {"type": "Text", "value": said, "metadata": {}}
                data = [{**each, "alterationType": marked} for each in data]
            body: dict[str, Any] = {"subscriptionId": name, "data": data}
        else:
            endpoint = told["endpoint"]
            url, headers = endpoint["uri"], {e["key"]: e["value"] for e in endpoint["receiverInfo"]}
            if gone:
                data = [
                    {"id": e["id"], "type": e["type"], "deletedAt": "2026-04-01T00:00:00Z"}
                    for e in data
                ]
            body = {"id": "urn:ngsi-ld:Notification:1", "type": "Notification", "subscriptionId": name,
                    "notifiedAt": "2026-04-01T00:00:00Z", "data": data}  # fmt: skip
        return url, {**headers, "Content-Type": "application/json"}, json.dumps(body).encode()


def _normalized(entity: dict[str, Any], version: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": entity["id"], "type": entity["type"]}
    for name, value in entity.items():
        if name in shown:
            continue
        if version == "v2":
            when = {"TimeInstant": {"type": "DateTime", "value": "2026-04-01T00:00:00.000Z"}}
            shown[name] = {"type": "Text", "value": value, "metadata": when}
        else:
            shown[name] = {"type": "Property", "value": value, "observedAt": "2026-04-01T00:00:00Z"}
    return shown


def _meets(entity: dict[str, Any]) -> Callable[[str], bool]:
    def meets(term: str) -> bool:
        if not term:
            return True
        found = _TERM.match(term)
        assert found is not None, term
        name, operator, raw = found.groups()
        wanted: Any = raw[1:-1] if raw[0] in "'\"" else float(raw)
        value = entity.get(name)
        if isinstance(value, str) != isinstance(wanted, str) or value is None:
            return False
        return bool({"==": value == wanted, ">": value > wanted, "<": value < wanted,
                     ">=": value >= wanted, "<=": value <= wanted}[operator])  # fmt: skip

    return meets


@asynccontextmanager
async def orion(version: str) -> AsyncIterator[Orion]:
    """A broker on a free port."""
    made = Orion(version)
    async with web(made.answer) as server:
        made.server = server
        yield made
