"""A citizen in a real browser: from an app by the provider back to it, and on her own pages."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from app.models.consents import ConsentText
from app.oauth.authorization import PATH as AUTHORIZE
from app.policy.assurance import Level
from app.signin import citizen_providers
from tests.bench.stage import free_port
from tests.citizens.browsing import HANAKO
from tests.oauth.signing_in import Attempt, an_app
from tests.portal.chromium import chromium
from tests.serving import served
from tests.subjects.consenting import register
from tests.world import KENKO, SAKAI, World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at, and which may ask this machine."""
    home = tmp_path_factory.mktemp("home")
    address = f"http://127.0.0.1:{free_port()}"
    return Settings(home=home, public_url=address, outbound_allow="127.0.0.1")


async def test_a_citizen_signs_in_at_an_app_and_then_consents_and_withdraws_on_her_own_page(
    app: FastAPI, settings: Settings, world: World, provider: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("tests.oauth.senders.ISSUER", settings.issuer)
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
        offer = await _offered_to_hanako(world, provider)
        await tab.open(f"{settings.issuer}/me/consents/{offer.sha256}")
        widths = [await tab.see("document.documentElement.scrollWidth")]
        text = await tab.see("document.body.textContent")
        await tab.tab_to("form button")
        await tab.key("Enter")
        await tab.until("location.pathname === '/me'")
        widths.append(await tab.see("document.documentElement.scrollWidth"))
        own = await tab.see("document.body.textContent")
        named = await tab.see(
            "document.getElementById(document.querySelector('section form')"
            ".closest('section').getAttribute('aria-labelledby')).tagName"
        )
        await tab.tab_to("section form button")
        await tab.key("Enter")
        await tab.until("document.querySelector('section form') === null")

    answer = parse_qs(urlsplit(back).query)
    assert back.startswith(callback) and answer["iss"] == [settings.issuer]
    assert width <= 320 and "試験アプリ" in shown and "堺市" in shown and "minashi" not in shown
    assert all(each <= 320 for each in widths) and named == "H3"
    assert all(line in text for line in offer.ja.splitlines())
    assert "同意をとりやめる" in own and "まだどの組織も見ていません。" in own
    assert (await attempt.redeem(answer["code"][0])).status_code == 200


async def _offered_to_hanako(world: World, provider: str) -> ConsentText:
    """What she is asked for by a register of an organisation that has a name for her."""
    platform = world.platform
    async with platform.database.reading() as session:
        issuer = (await citizen_providers.get(session, provider)).issuer
    person = await platform.linker.signed_in(issuer, HANAKO)
    await platform.linker.name(person, KENKO)
    return await (await register(world, 1)).offered()
