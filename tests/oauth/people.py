"""Members of staff with tokens of their own, for tests of what they may do."""

import secrets
import time

from joserfc.jwk import ECKey

from app.models.parties import Client, Role
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS, PersonGrant, TokenGrant, issue
from app.parties import people
from tests.oauth.senders import Sender
from tests.world import SAKAI, Party, World


async def somebody(world: World, organization: str = SAKAI, *roles: Role) -> str:
    """The id of a new member of staff, who has no way to sign in."""
    async with world.platform.database.writing() as session:
        email = f"{secrets.token_hex(4)}@example.jp"
        new = people.NewPerson(organization, "堺 次郎", email, roles)
        person_id = (await people.add(session, new, by="test")).id
    world.platform.live.changed("person", person_id)
    return person_id


async def let_staff_in(world: World, app: Party, *organizations: str) -> None:
    """Let the staff of these organisations sign in to the app, besides those who may already."""
    async with world.platform.database.writing() as session:
        client = await session.get_one(Client, app.id)
        client.staff_of = sorted({*client.staff_of, *organizations})
    world.platform.live.changed("client", app.id)


async def acting(
    world: World,
    app: Party,
    person_id: str,
    scope: str,
    *,
    second_factor: bool = False,
    ago_s: int = 0,
    agreement: tuple[str, str] | None = None,
) -> Sender:
    """`app` with a token for somebody who signed in to it `ago_s` seconds ago.

    `agreement` is the one that it is for, with its purpose. Their organisation's staff may sign in.
    The token is made as the token endpoint makes it, but for every other check of whether it may be.
    """
    platform = world.platform
    person = await platform.people.get(person_id)
    await let_staff_in(world, app, person.organization_id)
    key = ECKey.generate_key("P-256")
    acr = TWO_FACTORS if second_factor else ONE_FACTOR
    agreement_id, purpose = agreement or (None, None)
    grant = TokenGrant(
        client_id=app.id,
        organization_id=person.organization_id,
        zone=platform.zone,
        scope=tuple(scope.split()),
        epoch=0,
        lifetime_s=300,
        jkt=key.thumbprint(),
        agreement_id=agreement_id,
        purpose=purpose,
        person=PersonGrant(person_id, acr, int(time.time()) - ago_s),
    )
    issued = issue(await platform.keys.get(), platform.issuer, grant)
    return Sender(app, issued.token, {}, key)
