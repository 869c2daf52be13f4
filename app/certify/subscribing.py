"""Subscriptions that the judge makes, and their end: each is on the account of the run until it has one."""

from typing import Final
from urllib.parse import quote

from app.certify.client import Exchange, Server
from app.certify.granted import Token, call

PATH: Final = "/v1/subscriptions"
_MADE: Final = 201
_GONE: Final = (204, 404)


async def subscribe(server: Server, token: Token | None, dataset: str, url: str) -> Exchange:
    """What a server says to it, whatever it is; what it made is on the account."""
    made = await call(server, token, "POST", PATH, given={"dataset": dataset, "url": url})
    if isinstance(secret := made.member("secret"), str):
        server.secrets.add(secret)
    if (path := path_of(made)) is not None:
        server.subscriptions[path] = None
    return made


def path_of(made: Exchange) -> str | None:
    """Of a subscription: what a server calls it leads to nothing else. None where none was made."""
    name = made.member("id")
    if made.status != _MADE or not isinstance(name, str) or name.strip(".") == "":
        return None
    return f"{PATH}/{quote(name, safe='')}"


async def unsubscribe(server: Server, token: Token | None, path: str) -> Exchange:
    """End one that the judge made."""
    said = await call(server, token, "DELETE", path)
    if said.status in _GONE:
        server.subscriptions.pop(path, None)
    return said
