"""How we prove ourselves within a SOAP message (WS-Security 1.1): a user's name, or a signature.

Passwords and keys go into the message and nowhere else.
"""

from datetime import timedelta
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from app.connectors.errors import SigningNotInstalled
from app.connectors.frame import Shape
from app.kit import clock

_LASTS: Final = timedelta(minutes=5)


class NoSecurity(Shape):
    """Messages say nothing of us."""

    type: Literal["none"] = "none"


class UsernameToken(Shape):
    """A name and a password; with `digest` the password itself is not sent."""

    type: Literal["username"]
    user: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_000)]
    digest: bool = True


def _is_certificate(pem: str) -> str:
    from cryptography import x509  # noqa: PLC0415 - slow, and few sign

    try:
        x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise PydanticCustomError("no_certificate", "It is no certificate in PEM.") from None
    return pem


class Signature(Shape):
    """An X.509 certificate and its key: the body and a timestamp of each message are signed."""

    type: Literal["signature"]
    certificate: Annotated[
        str, StringConstraints(max_length=20_000), AfterValidator(_is_certificate)
    ]
    key: Annotated[SecretStr, Field(min_length=1, max_length=20_000)] = Field(
        description="An RSA key, PEM, without a password"
    )

    @model_validator(mode="after")
    def _is_pair(self) -> "Signature":
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )

        try:
            key = load_pem_private_key(self.key.get_secret_value().encode(), None)
        except (ValueError, TypeError):
            raise PydanticCustomError("no_key", "It is no open key in PEM.") from None
        its = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        if not isinstance(key, RSAPrivateKey) or key.public_key() != its:
            raise PydanticCustomError("no_pair", "It is no RSA key of this certificate.")
        return self


Security = Annotated[NoSecurity | UsernameToken | Signature, Field(discriminator="type")]


def check_installed(security: Security) -> None:
    """Raises `SigningNotInstalled`."""
    if isinstance(security, Signature) and find_spec("xmlsec") is None:
        raise SigningNotInstalled(extra="soap-signature")


def header_of(security: Security) -> Any:
    """What puts the header into a message, as zeep takes it; None where there is to be none."""
    from zeep.wsse.username import UsernameToken as Token  # noqa: PLC0415

    match security:
        case UsernameToken(user=user, password=password, digest=digest):
            return Token(user, password.get_secret_value(), use_digest=digest, zulu_timestamp=True)
        case Signature():
            check_installed(security)
            return _Signing(security)
    return None


class _Signing:
    """Signs by RSA and SHA-256, the certificate itself beside the signature."""

    def __init__(self, by: Signature) -> None:
        import xmlsec  # noqa: PLC0415 - an extra
        from zeep.wsse.signature import BinarySignature, MemorySignature  # noqa: PLC0415

        self._signature = BinarySignature.__new__(BinarySignature)  # its own takes files alone
        MemorySignature.__init__(
            self._signature, by.key.get_secret_value().encode(), by.certificate.encode(), None,
            xmlsec.Transform.RSA_SHA256, xmlsec.Transform.SHA256,
        )  # fmt: skip

    def apply(self, envelope: Any, headers: Any) -> tuple[Any, Any]:
        """Add the time, within which the message is good, and sign that too."""
        from zeep.wsse.utils import WSU, get_security_header  # noqa: PLC0415

        now = clock.now().replace(microsecond=0)
        times = [each.isoformat().replace("+00:00", "Z") for each in (now, now + _LASTS)]
        stamp = WSU.Timestamp(WSU.Created(times[0]), WSU.Expires(times[1]))
        get_security_header(envelope).append(stamp)
        signed: tuple[Any, Any] = self._signature.apply(envelope, headers)
        return signed
