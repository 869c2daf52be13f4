"""A live dataset with a source that answers as it is told, and whoever reads it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from app.models.parties import Role
from tests.connectors.sources import Asked, Web, reply, web
from tests.stock import Spec, declared, path
from tests.world import KENKO, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer"),
    ("fee", "decimal"),
    ("ward", "text"),
    ("opened", "date"),
    ("checked", "datetime"),
    ("is_open", "boolean"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
_NAMES: Final = tuple(spec[0] for spec in SPECS)
ROWS: Final[list[dict[str, Any]]] = [
    dict(zip(_NAMES, row, strict=True))
    for row in (
        ("N-1", "青葉", 10, 1.50, "north", "2020-04-01", "2026-01-02T03:04:05+09:00", True, 34.7, 135.5),
        ("N-2", "緑,丘", 20, 20, "north", "2021-12-31", None, False, 34.71, 135.51),
        ("S-1", 'ひ"すい', 770033, None, "south", None, "2026-01-02T03:04:05.5+09:00", None, 34.1, 135.9),
        ("S-2", None, None, 0.25, None, "2019-01-05", "2025-12-31T15:00:00+00:00", True, None, None),
        ("W-1", "水辺", 20, 3, "west", "2020-04-01", None, True, 35.0, 135.0),
    )
]  # fmt: skip


@dataclass(slots=True)
class Stage:
    """One dataset. `rows` is what its source has, `says` what it says instead."""

    world: World
    source: Web
    dataset: str
    connector: str
    steward: dict[str, str]
    reader: dict[str, str]
    rows: list[dict[str, Any]] = field(default_factory=lambda: [dict(row) for row in ROWS])
    says: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def answer(self, asked: Asked) -> bytes:
        """What the source says: its rows, in a list."""
        if self.says is not None:
            return self.says
        found = [row for row in self.rows if asked.query.get("ward") in (None, row.get("ward"))]
        return reply({"items": found}, **self.headers)

    async def read(
        self, key: str | None = None, who: dict[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        """Records, as they are read."""
        asked = {"purpose": "own-duty", **query}
        where = path(self.dataset, key)
        return await self.world.client.get(where, params=asked, headers=who or self.reader)

    async def names(self, **query: Any) -> list[str]:
        """The keys of the records of an answer."""
        got = await self.read(**query)
        assert got.status_code == 200, got.text
        return [each["no"] for each in got.json()["records"]]

    async def feed(self, **feed: Any) -> httpx.Response:
        """Change what feeds the dataset."""
        whole = {"dataset": self.dataset, "mode": "live", "selection": SELECTION, **feed}
        return await self.change({"feeds": [whole]})

    async def change(self, body: dict[str, Any]) -> httpx.Response:
        """Change the connector; every process knows at once."""
        got = await self.world.client.patch(
            f"/v1/connectors/{self.connector}", json=body, headers=self.steward
        )
        self.world.platform.live.changed("dataset", self.dataset)
        return got

    async def settled(self) -> int:
        """The connections that the source still has, once they had a moment to go."""
        for _ in range(100):
            if self.source.open_now == 0:
                break
            await asyncio.sleep(0.02)
        return self.source.open_now


SELECTION: Final = {"rows": "/items", "equals": {"ward": "ward"}}


@asynccontextmanager
async def stage_of(
    world: World, specs: Sequence[Spec] = SPECS, *, data_class: str = "internal",
    selection: dict[str, Any] = SELECTION, **feed: Any,
) -> AsyncIterator[Stage]:  # fmt: skip
    """The dataset, its connector, a steward and a reader of its own organisation."""
    dataset = await world.dataset(data_class=data_class, fields=declared(specs))
    party = await world.party(KENKO, Role.STEWARD)
    steward = await world.token(party, "catalogue:write")
    reader = await world.token(await world.party(), f"dataset:{dataset}:read")
    made: Stage
    async with web(lambda asked: made.answer(asked)) as source:  # noqa: PLW0108 - made later
        feed = {"dataset": dataset, "mode": "live", "selection": selection, **feed}
        body = {
            "kind": "http_json", "name": "台帳", "settings": {"base": source.base}, "feeds": [feed],
        }  # fmt: skip
        added = await world.client.post("/v1/connectors", json=body, headers=steward)
        assert added.status_code == 201, added.text
        world.platform.live.changed("dataset", dataset)
        made = Stage(world, source, dataset, added.json()["id"], steward, reader)
        yield made
