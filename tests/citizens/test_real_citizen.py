"""A citizen's sign-in in a real browser: from an app by the provider and the question back to it."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from app.oauth.authorization import PATH as AUTHORIZE
from app.policy.assurance import Level
from tests.bench.stage import free_port
from tests.oauth.signing_in import Attempt, an_app
from tests.portal.chromium import chromium
from tests.serving import served
from tests.world import SAKAI, World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at, and which may ask this machine."""
    home = tmp_path_factory.mktemp("home")
    address = f"http://127.0.0.1:{free_port()}"
    return Settings(home=home, public_url=address, outbound_allow="127.0.0.1")


async def test_a_citizen_signs_in_lets_the_app_act_and_is_back_at_the_app(
    app: FastAPI, settings: Settings, world: World, provider: str, tmp_path: Path
) -> None:
    port = urlsplit(settings.issuer).port or 0
    # Another name of this machine is another origin: what an app's own address is to a browser.
    callback = f"http://localhost:{port}/callback"
    party = await an_app(
        world, organization=SAKAI, staff_of=(), citizens=True, redirect_uris=(callback,)
    )
    attempt = Attempt(world, party, redirect_uri=callback)
    wanted = {"scope": "openid me me:consents", "acr_values": Level.HIGH.acr}
    asked = {"client_id": party.id, "request_uri": await attempt.request_uri(**wanted)}

    async with served(app, port), chromium(tmp_path) as tab:
        size = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": False}
        await tab.ask("Emulation.setDeviceMetricsOverride", **size)
        await tab.open(f"{settings.issuer}{AUTHORIZE}?{urlencode(asked)}")
        await tab.tab_to("main a")
        await tab.key("Enter")
        await tab.until("document.querySelector('select[name=acr]') !== null")
        await tab.tab_to("form button")
        await tab.key("Enter")
        await tab.until("document.querySelectorAll('form').length === 2")
        width = await tab.see("document.documentElement.scrollWidth")
        shown = await tab.see("document.body.textContent")
        await tab.tab_to("form button")
        await tab.key("Enter")
        await tab.until("location.pathname === '/callback'")
        back = await tab.see("location.href")

    answer = parse_qs(urlsplit(back).query)
    assert back.startswith(callback) and answer["iss"] == [settings.issuer]
    assert width <= 320 and "試験アプリ" in shown and "堺市" in shown and "minashi" not in shown
    assert (await attempt.redeem(answer["code"][0])).status_code == 200
