"""Rights that are taken away at one replica while another is read in a tight loop: how long it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from app.models.parties import Role
from app.parties import people
from tests.oauth.people import acting, somebody
from tests.stock import PURPOSE, agreed, path, stocked
from tests.world import SAKAI, Party, World

WITHIN_S: Final = 2.0
KINDS: Final = ("client", "revoke", "suspend", "person")
_CODES: Final = {
    "client": (401, "invalid_token"),
    "person": (401, "invalid_token"),
    "revoke": (403, "agreement_revoked"),
    "suspend": (403, "agreement_suspended"),
}
_ROWS: Final = [{"no": "1", "name": "白鳥", "size": 5}]


@dataclass(frozen=True, slots=True)
class Right:
    """Somebody's right to read a dataset, and what ends it."""

    dataset: str
    headers: Callable[[], dict[str, str]]  # fresh ones: who proves a key proves it each time
    end: Callable[[], Awaitable[Any]]
    refusal: tuple[int, str]

    async def ask(self, replica: httpx.AsyncClient) -> httpx.Response:
        """Read with it, there."""
        asked = {"purpose": PURPOSE}
        return await replica.get(path(self.dataset), params=asked, headers=self.headers())

    async def seconds_until_refused(
        self, replica: httpx.AsyncClient, *, since_answer: bool = False
    ) -> float:
        """From when the end of it is sent until the first refusal, with no yes after that one.

        `since_answer`: from when the end of it was answered, where both share one process's time.
        """
        before = await self.ask(replica)
        assert before.status_code == 200, before.text
        began = time.monotonic()
        ending = asyncio.create_task(_awaited(self.end()))
        while (found := await self.ask(replica)).status_code == 200:
            assert not ending.done() or time.monotonic() - ending.result() < 5 * WITHIN_S
        refused = time.monotonic()
        assert (found.status_code, found.json()["code"]) == self.refusal, found.text
        ended = await ending
        assert (await self.ask(replica)).status_code == self.refusal[0]
        return max(0.0, refused - ended) if since_answer else refused - began


async def _awaited(ending: Awaitable[Any]) -> float:
    """When it was answered."""
    answer = await ending
    assert getattr(answer, "status_code", 200) == 200, answer.text
    return time.monotonic()


async def right(
    world: World, kind: str, admin: dict[str, str], standing: str | None = None
) -> Right:
    """A fresh right under an agreement, that ends as `kind` says. `admin` revokes clients.

    `standing` is a dataset with an agreement that stays: where the agreement is not what ends.
    """
    dataset = standing or await stocked(world, _ROWS, data_class="internal")
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, steward = "", admin
    if standing is None or kind not in ("client", "person"):
        agreement, steward = await agreed(world, dataset, party)
    scope = f"dataset:{dataset}:read"
    if kind == "person":
        return await _persons(world, party, dataset)
    token = await world.token(party, scope)

    async def end() -> httpx.Response:
        if kind == "client":
            return await world.client.post(f"/v1/admin/clients/{party.id}/revoke", headers=admin)
        where = f"/v1/agreements/{agreement}/{kind}"
        return await world.client.post(where, json={"reason": "調査"}, headers=steward)

    return Right(dataset, lambda: token, end, _CODES[kind])


async def _persons(world: World, party: Party, dataset: str) -> Right:
    person = await somebody(world)
    sender = await acting(world, party, person, f"dataset:{dataset}:read")
    where = path(dataset)

    async def end() -> None:
        async with world.platform.database.writing() as session:
            await people.disable(session, person, by="test")

    return Right(
        dataset,
        lambda: sender.headers(where, htu=world.platform.issuer + where),
        end,
        _CODES["person"],
    )
