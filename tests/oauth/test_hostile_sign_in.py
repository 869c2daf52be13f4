"""Who attacks the sign-in to an app: other apps, other people, whoever sees or sends an address."""

import asyncio

import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role, Zone
from app.oauth.codes import forget_answers
from app.oauth.pushed import forget_pushed
from app.oauth.scopes import IDENTITY, MEANINGS
from app.parties import clients, people
from app.portal.consent import WORDS
from tests.oauth.senders import TOKEN_PATH, proof
from tests.oauth.signing_in import CALLBACK, Attempt, Browser, an_app, signed_in, told
from tests.world import KENKO, SAKAI, World

USERINFO = "/oauth/userinfo"


async def test_two_workers_redeem_one_code_and_one_gets_a_token(
    world: World, replica: httpx.AsyncClient
) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world))

    answers = await asyncio.gather(
        *(attempt.redeem(code, client=each) for each in (world.client, replica) * 4)
    )

    assert sorted(each.status_code for each in answers) == [200] + [400] * 7
    assert {each.json()["error"] for each in answers if each.is_error} == {"invalid_grant"}
    # Nobody can say which of them was the honest one: what was given is ended (RFC 6749, 4.1.2).
    (ended,) = await world.log(Event.TOKEN_REVOKED)
    assert ended["why"] == "code_used_again"


async def test_a_request_is_answered_once_however_often_the_button_is_pressed(
    world: World,
) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    page = (await browser.visit(app.id, await Attempt(world, app).request_uri())).text

    answers = await asyncio.gather(*(browser.answer(page) for _ in range(4)))

    assert sorted(each.status_code for each in answers) == [303, 400, 400, 400]
    assert len(await world.log(Event.CODE_ISSUED)) == 1


async def test_nobody_can_be_made_to_let_an_app_act_by_a_form_from_elsewhere(
    world: World,
) -> None:
    app = await an_app(world)
    victim, thief = await signed_in(world), await signed_in(world)
    request_uri = await Attempt(world, app).request_uri()
    own = (await victim.visit(app.id, request_uri)).text
    foreign = (await thief.visit(app.id, request_uri)).text

    answers = [
        await victim.answer(foreign),
        await victim.answer(own, csrf=""),
        await victim.answer(own, csrf="x" * 43),
        await Browser(world).answer(own),
    ]

    assert [each.status_code for each in answers] == [403] * 4
    assert await world.log(Event.CODE_ISSUED) == []
    assert "code" in told(await victim.answer(own))


async def test_the_page_can_be_put_in_no_frame_and_runs_no_script(world: World) -> None:
    app = await an_app(world)
    response = await (await signed_in(world)).visit(app.id, await Attempt(world, app).request_uri())

    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert "script-src" not in policy and "<script" not in response.text
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


async def test_an_apps_name_is_text_and_no_html(world: World) -> None:
    app = await an_app(world)
    name = "<img src=x onerror=alert(1)>"
    rename = "UPDATE client SET name = $2 WHERE id = $1"
    await world.platform.database.pool.execute(rename, app.id, name)

    page = await (await signed_in(world)).visit(app.id, await Attempt(world, app).request_uri())

    assert name not in page.text and "&lt;img src=x" in page.text


@pytest.mark.parametrize(
    "redirect_uri",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        f"{CALLBACK}#x",
        f"{CALLBACK}/../evil",
        CALLBACK.replace("https", "http"),
        CALLBACK.upper(),
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/callback",
        "//app.example/callback",
        f" {CALLBACK}",
        f"{CALLBACK}%00",
        "",
    ],
)
async def test_no_code_is_asked_for_to_an_address_that_is_not_registered(
    world: World, redirect_uri: str
) -> None:
    app = await an_app(world)

    response = await Attempt(world, app, redirect_uri=redirect_uri).push()

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_an_address_that_the_app_has_given_up_leads_nowhere(world: World) -> None:
    app = await an_app(world)
    request_uri = await Attempt(world, app).request_uri()
    browser = await signed_in(world)
    page = (await browser.visit(app.id, request_uri)).text
    async with world.platform.database.writing() as session:
        await clients.set_sign_in(
            session, app.id, redirect_uris=["https://app.example/new"], staff_of=[SAKAI], by="test"
        )
    world.platform.live.changed("client", app.id)

    answers = [await browser.visit(app.id, request_uri), await browser.answer(page)]

    assert [each.status_code for each in answers] == [400, 400]


async def test_a_code_put_into_another_sign_in_of_the_same_app_is_refused(world: World) -> None:
    app = await an_app(world)
    victims, thiefs = Attempt(world, app), Attempt(world, app)
    stolen = await victims.code(await signed_in(world))
    await thiefs.code(await signed_in(world))

    # The app, told the stolen code in the thief's browser, shows that browser's verifier.
    refused = await thiefs.redeem(stolen)

    assert refused.json()["error"] == "invalid_grant"


async def test_the_answer_names_its_server_so_that_no_other_gets_the_code(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    attempt = Attempt(world, app)

    answers = [
        await browser.allow(app.id, await attempt.request_uri()),
        told(await browser.visit(app.id, await attempt.request_uri(prompt="none", scope="email"))),
    ]

    assert [each["iss"] for each in answers] == [world.platform.issuer] * 2


async def test_an_app_is_for_the_staff_that_it_names_and_no_other(world: World) -> None:
    app = await an_app(world, staff_of=("271004",))
    nobodys = await an_app(world, staff_of=())
    below, outside = await signed_in(world, KENKO), await signed_in(world, SAKAI)

    let = await below.allow(app.id, await Attempt(world, app).request_uri())
    answers = [
        told(await outside.visit(app.id, await Attempt(world, app).request_uri())),
        told(await below.visit(nobodys.id, await Attempt(world, nobodys).request_uri())),
    ]

    assert "code" in let
    assert [each["error"] for each in answers] == ["access_denied"] * 2
    assert all("(staff_of)" in each["error_description"] for each in answers)
    refused = await world.log(Event.CODE_REFUSED)
    assert [each["why"] for each in refused] == ["staff_of"] * 2
    assert refused[0]["person"] == outside.person_id


async def test_who_was_disabled_between_code_and_token_gets_none(world: World) -> None:
    attempt = Attempt(world, await an_app(world))
    browser = await signed_in(world)
    code = await attempt.code(browser)
    async with world.platform.database.writing() as session:
        await people.disable(session, browser.person_id, by="test")
    world.platform.live.changed("person", browser.person_id)

    refused = await attempt.redeem(code)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert [each["why"] for each in await world.log(Event.TOKEN_REFUSED)] == ["code_person"]


async def test_a_client_revoked_in_between_gets_neither_code_nor_token(world: World) -> None:
    app = await an_app(world)
    attempt = Attempt(world, app)
    browser = await signed_in(world)
    code = await attempt.code(browser)
    request_uri = await attempt.request_uri()
    async with world.platform.database.writing() as session:
        await clients.revoke(session, app.id, by="test")
    world.platform.live.changed("client", app.id)

    refused, page = await attempt.redeem(code), await browser.visit(app.id, request_uri)

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert page.status_code == 400 and "Location" not in page.headers


async def test_people_sign_in_only_to_clients_with_a_key_and_of_this_zone(world: World) -> None:
    by_secret = await an_app(world, by_secret=True)
    elsewhere = await an_app(world, zone=Zone.LGWAN)
    machine = await an_app(world, redirect_uris=())
    assert by_secret.secret is not None
    basic = httpx.BasicAuth(by_secret.id, by_secret.secret)

    answers = [
        await world.client.post("/oauth/par", data={"client_id": by_secret.id}, auth=basic),
        await Attempt(world, elsewhere).push(),
        await Attempt(world, machine).push(),
    ]

    assert [each.json()["error"] for each in answers] == ["unauthorized_client"] * 3
    assert all(each["path"] == "/oauth/par" for each in await world.log(Event.TOKEN_REFUSED))


async def test_a_persons_token_never_carries_more_than_the_person_may_do_now(
    world: World,
) -> None:
    app = await an_app(world)
    browser = await signed_in(world, SAKAI, Role.STEWARD)
    attempt = Attempt(world, app)
    code = await attempt.code(browser, scope="openid catalogue:write admin:write")
    only = await attempt.code(browser, scope="admin:write")
    async with world.platform.database.writing() as session:
        await people.set_roles(session, browser.person_id, [], by="test")
    world.platform.live.changed("person", browser.person_id)

    granted, refused = await attempt.redeem(code), await attempt.redeem(only)

    assert granted.json()["scope"] == "openid"
    assert refused.json()["error"] == "invalid_scope"


async def test_an_id_token_opens_nothing_and_proves_no_client(world: World) -> None:
    app = await an_app(world)
    attempt = Attempt(world, app)
    token = (await attempt.tokens(await signed_in(world)))["id_token"]
    shown = proof(attempt.key, "GET", USERINFO, token=token)

    answers = [
        await world.client.get(USERINFO, headers={"Authorization": f"Bearer {token}"}),
        await world.client.get(USERINFO, headers={"Authorization": f"DPoP {token}", "DPoP": shown}),
        await world.client.post(TOKEN_PATH, data=app.form("openid", client_assertion=token)),
    ]

    assert [each.status_code for each in answers] == [401, 401, 401]
    status = {**app.form("-"), "token": token}
    told_of = await world.client.post("/oauth/introspect", data=status)
    assert told_of.json() == {"active": False}


async def test_no_machine_gets_the_scopes_of_people(world: World) -> None:
    party = await world.party(KENKO, Role.OPERATOR)

    refused = await world.client.post(TOKEN_PATH, data=party.form("openid profile email"))

    assert refused.json()["error"] == "invalid_scope"


async def test_what_has_run_out_is_forgotten_and_used_codes_are_kept_for_their_tokens(
    world: World,
) -> None:
    pool = world.platform.database.pool
    attempt = Attempt(world, await an_app(world))
    browser = await signed_in(world)
    await attempt.tokens(browser)
    await attempt.request_uri()
    counted = "SELECT (SELECT count(*) FROM pushed_request), (SELECT count(*) FROM consent), (SELECT count(*) FROM authorization_code)"

    async def left(older_by: str) -> list[int]:
        for table in ("pushed_request", "consent", "authorization_code"):
            await pool.execute(
                f"UPDATE {table} SET expires_at = expires_at - interval '{older_by}'"
            )
        await forget_pushed(pool)
        await forget_answers(pool)
        (row,) = await pool.fetch(counted)
        return list(row)

    soon, later = await left("14 min"), await left("9 h")

    assert soon[0] == 0 and soon[1] > 0 and soon[2] > 0
    assert later == [0, 0, 0]


def test_every_scope_has_words_that_a_person_is_asked_with() -> None:
    assert WORDS.keys() == MEANINGS.keys() | IDENTITY.keys()
