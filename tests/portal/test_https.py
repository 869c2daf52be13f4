"""The pages of a server that the outside sees by https, and how often one address may try."""

import httpx
import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from tests.portal.browser import PASSWORD, Browser, Somebody, somebody
from tests.world import World

_TRIES = 6


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        home=tmp_path_factory.mktemp("home"),
        public_url="https://urbanos.test",
        rate_sign_in=_TRIES,
    )


def _browser(app: FastAPI, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="https://urbanos.test")


async def test_no_other_host_can_set_the_cookies(app: FastAPI, world: World) -> None:
    who = await somebody(world)
    async with _browser(app, "192.0.2.1") as http:
        shown = await http.get("/sign-in")
        response = await Browser(http).send(shown, email=who.email, password=PASSWORD)
        account = await http.get("/account")
        http.cookies.clear()
        http.cookies.set("urbanos", response.cookies["__Host-urbanos"], domain="urbanos.test")
        without = await http.get("/account")

    given = [*shown.headers.get_list("set-cookie"), *response.headers.get_list("set-cookie")]
    assert response.status_code == 303
    assert all(each.startswith("__Host-urbanos") for each in given)
    assert all("Secure" in each and "Path=/" in each and "Domain" not in each for each in given)
    assert (account.status_code, without.status_code) == (200, 303)


async def test_one_address_tries_few_passwords_a_minute_over_all_accounts(
    app: FastAPI, world: World
) -> None:
    who = await somebody(world)
    async with _browser(app, "192.0.2.2") as http, _browser(app, "192.0.2.3") as other:
        tries = [
            await Browser(http).sign_in(Somebody("", f"{n}@example.jp")) for n in range(_TRIES)
        ]
        over = await Browser(http).sign_in(who)
        elsewhere = await Browser(other).sign_in(who)

    assert {response.status_code for response in tries} == {403}
    assert over.status_code == 429
    assert "rate_limited" in over.text and int(over.headers["retry-after"]) > 0
    assert elsewhere.status_code == 303
