"""What one replica revokes, another refuses within two seconds, however long the token lives."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.conftest import ISSUER
from tests.stock import PURPOSE, agreed, path, stocked
from tests.world import SAKAI, World

RUNS = 10
WITHIN_S = 2
RECORDS = [{"no": "1", "name": "白鳥", "size": 5}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica(database_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another application on the same database: it hears of changes from there alone."""
    app = create_app(settings, database_url)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ISSUER) as asking,
    ):
        yield asking


async def _seconds_until_refused(
    replica: httpx.AsyncClient, dataset: str, headers: dict[str, str], expected: tuple[int, str]
) -> float:
    began = time.monotonic()
    while True:
        found = await replica.get(path(dataset), params={"purpose": PURPOSE}, headers=headers)
        if found.status_code != 200:
            assert (found.status_code, found.json()["code"]) == expected
            return time.monotonic() - began
        assert time.monotonic() - began < 5 * WITHIN_S
        await asyncio.sleep(0.003)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("client", (401, "invalid_token")),
        ("revoke", (403, "agreement_revoked")),
        ("suspend", (403, "agreement_suspended")),
    ],
)
async def test_what_is_revoked_at_one_replica_is_refused_at_another(
    client: httpx.AsyncClient,
    replica: httpx.AsyncClient,
    world: World,
    what: str,
    code: tuple[int, str],
) -> None:
    operator = await world.party("270008-smartcity", Role.OPERATOR)
    admin = await world.token(operator, "admin:write")
    taken = []
    for _ in range(RUNS):
        dataset = await stocked(world, RECORDS, data_class="internal")
        party = await world.party(SAKAI, Role.DEVELOPER)
        agreement, steward = await agreed(world, dataset, party)
        headers = await world.token(party, f"dataset:{dataset}:read")
        asked = {"purpose": PURPOSE}
        before = await replica.get(path(dataset), params=asked, headers=headers)
        assert before.status_code == 200, before.text

        if what == "client":
            ended = await client.post(f"/v1/admin/clients/{party.id}/revoke", headers=admin)
        else:
            ended = await client.post(
                f"/v1/agreements/{agreement}/{what}", json={"reason": "調査"}, headers=steward
            )
        assert ended.status_code == 200, ended.text
        taken.append(await _seconds_until_refused(replica, dataset, headers, code))

    assert max(taken) <= WITHIN_S
