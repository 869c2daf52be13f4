"""One platform with a listener in every zone, each on a socket of its own, and who asks there."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Final

import httpx
from fastapi import FastAPI

from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role, Zone
from tests.bound import HOOKS, asked
from tests.oauth.senders import TOKEN_PATH, under
from tests.serving import served
from tests.stock import PURPOSE, path, stocked
from tests.world import KENKO, SAKAI, Party, World

ZONES: Final = tuple(Zone)
CLASSES: Final = ("public", "internal", "restricted", "personal", "specific-personal")
MARK: Final = "外に出てはならない値"
ROWS: Final = [{"no": "1", "name": MARK, "size": 5}]
# A body in each zone: what is agreed with one of them is agreed with no other.
BODIES: Final = {Zone.INTERNET: SAKAI, Zone.LGWAN: "272027", Zone.MYNUMBER: "272035"}
LISTENERS: Final = "lgwan=127.0.0.1:1 mynumber=127.0.0.1:2"  # served on any free port


@asynccontextmanager
async def listeners(
    first: FastAPI, settings: Settings, url: str
) -> AsyncIterator[dict[Zone, httpx.AsyncClient]]:
    """Asks each listener over its own socket. `first` is the application of the first zone."""
    async with AsyncExitStack() as stack:
        asking = {}
        for its in settings.every_listener:
            app = first
            if its.zone != settings.zone:
                app = create_app(its, url)
                await stack.enter_async_context(app.router.lifespan_context(app))
            port = await stack.enter_async_context(served(app))
            at = f"http://127.0.0.1:{port}"
            http = httpx.AsyncClient(base_url=at, timeout=30, event_hooks=HOOKS)
            asking[Zone(its.zone)] = await stack.enter_async_context(http)
        yield asking


@dataclass(slots=True)
class Town:
    """Datasets of each class in each zone, and a client of a body of its own in each zone."""

    world: World
    at: dict[Zone, httpx.AsyncClient]
    datasets: dict[tuple[str, Zone], str]
    clients: dict[Zone, Party]
    agreements: dict[tuple[str, Zone], str]  # by dataset and the zone of the client

    @classmethod
    async def make(cls, world: World, at: dict[Zone, httpx.AsyncClient]) -> "Town":
        """Everything but agreements."""
        datasets = {}
        for data_class, zone in product(CLASSES, ZONES):
            datasets[data_class, zone] = await moved(world, data_class, zone)
        clients = {z: await world.party(BODIES[z], Role.DEVELOPER, zone=z) for z in ZONES}
        return cls(world, at, datasets, clients, {})

    async def agree(self) -> set[tuple[str, Zone, Zone]]:
        """Have every client ask for every dataset, at its own listener; what was agreed to now."""
        steward = await self.world.token(
            await self.world.party(KENKO, Role.STEWARD), "agreements:write"
        )
        made = set()
        for zone in ZONES:
            headers = await self._asking(zone)
            for (data_class, of), dataset in self.datasets.items():
                if (dataset, zone) in self.agreements:
                    continue
                body = {"dataset": dataset, "purpose": PURPOSE, "legal_basis": "試験"}
                request = await self.at[zone].post(
                    "/v1/access-requests", json=body, headers=headers
                )
                if request.status_code != 201:
                    continue
                approve = f"/v1/access-requests/{request.json()['id']}/approve"
                answer = await self.world.client.post(approve, json={}, headers=steward)
                assert answer.status_code == 201, answer.text
                self.agreements[dataset, zone] = answer.json()["id"]
                made.add((data_class, of, zone))
        return made

    async def _asking(self, zone: Zone) -> dict[str, str]:
        form = self.clients[zone].form("agreements:write")
        answer = await self.at[zone].post(TOKEN_PATH, data=form)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def left(self) -> set[tuple[str, Zone, Zone | None, Zone]]:
        """What got out: class, zone of the dataset, zone of the client (None: no token) and of the
        listener. Every way is tried: a token of this listener, and one of the client's own."""
        found: set[tuple[str, Zone, Zone | None, Zone]] = set()
        for (data_class, of), at in product(self.datasets, ZONES):
            if await self._leaves(self.datasets[data_class, of], at, {}):
                found.add((data_class, of, None, at))
        for client, where in product(ZONES, ZONES):
            shown = await self._tokens(client, where)
            listeners = ZONES if where is client else (where,)
            for (data_class, of), at in product(shown, listeners):
                dataset = self.datasets[data_class, of]
                if await self._leaves(dataset, at, shown[data_class, of]):
                    found.add((data_class, of, client, at))
        return found

    async def _leaves(self, dataset: str, at: Zone, headers: dict[str, str]) -> bool:
        asked = {"purpose": PURPOSE}
        answer = await self.at[at].get(path(dataset), params=asked, headers=headers)
        return MARK in answer.text

    async def _tokens(self, client: Zone, where: Zone) -> dict[tuple[str, Zone], dict[str, str]]:
        """For each dataset the token that the client gets at a listener, where it gets one."""
        plain = {of: each for of, each in self.datasets.items() if of[0] != "personal"}
        token = await self._token(client, where, *plain.values())
        shown: dict[tuple[str, Zone], dict[str, str] | None] = dict.fromkeys(plain, token)
        for zone in ZONES:
            dataset = self.datasets["personal", zone]
            agreement = self.agreements.get((dataset, client))
            more = {"authorization_details": under(agreement)} if agreement else {}
            shown["personal", zone] = await self._token(client, where, dataset, **more)
        return {of: each for of, each in shown.items() if each is not None}

    async def _token(
        self, client: Zone, where: Zone, *datasets: str, **more: str
    ) -> dict[str, str] | None:
        scope = " ".join(f"dataset:{each}:read" for each in datasets)
        form = self.clients[client].form(scope, **more)
        _, headers = await asked(self.at[where], self.world.platform.issuer, form)
        return headers or None


async def moved(world: World, data_class: str, zone: Zone) -> str:
    """A dataset with one record, then put into the class and the zone."""
    dataset = await stocked(world, ROWS, data_class="restricted")
    await world.platform.database.pool.execute(
        "UPDATE dataset SET data_class = $2, zone = $3 WHERE id = $1",
        dataset,
        data_class,
        zone.value,
    )
    world.platform.live.changed("dataset", dataset)
    return dataset
