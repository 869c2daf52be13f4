"""An authority that issues certificates, and clients that connect with them, for tests."""

import base64
import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jwk import ECKey

from app.models.parties import AuthMethod, Role, Zone
from app.parties import clients
from tests.world import KENKO, Party, World

DAY = timedelta(days=1)
PROXY = "127.0.0.2"  # where the tests' trusted proxy connects from


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate and its key, in files."""

    pem: Path
    key: Path
    der: bytes

    @property
    def thumbprint(self) -> str:
        digest = hashlib.sha256(self.der).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @property
    def fingerprint(self) -> str:
        """As `openssl x509 -fingerprint -sha256` prints it."""
        return hashlib.sha256(self.der).digest().hex(":").upper()

    @property
    def sequence(self) -> str:
        """As RFC 9440 writes it."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def escaped(self) -> str:
        """As nginx writes `$ssl_client_escaped_cert`."""
        return quote(self.pem.read_text("ascii"), safe="")


def subject(name: str) -> str:
    """What the registry is told of a certificate by this name."""
    return f"CN={name},O=堺市,C=JP"


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key, datetime.now(UTC) + DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = own.sign(self._key, hashes.SHA256())
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *, ends_in: timedelta = DAY, use: x509.ObjectIdentifier | None = None,
        address: str = "127.0.0.1", host: str | None = None,
    ) -> Shown:  # fmt: skip
        """A certificate for a client, unless another use is named; of an address, or of a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        whom = x509.Name.from_rfc4514_string(subject(name))
        use = use or ExtendedKeyUsageOID.CLIENT_AUTH
        known_by = x509.DNSName(host) if host else x509.IPAddress(ip_address(address))
        made = (
            self._builder(whom, key, datetime.now(UTC) + ends_in)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.SubjectAlternativeName([known_by]), False)
            .sign(self._key, hashes.SHA256())
        )
        pem, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Shown(pem, secret, made.public_bytes(serialization.Encoding.DER))

    def _builder(
        self, whom: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(whom)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - 30 * DAY)
            .not_valid_after(end)
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of the platform, and how it is reached."""

    url: str
    authority: Authority

    def by(self, shown: Shown | None = None, *, proxy: bool = False) -> httpx.AsyncClient:
        """Connections with this certificate, or with none; or those of the trusted proxy."""
        trust = ssl.create_default_context(cafile=self.authority.pem)
        if shown is not None:
            trust.load_cert_chain(shown.pem, shown.key)
        transport = httpx.AsyncHTTPTransport(verify=trust, local_address=PROXY if proxy else None)
        return httpx.AsyncClient(
            transport=transport, base_url=self.url, headers={"Accept-Language": "en"}
        )


async def registered(
    world: World,
    name: str | None,
    organization: str = KENKO,
    *roles: Role,
    zone: Zone = Zone.INTERNET,
    bound: bool | None = None,
    **more: Any,
) -> Party:
    """A client that the certificate by `name` proves; with None, one by a key."""
    key = ECKey.generate_key("P-256")
    new = clients.NewClient(
        organization_id=organization,
        name="試験",
        auth_method=AuthMethod.TLS_CLIENT_AUTH if name else AuthMethod.PRIVATE_KEY_JWT,
        roles=roles,
        zone=zone,
        jwks=None if name else {"keys": [key.as_dict(private=False)]},
        tls_subject=subject(name) if name else None,
        certificate_bound=bound,
        **more,
    )
    async with world.platform.database.writing() as session:
        added = await clients.add(session, new, by="test")
    world.platform.live.changed("client", added.client.id)
    return Party(added.client.id, added.client.organization_id, world.platform.issuer, key)


def form(party: Party, scope: str, **more: str) -> dict[str, str]:
    """A token request of a client that its certificate proves (RFC 8705, 2)."""
    return {
        "grant_type": "client_credentials",
        "client_id": party.id,
        "scope": scope,
        **more,
    }


async def got(http: httpx.AsyncClient, data: dict[str, str], **headers: str) -> dict[str, Any]:
    """The answer to a token request that is granted."""
    response = await http.post("/oauth/token", data=data, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def bearer(answer: dict[str, Any]) -> dict[str, str]:
    """What a request is sent with."""
    assert answer["token_type"] == "Bearer"
    return {"Authorization": f"Bearer {answer['access_token']}"}
