"""Connections that go to judged addresses alone: what stands below the one way out. Judges nothing."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import httpx

_PER_HOST: Final = 16


class Judged(Protocol):
    """Gives the addresses of a name, all of them judged, or refuses."""

    def __call__(self, host: str, port: int, *, is_plain: bool) -> Awaitable[list[str]]: ...


class _Judging:
    """The resolver of a connector: it gives judged addresses or none."""

    def __init__(self, judged: Judged, *, is_plain: bool) -> None:
        self._judged = judged
        self._is_plain = is_plain

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        del family  # both are judged, the connector takes what it can use
        found = await self._judged(host, port, is_plain=self._is_plain)
        return [
            {
                "hostname": host,
                "host": each,
                "port": port,
                "family": socket.AF_INET6 if ":" in each else socket.AF_INET,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for each in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def transport(
    judged: Judged, trusted: ssl.SSLContext, *, is_plain: bool, proxy: "httpx.Proxy | None" = None
) -> Any:
    """Sends over connections to what `judged` gives, and keeps no cookie.

    With a proxy, that is what is connected to, and judged.
    """
    import aiohttp  # noqa: PLC0415 - slow to import, and many processes never ask anybody
    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415

    if proxy is not None:
        is_plain = proxy.url.scheme == "http"

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=_Judging(judged, is_plain=is_plain),  # type: ignore[arg-type]
            use_dns_cache=False,
            ssl=trusted,
            limit=0,  # hosts that hang would take the places of those that do not
            limit_per_host=_PER_HOST,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    return AiohttpTransport(verify=trusted, trust_env=False, client=session, proxy=proxy)


async def resolved(host: str, port: int) -> list[str]:
    """What the system says that a name resolves to."""
    loop = asyncio.get_running_loop()
    told = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in told))
