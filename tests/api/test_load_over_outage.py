"""The database restarted in the middle of a load: the run ends as if nothing had happened."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from app.kit import embedded as kit
from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from tests.api.test_loading import FILE, SPECS, start_worker
from tests.bound import HOOKS
from tests.conftest import ISSUER, restartable
from tests.database import SETTINGS
from tests.stock import stocked
from tests.world import KENKO, World


async def test_a_load_survives_a_restart_of_the_database(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> None:
    folder = tmp_path_factory.mktemp("restart") / "db"
    server = await restartable(folder)
    app = create_app(settings, server.url)
    transport = httpx.ASGITransport(app=app)
    worker = await asyncio.to_thread(start_worker, server.url)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=ISSUER, event_hooks=HOOKS) as client,
        ):
            world = World(app.state.platform, client)
            dataset = await stocked(world, [], SPECS)
            party = await world.party(KENKO, Role.STEWARD)
            headers = await world.token(party, "catalogue:write")
            lines = "".join(f"{at},架空第{at}避難所,{at}\n" for at in range(3, 300_000))
            path = f"/v1/datasets/{dataset}/versions"
            sent = await client.post(path, content=(FILE + lines).encode(), headers=headers)
            run_path = f"/v1/runs/{sent.json()['id']}"
            give_up_at = time.monotonic() + 20
            while not (await client.get(run_path, headers=headers)).json()["rows_read"]:
                assert time.monotonic() < give_up_at
                await asyncio.sleep(0.02)

            await server.stop()
            assert (await client.get(run_path, headers=headers)).status_code == 503
            server = await kit.start(folder, settings=SETTINGS)

            give_up_at = time.monotonic() + 40
            run: dict[str, Any] = {"state": "unknown"}
            while run["state"] not in ("ok", "degraded", "failed"):
                assert time.monotonic() < give_up_at, run
                await asyncio.sleep(0.1)
                answer = await client.get(run_path, headers=headers)
                run = answer.json() if answer.status_code == 200 else run
            assert (run["state"], run["rows_accepted"]) == ("ok", 299_999)
            listed = await client.get(path, headers=headers)
            assert [version["number"] for version in listed.json()] == [1]
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 15) is not None
    finally:
        worker.kill()
        await asyncio.to_thread(worker.communicate)
        await server.stop()
