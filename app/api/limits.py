"""Counts a request before anything is done for it, and says where its limits stand.

What a client may say of its own address (`X-Forwarded-For`) is never read here.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from app.api.state import Platform
from app.broker.limits import fields_of
from app.kit.errors import AppError
from app.policy.facts import Caller

_NETWORK_BITS: Final = 64


async def admit(platform: Platform, scope: Scope, caller: Caller | None) -> None:
    """Count the request of the caller, or of its address. Raises `RateLimited`."""
    try:
        standings = await platform.limits.request(caller, origin_of(scope), scope["request_id"])
    except AppError as refusal:
        scope["counted"] = refusal
        raise
    if standings:
        scope["limits"] = fields_of(standings[0])


async def admit_unproven(platform: Platform, scope: Scope) -> None:
    """Count a request of the OAuth endpoints by its address. Raises `SlowDown`."""
    await platform.limits.token_request(origin_of(scope))


def origin_of(scope: Scope) -> str:
    """The address of the peer; in IPv6 its network, of which one household has 2^64 addresses."""
    peer = scope.get("client")
    return _network(peer[0]) if peer else "unknown"


@lru_cache(maxsize=4_096)
def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _NETWORK_BITS), strict=False))
