"""Certificates as a connection or a proxy's header shows them. Says whose they are, trusts none."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.x509.oid import NameOID

from app.kit.errors import AppError, Kind

_LONGEST: Final = 16 * 1024
_SEQUENCE: Final = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")  # RFC 8941, 3.3.5
# What RFC 4514 has no short name for, by the names that openssl prints.
_NAMES: Final = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
}
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\s*"
)


class CertificateUnreadable(AppError):
    """What a proxy forwards as its client's certificate is none, or more than one."""

    kind = Kind.MALFORMED
    code = "client_certificate_unreadable"
    ja = (
        "中継が送ったクライアント証明書のヘッダ {header} を読めません（{why}）。"
        "中継の設定を確認してください。"
    )
    en = "The proxy's header {header} with the client's certificate cannot be read ({why})."


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Whoever hands it on has seen the proof of its key."""

    der: bytes
    sha256: bytes
    thumbprint: str  # x5t#S256 (RFC 8705, 3.1)
    ends_at: datetime


def certificate_from(der: bytes) -> Certificate:
    """The certificate of these bytes. Raises `ValueError` where they are none."""
    ends_at = x509.load_der_x509_certificate(der).not_valid_after_utc
    digest = hashlib.sha256(der).digest()
    thumbprint = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return Certificate(der, digest, thumbprint, ends_at)


def is_of(certificate: Certificate, subject: str, now: datetime) -> bool:
    """Whether it names exactly this subject (RFC 4514) and is valid now."""
    try:
        read = x509.load_der_x509_certificate(certificate.der)
        named = read.subject == _subject_from(subject)
    except ValueError:
        return False
    return named and read.not_valid_before_utc <= now < read.not_valid_after_utc


def normal_subject(text: str) -> str:
    """A subject in the one way that it is kept. Raises `ValueError` where it is none (RFC 4514)."""
    return _subject_from(text).rfc4514_string()


def _subject_from(text: str) -> x509.Name:
    name = x509.Name.from_rfc4514_string(text, _NAMES)
    if not name.rdns:
        raise ValueError("no name")
    return name


@lru_cache(maxsize=256)
def read_header(name: str, value: bytes) -> Certificate | None:
    """What a proxy says in its header; None where its client showed no certificate.

    `client-cert` is a byte sequence (RFC 9440), `x-ssl-client-cert` a percent-encoded PEM.
    """
    if not value:
        return None
    if len(value) > _LONGEST:
        raise CertificateUnreadable(header=name, why="too long")
    try:
        return certificate_from(_READERS[name](value))
    except ValueError as exc:
        raise CertificateUnreadable(header=name, why="no certificate") from exc


def _of_sequence(value: bytes) -> bytes:
    return _decoded(_SEQUENCE.fullmatch(value))


def _of_pem(value: bytes) -> bytes:
    return _decoded(_PEM.fullmatch(unquote_to_bytes(value)))


def _decoded(found: "re.Match[bytes] | None") -> bytes:
    if found is None:
        raise ValueError("another form")
    try:
        return base64.b64decode(found[1].replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except binascii.Error as exc:
        raise ValueError("no base64") from exc


_READERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "client-cert": _of_sequence,
    "x-ssl-client-cert": _of_pem,
}
