"""A strict client written by others (npm oauth4webapi) uses the authorization server unmodified."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from app.models.parties import Role
from app.oauth.tokens import TWO_FACTORS
from tests.bench.stage import free_port
from tests.oauth import npm
from tests.oauth.signing_in import CALLBACK, an_app, signed_in
from tests.serving import served
from tests.world import KENKO, SAKAI, World

_SCRIPT = Path(__file__).with_name("strict_client.mjs")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at: the client compares them."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=f"http://127.0.0.1:{free_port()}")


async def test_a_strict_client_gets_uses_binds_introspects_and_revokes_tokens(
    app: FastAPI, settings: Settings, world: World, tmp_path: Path
) -> None:
    await npm.install(tmp_path, [npm.STRICT_CLIENT])
    party = await world.party(KENKO, Role.STEWARD)
    dataset = await world.dataset(KENKO, data_class="internal")
    app_of_staff = await an_app(world)
    browser = await signed_in(world, SAKAI, Role.OPERATOR, second_factor=True)
    task = {
        "packages": str(tmp_path),
        "issuer": settings.issuer,
        "client": party.id,
        "jwk": party.key.as_dict(private=True),
        "kid": party.key.thumbprint(),
        "scope": f"dataset:{dataset}:read",
        "address": f"{settings.issuer}/v1/datasets/{dataset}/records?purpose=own-duty",
        "app": app_of_staff.id,
        "app_jwk": app_of_staff.key.as_dict(private=True),
        "app_kid": app_of_staff.key.thumbprint(),
        "callback": CALLBACK,
        "cookie": browser.cookies["Cookie"],
    }

    async with served(app, urlsplit(settings.issuer).port or 0):
        told: dict[str, Any] = json.loads(
            await npm.run(npm.node(), str(_SCRIPT), told=json.dumps(task).encode())
        )

    assert (told["issuer"], told["resource"]) == (settings.issuer, settings.issuer)
    assert told["bearer"]["scope"] == told["bound"]["scope"] == task["scope"]
    # The dataset has no version yet: who is refused gets 401 or 403 before that is told.
    assert told["status_bearer"] == told["status_bound"] == 404
    assert told["token_type"].lower() == "dpop"
    assert told["introspected"]["active"] and told["introspected"]["client_id"] == party.id
    assert told["after_revocation"] == {"active": False}
    assert told["status_revoked"] == 401

    signed = told["signed_in"]
    assert signed["claims"]["sub"] == signed["userinfo"]["sub"] == browser.person_id
    assert signed["claims"]["acr"] == TWO_FACTORS and signed["claims"]["nonce"] == signed["nonce"]
    assert signed["userinfo"]["name"] == "堺 次郎"
    assert signed["scope"] == "openid profile admin:read"
    assert signed["access"]["sub"] == browser.person_id
    assert signed["introspected"]["acr"] == TWO_FACTORS
    assert signed["status"] == 200
    assert signed["after_revocation"] == {"active": False}
    assert signed["code_again"] == "invalid_grant"
