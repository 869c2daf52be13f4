"""The sign-in to an app in a real browser: its policy lets the forms lead out to the app."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from app.oauth.authorization import PATH as AUTHORIZE
from tests.bench.stage import free_port
from tests.oauth.signing_in import Attempt, an_app
from tests.portal.browser import PASSWORD, somebody
from tests.portal.chromium import chromium
from tests.serving import served
from tests.world import World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=f"http://127.0.0.1:{free_port()}")


async def test_a_person_signs_in_lets_the_app_act_and_is_back_at_the_app(
    app: FastAPI, settings: Settings, world: World, tmp_path: Path
) -> None:
    who = await somebody(world)
    port = urlsplit(settings.issuer).port or 0
    # Another name of this machine is another origin: what an app's own address is to a browser.
    callback = f"http://localhost:{port}/callback"
    party = await an_app(world, redirect_uris=(callback,))
    attempt = Attempt(world, party, redirect_uri=callback)
    query = urlencode({"client_id": party.id, "request_uri": await attempt.request_uri()})

    async with served(app, port), chromium(tmp_path) as tab:
        size = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False}
        await tab.ask("Emulation.setDeviceMetricsOverride", **size)
        await tab.open(f"{settings.issuer}{AUTHORIZE}?{query}")
        await tab.type("#email", who.email)
        await tab.type("#password", PASSWORD)
        await tab.key("Enter")
        await tab.until("document.querySelectorAll('form').length === 2")
        width = await tab.see("document.documentElement.scrollWidth")
        shown = await tab.see("document.body.textContent")
        await tab.tab_to("form button")
        await tab.key("Enter")
        await tab.until("location.pathname === '/callback'")
        back = await tab.see("location.href")

    answer = parse_qs(urlsplit(back).query)
    assert back.startswith(callback)
    assert width <= 320 and "試験アプリ" in shown
    assert answer["iss"] == [settings.issuer]
    assert (await attempt.redeem(answer["code"][0])).status_code == 200
