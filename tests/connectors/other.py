"""Another platform than that of the module: on a database and a port of its own, behind real HTTP."""

import json
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from app.connectors.frame import Means
from app.connectors.linkage import LinkageConnector
from app.connectors.linkage_shapes import LinkageSettings
from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.bound import HOOKS
from tests.database import DatabaseServer
from tests.serving import served
from tests.stock import path
from tests.world import SAKAI, Party, World


class Counting:
    """An application, and how many requests it answers at present."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.open_now = 0
        self.is_away = False
        self.heads: list[dict[str, str]] = []
        self.queries: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open_now += 1
        self.heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.queries.append(scope["query_string"].decode())
        try:
            if self.is_away:
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            await self._app(scope, receive, send)
        finally:
            self.open_now -= 1


@dataclass(slots=True)
class Other:
    """The other platform."""

    world: World
    base: str
    door: Counting

    async def client_of(self, organization: str = SAKAI) -> tuple[Party, dict[str, Any]]:
        """A client of it, and how a connector is told that it is this client."""
        party = await self.world.party(organization, Role.DEVELOPER)
        key = json.dumps(party.key.as_dict(private=True))
        return party, {"type": "private_key_jwt", "client_id": party.id, "key": key}

    async def remove(self, dataset: str, key: str) -> None:
        """Have the publisher delete a record."""
        headers = await self.world.token(await self.world.party(), f"dataset:{dataset}:write")
        gone = await self.world.client.delete(path(dataset, key), headers=headers)
        assert gone.is_success, gone.text

    def connector(self, its: Means, auth: dict[str, Any] | None = None) -> LinkageConnector:
        """A connector that asks it."""
        told = {"base": self.base, **({"auth": auth} if auth else {})}
        return LinkageConnector(LinkageSettings.model_validate(told), its)


def free_port() -> int:
    """A port that nobody has: a platform's tokens name its address before it serves."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@asynccontextmanager
async def other_platform(
    databases: DatabaseServer, template: str, home: Path
) -> AsyncIterator[Other]:
    """The platform, for as long as it is needed."""
    name, port = f"o_{secrets.token_hex(5)}", free_port()
    url = await databases.make_database(name, template=template)
    base = f"http://127.0.0.1:{port}"
    settings = Settings(home=home, public_url=base, outbound_allow="127.0.0.0/8")
    made = create_app(settings, url)
    door = Counting(made)
    async with (
        made.router.lifespan_context(made),
        served(door, port),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=made), base_url=base, event_hooks=HOOKS,
            headers={"Accept-Language": "en"},
        ) as asking,
    ):  # fmt: skip
        world = World(made.state.platform, asking)
        await world.start()
        yield Other(world, base, door)
    await databases.drop_database(name)
