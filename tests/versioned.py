"""Datasets with versions, and their steward, for tests of what is kept, compared and let go."""

from typing import Any

import httpx

from app.models.parties import Role
from tests.world import KENKO, World

FILE = b"no,name,size\n1,a,1\n2,b,2\n"
LATER = b"no,name,size\n2,B,2\n3,c,3\n"


def base(dataset: str) -> str:
    """Where the dataset's operations are."""
    return f"/v1/datasets/{dataset}"


async def steward_of(world: World) -> dict[str, str]:
    """A token of a steward of the publisher."""
    return await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")


async def publish(
    world: World, steward: dict[str, str], dataset: str, file: bytes = FILE
) -> dict[str, Any]:
    """Load a file, all of its rows good, and publish it; its run."""
    run = await world.load(steward, dataset, file)
    assert run["state"] == "ok", run
    await world.publish(steward, run)
    return run


def codes(*answers: httpx.Response) -> list[tuple[int, str]]:
    """How each was refused."""
    return [(answer.status_code, answer.json()["code"]) for answer in answers]
