"""Apps that members of staff sign in to, and their browsers, for tests; any part may be wrong."""

import hashlib
import html
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
from joserfc.jwk import ECKey

from app.models.parties import AuthMethod, Role, Zone
from app.oauth.authorization import PATH as AUTHORIZE
from app.oauth.pushed import PATH as PAR
from app.parties import clients
from app.portal.consent import PATH as CONSENT
from tests.oauth.people import somebody
from tests.oauth.senders import TOKEN_PATH, Sender, proof
from tests.signin.opening import opened
from tests.world import ASSERTION_TYPE, KENKO, SAKAI, Party, World

CALLBACK = "https://app.example/callback"


def challenge_of(verifier: str) -> str:
    """RFC 7636, 4.2."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


async def an_app(
    world: World,
    *,
    organization: str = KENKO,
    staff_of: tuple[str, ...] = (SAKAI,),
    citizens: bool = False,
    redirect_uris: tuple[str, ...] = (CALLBACK,),
    by_secret: bool = False,
    zone: Zone = Zone.INTERNET,
) -> Party:
    """A client that people sign in to."""
    key = ECKey.generate_key("P-256")
    method = AuthMethod.CLIENT_SECRET_BASIC if by_secret else AuthMethod.PRIVATE_KEY_JWT
    new = clients.NewClient(
        organization_id=organization,
        name="試験アプリ",
        auth_method=method,
        zone=zone,
        jwks=None if by_secret else {"keys": [key.as_dict(private=False)]},
        redirect_uris=redirect_uris,
        staff_of=staff_of,
        citizens=citizens,
    )
    async with world.platform.database.writing() as session:
        added = await clients.add(session, new, by="test")
    world.platform.live.changed("client", added.client.id)
    return Party(added.client.id, organization, world.platform.issuer, key, added.secret)


@dataclass(slots=True)
class Attempt:
    """One sign-in of an app, as its honest software does it, but for what is named."""

    world: World
    app: Party
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    redirect_uri: str = CALLBACK
    at: httpx.AsyncClient | None = None  # another server than the world's

    @property
    def http(self) -> httpx.AsyncClient:
        return self.at or self.world.client

    def proof(self, path: str, method: str = "POST", **wrong: Any) -> str:
        """A proof for the server that the app is registered at."""
        return proof(self.key, method, path, **{"htu": self.app.issuer + path, **wrong})

    async def push(
        self,
        *,
        proven: bool = False,
        shown: str | None = None,
        without: tuple[str, ...] = (),
        **wrong: str,
    ) -> httpx.Response:
        """The answer to the pushed request; `proven` binds the code to the key."""
        form = {
            "client_id": self.app.id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.app.assertion(),
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "state": "xyz",
            "nonce": "n-1",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **wrong,
        }
        for name in without:
            del form[name]
        headers = {"DPoP": shown or self.proof(PAR)} if proven or shown else {}
        return await self.http.post(PAR, data=form, headers=headers)

    async def request_uri(self, **asked: Any) -> str:
        """The name of a pushed request that was taken."""
        response = await self.push(**asked)
        assert response.status_code == 201, response.text
        name: str = response.json()["request_uri"]
        return name

    async def redeem(
        self,
        code: str,
        *,
        proven: bool = True,
        shown: str | None = None,
        without: tuple[str, ...] = (),
        client: httpx.AsyncClient | None = None,
        **wrong: str,
    ) -> httpx.Response:
        """The answer of the token endpoint to a code."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self.app.id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.app.assertion(),
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **wrong,
        }
        for name in without:
            del form[name]
        headers = {"DPoP": shown or self.proof(TOKEN_PATH)} if proven else {}
        return await (client or self.http).post(TOKEN_PATH, data=form, headers=headers)

    async def code(self, browser: "Browser", **asked: Any) -> str:
        """A code, with everything asked for allowed."""
        answer = await browser.allow(self.app.id, await self.request_uri(**asked))
        return answer["code"]

    async def tokens(self, browser: "Browser", **asked: Any) -> dict[str, Any]:
        """What the token endpoint answers in the end."""
        response = await self.redeem(await self.code(browser, **asked))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def sender(self, browser: "Browser", **asked: Any) -> Sender:
        """The app with a person's token."""
        answer = await self.tokens(browser, **asked)
        return Sender(self.app, answer["access_token"], answer, self.key)


@dataclass(slots=True)
class Browser:
    """A browser in which somebody is signed in, or nobody."""

    world: World
    person_id: str = ""
    secret: str | None = None

    @property
    def cookies(self) -> dict[str, str]:
        return {"Cookie": f"urbanos={self.secret}"} if self.secret else {}

    async def visit(self, client_id: str, request_uri: str, **more: str) -> httpx.Response:
        """What the authorization endpoint answers."""
        query = {"client_id": client_id, "request_uri": request_uri, **more}
        return await self.world.client.get(AUTHORIZE, params=query, headers=self.cookies)

    async def answer(self, page: str, answer: str = "allow", **wrong: str) -> httpx.Response:
        """Press a button of the consent page."""
        found = re.findall(r'name="([a-z_]+)" value="([^"]*)"', page)
        sent = {name: html.unescape(value) for name, value in found} | {"answer": answer} | wrong
        return await self.world.client.post(CONSENT, data=sent, headers=self.cookies)

    async def allow(self, client_id: str, request_uri: str) -> dict[str, str]:
        """What the app is told once everything has been allowed."""
        response = await self.visit(client_id, request_uri)
        if response.status_code == 200:
            response = await self.answer(response.text)
        return told(response)


def told(response: httpx.Response, redirect_uri: str = CALLBACK) -> dict[str, str]:
    """What the app that the browser is sent back to is told."""
    assert response.status_code == 303, response.text
    location = response.headers["Location"]
    assert location.startswith(redirect_uri), location
    assert all(len(values) == 1 for values in parse_qs(urlsplit(location).query).values())
    return dict(parse_qsl(urlsplit(location).query))


async def signed_in(
    world: World, organization: str = SAKAI, *roles: Role, second_factor: bool = False
) -> Browser:
    """The browser of a new member of staff who has just signed in."""
    person_id = await somebody(world, organization, *roles)
    methods = ("pwd", "otp") if second_factor else ("pwd",)
    secret = await opened(world.platform, person_id, methods, second_factor=second_factor)
    return Browser(world, person_id, secret)
