"""A consumer of the change feed, as another city's system keeps its copy."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.stock import path


def feed(dataset: str) -> str:
    """Where the changes are read."""
    return f"/v1/datasets/{dataset}/changes"


@dataclass(slots=True)
class Follower:
    """Keeps a copy by key, and what it was told in order."""

    client: httpx.AsyncClient
    dataset: str
    headers: dict[str, str] = field(default_factory=dict)
    purpose: str | None = None
    since: str | None = None
    replica: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0

    async def ask(self, limit: int = 100) -> httpx.Response:
        """One page from where the consumer stands."""
        asked = {"limit": str(limit)}
        for name, value in (("since", self.since), ("purpose", self.purpose)):
            if value is not None:
                asked[name] = value
        return await self.client.get(feed(self.dataset), params=asked, headers=self.headers)

    async def step(self, limit: int = 100) -> bool:
        """Take one page; whether more is waiting. A 410 begins anew, as its words say."""
        response = await self.ask(limit)
        if response.status_code == 410 and response.json()["code"] == "cursor_expired":
            self.since, self.replica = None, {}
            self.restarts += 1
            return True
        assert response.status_code == 200, response.text
        page = response.json()
        assert page["numberReturned"] == len(page["changes"]) <= limit
        for change in page["changes"]:
            if change["op"] == "upsert":
                self.replica[change["key"]] = change["record"]
            else:
                assert "record" not in change
                self.replica.pop(change["key"], None)
        self.told += page["changes"]
        self.since = page["next"]
        more = any(link["rel"] == "next" for link in page["links"])
        assert more == ("link" in response.headers)
        return more

    async def catch_up(self, limit: int = 100) -> list[dict[str, Any]]:
        """Take all that is waiting; what was told meanwhile, as (op, key)."""
        before = len(self.told)
        while await self.step(limit):
            pass
        return self.told[before:]


def outline(changes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What happened to which record."""
    return [(change["op"], change["key"]) for change in changes]


async def held(client: httpx.AsyncClient, dataset: str, key: str = "no") -> dict[str, Any]:
    """The records as `GET /records` gives them, by key."""
    page = (await client.get(path(dataset), params={"limit": "10000"})).json()
    return {record[key]: record for record in page["records"]}


def without_nulls(replica: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records but for what they do not hold: a field that came without values was never told."""
    return {
        key: {name: value for name, value in record.items() if value is not None}
        for key, record in replica.items()
    }
