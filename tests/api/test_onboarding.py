"""The ten steps of a body that joins are told from what is there, to those whom they concern."""

from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.world import SAKAI, World

pytestmark = pytest.mark.usefixtures("worker")
TOWN = "273210"
ROWS = "番号,数量\n1,3\n2,多数\n".encode()
DATASET = {
    "title_ja": "試験",
    "steward": {"name": "試験"},
    "data_class": "public",
    "update_frequency": "annual",
    "fields": [
        {"name": "no", "label": "番号", "type": "code", "key": True},
        {"name": "size", "label": "数量", "type": "integer"},
    ],
}


async def steps(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
    response = await client.get(f"/v1/organizations/{TOWN}/onboarding", headers=headers)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def call(told: dict[str, Any]) -> tuple[str, str]:
    """The call of the step that comes next."""
    step = told["steps"][told["next"] - 1]
    return step["call"]["method"], step["call"]["path"]


async def test_each_step_names_the_call_that_does_it(
    client: httpx.AsyncClient, world: World
) -> None:
    operator = await world.token(await world.party(OPERATOR, Role.OPERATOR), "admin:read")
    nobody_yet = await steps(client, operator)
    clerk = await world.token(await world.party(TOWN, Role.STEWARD), "catalogue:write")

    begun = await steps(client, clerk)
    dataset = (await client.post("/v1/datasets", json=DATASET, headers=clerk)).json()["id"]
    registered = await steps(client, clerk)
    run = await world.load(clerk, dataset, ROWS)
    loaded = await steps(client, clerk)
    await world.load(clerk, dataset, ROWS.replace("多数".encode(), b"9"))
    mended = await steps(client, clerk)
    licence = {"license": "CC-BY-4.0"}
    await client.patch(f"/v1/datasets/{dataset}", json=licence, headers=clerk)
    licensed = await steps(client, clerk)
    method, path = call(licensed)
    assert (await client.request(method, path, headers=clerk)).status_code == 200
    published = await steps(client, clerk)

    assert call(nobody_yet) == ("POST", "/v1/invitations/accept")
    assert call(begun) == ("POST", "/v1/datasets")
    assert call(registered) == ("GET", "/v1/profiles/{name}/{version}/template.xlsx")
    assert call(loaded) == ("GET", f"/v1/runs/{run['id']}/rejects")
    assert call(mended) == ("PATCH", f"/v1/datasets/{dataset}")
    assert (method, path) == ("POST", f"/v1/datasets/{dataset}/versions/2/publish")
    assert published["next"] is None
    assert all(step["done"] for step in published["steps"])
    assert [step["number"] for step in published["steps"]] == list(range(1, 11))
    assert all(step["ja"] and step["en"] for step in published["steps"])


async def test_the_steps_of_another_organisation_are_not_told(
    client: httpx.AsyncClient, world: World
) -> None:
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")

    refused = await client.get(f"/v1/organizations/{TOWN}/onboarding", headers=stranger)
    nobody = await client.get(f"/v1/organizations/{TOWN}/onboarding")
    unknown = await client.get("/v1/organizations/nothing/onboarding", headers=stranger)

    assert (refused.status_code, refused.json()["code"]) == (403, "not_your_organization")
    assert (await world.log(Event.CALL_REFUSED))[0]["code"] == "not_your_organization"
    assert nobody.status_code == 401
    assert unknown.status_code == 404
