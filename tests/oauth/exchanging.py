"""A service that exchanges the token of an official, for tests; any part may be wrong."""

from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from app.models.parties import Client, Role
from app.oauth.exchange import GRANT_TYPE
from app.oauth.speaking import ACCESS_TOKEN
from app.parties import clients
from tests.oauth.people import acting, somebody
from tests.oauth.senders import TOKEN_PATH, Sender, proof
from tests.world import ASSERTION_TYPE, KENKO, SAKAI, Party, World

ASKS = "/v1/admin/organizations"
SCOPE = "admin:read audit:read"


async def service(world: World, *givers: Party, staff_of: tuple[str, ...] = (SAKAI,)) -> Party:
    """A client that may exchange the givers' tokens for the staff of some organisations."""
    party = await world.party(KENKO)
    async with world.platform.database.writing() as session:
        (await session.get_one(Client, party.id)).staff_of = list(staff_of)
        await clients.allow_exchange(session, party.id, [g.id for g in givers], by="test")
    world.platform.live.changed("client", party.id)
    return party


async def exchange(
    world: World,
    party: Party,
    token: str,
    scope: str = SCOPE,
    *,
    key: ECKey | None = None,
    without: tuple[str, ...] = (),
    **form: str,
) -> httpx.Response:
    """The answer to an exchange that is right but for what is named."""
    told = party.form(scope, grant_type=GRANT_TYPE, subject_token=token)
    told |= {"subject_token_type": ACCESS_TOKEN, **form}
    shown = proof(key or ECKey.generate_key("P-256"), "POST", TOKEN_PATH)
    headers = {} if "DPoP" in without else {"DPoP": shown}
    data = {name: value for name, value in told.items() if name not in without}
    return await world.client.post(TOKEN_PATH, data=data, headers=headers)


async def exchanged(world: World, party: Party, subject: Sender, scope: str = SCOPE) -> Sender:
    """The party with the token that it got for the subject's."""
    key = ECKey.generate_key("P-256")
    response = await exchange(world, party, subject.token, scope, key=key)
    assert response.status_code == 200, response.text
    return Sender(party, response.json()["access_token"], response.json(), key)


async def ask(world: World, sender: Sender) -> httpx.Response:
    return await world.client.get(ASKS, headers=sender.headers(ASKS))


async def claims_of(world: World, token: str) -> dict[str, Any]:
    keys = await world.platform.keys.get()
    return dict(jwt.decode(token, keys.public[keys.current_kid], algorithms=["ES256"]).claims)


async def official(world: World, app: Party, scope: str = SCOPE, **how: Any) -> Sender:
    """The app with a token of an official of Sakai, who is an operator."""
    person_id = await somebody(world, SAKAI, Role.OPERATOR)
    return await acting(world, app, person_id, scope, **how)


async def resigned(world: World, app: Party, typ: str, **wrong: Any) -> str:
    said = await claims_of(world, (await official(world, app)).token) | wrong
    keys = await world.platform.keys.get()
    header = {"alg": "ES256", "typ": typ, "kid": keys.current_kid}
    return jwt.encode(header, said, keys.current, algorithms=["ES256"])


async def revoke(world: World, sender: Sender) -> None:
    """The client ends its own token."""
    proves = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sender.party.assertion(),
    }
    done = await world.client.post("/oauth/revoke", data={"token": sender.token, **proves})
    assert done.status_code == 200
