"""Made-up citizens at the provider that ships for tests, and their browsers."""

import html
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.jwk import ECKey

from app.cli.test_issuer import LEVELS, issuer_app
from app.oauth.authorization import PATH as AUTHORIZE
from app.oauth.tokens import CitizenGrant, TokenGrant, issue
from app.policy.assurance import Level
from app.portal.citizen_consent import PATH as CONSENT
from app.signin import citizen_providers
from tests.bench.stage import free_port
from tests.oauth.senders import Sender
from tests.oauth.signing_in import Attempt, told
from tests.serving import served
from tests.world import Party, World

HANAKO, TARO, JIRO = "minashi-hanako", "minashi-taro", "minashi-jiro"
ACRS = {level: acr for acr, level in LEVELS.items()}


@asynccontextmanager
async def citizens_provider(world: World) -> AsyncIterator[str]:
    """The id of the citizens' provider for tests, which runs until the block ends."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    name = f"c-{secrets.token_hex(4)}"
    levels = {acr: Level(level) for acr, level in LEVELS.items()}
    new = citizen_providers.NewCitizenProvider(
        name, "試験用", "For tests", issuer, "urban-os", levels
    )
    async with world.platform.database.writing() as session:
        await citizen_providers.add(session, world.platform.sealer, new, by="test")
    async with served(issuer_app(issuer), port):
        yield name


@dataclass(slots=True)
class CitizensBrowser:
    """One browser, with its cookies at the platform; at the provider it has none."""

    world: World
    provider: str
    here: httpx.AsyncClient
    there: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def sign_in(
        self, login: str = HANAKO, level: str = "high", return_to: str = "/me", **asked: str
    ) -> httpx.Response:
        """The platform's answer to the whole way through the provider."""
        began = await self.here.get(
            f"/me/sign-in/with/{self.provider}", params={"return_to": return_to, **asked}
        )
        assert began.status_code == 303, began.text
        back = await self.at_provider(began.headers["location"], login, level)
        return await self.here.get(back)

    async def at_provider(self, address: str, login: str, level: str) -> str:
        """Where the provider sends the browser, once somebody signed in there."""
        page = await self.there.get(address)
        assert page.status_code == 200, page.text
        sent = {**hidden(page.text), "login": login, "acr": ACRS.get(level, level)}
        parts = urlsplit(address)
        answer = await self.there.post(f"{parts.scheme}://{parts.netloc}/authorize", data=sent)
        where: str = answer.headers["location"]
        return where

    async def visit(self, client_id: str, request_uri: str) -> httpx.Response:
        """What the authorization endpoint answers."""
        query = {"client_id": client_id, "request_uri": request_uri}
        return await self.here.get(AUTHORIZE, params=query)

    async def press(self, page: str, answer: str = "allow", **wrong: str) -> httpx.Response:
        """Press a button of the page that asks."""
        return await self.here.post(CONSENT, data={**hidden(page), "answer": answer, **wrong})

    async def tokens(self, app: Party, **asked: Any) -> tuple[Attempt, dict[str, Any]]:
        """What an app gets in the end from who is signed in."""
        attempt = Attempt(self.world, app)
        answer = await self.visit(app.id, await attempt.request_uri(**asked))
        if answer.status_code == 200:
            answer = await self.press(answer.text)
        redeemed = await attempt.redeem(told(answer)["code"])
        assert redeemed.status_code == 200, redeemed.text
        return attempt, redeemed.json()

    async def sender(self, app: Party, scope: str = "openid me:consents me:accesses") -> Sender:
        """The app with a citizen's token."""
        attempt, answer = await self.tokens(app, scope=scope)
        return Sender(app, answer["access_token"], answer, attempt.key)


async def speaking_for(
    world: World, app: Party, subject: str, scope: str = "me:consents me:accesses"
) -> Sender:
    """`app` with a token for whom its organisation calls `subject`, made as the endpoint makes it."""
    key = ECKey.generate_key("P-256")
    grant = TokenGrant(
        client_id=app.id,
        organization_id=app.organization_id,
        zone=world.platform.zone,
        scope=tuple(scope.split()),
        epoch=0,
        lifetime_s=300,
        jkt=key.thumbprint(),
        citizen=CitizenGrant(subject, Level.HIGH),
    )
    issued = issue(await world.platform.keys.get(), world.platform.issuer, grant)
    return Sender(app, issued.token, {}, key)


def hidden(page: str) -> dict[str, str]:
    """What the last form of a page sends by itself."""
    found = re.findall(r'name="([a-z_]+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}
