"""What a person does with a browser, without one: reads pages, fills forms, keeps cookies."""

import html
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
from fastapi import FastAPI

from app.models.parties import Role
from app.parties import people
from app.signin import changes
from app.signin.accounts import about_totp
from app.signin.passwords import hash_password
from tests.world import SAKAI, World

PASSWORD = "うみ ほたる かさ たんぼ みち"
_hashed: list[str] = []
_FORM = re.compile(r'<form method="post" action="([^"]*)">(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(slots=True)
class Somebody:
    """A member of staff with a local account."""

    id: str
    email: str
    secret: str = ""

    def code(self, ahead: int = 0) -> str:
        """The code of the present step of time, or of one `ahead` of it."""
        return pyotp.TOTP(self.secret).at(int(time.time()), counter_offset=ahead)


@dataclass(slots=True)
class Browser:
    """One browser with its cookies."""

    http: httpx.AsyncClient

    async def open(self, path: str) -> httpx.Response:
        """A page, without following where it leads."""
        return await self.http.get(path)

    async def send(self, shown: httpx.Response, *, number: int = 0, **typed: str) -> httpx.Response:
        """Fill the page's form and send it. `number`: which form, in the order of the page."""
        action, fields = forms_of(shown)[number]
        return await self.http.post(action, data={**fields, **typed})

    async def sign_in(
        self, who: Somebody, *, password: str = PASSWORD, code: str = "", to: str = "/account"
    ) -> httpx.Response:
        """Sign in with what is given."""
        shown = await self.http.get("/sign-in", params={"return_to": to, "again": "1"})
        return await self.send(shown, email=who.email, password=password, code=code)

    @property
    def session(self) -> str | None:
        """The secret in the session cookie."""
        return self.http.cookies.get("urbanos")


def forms_of(shown: httpx.Response) -> list[tuple[str, dict[str, str]]]:
    """Where each form of a page goes, and what it holds already."""
    return [
        (
            html.unescape(action),
            {name: html.unescape(value) for name, value in _HIDDEN.findall(inside)},
        )
        for action, inside in _FORM.findall(shown.text)
    ]


@asynccontextmanager
async def browser_of(app: FastAPI) -> AsyncIterator[Browser]:
    """A browser that has never been here."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://urbanos.test") as http:
        yield Browser(http)


async def invited(world: World, *roles: Role, name: str = "堺 次郎") -> tuple[Somebody, str]:
    """Somebody without a password, and the key of the link to set one."""
    async with world.platform.database.writing() as session:
        email = f"{secrets.token_hex(4)}@example.jp"
        person = await people.add(session, people.NewPerson(SAKAI, name, email, roles), by="test")
        link = await changes.make_link(session, person, world.platform.issuer, by="test")
    return Somebody(person.id, email), parse_qs(urlsplit(link.url).query)["key"][0]


async def somebody(
    world: World, *roles: Role, totp: bool = False, name: str = "堺 次郎"
) -> Somebody:
    """Somebody with the password of these tests, and a second factor where it is asked for."""
    made, key = await invited(world, *roles, name=name)
    async with world.platform.database.writing() as session:
        if not _hashed:  # once for all: that it takes long is its purpose, and not a test's
            _hashed.append(await hash_password(PASSWORD))
        await changes.use_link(session, key, _hashed[0])
        if totp:
            made.secret = pyotp.random_base32()
            sealed = world.platform.sealer.seal(made.secret.encode(), about=about_totp(made.id))
            await changes.set_totp(session, made.id, sealed, 0, keeping="")
    return made


async def give_provider(world: World, who: Somebody) -> None:
    """Let somebody sign in with an organisation's provider, and no longer with a password."""
    provider = await world.provider()
    async with world.platform.database.writing() as session:
        person = await people.get(session, who.id)
        person.password_hash, person.provider_id, person.subject = None, provider, who.id
    world.platform.live.changed("person", who.id)
