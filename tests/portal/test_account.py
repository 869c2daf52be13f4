"""A person's own account: the first password, another one, and a second factor."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pyotp
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.kit import clock
from app.kit.key_places import SecretKeyUnusable
from app.models.parties import Role
from app.parties import people
from app.signin import changes
from app.signin.sessions import csrf_of
from tests.portal.browser import PASSWORD, Browser, browser_of, give_provider, invited, somebody
from tests.signin.opening import opened
from tests.world import World

OTHER = "やま ほたる かさ たんぼ みち"


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    async with browser_of(app) as made:
        yield made


async def _set(browser: Browser, key: str, password: str) -> httpx.Response:
    shown = await browser.open(f"/set-up?key={key}")
    return await browser.send(shown, new=password, repeated=password)


async def test_a_link_sets_the_first_password_once(browser: Browser, world: World) -> None:
    who, key = await invited(world)

    looked = await browser.open(f"/set-up?key={key}")
    done = await _set(browser, key, PASSWORD)
    again = await browser.open(f"/set-up?key={key}")
    signed_in = await browser.sign_in(who)

    assert (looked.status_code, done.status_code, again.status_code) == (200, 303, 404)
    assert "堺 次郎" in looked.text and who.email not in looked.text
    assert "set_up_refused" in again.text
    assert signed_in.status_code == 303


async def test_a_link_used_twice_at_once_sets_one_password(browser: Browser, world: World) -> None:
    _, key = await invited(world)
    shown = await browser.open(f"/set-up?key={key}")

    answers = await asyncio.gather(
        browser.send(shown, new=PASSWORD, repeated=PASSWORD),
        browser.send(shown, new=OTHER, repeated=OTHER),
    )

    assert sorted(response.status_code for response in answers) == [303, 404]


async def test_a_link_is_good_for_a_day_and_a_newer_one_replaces_it(
    browser: Browser, world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, first = await invited(world)
    async with platform.database.writing() as session:
        person = await people.get(session, who.id)
        link = await changes.make_link(session, person, platform.issuer, by="test")

    replaced = await browser.open(f"/set-up?key={first}")
    fresh = await browser.open(link.url)
    tomorrow = clock.now() + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: tomorrow)
    late = await browser.open(link.url)

    assert [each.status_code for each in (replaced, fresh, late)] == [404, 200, 404]


async def test_a_disabled_person_sets_no_password(
    browser: Browser, world: World, platform: Platform
) -> None:
    who, key = await invited(world)
    async with platform.database.writing() as session:
        await people.disable(session, who.id, by="test")

    response = await browser.open(f"/set-up?key={key}")

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("short words", "12 to 256 characters"),
        ("x" * 257, "12 to 256 characters"),
        ("Password1234!", "much used"),
        ("ｐａｓｓｗｏｒｄ１２３４", "much used"),
        ("121212121212", "much used"),
        ("123456789012", "much used"),
        ("qwertyuiopas", "much used"),
        ("umi hotaru 次郎 kasa", "a part of your name"),
        ("Yamada kasa tanbo", "a part of your name"),
    ],
)
async def test_what_is_guessed_first_is_no_password(
    browser: Browser, world: World, password: str, word: str
) -> None:
    _, key = await invited(world, name="Yamada 次郎")

    response = await _set(browser, key, password)

    assert response.status_code == 422
    assert word in response.text


async def test_a_password_that_was_mistyped_is_not_set(browser: Browser, world: World) -> None:
    _, key = await invited(world)
    shown = await browser.open(f"/set-up?key={key}")

    response = await browser.send(shown, new=PASSWORD, repeated=OTHER)

    assert response.status_code == 422
    assert (await _set(browser, key, PASSWORD)).status_code == 303


async def test_full_width_letters_are_the_same_password(browser: Browser, world: World) -> None:
    who, key = await invited(world)
    await _set(browser, key, "umi hotaru kasa")

    response = await browser.sign_in(who, password="ｕｍｉ　ｈｏｔａｒｕ　ｋａｓａ")

    assert response.status_code == 303


async def test_the_account_tells_who_one_is_and_may_do(browser: Browser, world: World) -> None:
    who = await somebody(world, Role.STEWARD)
    await browser.sign_in(who)

    shown = await browser.open("/account")

    for told in ("堺 次郎", who.email, "271403", "データ管理者", "<dd>1</dd>"):
        assert told in shown.text


async def test_a_changed_password_ends_every_other_session(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    elsewhere = await opened(platform, who.id, ("pwd",))
    await browser.sign_in(who)
    shown = await browser.open("/account/password")

    wrong = await browser.send(shown, password="wrong", new=OTHER, repeated=OTHER)
    kept = await platform.sign_ins.find(elsewhere)
    changed = await browser.send(shown, password=PASSWORD, new=OTHER, repeated=OTHER)

    assert (wrong.status_code, changed.status_code) == (403, 303)
    assert kept is not None and await platform.sign_ins.find(elsewhere) is None
    assert await platform.sign_ins.find(browser.session) is not None
    assert (await browser.sign_in(who)).status_code == 403
    assert (await browser.sign_in(who, password=OTHER)).status_code == 303


async def test_a_stolen_session_and_a_known_password_change_nothing_without_the_second_factor(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)
    secret = await opened(platform, who.id, ("pwd",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")
    typed = {"csrf": csrf_of(secret), "password": PASSWORD, "new": OTHER, "repeated": OTHER}

    shown = await browser.open("/account/password")
    sent = await browser.http.post("/account/password", data=typed)

    led_to = "/sign-in/second-factor?return_to=%2Faccount%2Fpassword"
    assert shown.headers["location"] == sent.headers["location"] == led_to
    assert (await browser.sign_in(who, password=OTHER, code=who.code())).status_code == 403


async def test_another_sessions_form_changes_no_password(
    browser: Browser, app: FastAPI, world: World
) -> None:
    async with browser_of(app) as attacker:
        await attacker.sign_in(await somebody(world))
        theirs = await attacker.open("/account/password")
    await browser.sign_in(await somebody(world))

    response = await browser.send(theirs, password=PASSWORD, new=OTHER, repeated=OTHER)

    assert response.status_code == 403
    assert "form_not_ours" in response.text


def _secret_on(shown: httpx.Response) -> str:
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", shown.text)
    assert found is not None
    return found[1].replace(" ", "")


async def test_a_second_factor_is_set_up_with_a_picture_a_code_and_the_password(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    elsewhere = await opened(platform, who.id, ("pwd",))
    await browser.sign_in(who)
    before = browser.session
    shown = await browser.open("/account/totp?return_to=/account?a")
    who.secret = _secret_on(shown)

    no_password = await browser.send(shown, code=who.code(), password="wrong")
    no_code = await browser.send(shown, code="000000", password=PASSWORD)
    done = await browser.send(shown, code=who.code(), password=PASSWORD)

    signed_in = await platform.sign_ins.find(browser.session)
    assert "<svg" in shown.text
    assert done.headers["location"] == "/account?a"
    assert (no_password.status_code, no_code.status_code, done.status_code) == (403, 403, 303)
    assert _secret_on(no_code) == who.secret
    assert signed_in is not None and signed_in.has_second_factor
    assert await platform.sign_ins.find(before) is None
    assert await platform.sign_ins.find(elsewhere) is None
    assert (await browser.sign_in(who, code=who.code(ahead=1))).status_code == 303


async def test_the_secret_is_kept_sealed_for_its_person_alone(
    world: World, platform: Platform
) -> None:
    who, other = await somebody(world, totp=True), await somebody(world, totp=True)

    async with platform.database.writing() as session:
        theirs, mine = await people.get(session, who.id), await people.get(session, other.id)
        sealed = theirs.totp_sealed or b""
        mine.totp_sealed = sealed

    assert who.secret.encode() not in sealed
    with pytest.raises(SecretKeyUnusable):
        await platform.accounts.sign_in(other.email, PASSWORD, who.code(), "r")


async def test_a_secret_shown_to_another_session_is_not_taken(
    browser: Browser, app: FastAPI, world: World
) -> None:
    who = await somebody(world)
    async with browser_of(app) as other:
        await other.sign_in(who)
        theirs = await other.open("/account/totp")
    await browser.sign_in(who)
    mine = await browser.open("/account/totp")
    sealed = re.search(r'name="sealed" value="([^"]+)"', theirs.text)
    assert sealed is not None
    code = pyotp.TOTP(_secret_on(theirs)).now()

    taken = await browser.send(mine, sealed=sealed[1], code=code, password=PASSWORD)
    broken = await browser.send(mine, sealed="AAAA", code=code, password=PASSWORD)

    assert (taken.status_code, broken.status_code) == (400, 400)


async def test_a_second_factor_is_not_replaced_by_whoever_holds_a_session(
    browser: Browser, world: World
) -> None:
    who = await somebody(world, totp=True)
    await browser.sign_in(who, code=who.code())

    response = await browser.open("/account/totp")

    assert response.status_code == 409
    assert "second_factor_set_up" in response.text


async def test_who_signs_in_with_a_provider_sets_up_nothing_here(
    browser: Browser, world: World, platform: Platform
) -> None:
    who, _ = await invited(world)
    await give_provider(world, who)
    secret = await opened(platform, who.id, ("fed",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")

    account = await browser.open("/account")
    response = await browser.open("/account/totp")

    assert "/account/password" not in account.text
    assert (response.status_code, "signs_in_elsewhere" in response.text) == (409, True)


async def test_who_signs_in_with_a_provider_steps_up_there(
    browser: Browser, world: World, platform: Platform
) -> None:
    who, _ = await invited(world)
    await give_provider(world, who)
    secret = await opened(platform, who.id, ("fed",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")

    response = await browser.open("/sign-in/second-factor?return_to=/account")

    assert response.status_code == 403
    assert 'href="/sign-in/again?return_to=%2Faccount"' in response.text


async def test_links_that_are_too_old_are_forgotten(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await invited(world)
    count = "SELECT count(*) FROM person_set_up"
    before = await platform.database.pool.fetchval(count)
    tomorrow = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: tomorrow)

    await changes.forget_links(platform.database.pool)

    assert before >= 1
    assert await platform.database.pool.fetchval(count) == 0
