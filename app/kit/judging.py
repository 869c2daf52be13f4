"""Which addresses a process connects to: public ones, and those that its deployment allows.

Decides on what it is told, and asks no resolver.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# IANA gives out global unicast addresses from 2000::/3 alone. What is left out of it carries
# another address within (Teredo, 6to4), or belongs to nobody (documentation, benchmarks).
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NOBODYS_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
# Protocol assignments (RFC 6890) and the relays of 6to4 (RFC 7526).
_NOBODYS_V4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a deployment connects to beyond public addresses by https."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Hosts and networks parted by commas. Raises `ValueError` for what is neither."""
        hosts, networks = set(), []
        for each in filter(None, map(str.strip, text.split(","))):
            try:
                networks.append(ip_network(each))
            except ValueError:
                if not all(sign.isascii() and (sign.isalnum() or sign in "-.") for sign in each):
                    raise
                if each.replace(".", "").isdigit():
                    raise  # a mistyped address and no name
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def has(self, host: str, address: Address) -> bool:
        """Whether this host, or this address of it, is listed."""
        return host in self.hosts or any(
            address.version == network.version and address in network for network in self.networks
        )

    def lists(self, host: str) -> bool:
        """Whether a name is listed as it is."""
        return host in self.hosts

    def may_have(self, host: str) -> bool:
        """Whether a name is listed, or could resolve to what is."""
        return host in self.hosts or bool(self.networks)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet: no network's, machine's or test's own."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _GLOBAL_V6 and not any(address in each for each in _NOBODYS_V6)
    is_odd = address.is_multicast or address.is_reserved
    return address.is_global and not is_odd and not any(address in each for each in _NOBODYS_V4)


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
