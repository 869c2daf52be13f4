"""Terms of use: who came by invitation accepts what is in force before it hands in data."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.parties import terms
from app.parties.invitations import Applicant, NewInvitation, accept, invite
from app.parties.seed import OPERATOR
from tests.agreements.test_access import AGREEMENTS, REQUESTS, acting, ask
from tests.world import KENKO, Party, World

VILLAGE = "273830"
SCOPE = "agreements:write catalogue:write organization:write"
DATASET = {
    "title_ja": "公共施設一覧",
    "steward": {"name": "総務課"},
    "update_frequency": "annual",
    "fields": [{"name": "no", "label": "番号", "type": "code", "key": True}],
}


def day(offset: int) -> str:
    return str(today() + timedelta(days=offset))


def today() -> date:
    return clock.now().astimezone(clock.TOKYO).date()


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def no_terms(platform: Any) -> None:
    """Each test begins without terms: they bind everybody who shares the database."""
    await platform.database.pool.execute("TRUNCATE terms_version, terms_acceptance, invitation")


async def publish(world: World, **more: Any) -> httpx.Response:
    operator = await world.party(OPERATOR, Role.OPERATOR)
    body = {"text_ja": "規約", "text_en": "Terms", "valid_from": day(0), **more}
    return await world.client.post(
        "/v1/admin/terms", json=body, headers=await world.token(operator, "admin:write")
    )


async def village(world: World, *, came: int = 0) -> dict[str, str]:
    """The token of a village that came by invitation, `came` days from now."""
    async with world.platform.database.writing() as session:
        made = await invite(session, NewInvitation(VILLAGE, "a@example.jp"), by="test")
    party = await world.party(VILLAGE, Role.STEWARD)
    jwks = {"keys": [party.key.as_dict(private=False)]}
    async with world.platform.database.writing() as session:
        added = await accept(session, made.code, Applicant(jwks=jwks))
    await world.platform.database.pool.execute(
        "UPDATE invitation SET accepted_at = $2 WHERE id = $1",
        made.invitation.id,
        clock.now() + timedelta(days=came),
    )
    invited = Party(added.client.id, VILLAGE, party.issuer, party.key)
    return await world.token(invited, SCOPE)


async def register(world: World, headers: dict[str, str]) -> tuple[int, str | None]:
    response = await world.client.post("/v1/datasets", json=DATASET, headers=headers)
    return response.status_code, response.json().get("code")


async def agree(world: World, headers: dict[str, str], number: int) -> httpx.Response:
    return await world.client.post(f"/v1/terms/{number}/accept", headers=headers)


async def test_nothing_is_asked_while_no_terms_are_published(world: World) -> None:
    headers = await village(world)

    assert await register(world, headers) == (201, None)


async def test_who_came_by_invitation_accepts_before_it_registers_or_loads(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await village(world)
    made = await client.post("/v1/datasets", json=DATASET, headers=headers)
    assert (await publish(world)).status_code == 201

    refused = await client.post("/v1/datasets", json=DATASET, headers=headers)
    path = f"/v1/datasets/{made.json()['id']}/versions"
    loading = await client.post(path, content=b"no\n1\n", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "terms_not_accepted")
    assert "version 1" in refused.json()["detail"]
    assert "POST /v1/terms/1/accept" in refused.json()["detail"]
    assert loading.json()["code"] == "terms_not_accepted"
    codes = [entry["code"] for entry in await world.log(Event.CALL_REFUSED)]
    assert codes == ["terms_not_accepted", "terms_not_accepted"]
    assert (await agree(world, headers, 1)).status_code == 200
    assert await register(world, headers) == (201, None)
    assert (await client.post(path, content=b"no\n1\n", headers=headers)).status_code == 202


async def test_an_acceptance_keeps_who_when_and_the_hash_of_the_text(
    client: httpx.AsyncClient, world: World
) -> None:
    await publish(world)
    headers = await village(world)

    first = (await agree(world, headers, 1)).json()
    second = (await agree(world, headers, 1)).json()

    shown = (await client.get("/v1/terms/1")).json()
    assert first["organization_id"] == VILLAGE
    assert first["text_sha256"] == shown["text_sha256"] == terms.text_sha256("規約", "Terms")
    assert second == first
    entries = await world.log(Event.TERMS_ACCEPTED)
    assert [(e["organization"], e["by"]) for e in entries] == [(VILLAGE, first["accepted_by"])]


async def test_who_did_not_come_by_invitation_is_not_asked(world: World) -> None:
    await publish(world)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    assert await register(world, steward) == (201, None)


async def test_a_new_version_is_accepted_again_once_its_grace_is_over(
    platform: Any, world: World
) -> None:
    await publish(world, valid_from=day(-10))
    headers = await village(world, came=-9)
    await agree(world, headers, 1)
    await publish(world, valid_from=day(0), required_from=day(1))
    assert await register(world, headers) == (201, None)

    await platform.database.pool.execute(
        "UPDATE terms_version SET valid_from = $1, required_from = $2 WHERE number = 2",
        today() - timedelta(days=1),
        today(),
    )

    assert await register(world, headers) == (403, "terms_not_accepted")
    assert (await agree(world, headers, 2)).status_code == 200
    assert await register(world, headers) == (201, None)


async def test_who_comes_during_the_grace_accepts_what_is_in_force(world: World) -> None:
    await publish(world, valid_from=day(-10))
    await publish(world, valid_from=day(-1), required_from=day(30))
    headers = await village(world)

    refused = await world.client.post("/v1/datasets", json=DATASET, headers=headers)

    assert "version 2" in refused.json()["detail"]
    old = await agree(world, headers, 1)
    assert (old.status_code, old.json()["code"]) == (409, "terms_superseded")
    await agree(world, headers, 2)
    assert await register(world, headers) == (201, None)


async def test_a_version_to_come_binds_nobody_and_may_be_accepted_early(world: World) -> None:
    await publish(world, valid_from=day(5))
    headers = await village(world)

    assert await register(world, headers) == (201, None)
    assert (await agree(world, headers, 1)).status_code == 200


async def test_versions_are_listed_newest_first_with_the_one_in_force(
    client: httpx.AsyncClient, world: World
) -> None:
    await publish(world, valid_from=day(-2))
    await publish(world, valid_from=day(-1), text_ja="改正")
    await publish(world, valid_from=day(3))

    listed = (await client.get("/v1/terms")).json()

    assert [(each["number"], each["in_force"]) for each in listed] == [
        (3, False),
        (2, True),
        (1, False),
    ]
    assert (await client.get("/v1/terms/2")).json()["text_ja"] == "改正"
    missing = await client.get("/v1/terms/9")
    assert (missing.status_code, missing.json()["code"]) == (404, "terms_not_found")
    assert [e["number"] for e in await world.log(Event.TERMS_PUBLISHED)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"number": 3}, "wrong_number"),
        ({"number": 1}, "wrong_number"),
        ({"valid_from": "2020-01-01"}, "date_order"),
        ({"required_from": "2020-01-01"}, "date_order"),
    ],
)
async def test_a_version_that_contradicts_the_others_is_refused(
    world: World, more: dict[str, Any], code: str
) -> None:
    await publish(world)

    response = await publish(world, **more)

    assert (response.status_code, response.json()["code"]) == (422, "terms_invalid")
    assert response.json()["errors"][0]["code"] == code


async def test_only_a_steward_or_coordinator_accepts_and_only_the_operator_publishes(
    client: httpx.AsyncClient, world: World
) -> None:
    await publish(world)
    developer = await world.token(await world.party(VILLAGE, Role.DEVELOPER), "agreements:write")
    coordinator = await world.token(
        await world.party(VILLAGE, Role.COORDINATOR), "organization:write"
    )

    refused = await agree(world, developer, 1)
    published = await client.post("/v1/admin/terms", json={}, headers=developer)

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert published.status_code == 403
    assert (await agree(world, coordinator, 1)).status_code == 200


async def test_nobody_enters_an_agreement_who_owes_the_terms_and_everybody_may_leave_one(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await world.dataset()
    mine = await village(world)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    made, waiting, draft = [
        (await ask(world, dataset, mine, draft=each)).json()["id"] for each in (False, False, True)
    ]
    granted = await client.post(f"{REQUESTS}/{made}/approve", json={}, headers=steward)
    agreement = f"{AGREEMENTS}/{granted.json()['id']}"
    assert (await publish(world)).status_code == 201

    refused = [
        await ask(world, dataset, mine),
        await client.post(f"{REQUESTS}/{draft}/submit", headers=mine),
        await client.post(f"{REQUESTS}/{waiting}/approve", json={}, headers=steward),
        await client.post(f"{agreement}/amend", json={"columns": ["name"]}, headers=mine),
    ]
    left = [
        await client.post(f"{REQUESTS}/{waiting}/withdraw", headers=mine),
        await client.post(f"{agreement}/revoke", json={"reason": "-"}, headers=mine),
    ]
    await agree(world, mine, 1)

    assert [(each.status_code, each.json()["code"]) for each in refused] == [
        (403, "terms_not_accepted")
    ] * 4
    assert all(VILLAGE in each.json()["detail"] for each in refused)
    assert [each.status_code for each in left] == [200, 200]
    assert (await ask(world, dataset, mine)).status_code == 201
