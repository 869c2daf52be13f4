"""From an app's request through the pages of the sign-in, the second factor and the consent."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from fastapi import FastAPI

from app.oauth.authorization import PATH as AUTHORIZE
from app.oauth.tokens import TWO_FACTORS, claims_of
from tests.oauth.signing_in import Attempt, an_app, told
from tests.portal.browser import PASSWORD, Browser, browser_of, somebody
from tests.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI) -> AsyncIterator[Browser]:
    async with browser_of(app) as made:
        yield made


async def _visit(browser: Browser, client_id: str, request_uri: str) -> httpx.Response:
    query = {"client_id": client_id, "request_uri": request_uri}
    return await browser.http.get(AUTHORIZE, params=query)


async def _follow(browser: Browser, response: httpx.Response) -> httpx.Response:
    """Go where the answer leads, while it is one of our own pages."""
    while response.is_redirect and response.headers["location"].startswith("/"):
        response = await browser.open(response.headers["location"])
    return response


async def test_somebody_signs_in_with_both_factors_and_lets_the_app_act(
    browser: Browser, world: World
) -> None:
    who = await somebody(world, totp=True)
    app = await an_app(world)
    attempt = Attempt(world, app)
    request_uri = await attempt.request_uri(acr_values=TWO_FACTORS, max_age="900")

    form = await _follow(browser, await _visit(browser, app.id, request_uri))
    sent = await browser.send(form, email=who.email, password=PASSWORD, code=who.code())
    consent = await _follow(browser, sent)
    answer = told(await browser.send(consent))
    granted = (await attempt.redeem(answer["code"])).json()

    claims = claims_of(granted["access_token"])
    assert (claims["sub"], claims["acr"]) == (who.id, TWO_FACTORS)
    assert "form-action" not in consent.headers["content-security-policy"]  # it leads to the app


async def test_the_second_factor_is_asked_for_between_the_sign_in_and_the_consent(
    browser: Browser, world: World
) -> None:
    who = await somebody(world, totp=True)
    app = await an_app(world)
    await browser.sign_in(who, code=who.code())
    age = "UPDATE person_session SET second_factor_at = second_factor_at - interval '1 h'"
    await world.platform.database.pool.execute(age)
    request_uri = await Attempt(world, app).request_uri(acr_values=TWO_FACTORS, max_age="900")

    form = await _follow(browser, await _visit(browser, app.id, request_uri))
    consent = await _follow(browser, await browser.send(form, code=who.code(1)))

    assert 'name="password"' not in form.text and 'name="code"' in form.text
    assert "code" in told(await browser.send(consent))


async def test_an_app_can_have_somebody_prove_themselves_anew(
    browser: Browser, world: World
) -> None:
    who = await somebody(world)
    app = await an_app(world)
    await browser.sign_in(who)
    request_uri = await Attempt(world, app).request_uri(prompt="login")

    form = await _follow(browser, await _visit(browser, app.id, request_uri))
    consent = await _follow(browser, await browser.send(form, email=who.email, password=PASSWORD))

    assert 'name="password"' in form.text
    assert told(await browser.send(consent, number=1))["error"] == "access_denied"
