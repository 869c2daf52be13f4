"""Operators add, change and reset members of staff; what they take is gone at once."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.people import acting
from tests.portal.browser import PASSWORD, Browser, browser_of, give_provider, somebody
from tests.signin.opening import opened
from tests.world import SAKAI, World

BASE = "/v1/admin/users"
OPERATOR = "270008-smartcity"


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    async with browser_of(app) as made:
        yield made


async def operator(world: World) -> dict[str, str]:
    party = await world.party(OPERATOR, Role.OPERATOR)
    return await world.token(party, "admin:read admin:write")


def new(email: str, **more: object) -> dict[str, object]:
    return {"organization_id": SAKAI, "name": "堺 次郎", "email": email, **more}


async def test_who_is_added_sets_a_password_by_the_link_and_signs_in(
    client: httpx.AsyncClient, world: World, browser: Browser
) -> None:
    headers = await operator(world)
    body = new("first@example.jp", roles=["steward"])

    added = await client.post(BASE, json=body, headers=headers)
    shown = await browser.open(added.json()["link"]["url"])
    await browser.send(shown, new=PASSWORD, repeated=PASSWORD)
    form = await browser.open("/sign-in")
    signed_in = await browser.send(form, email="First@Example.jp", password=PASSWORD)
    user = await client.get(f"{BASE}/{added.json()['user']['id']}", headers=headers)

    assert (added.status_code, signed_in.status_code) == (201, 303)
    assert added.json()["user"]["has_password"] is False
    assert user.json()["has_password"] is True
    assert user.json()["has_second_factor"] is False
    assert not {"password_hash", "totp_sealed"} & user.json().keys()


async def test_the_links_secret_is_in_no_log(client: httpx.AsyncClient, world: World) -> None:
    added = await client.post(BASE, json=new("log@example.jp"), headers=await operator(world))
    key = added.json()["link"]["url"].partition("key=")[2]

    told = str(await world.log())

    assert Event.PERSON_ADDED in told
    assert key not in told and "log@example.jp" not in told


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", new("x@example.jp")),
        ("GET", "", None),
        ("GET", "/{id}", None),
        ("PUT", "/{id}/roles", {"roles": ["operator"]}),
        ("POST", "/{id}/disable", None),
        ("POST", "/{id}/enable", None),
        ("POST", "/{id}/reset", {}),
    ],
)
async def test_nobody_but_an_operator_touches_members_of_staff(
    client: httpx.AsyncClient, world: World, method: str, path: str, body: object
) -> None:
    who = await somebody(world)
    steward = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    coordinator = await world.token(await world.party(SAKAI, Role.COORDINATOR), "admin:read")

    asked = [
        await client.request(method, BASE + path.format(id=who.id), json=body, headers=headers)
        for headers in ({}, steward, coordinator)
    ]

    assert [response.status_code for response in asked] == [401, 403, 403]


async def test_an_operator_in_person_needs_a_second_factor_to_give_roles(
    client: httpx.AsyncClient, world: World
) -> None:
    who, boss = await somebody(world), await somebody(world, Role.OPERATOR)
    app = await world.party(SAKAI)
    once = await acting(world, app, boss.id, "admin:write")
    both = await acting(world, app, boss.id, "admin:write", second_factor=True)
    path = f"{BASE}/{who.id}/roles"

    answers = []
    for sender in (once, both):
        headers = sender.headers(path, "PUT")
        answers.append(await client.put(path, json={"roles": ["steward"]}, headers=headers))

    assert [response.status_code for response in answers] == [401, 200]
    assert answers[0].json()["code"] == "insufficient_user_authentication"
    changed = await world.log(Event.PERSON_CHANGED)
    assert changed[-1]["by"].endswith(boss.id)


async def test_a_disabled_persons_session_and_token_are_refused_at_once(
    client: httpx.AsyncClient, world: World, platform: Platform, browser: Browser
) -> None:
    who = await somebody(world, Role.OPERATOR)
    headers = await operator(world)
    await browser.sign_in(who)
    sender = await acting(world, await world.party(SAKAI), who.id, "admin:read")
    before = await client.get(BASE, headers=sender.headers(BASE))

    await client.post(f"{BASE}/{who.id}/disable", headers=headers)

    after = await client.get(BASE, headers=sender.headers(BASE))
    assert (before.status_code, after.status_code) == (200, 401)
    assert await platform.sign_ins.find(browser.session) is None
    assert (await browser.sign_in(who)).status_code == 403
    await client.post(f"{BASE}/{who.id}/enable", headers=headers)
    assert (await browser.sign_in(who)).status_code == 303


async def test_a_session_that_was_ended_stays_so_when_the_person_is_let_in_again(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    who, headers = await somebody(world), await operator(world)
    secret = await opened(platform, who.id, ("pwd",))

    await client.post(f"{BASE}/{who.id}/disable", headers=headers)
    await client.post(f"{BASE}/{who.id}/enable", headers=headers)

    assert await platform.sign_ins.find(secret) is None


async def test_roles_that_a_provider_gives_are_not_set_here(
    client: httpx.AsyncClient, world: World
) -> None:
    who, headers = await somebody(world, Role.STEWARD), await operator(world)
    await give_provider(world, who)

    refused = await client.put(f"{BASE}/{who.id}/roles", json={"roles": []}, headers=headers)
    shown = await client.get(f"{BASE}/{who.id}", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (409, "roles_of_provider")
    assert shown.json()["roles"] == ["steward"]


async def test_a_reset_takes_password_factor_and_sessions(
    client: httpx.AsyncClient, world: World, platform: Platform, browser: Browser
) -> None:
    who = await somebody(world, totp=True)
    headers = await operator(world)
    await browser.sign_in(who, code=who.code())

    reset = await client.post(
        f"{BASE}/{who.id}/reset", json={"second_factor": True}, headers=headers
    )

    assert reset.json()["user"]["has_password"] is False
    assert reset.json()["user"]["has_second_factor"] is False
    assert "/set-up?key=" in reset.json()["link"]["url"]
    assert await platform.sign_ins.find(browser.session) is None
    assert (await browser.sign_in(who)).status_code == 403


async def test_a_reset_of_the_second_factor_leaves_the_password(
    client: httpx.AsyncClient, world: World, browser: Browser
) -> None:
    who = await somebody(world, totp=True)
    body = {"password": False, "second_factor": True}

    reset = await client.post(f"{BASE}/{who.id}/reset", json=body, headers=await operator(world))

    assert reset.json()["link"] is None
    assert (await browser.sign_in(who)).status_code == 303


async def test_members_of_staff_are_listed_by_organisation_page_by_page(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    mine = {(await somebody(world)).id for _ in range(3)}

    found: set[str] = set()
    query: dict[str, str] = {"organization": SAKAI, "limit": "2"}
    while True:
        listed = (await client.get(BASE, params=query, headers=headers)).json()
        found |= {each["id"] for each in listed["items"]}
        if listed["next"] is None:
            break
        query["cursor"] = listed["next"]

    assert mine <= found


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (new("a@b@c"), 422, "invalid_input"),
        (new("a@example.jp", roles=["king"]), 422, "invalid_input"),
        (new("a@example.jp", password="x"), 422, "invalid_input"),
        (new("a@example.jp", organization_id="999999"), 422, "organization_invalid"),
    ],
)
async def test_what_is_wrong_of_somebody_new_is_named(
    client: httpx.AsyncClient, world: World, body: object, status: int, code: str
) -> None:
    response = await client.post(BASE, json=body, headers=await operator(world))

    assert (response.status_code, response.json()["code"]) == (status, code)
