"""A vendor that registers its client, and people who let it, for tests."""

from typing import Any

import httpx
from joserfc.jwk import ECKey

from app.models.parties import Role
from tests.oauth.people import acting, somebody
from tests.oauth.senders import Sender
from tests.world import KENKO, SAKAI, Party, World

TOKENS = "/v1/admin/registration-tokens"
REGISTER = "/oauth/register"
LIST = "/v1/admin/registrations"
SCOPE = "invitations:write"


def public(key: ECKey | None = None) -> dict[str, Any]:
    return {"keys": [dict((key or ECKey.generate_key("P-256")).as_dict(private=False))]}


def told(**more: Any) -> dict[str, Any]:
    """Metadata that are right but for what is named; None leaves a member out."""
    whole = {"client_name": "保健所アプリ", "jwks": public(), **more}
    return {name: value for name, value in whole.items() if value is not None}


async def person(world: World, *roles: Role, of: str = SAKAI, second_factor: bool = True) -> Sender:
    """Somebody at work, who proved a second factor just now."""
    app = await world.party(KENKO)
    person_id = await somebody(world, of, *roles)
    return await acting(world, app, person_id, SCOPE, second_factor=second_factor)


async def make(world: World, maker: Sender, organization: str = KENKO, **more: Any) -> str:
    """A fresh registration token."""
    body = {"organization": organization, **more}
    made = await world.client.post(TOKENS, json=body, headers=maker.headers(TOKENS, "POST"))
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


async def register(
    world: World, token: str, asking: httpx.AsyncClient | None = None, **more: Any
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await (asking or world.client).post(REGISTER, json=told(**more), headers=headers)


async def decide(world: World, who: Sender, client_id: str, verdict: str) -> httpx.Response:
    path = f"/v1/admin/clients/{client_id}/{verdict}"
    return await world.client.post(path, headers=who.headers(path, "POST"))


async def token_of(world: World, client_id: str, key: ECKey) -> httpx.Response:
    party = Party(client_id, KENKO, world.platform.issuer, key)
    return await world.client.post("/oauth/token", data=party.form("catalogue:write"))
