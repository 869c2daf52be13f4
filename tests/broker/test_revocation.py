"""What one replica revokes, another refuses within two seconds, however long the token lives."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.revoking import KINDS, WITHIN_S, right
from tests.world import World

RUNS = 8  # a thousand of them, of real processes: python -m tests.bench revocation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica(database_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another application on the same database: it hears of changes from there alone."""
    app = create_app(settings, database_url)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=ISSUER, event_hooks=HOOKS
        ) as asking,
    ):
        yield asking


@pytest.mark.parametrize("what", KINDS)
async def test_what_is_revoked_at_one_replica_is_refused_at_another(
    replica: httpx.AsyncClient, world: World, what: str
) -> None:
    operator = await world.party("270008-smartcity", Role.OPERATOR)
    admin = await world.token(operator, "admin:write")

    is_of_one = what in ("client", "person")
    standing = (await right(world, "suspend", {})).dataset if is_of_one else None

    taken = []
    for _ in range(RUNS):
        one = await right(world, what, admin, standing)
        taken.append(await one.seconds_until_refused(replica, since_answer=True))

    assert max(taken) <= WITHIN_S
