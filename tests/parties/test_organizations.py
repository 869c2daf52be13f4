"""Organisations keep their id whatever they are called, and a wrong code is never taken."""

from datetime import date

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from app.parties.seed import seed
from tests.world import World

BASE = "/v1/admin/organizations"


async def operator(world: World) -> dict[str, str]:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    return await world.token(party, "admin:read admin:write")


async def test_the_seed_is_there_once_however_often_it_runs(world: World) -> None:
    async with world.platform.database.writing() as session:
        assert await seed(session) == 0

    pool = world.platform.database.pool
    count = "SELECT count(*) FROM organization WHERE kind = ANY($1::text[])"
    bodies = ["prefecture", "designated_city", "city", "town", "village"]
    assert await pool.fetchval(count, bodies) == 44
    assert await pool.fetchval(count, ["ward"]) == 31
    assert await pool.fetchval(count, ["unit"]) == 29
    assert await world.log(Event.ORGANIZATION_ADDED) == []


async def test_five_digits_name_the_same_body_as_six(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)

    five = await client.get(f"{BASE}/27100", headers=headers)
    six = await client.get(f"{BASE}/271004", headers=headers)

    assert five.json() == six.json()
    assert five.json()["id"] == "271004"


async def test_a_wrong_check_digit_is_refused(client: httpx.AsyncClient, world: World) -> None:
    headers = await operator(world)

    response = await client.get(f"{BASE}/271005", headers=headers)

    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "wrong_check_digit"


async def test_a_wrong_check_digit_is_refused_when_adding(
    client: httpx.AsyncClient, world: World
) -> None:
    new = {"id": "271005", "kind": "city", "name_ja": "試験市"}

    response = await client.post(BASE, json=new, headers=await operator(world))

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/id"
    assert await world.log(Event.ORGANIZATION_ADDED) == []


async def test_names_are_not_unique(client: httpx.AsyncClient, world: World) -> None:
    response = await client.get(BASE, params={"name": "北区"}, headers=await operator(world))

    found = [item["id"] for item in response.json()["items"] if item["name_ja"] == "北区"]
    assert found == ["271276", "271462"]  # Osaka's and Sakai's


async def test_a_joint_unit_stands_below_both_parents(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)

    for parent in ("271004", "270008"):
        tree = await client.get(f"{BASE}/{parent}/tree", headers=headers)
        assert "271004-banpaku" in [item["id"] for item in tree.json()]


async def test_renaming_keeps_the_id_and_the_former_name_is_still_found(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    new = {"name_ja": "保健医療局", "since": "2026-04-01"}

    renamed = await client.post(f"{BASE}/271004-kenko/rename", json=new, headers=headers)

    assert (renamed.status_code, renamed.json()["id"]) == (200, "271004-kenko")
    found = await client.get(BASE, params={"name": "健康局"}, headers=headers)
    assert [item["name_ja"] for item in found.json()["items"]] == ["保健医療局"]
    changes = await world.log(Event.ORGANIZATION_CHANGED)
    assert [(c["organization"], c["change"]) for c in changes] == [("271004-kenko", "renamed")]


async def test_the_digital_office_remembers_its_former_name(
    client: httpx.AsyncClient, world: World
) -> None:
    response = await client.get(
        f"{BASE}/271004-digital/former-names", headers=await operator(world)
    )

    assert response.json()[0]["name_ja"] == "ICT戦略室"
    assert date.fromisoformat(response.json()[0]["until"]) == date(2022, 4, 1)


async def test_a_renaming_before_the_last_one_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    response = await client.post(
        f"{BASE}/271004-digital/rename",
        json={"name_ja": "電脳室", "since": "2020-01-01"},
        headers=await operator(world),
    )

    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "name_order"


async def test_a_closed_organisation_names_its_successor_and_its_clients_stop(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    unit = {"id": "27100-shiken", "kind": "unit", "name_ja": "試験局", "parent_id": "271004"}
    added = await client.post(BASE, json=unit, headers=headers)
    assert added.json()["id"] == "271004-shiken"
    party = await world.party("271004-shiken", Role.AUDITOR)
    await world.token(party, "audit:read")

    closed = await client.post(
        f"{BASE}/271004-shiken/close",
        json={"on": "2026-04-01", "successor_id": "271004-somu"},
        headers=headers,
    )

    assert closed.json()["successor_id"] == "271004-somu"
    world.platform.live.changed("client", party.id)
    refused = await client.post("/oauth/token", data=party.form("audit:read"))
    assert refused.status_code == 401
    again = await client.post(
        f"{BASE}/271004-shiken/close", json={"on": "2026-04-02"}, headers=headers
    )
    assert (again.status_code, again.json()["code"]) == (409, "organization_closed")


async def test_a_body_with_units_cannot_be_closed(client: httpx.AsyncClient, world: World) -> None:
    response = await client.post(
        f"{BASE}/271004/close", json={"on": "2026-04-01"}, headers=await operator(world)
    )

    assert (response.status_code, response.json()["code"]) == (409, "organization_has_units")


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ({"id": "271004-x", "kind": "unit", "name_ja": "x"}, "parent_required"),
        ({"id": "kenko", "kind": "unit", "name_ja": "x", "parent_id": "271004"}, "invalid_id"),
        ({"id": "A B", "kind": "vendor", "name_ja": "x"}, "invalid_id"),
        ({"id": "v-one", "kind": "vendor", "name_ja": "x", "parent_id": "no"}, "parent_unknown"),
    ],
)
async def test_an_organisation_that_breaks_the_rules_of_its_kind_is_refused(
    client: httpx.AsyncClient, world: World, new: dict[str, str], code: str
) -> None:
    response = await client.post(BASE, json=new, headers=await operator(world))

    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == code


async def test_the_same_id_twice_is_a_conflict(client: httpx.AsyncClient, world: World) -> None:
    new = {"id": "27100", "kind": "city", "name_ja": "大阪市"}

    response = await client.post(BASE, json=new, headers=await operator(world))

    assert (response.status_code, response.json()["code"]) == (409, "organization_exists")


async def test_a_list_pages_through_everything_once(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "40", **({"cursor": cursor} if cursor else {})}
        page = (await client.get(BASE, params=params, headers=headers)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    count = await world.platform.database.pool.fetchval("SELECT count(*) FROM organization")
    assert len(seen) == len(set(seen)) == count


async def test_a_writer_without_the_role_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party("270008-smartcity", Role.COORDINATOR)
    headers = await world.token(party, "admin:read")

    response = await client.post(
        BASE, json={"id": "v-two", "kind": "vendor", "name_ja": "x"}, headers=headers
    )

    assert response.status_code == 403
    assert [e["code"] for e in await world.log(Event.CALL_REFUSED)] == ["insufficient_scope"]
