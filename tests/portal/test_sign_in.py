"""Signing in, stepping up and signing out at the pages; and those who try without the right to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.parties import people
from app.signin import changes
from app.signin.passwords import hash_password
from tests.portal.browser import (
    PASSWORD,
    Browser,
    Somebody,
    browser_of,
    forms_of,
    give_provider,
    somebody,
)
from tests.signin.opening import opened, somebody_waits
from tests.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    async with browser_of(app) as made:
        yield made


async def test_a_password_opens_a_session_and_leads_back(browser: Browser, world: World) -> None:
    who = await somebody(world)

    response = await browser.sign_in(who, to="/account?a=1")
    shown = await browser.open("/account")

    assert (response.status_code, response.headers["location"]) == (303, "/account?a=1")
    assert who.email in shown.text
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert [facts["person"] for facts in await world.log(Event.SIGNED_IN)] == [who.id]


async def test_who_is_not_signed_in_is_led_to_the_page_and_back(browser: Browser) -> None:
    response = await browser.open("/account")

    assert response.headers["location"] == "/sign-in?return_to=%2Faccount"


async def test_who_is_signed_in_goes_on_at_once_unless_asked_to_sign_in_again(
    browser: Browser, world: World
) -> None:
    await browser.sign_in(await somebody(world))

    onward = await browser.open("/sign-in?return_to=/account")
    again = await browser.open("/sign-in?return_to=/account&again=1")

    assert onward.headers["location"] == "/account"
    assert 'name="password"' in again.text


async def test_signing_in_again_ends_the_session_before(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    await browser.sign_in(who)
    before = browser.session

    await browser.sign_in(who)

    assert browser.session != before
    assert await platform.sign_ins.find(before) is None


def _same(response: httpx.Response, email: str) -> str:
    return response.text.replace(email, "")


async def test_an_unknown_address_a_wrong_password_a_lock_and_a_closed_account_look_the_same(
    browser: Browser, world: World, platform: Platform
) -> None:
    known, closed, provided, locked, no_code, bare = [
        await somebody(world, totp=n == 4) for n in range(6)
    ]
    await give_provider(world, provided)
    async with platform.database.writing() as session:
        await people.disable(session, closed.id, by="test")
        (await people.get(session, bare.id)).password_hash = None
        (await people.get(session, locked.id)).locked_until = clock.now() + timedelta(minutes=1)

    answers = [
        (await browser.sign_in(who, password=password), who.email)
        for who, password in (
            (Somebody("", "nobody@example.jp"), PASSWORD),
            (known, "wrong"),
            (closed, PASSWORD),
            (provided, PASSWORD),
            (locked, PASSWORD),
            (no_code, PASSWORD),
            (bare, PASSWORD),
        )
    ]

    assert {response.status_code for response, _ in answers} == {403}
    assert len({_same(response, email) for response, email in answers}) == 1
    assert browser.session is None


async def test_an_unknown_address_costs_a_hash_too(
    browser: Browser, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    verify = PasswordHasher.verify

    def counting(hasher: PasswordHasher, hashed: str, secret: str) -> bool:
        compared.append(hashed)
        return verify(hasher, hashed, secret)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    await browser.sign_in(Somebody("", "nobody@example.jp"))
    await browser.sign_in(await somebody(world), password="wrong")

    assert len(compared) == 2
    assert all(hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hashed in compared)


async def test_a_refusal_is_in_the_log_without_address_or_password(
    browser: Browser, world: World
) -> None:
    who = await somebody(world)

    await browser.sign_in(who, password="wrong-wrong-wrong")
    await browser.sign_in(Somebody("", "nobody@example.jp"))

    refused = await world.log(Event.SIGN_IN_REFUSED)
    assert [(facts.get("person"), facts["why"]) for facts in refused] == [
        (who.id, "password"),
        (None, "unknown"),
    ]
    assert "example.jp" not in str(refused) and "wrong-wrong" not in str(refused)


async def test_five_failures_lock_an_account_for_half_a_minute_and_more_for_longer(
    browser: Browser, world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await somebody(world)
    for _ in range(5):
        await browser.sign_in(who, password="wrong")

    locked = await browser.sign_in(who)
    later = clock.now() + timedelta(seconds=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    await browser.sign_in(who, password="wrong")
    much_later = later + timedelta(seconds=31)
    monkeypatch.setattr(clock, "now", lambda: much_later)
    still = await browser.sign_in(who)
    at_last = much_later + timedelta(seconds=31)
    monkeypatch.setattr(clock, "now", lambda: at_last)
    right = await browser.sign_in(who)

    assert (locked.status_code, still.status_code, right.status_code) == (403, 403, 303)


async def test_of_many_guesses_at_once_no_more_are_judged_than_one_after_another(
    app: FastAPI, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    asked = [platform.accounts.sign_in(who.email, "wrong", "", "r") for _ in range(8)]

    await asyncio.gather(*asked)

    async with platform.database.reading() as session:
        person = await people.get(session, who.id)
    assert person.failures == 5
    assert await platform.accounts.sign_in(who.email, PASSWORD, "", "r") is None


async def test_no_lock_lasts_longer_than_a_quarter_of_an_hour(
    world: World, platform: Platform
) -> None:
    who = await somebody(world)
    async with platform.database.writing() as session:
        (await people.get(session, who.id)).failures = 40

    await platform.accounts.sign_in(who.email, "wrong", "", "r")

    async with platform.database.reading() as session:
        until = (await people.get(session, who.id)).locked_until
    assert until is not None
    assert timedelta(minutes=14) < until - clock.now() <= timedelta(minutes=15)


async def test_who_set_up_a_second_factor_signs_in_with_both(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)

    without = await browser.sign_in(who)
    wrong = await browser.sign_in(who, password="wrong", code=who.code())
    both = await browser.sign_in(who, code=who.code())
    signed_in = await platform.sign_ins.find(browser.session)

    assert (without.status_code, wrong.status_code, both.status_code) == (403, 403, 303)
    assert signed_in is not None and signed_in.has_second_factor
    assert signed_in.methods == ("pwd", "otp")


async def test_a_code_shown_twice_at_once_lets_one_in(world: World, platform: Platform) -> None:
    who = await somebody(world, totp=True)
    code = who.code()

    proven = await asyncio.gather(
        *(platform.accounts.sign_in(who.email, PASSWORD, code, "r") for _ in range(4))
    )
    later = await platform.accounts.sign_in(who.email, PASSWORD, code, "r")

    assert len([each for each in proven if each is not None]) == 1
    assert later is None


async def test_a_clock_may_be_one_step_off_and_no_more(world: World, platform: Platform) -> None:
    who = await somebody(world, totp=True)

    far = await platform.accounts.sign_in(who.email, PASSWORD, who.code(ahead=3), "r")
    near = await platform.accounts.sign_in(who.email, PASSWORD, who.code(ahead=1), "r")
    back = await platform.accounts.sign_in(who.email, PASSWORD, who.code(ahead=0), "r")

    assert (far, back) == (None, None)
    assert near is not None


async def test_a_step_up_changes_the_secret_and_ends_the_old_one(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)
    secret = await opened(platform, who.id, ("pwd",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")
    shown = await browser.open("/sign-in/second-factor?return_to=/account")

    wrong = await browser.send(shown, code="000000")
    right = await browser.send(shown, code=who.code())

    new = browser.session
    signed_in = await platform.sign_ins.find(new)
    assert (wrong.status_code, right.status_code) == (403, 303)
    assert right.headers["location"] == "/account"
    assert new != secret and await platform.sign_ins.find(secret) is None
    assert signed_in is not None and signed_in.has_second_factor


async def test_who_guesses_at_the_sign_in_keeps_nobody_from_a_second_factor(
    browser: Browser, app: FastAPI, world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)
    secret = await opened(platform, who.id, ("pwd",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")
    async with browser_of(app) as attacker:
        for _ in range(5):
            await attacker.sign_in(who, password="wrong")

    shown = await browser.open("/sign-in/second-factor")
    proven = await browser.send(shown, code=who.code())

    assert proven.status_code == 303


async def test_who_found_a_session_has_few_tries_at_once_or_not_and_locks_nobody_out(
    world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)
    mine, found = [await opened(platform, who.id, ("pwd",)) for _ in range(2)]

    tries = [platform.accounts.is_code(who.id, found, "000000", "r") for _ in range(8)]
    await asyncio.gather(*tries)

    judged = [facts["why"] for facts in await world.log(Event.SIGN_IN_REFUSED)]
    assert sorted(judged) == ["code"] * 5 + ["locked"] * 3
    assert await platform.sign_ins.find(found) is None
    assert await platform.sign_ins.find(mine) is not None
    assert await platform.accounts.sign_in(who.email, PASSWORD, who.code(), "r") is not None


async def test_failures_before_a_right_password_are_forgotten(
    world: World, platform: Platform
) -> None:
    who = await somebody(world)
    secret = await opened(platform, who.id, ("pwd",))

    for _ in range(2):
        for _ in range(4):
            await platform.accounts.is_password(who.id, secret, "wrong", "r")
        assert await platform.accounts.is_password(who.id, secret, PASSWORD, "r")

    assert await platform.sign_ins.find(secret) is not None


async def test_wrong_codes_end_the_session(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world, totp=True)
    secret = await opened(platform, who.id, ("pwd",))
    browser.http.cookies.set("urbanos", secret, domain="urbanos.test", path="/")
    shown = await browser.open("/sign-in/second-factor")
    for _ in range(5):
        await browser.send(shown, code="000000")

    locked = await browser.send(shown, code=who.code())

    assert (locked.status_code, "form_not_ours" in locked.text) == (403, True)
    assert await platform.sign_ins.find(secret) is None


async def test_who_has_no_second_factor_is_told_where_to_set_one_up(
    browser: Browser, world: World
) -> None:
    await browser.sign_in(await somebody(world))

    shown = await browser.open("/sign-in/second-factor?return_to=/account")

    assert shown.status_code == 403
    assert 'href="/account/totp?return_to=%2Faccount"' in shown.text


@pytest.mark.parametrize("missing", ["cookie", "token"])
async def test_a_sign_in_form_from_elsewhere_is_refused(
    browser: Browser, world: World, missing: str
) -> None:
    who = await somebody(world)
    shown = await browser.open("/sign-in")
    _, fields = forms_of(shown)[0]
    fields |= {"email": who.email, "password": PASSWORD}
    if missing == "cookie":
        browser.http.cookies.clear()
    else:
        fields["csrf"] = "x" * 43

    response = await browser.http.post("/sign-in", data=fields)

    assert response.status_code == 403
    assert "form_not_ours" in response.text
    assert browser.session is None


async def test_another_browsers_form_signs_nobody_in(
    browser: Browser, app: FastAPI, world: World
) -> None:
    attacker = await somebody(world)
    async with browser_of(app) as other:
        theirs = await other.open("/sign-in")
    await browser.open("/sign-in")

    response = await browser.send(theirs, email=attacker.email, password=PASSWORD)

    assert "form_not_ours" in response.text
    assert browser.session is None


async def test_a_planted_cookie_never_becomes_a_session(
    browser: Browser, world: World, platform: Platform
) -> None:
    planted = "p" * 43
    browser.http.cookies.set("urbanos", planted, domain="urbanos.test", path="/")

    await browser.sign_in(await somebody(world))

    assert browser.session != planted
    assert await platform.sign_ins.find(planted) is None


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/%2Fevil.example",
        "/\t/evil.example",
    ],
)
async def test_nobody_is_led_to_another_address(browser: Browser, world: World, to: str) -> None:
    who = await somebody(world)

    asked = await browser.sign_in(who, to=to)
    shown = await browser.open("/sign-in?again=1")
    forged = await browser.send(shown, email=who.email, password=PASSWORD, return_to=to)
    signed_in = await browser.http.get("/sign-in", params={"return_to": to})

    assert {each.status_code for each in (asked, forged, signed_in)} == {303}
    assert {each.headers["location"] for each in (asked, forged, signed_in)} == {"/account"}


async def test_what_is_shown_back_is_escaped(browser: Browser, world: World) -> None:
    script = '"><script>alert(1)</script>'
    who = await somebody(world, name=script)
    shown = await browser.open("/sign-in")

    wrong = await browser.send(shown, email=script, password="x", return_to=f"/{script}")
    await browser.sign_in(who)
    account = await browser.open("/account")

    for page in (wrong, account):
        assert "<script" not in page.text
        assert "&lt;script&gt;" in page.text


async def test_pages_are_never_stored_framed_or_given_a_script(browser: Browser) -> None:
    response = await browser.open("/sign-in")

    policy = response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy and "script-src" not in policy
    assert "unsafe" not in policy


async def test_a_form_on_the_way_to_an_app_may_lead_there(browser: Browser) -> None:
    response = await browser.open("/sign-in?return_to=/oauth/authorize%3Fclient_id%3Da")

    assert "form-action" not in response.headers["content-security-policy"]


async def test_signing_out_ends_the_session_and_needs_the_sessions_own_form(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    await browser.sign_in(who)
    secret, shown = browser.session, await browser.open("/account")

    forged = await browser.http.post("/sign-out", data={"csrf": "x" * 43})
    kept = await platform.sign_ins.find(secret)
    out = await browser.send(shown)

    assert (forged.status_code, out.status_code) == (403, 200)
    assert kept is not None and await platform.sign_ins.find(secret) is None
    assert browser.session is None
    assert [facts["person"] for facts in await world.log(Event.SIGNED_OUT)] == [who.id]


async def test_signing_out_of_a_session_that_ran_out_is_no_error(
    browser: Browser, world: World, platform: Platform
) -> None:
    await browser.sign_in(await somebody(world))
    shown = await browser.open("/account")
    await platform.sign_ins.end(browser.session or "")

    response = await browser.send(shown)

    assert (response.status_code, browser.session) == (200, None)


async def test_signing_out_everywhere_ends_every_session(
    browser: Browser, world: World, platform: Platform
) -> None:
    who = await somebody(world)
    elsewhere = await opened(platform, who.id, ("pwd",))
    await browser.sign_in(who)

    await browser.send(await browser.open("/account"), number=1)

    assert await platform.sign_ins.find(elsewhere) is None


@pytest.mark.parametrize(
    "body",
    [
        b"email=%00",
        b"email=a&email=b",
        b"email=%FF",
        b"&".join([b"a=1"] * 40),
        b"a=" + b"b" * 20_000,
    ],
)
async def test_a_form_that_no_page_makes_is_refused_and_nothing_breaks(
    browser: Browser, body: bytes
) -> None:
    response = await browser.http.post(
        "/sign-in", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert response.status_code in {400, 413}


async def test_no_json_is_taken_for_a_form(browser: Browser) -> None:
    response = await browser.http.post("/sign-in", json={"email": "a"})

    assert response.status_code == 400
    assert forms_of(response) == []


async def _changed(session: AsyncSession, who: Somebody) -> None:
    await changes.set_password(session, who.id, await hash_password("umi hotaru kasa"))


async def _reset(session: AsyncSession, who: Somebody) -> None:
    person = await people.get(session, who.id)
    await changes.reset(session, person, password=True, totp=False, by="test")
    await session.flush()


async def _disabled(session: AsyncSession, who: Somebody) -> None:
    await people.disable(session, who.id, by="test")
    await session.flush()


@pytest.mark.parametrize("change", [_changed, _reset, _disabled])
async def test_a_sign_in_under_way_does_not_outlive_the_change_that_shuts_it_out(
    browser: Browser,
    world: World,
    platform: Platform,
    change: Callable[[AsyncSession, Somebody], Awaitable[None]],
) -> None:
    who = await somebody(world)

    async with platform.database.writing() as session:
        await change(session, who)
        late = asyncio.create_task(browser.sign_in(who))
        await somebody_waits(platform)

    refused = await late
    assert (refused.status_code, "Not signed in." in refused.text) == (403, True)
    assert [facts["why"] for facts in await world.log(Event.SIGN_IN_REFUSED)] == ["changed"]
    assert await world.log(Event.SIGNED_IN) == []
    assert await platform.sign_ins.count(who.id) == 0
