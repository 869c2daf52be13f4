"""Whose word about an address is believed: nobody's, or that of the proxies that are named."""

import httpx
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.cli.serving import _config
from app.kit.settings import Settings


async def _tell_address(scope: Scope, receive: Receive, send: Send) -> None:
    client = Request(scope).client
    await PlainTextResponse(client.host if client else "")(scope, receive, send)


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [(None, "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "192.0.2.9")],
)
async def test_an_address_is_believed_only_from_a_proxy_that_is_named(
    trusted: str | None, seen: str
) -> None:
    config = _config(_tell_address, Settings(trusted_proxies=trusted))
    config.load()
    forged = {"X-Forwarded-For": "198.51.100.1, 192.0.2.9"}
    transport = httpx.ASGITransport(app=config.loaded_app)

    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/", headers=forged)

    assert answer.text == seen


@pytest.mark.parametrize("trusted", ["*", "", "proxy.example.jp", "10.0.0.1,*"])
def test_not_everybody_can_be_trusted(trusted: str) -> None:
    with pytest.raises(ValidationError):
        Settings(trusted_proxies=trusted)


def test_the_password_of_the_store_is_not_shown() -> None:
    settings = Settings(rate_store="valkey://:hush@127.0.0.1:6379/0")

    assert "hush" not in repr(settings)
    assert settings.rate_store_url == "valkey://:hush@127.0.0.1:6379/0"
