"""Open datasets and calls for the tests of CKAN's door."""

from typing import Any

import httpx

from tests.api.test_opendata import ROWS, opened
from tests.world import World

__all__ = ["ROWS", "opened"]


async def call(client: httpx.AsyncClient, action: str, **given: Any) -> Any:
    """The result of an action that is answered, its parameters sent as JSON."""
    response = await client.post(f"/api/3/action/{action}", json=given)
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["success"] is True
    assert told["help"].endswith(f"/api/3/action/help_show?name={action}")
    return told["result"]


async def refused(client: httpx.AsyncClient, action: str, **given: Any) -> tuple[int, Any]:
    """The status and the error of an action that is refused."""
    response = await client.post(f"/api/3/action/{action}", json=given)
    told = response.json()
    assert told["success"] is False
    return response.status_code, told["error"]


async def resource_of(client: httpx.AsyncClient, dataset: str) -> str:
    """The id of the resource that is in the datastore."""
    package = await call(client, "package_show", id=dataset)
    return next(str(each["id"]) for each in package["resources"] if each["datastore_active"])


async def changed(world: World, dataset: str, change: str) -> None:
    """What a publisher or an operator has since done to the entry."""
    await world.platform.database.pool.execute(
        f"UPDATE dataset SET {change} WHERE id = $1", dataset
    )
    world.platform.live.changed("dataset", dataset)
