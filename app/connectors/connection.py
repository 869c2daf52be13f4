"""How a source is reached where the open way does not lead there: authority, certificate, proxy.

A shape that kinds of HTTP have among their settings. It shows no key and no password.
"""

import ssl
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from app.connectors.frame import Shape
from app.kit.outbound import Way


def _is_authority(pem: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise PydanticCustomError("no_authority", "It is no certificate in PEM.") from None
    return pem


_Pem = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


Authority = Annotated[_Pem, AfterValidator(_is_authority)]


class ClientCertificate(Shape):
    """What proves us in TLS (RFC 8446, 4.4.2): the certificate, its chain behind it, and its key."""

    certificate: _Pem
    key: Annotated[SecretStr, Field(min_length=1, max_length=20_000)] = Field(
        description="PEM, without a password"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )

        try:
            key = load_pem_private_key(self.key.get_secret_value().encode(), None)
            certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        except (ValueError, TypeError):
            raise PydanticCustomError(
                "no_client_certificate", "Certificate and key are to be PEM, without a password."
            ) from None
        if key.public_key() != certificate.public_key():
            raise PydanticCustomError("other_key", "The key is of another certificate.")
        return self


class ProxyUser(Shape):
    """Who we are to a proxy that asks (RFC 7617)."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^:]+$")]
    password: Annotated[SecretStr, Field(min_length=1, max_length=4_000)]


class ProxyServer(Shape):
    """An HTTP proxy, which has to be listed in URBANOS_OUTBOUND_ALLOW unless it is public and https."""

    url: Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[^/@?#]+/?$")]
    login: ProxyUser | None = None


class Connection(Shape):
    """How to get to the source, where that has to be said."""

    authority: Authority | None = Field(
        default=None,
        description="The authorities of its certificate, PEM, in place of the system's",
    )
    client: ClientCertificate | None = None
    proxy: ProxyServer | None = None

    @property
    def way(self) -> Way:
        """As the way out takes it."""
        client, proxy = self.client, self.proxy
        login = proxy.login if proxy is not None else None
        return Way(
            authority=self.authority,
            certificate=client.certificate if client is not None else None,
            key=client.key.get_secret_value() if client is not None else None,
            proxy=proxy.url if proxy is not None else None,
            proxy_user=login.user if login is not None else None,
            proxy_password=login.password.get_secret_value() if login is not None else None,
        )
