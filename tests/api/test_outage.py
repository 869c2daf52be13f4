"""The database going away and coming back: refused meanwhile, and nothing to restart."""

import asyncio
import time

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.api.handlers import install
from app.api.state import Platform
from app.kit import embedded as kit
from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.bound import HOOKS
from tests.conftest import ISSUER, restartable
from tests.database import SETTINGS
from tests.world import World


async def _until(
    client: httpx.AsyncClient, path: str, status: int, headers: dict[str, str]
) -> None:
    give_up_at = time.monotonic() + 15
    while (await client.get(path, headers=headers)).status_code != status:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.1)


async def test_the_database_goes_away_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    folder = tmp_path_factory.mktemp("outage") / "db"
    server = await restartable(folder)
    app = create_app(settings, server.url)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=ISSUER, event_hooks=HOOKS) as client,
    ):
        world = World(app.state.platform, client)
        party = await world.party("270008-smartcity", Role.OPERATOR)
        headers = await world.token(party, "admin:read")
        path = "/v1/admin/organizations/271004"
        assert (await client.get(path, headers=headers)).status_code == 200

        await server.stop()
        away = [
            await client.get(path, headers=headers),
            await client.get("/readyz"),
            await client.post("/oauth/token", data=party.form("admin:read")),
            await client.get(path),  # a refusal that cannot be recorded
        ]
        assert [a.status_code for a in away] == [503] * 4
        assert {a.json()["code"] for a in away} == {"database_unavailable"}
        assert (await client.get("/healthz")).status_code == 200
        health = (await client.get("/v1/health")).json()
        assert (health["status"], health["source"]["reachable"]) == ("degraded", False)

        server = await kit.start(folder, settings=SETTINGS)
        await _until(client, "/readyz", 200, {})
        await _until(client, path, 200, headers)
        assert (await client.get("/v1/health")).json()["status"] == "ok"
        await world.token(party, "admin:read")
    await server.stop()


async def test_a_lock_that_is_held_too_long_is_said_to_pass(platform: Platform) -> None:
    waiting = FastAPI()
    install(waiting)

    @waiting.get("/")
    async def wait() -> None:
        async with platform.database.writing() as session:
            await session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            await session.execute(text("LOCK TABLE idempotent_answer IN ACCESS EXCLUSIVE MODE"))

    async with platform.database.writing() as holder:
        await holder.execute(text("LOCK TABLE idempotent_answer IN ACCESS EXCLUSIVE MODE"))
        transport = httpx.ASGITransport(waiting)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
