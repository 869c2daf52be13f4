"""The provider of made-up citizens: of use on one machine, and to nobody by accident."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from app.cli import test_issuer as command
from app.cli.test_issuer import PORT, issuer_app
from app.kit.settings import Settings
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.conftest import ISSUER
from tests.world import World

_HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server as it is unless somebody says otherwise."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER)


@pytest_asyncio.fixture(loop_scope="session")
async def visitor() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=issuer_app(_HERE))
    async with httpx.AsyncClient(transport=transport, base_url=_HERE) as asking:
        yield asking


async def test_no_server_takes_the_word_of_a_provider_on_its_own_machine_unasked(
    world: World, client: httpx.AsyncClient
) -> None:
    operator = await world.token(
        await world.party(OPERATOR, Role.OPERATOR), "admin:read admin:write"
    )
    body = {
        "id": "near", "name_ja": "試験", "name_en": "Test", "issuer": _HERE,
        "client_id": "urban-os", "levels": {"urn:example:card": "high"},
    }  # fmt: skip

    answer = await client.post("/v1/admin/citizen-providers", json=body, headers=operator)

    assert (answer.status_code, answer.json()["code"]) == (422, "outbound_refused")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://city.example.jp/callback", "https://localhost.example.jp/", "javascript:1", ""],
)
async def test_it_sends_nobody_to_another_machine(
    visitor: httpx.AsyncClient, elsewhere: str
) -> None:
    asked = {
        "client_id": "urban-os", "redirect_uri": elsewhere, "state": "s", "nonce": "n",
        "code_challenge": "c",
    }  # fmt: skip

    shown = await visitor.get("/authorize", params=asked)
    sent = await visitor.post(
        "/authorize", data={**asked, "login": "minashi-taro", "acr": "urn:example:card"}
    )

    assert (shown.status_code, sent.status_code) == (400, 400)
    assert "location" not in sent.headers


async def test_a_code_of_its_is_worth_nothing_twice_or_without_the_verifier(
    visitor: httpx.AsyncClient,
) -> None:
    asked = {
        "client_id": "urban-os", "redirect_uri": f"{ISSUER}/back", "state": "s", "nonce": "n",
        "code_challenge": "c", "login": "minashi-taro", "acr": "urn:example:card",
    }  # fmt: skip
    sent = await visitor.post("/authorize", data=asked)
    code = httpx.URL(sent.headers["location"]).params["code"]
    form = {"code": code, "redirect_uri": f"{ISSUER}/back", "code_verifier": "v" * 43}

    answers = [await visitor.post("/token", data=form) for _ in range(2)]

    assert [each.status_code for each in answers] == [400, 400]


def test_no_option_of_the_command_lets_others_reach_it() -> None:
    assert set(inspect.signature(command.test_issuer).parameters) == {"port"}
