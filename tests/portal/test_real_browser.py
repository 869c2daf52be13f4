"""The pages in a real browser: by keyboard, on a narrow screen, under our own strict policy."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from tests.bench.stage import free_port
from tests.portal.browser import PASSWORD, somebody
from tests.portal.chromium import Chromium, chromium
from tests.serving import served
from tests.world import World

_NARROW = 320  # JIS X 8341-3:2016 AA and WCAG 2.2, 1.4.10: at 320 px nothing is scrolled sideways
_UNLABELLED = (
    "[...document.querySelectorAll('input:not([type=hidden])')]"
    ".filter(input => input.labels.length === 0).map(input => input.name)"
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=f"http://127.0.0.1:{free_port()}")


async def _sign_in(tab: Chromium, email: str, code: str) -> None:
    await tab.type("#email", email)
    await tab.type("#password", PASSWORD)
    await tab.type("#code", code)
    await tab.key("Enter")
    await tab.until("location.pathname === '/account'")


async def _is_for_everybody(tab: Chromium) -> None:
    """Nothing is cut off or scrolled sideways, and a screen reader knows every input."""
    assert await tab.see("document.documentElement.scrollWidth") <= _NARROW
    assert await tab.see(_UNLABELLED) == []
    assert await tab.see("document.documentElement.lang") == "ja"
    assert await tab.see("document.title")


async def test_a_person_sets_up_a_second_factor_signs_in_with_both_and_signs_out(
    app: FastAPI, settings: Settings, world: World, tmp_path: Path
) -> None:
    who = await somebody(world, name="堺" + "ながいなまえ" * 12)

    async with served(app, urlsplit(settings.issuer).port or 0), chromium(tmp_path) as tab:
        size = {"width": _NARROW, "height": 640, "deviceScaleFactor": 1, "mobile": False}
        await tab.ask("Emulation.setDeviceMetricsOverride", **size)
        await tab.open(f"{settings.issuer}/account")
        await _is_for_everybody(tab)
        colour = await tab.see("getComputedStyle(document.querySelector('button')).color")
        await _sign_in(tab, who.email, "")
        await _is_for_everybody(tab)
        await tab.open(f"{settings.issuer}/account/password")
        await _is_for_everybody(tab)

        await tab.open(f"{settings.issuer}/account/totp")
        await _is_for_everybody(tab)
        picture = await tab.see("document.querySelector('svg').getBoundingClientRect().width")
        who.secret = (await tab.see("document.querySelector('code').textContent")).replace(" ", "")
        await tab.type("#code", who.code())
        await tab.type("#password", PASSWORD)
        await tab.key("Enter")
        await tab.until("location.pathname === '/account'")

        await tab.tab_to("form[action='/sign-out'] button")
        await tab.key("Enter")
        await tab.until("location.pathname === '/sign-out'")
        await tab.open(f"{settings.issuer}/account")
        await _sign_in(tab, who.email, who.code(ahead=1))
        shown = await tab.see("document.body.textContent")
        cookies = await tab.see("document.cookie")
        complaints = [entry for entry in tab.told if entry["source"] in {"security", "javascript"}]

    assert who.email in shown
    assert colour == "rgb(255, 255, 255)"  # the style's own hash is in the policy
    assert picture > 100
    assert cookies == ""  # no script reads them
    assert complaints == []
