"""Connectors of a test, and their harvests made step by step as a worker makes them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.models.parties import Role
from app.tasks.attempt import attempt
from app.tasks.harvest import Harvester, Later, settle
from tests.world import KENKO, World

FIELDS: list[dict[str, Any]] = [
    {"name": "no", "column": "no", "label": "番号", "type": "code", "key": True},
    {"name": "name", "column": "name", "label": "名称", "type": "text"},
]


@dataclass(slots=True)
class Farm:
    """One steward, whose connectors feed datasets."""

    world: World
    harvester: Harvester
    headers: dict[str, str]

    @classmethod
    async def of(cls, world: World, harvester: Harvester, organization: str = KENKO) -> "Farm":
        """A steward's."""
        party = await world.party(organization, Role.STEWARD)
        return cls(world, harvester, await world.token(party, "catalogue:write"))

    async def dataset(self, **more: Any) -> str:
        """A dataset with two fields."""
        return await self.world.dataset(data_class="internal", **{"fields": FIELDS, **more})

    async def add(self, kind: str, settings: dict[str, Any], *feeds: dict[str, Any]) -> str:
        """A connector; its id."""
        body = {"kind": kind, "name": "試験", "settings": settings, "feeds": list(feeds)}
        made = await self.ask("POST", "", body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A call below /v1/connectors."""
        return await self.world.client.request(
            method, f"/v1/connectors{path}", json=body, headers=self.headers
        )

    async def begin(self, connector: str, **body: Any) -> UUID:
        """Ask for a harvest; its id."""
        begun = await self.ask("POST", f"/{connector}/runs", body)
        assert begun.status_code == 202, begun.text
        return UUID(begun.json()["id"])

    async def run(self, connector: str, **body: Any) -> dict[str, Any]:
        """Make one harvest to its end, whatever that is."""
        harvest_id = await self.begin(connector, **body)
        return await self.make(connector, harvest_id)

    async def make(self, connector: str, harvest_id: UUID) -> dict[str, Any]:
        """Go on with a harvest to its end, as a worker does."""
        for _ in range(10):
            try:
                await self.harvester.harvest(harvest_id)
                break
            except Later:
                continue
        found = await self.shown(connector, harvest_id)
        if found["run_id"] is not None:
            await attempt(self.harvester.database, UUID(found["run_id"]))
            await settle(self.harvester.database, UUID(found["run_id"]))
        return await self.shown(connector, harvest_id)

    async def shown(self, connector: str, harvest_id: UUID) -> dict[str, Any]:
        """A harvest as the API has it."""
        found = await self.ask("GET", f"/{connector}/runs/{harvest_id}")
        assert found.status_code == 200, found.text
        told: dict[str, Any] = found.json()
        return told

    async def records(self, dataset: str) -> list[dict[str, Any]]:
        """What readers get."""
        party = await self.world.party(KENKO, Role.STEWARD)
        headers = await self.world.token(party, f"dataset:{dataset}:read")
        got = await self.world.client.get(
            f"/v1/datasets/{dataset}/records?purpose=own-duty&limit=1000", headers=headers
        )
        assert got.status_code == 200, got.text
        items = got.json()["records" if "records" in got.json() else "items"]
        return [{name: row[name] for name in ("no", "name")} for row in items]
