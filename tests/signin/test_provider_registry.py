"""What the registry of identity providers takes, refuses and never shows."""

import json
import secrets
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.oauth.people import acting, somebody
from tests.world import World

PATH = "/v1/admin/identity-providers"


def _body(**changed: Any) -> dict[str, Any]:
    name = f"p-{secrets.token_hex(4)}"
    right = {
        "id": name,
        "organization": "271004",
        "name": "試験",
        "issuer": f"https://{name}.example.jp",
        "client_id": "urban-os",
        "domains": [f"{name}.example.jp"],
        "group_claim": "groups",
    }
    return {**right, **changed}


@pytest_asyncio.fixture(loop_scope="session")
async def admin(world: World) -> dict[str, str]:
    """The header of an operator's client."""
    operator = await world.party(OPERATOR, Role.OPERATOR)
    return await world.token(operator, "admin:read admin:write")


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"id": "Osaka City"}, "/id"),
        ({"issuer": "https://idp.example.jp/?a=b"}, "/issuer"),
        ({"issuer": "https://idp.example.jp/#a"}, "/issuer"),
        ({"organization": "nowhere"}, "/organization"),
        ({"domains": ["example"]}, "/domains/0"),
        ({"domains": ["*.example.jp"]}, "/domains/0"),
        ({"groups": {"g": {"organization": "271403"}}}, "/groups/g/organization"),
        ({"groups": {"g": {"organization": "270008"}}}, "/groups/g/organization"),
        ({"groups": {"g": {"roles": ["king"]}}}, "/groups/g/roles/0"),
        ({"groups": {"g": {"roles": ["steward"]}}, "group_claim": None}, "/group_claim"),
        ({"default_roles": ["steward", "operator"]}, "/default_roles"),
        ({"secret": "x"}, "/secret"),
    ],
)
async def test_what_is_wrong_is_refused_by_its_place(
    client: httpx.AsyncClient, admin: dict[str, str], changed: dict[str, Any], where: str
) -> None:
    refused = await client.post(PATH, json=_body(**changed), headers=admin)

    assert refused.status_code == 422, refused.text
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [where]


@pytest.mark.parametrize(
    "issuer",
    ["https://127.0.0.1", "https://[::1]/", "https://169.254.169.254/latest", "ftp://x.jp"],
)
async def test_an_issuer_inside_is_refused_at_once(
    client: httpx.AsyncClient, admin: dict[str, str], issuer: str
) -> None:
    refused = await client.post(PATH, json=_body(issuer=issuer), headers=admin)

    assert (refused.status_code, refused.json()["code"]) == (422, "outbound_refused")


async def test_a_domain_is_vouched_for_by_one_provider(
    client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    first, second = _body(), _body()
    await client.post(PATH, json=first, headers=admin)
    taking = {"domains": [first["domains"][0].upper()]}

    other = await client.post(PATH, json={**second, **taking}, headers=admin)
    await client.post(PATH, json=second, headers=admin)
    moved = await client.put(f"{PATH}/{second['id']}/vouching", json=taking, headers=admin)
    again = await client.post(PATH, json={**_body(), "issuer": first["issuer"]}, headers=admin)

    assert [each.json()["code"] for each in (other, moved, again)] == [
        "domain_taken",
        "domain_taken",
        "provider_exists",
    ]


async def test_the_log_tells_which_roles_a_providers_word_gives(
    client: httpx.AsyncClient, admin: dict[str, str], world: World
) -> None:
    body = _body(default_roles=["developer"], amr_values=["otp"])
    groups = {"bosses": {"organization": None, "roles": ["operator"]}}
    vouching = {name: body[name] for name in ("domains", "group_claim")}

    await client.post(PATH, json=body, headers=admin)
    await client.put(
        f"{PATH}/{body['id']}/vouching", json={**vouching, "groups": groups}, headers=admin
    )

    (added,), (changed,) = (
        await world.log(Event.PROVIDER_ADDED),
        await world.log(Event.PROVIDER_CHANGED),
    )
    assert (added["default_roles"], added["amr_values"]) == (["developer"], ["otp"])
    assert (changed["groups"], changed["default_roles"]) == (groups, [])


async def test_its_secret_is_sealed_and_shown_nowhere(
    client: httpx.AsyncClient, admin: dict[str, str], platform: Platform, world: World
) -> None:
    secret = secrets.token_urlsafe(24)
    by_secret, by_key = _body(client_secret=secret), _body()

    added = await client.post(PATH, json=by_secret, headers=admin)
    keyed = await client.post(PATH, json=by_key, headers=admin)
    listed = await client.get(PATH, headers=admin, params={"limit": 200})
    keys = await client.get(f"/sign-in/with/{by_key['id']}/jwks")
    rows = await platform.database.pool.fetch("SELECT * FROM identity_provider")

    assert (added.status_code, added.json()["jwks_uri"]) == (201, None)
    assert keyed.json()["jwks_uri"].endswith(f"/sign-in/with/{by_key['id']}/jwks")
    (key,) = keys.json()["keys"]
    assert key["kty"] == "EC" and "d" not in key
    everywhere = added.text + listed.text + str(rows) + json.dumps(await world.log(), default=str)
    assert secret not in everywhere
    assert len(await world.log(Event.PROVIDER_ADDED)) == 2


async def test_only_an_operator_with_a_fresh_second_factor_says_who_vouches(
    client: httpx.AsyncClient, world: World
) -> None:
    app = await world.party(OPERATOR)
    person = await somebody(world, OPERATOR, Role.OPERATOR)
    steward = await acting(
        world, app, await somebody(world, "271004", Role.STEWARD), "admin:write", second_factor=True
    )
    one = await acting(world, app, person, "admin:write")
    both = await acting(world, app, person, "admin:write", second_factor=True)

    as_steward, weak, strong = [
        await client.post(PATH, json=_body(), headers=sender.headers(PATH, "POST"))
        for sender in (steward, one, both)
    ]

    assert (as_steward.status_code, as_steward.json()["code"]) == (403, "role_missing")
    assert (weak.status_code, weak.json()["code"]) == (401, "insufficient_user_authentication")
    assert (strong.status_code, strong.json()["created_by"]) == (201, person)
