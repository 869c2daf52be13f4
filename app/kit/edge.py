"""Who is at the other end of a connection, and whose word is believed. Headers choose no zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from app.kit import clock
from app.kit.certificates import Certificate, CertificateUnreadable, read_header


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as the socket knows it, whatever its requests say."""

    address: str | None
    proven: Certificate | None = None  # when the connection, or the session it took up, began

    @property
    def certificate(self) -> Certificate | None:
        """What it proved, for as long as that is valid: a connection may stay open for days."""
        proven = self.proven
        return proven if proven is not None and clock.now() < proven.ends_at else None


@dataclass(frozen=True, slots=True)
class Edge:
    """What this process knows of those before it: proxies by address, gateways by certificate."""

    proxies: str = ""
    header: str | None = None  # in which they name their client's certificate; None: in none
    gateways: Mapping[bytes, str] = field(default_factory=dict)  # certificate's SHA-256 → zone

    def zone_of(self, peer: Peer | None) -> str | None:
        """The zone that a gateway stands for; None for whoever is no gateway."""
        certificate = peer.certificate if peer is not None else None
        return self.gateways.get(certificate.sha256) if certificate is not None else None

    def certificate_of(self, scope: Mapping[str, Any]) -> Certificate | None:
        """The client's certificate: by its own TLS, or as a proxy or gateway before us says.

        The certificate of a proxy or gateway itself is never its client's. A header of anybody
        else is not read. Raises `CertificateUnreadable`.
        """
        peer: Peer | None = scope.get("peer")
        if peer is None:
            return None
        if self.zone_of(peer) is None and not _is_within(self.proxies, peer.address):
            return peer.certificate
        return self._forwarded(scope["headers"])

    def _forwarded(self, headers: Sequence[tuple[bytes, bytes]]) -> Certificate | None:
        if self.header is None:
            return None
        name = self.header.encode()
        told = [value for each, value in headers if each == name]
        if len(told) > 1:
            raise CertificateUnreadable(header=self.header, why="twice")
        return read_header(self.header, told[0]) if told else None


@lru_cache(maxsize=4_096)
def _is_within(networks: str, address: str | None) -> bool:
    if not networks or address is None:
        return False
    try:
        found = ip_address(address)
    except ValueError:  # a socket in the file system
        return False
    return any(found in each for each in _networks(networks))


@lru_cache(maxsize=4)
def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each.strip()) for each in text.split(","))
