"""The ways that lead to others: whom we trust there, what proves us, through which proxy.

A key is never written down as it is: the library takes files alone, so it gets one that only this
process can read, for a moment, under a password that nobody else has.
"""

import asyncio
import base64
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from app.kit.folders import held_folder

if TYPE_CHECKING:
    import httpx

_MOST_RESTING: Final = 32


@dataclass(frozen=True, slots=True)
class Way:
    """One way. Texts are PEM; without an authority those of the system are trusted."""

    authority: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    proxy: str | None = None
    proxy_user: str | None = None
    proxy_password: str | None = field(default=None, repr=False)

    @property
    def proof_to_proxy(self) -> dict[str, str]:
        """The header for the proxy (RFC 9110, 11.7.2); none where it asks for none."""
        if self.proxy_user is None:
            return {}
        pair = f"{self.proxy_user}:{self.proxy_password or ''}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    @property
    def unproven(self) -> "Way":
        """The same without what proves us."""
        return replace(self, certificate=None, key=None)


def trusting(way: Way) -> ssl.SSLContext:
    """What TLS goes by on a way. Blocks. Raises `ValueError` or `ssl.SSLError` for what is no PEM."""
    made = ssl.create_default_context(cadata=way.authority)
    if way.certificate is not None and way.key is not None:
        _prove(made, way.certificate, way.key)
    return made


def _prove(context: ssl.SSLContext, certificate: str, key: str) -> None:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415

    password = secrets.token_bytes(32).hex().encode()
    locked = forms.load_pem_private_key(key.encode(), None).private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(password)
    )
    with held_folder() as folder:
        file = folder / "proof.pem"
        file.touch(mode=0o600)
        file.write_bytes(locked + certificate.encode())
        context.load_cert_chain(file, password=password)


@dataclass(slots=True)
class _Client:
    client: "httpx.AsyncClient"
    users: int = 0


class Clients:
    """The clients of a process, one a way. Few of those that nobody uses are kept."""

    def __init__(self, make: Callable[[Way], Awaitable["httpx.AsyncClient"]]) -> None:
        self._make = make
        self._by_way: dict[Way, _Client] = {}  # the one that was used last stands last
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def of(self, way: Way) -> AsyncIterator["httpx.AsyncClient"]:
        """The client of a way, for as long as the block lasts."""
        async with self._making:
            held = self._by_way.pop(way, None) or _Client(await self._make(way))
            self._by_way[way] = held
        held.users += 1
        try:
            yield held.client
        finally:
            held.users -= 1
            await self._let_go()

    async def _let_go(self) -> None:
        resting = [way for way, held in self._by_way.items() if not held.users]
        for way in resting[:-_MOST_RESTING]:
            await self._by_way.pop(way).client.aclose()

    async def close(self) -> None:
        """Let go of all of them."""
        while self._by_way:
            _, held = self._by_way.popitem()
            await held.client.aclose()
