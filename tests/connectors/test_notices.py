"""A source that says when there is something new is asked once, however often it says so."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from app.audit.reading import list_entries
from tests.connectors.farm import Farm
from tests.connectors.sources import Asked, Web, reply, web
from tests.connectors.streaming import until

_MOMENT_AGO = "UPDATE harvest SET created_at = created_at - interval '1 minute'"


class Source:
    """An interface of one row, and the secret by which it may call."""

    def __init__(self, farm: Farm, server: Web) -> None:
        self.farm, self.server = farm, server
        self.connector = self.dataset = ""
        self.told: dict[str, Any] = {}

    async def begin(self) -> "Source":
        """Feed a dataset, and be given a secret."""
        self.dataset = await self.farm.dataset()
        feed = {"dataset": self.dataset, "publish": True}
        self.connector = await self.farm.add("http_json", {"base": self.server.base}, feed)
        self.told = (await self.farm.ask("POST", f"/{self.connector}/notices", {})).json()
        return self

    async def say(self, secret: str | None = None, body: bytes = b"{}") -> int:
        """Send a notice."""
        headers = {self.told["header"]: secret or self.told["secret"]}
        said = await self.farm.world.client.post(self.told["url"], content=body, headers=headers)
        return int(said.status_code)

    async def runs(self) -> list[dict[str, Any]]:
        """The harvests that were begun, the oldest first."""
        listed = await self.farm.ask("GET", f"/{self.connector}/runs")
        return list(reversed(listed.json()["items"]))

    async def feed(self) -> dict[str, Any]:
        """What is shown of it."""
        shown = await self.farm.ask("GET", f"/{self.connector}")
        told: dict[str, Any] = shown.json()["feeds"][0]
        return told


@pytest_asyncio.fixture(loop_scope="session")
async def source(farm: Farm) -> Any:
    def answer(_: Asked) -> bytes:
        return reply([{"no": "1", "name": "架空会館"}])

    async with web(answer) as server:
        yield await Source(farm, server).begin()


async def test_however_many_notices_come_one_harvest_is_made_and_one_more_for_those_in_between(
    source: Source,
) -> None:
    farm, pool = source.farm, source.farm.harvester.database.pool
    burst = await asyncio.gather(*(source.say() for _ in range(8)))
    first = (await source.runs())[0]
    making = asyncio.create_task(farm.make(source.connector, UUID(first["id"])))
    await until(lambda: bool(source.server.asked))
    between = [await source.say(), await source.say()]
    waits = (await source.feed())["noticed_at"]
    ended = await making
    await farm.harvester.begin_due()
    a_moment_later = len(await source.runs())
    await pool.execute(_MOMENT_AGO)
    await asyncio.gather(*(farm.harvester.begin_due() for _ in range(3)))
    second = (await source.runs())[-1]
    ended_too = await farm.make(source.connector, UUID(second["id"]))
    await pool.execute(_MOMENT_AGO)
    await farm.harvester.begin_due()

    assert burst + between == [204] * 10
    assert (a_moment_later, len(await source.runs())) == (1, 2)
    assert (waits is not None, (await source.feed())["noticed_at"]) == (True, None)
    assert [each["created_by"] for each in (first, second)] == ["notice", "notice"]
    assert (ended["state"], ended_too["state"]) == ("ok", "unchanged")
    assert len(source.server.asked) == 2


@pytest.mark.parametrize("why", ["guessed", "replaced", "ended", "paused", "of another", "live"])
async def test_who_has_no_secret_that_is_good_now_begins_nothing(source: Source, why: str) -> None:
    farm, secret = source.farm, source.told["secret"]
    path = f"/{source.connector}"
    match why:
        case "guessed":
            secret = "guessed"
        case "replaced":
            await farm.ask("POST", f"{path}/notices", {"dataset": source.dataset})
        case "ended":
            await farm.ask("DELETE", f"{path}/notices")
        case "paused":
            await farm.ask("PATCH", path, {"paused": True})
        case "of another":
            secret = (await Source(farm, source.server).begin()).told["secret"]
        case "live":
            feed = {"dataset": source.dataset, "mode": "live"}
            await farm.ask("PATCH", path, {"feeds": [feed]})

    status = await source.say(secret, b"x" * 1_000)

    assert (status, await source.runs()) == (401, [])


async def test_a_secret_is_shown_once_to_whose_connector_it_is(source: Source) -> None:
    farm = source.farm
    other = await Farm.of(farm.world, farm.harvester, "271004-kodomo")
    refused = await other.ask("POST", f"/{source.connector}/notices", {})
    shown = await farm.ask("GET", f"/{source.connector}")
    entries = await list_entries(farm.harvester.database.pool, limit=10_000)

    assert refused.status_code == 404
    assert shown.json()["feeds"][0]["takes_notices"] is True
    assert source.told["secret"] not in shown.text + str([each.facts for each in entries])
    said = [each for each in entries if each.facts.get("changed") == ["notices"]]
    assert [source.dataset] in [each.facts["datasets"] for each in said]
