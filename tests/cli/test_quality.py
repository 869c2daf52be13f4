"""`urbanos quality`: what it shows, and that it finds counts which are not the version's."""

import asyncio
import json
from pathlib import Path

import pytest

from app.models.parties import Role
from tests.cli.test_demo import Home, free_port
from tests.stock import Spec, stocked
from tests.world import KENKO, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("size", "integer", {"label": "定員"}),
)


@pytest.mark.usefixtures("worker")
async def test_counting_again_agrees_until_somebody_has_meddled_with_the_counts(
    world: World, database_url: str, tmp_path: Path
) -> None:
    dataset = await stocked(world, [], SPECS)
    steward = await world.party(KENKO, Role.STEWARD)
    headers = await world.token(steward, "catalogue:write")
    run = await world.load(headers, dataset, "番号,定員\n1,１０\n2,\n3,多数\n".encode())
    await world.publish(headers, run)
    home = Home(tmp_path, free_port())

    async def told(*words: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(
            home.run, "quality", dataset, *words, URBANOS_DATABASE_URL=database_url
        )
        return done.returncode, done.stdout, done.stderr

    shown = await told()
    as_json = await told("--json", "--check")
    await world.platform.database.pool.execute(
        "UPDATE quality SET measures = jsonb_set(measures, '{rows}', '7') WHERE dataset_id = $1",
        dataset,
    )
    meddled = await told("--check")

    asked = (await world.client.get(f"/v1/datasets/{dataset}/quality")).json()
    assert shown[0] == 0 and f"{dataset} version 1" in shown[1] and "completeness" in shown[1]
    found = json.loads(as_json[1])
    assert (as_json[0], found["differing"], found["version"]) == (0, [], 1)
    assert found["stars"] == asked["stars"]
    assert (meddled[0], meddled[2].strip()) == (4, "Counted again, these differ: rows")
