"""How the way out refuses and fails, told apart. Never tells anybody what an address answered."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from app.kit.errors import AppError, Kind
from app.kit.lean import LeanBroken


class Cause(StrEnum):
    """Where the way to another side ended."""

    NAME = "name"  # it does not resolve
    CONNECTION = "connection"
    TLS = "tls"
    TLS_EXPIRED = "tls_expired"  # the other side's certificate, as the rest of them
    TLS_AUTHORITY = "tls_authority"
    TLS_NAME = "tls_name"
    TLS_CLIENT = "tls_client"  # it takes no certificate of ours, or asks for one
    PROXY = "proxy"
    SILENCE = "silence"
    ANSWER = "answer"  # it is broken off, or no HTTP


# Codes of X509_verify_cert (OpenSSL): not yet or no longer valid; another name, another address.
_VERIFIED: Final = {
    9: Cause.TLS_EXPIRED, 10: Cause.TLS_EXPIRED, 62: Cause.TLS_NAME, 64: Cause.TLS_NAME,
}  # fmt: skip
# Alerts of RFC 8446, 6.2 that the other side sends about a certificate of ours.
_ABOUT_OURS: Final = (
    "ALERT_CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE_UNKNOWN", "ALERT_CERTIFICATE_EXPIRED", "ALERT_UNSUPPORTED_CERTIFICATE",
)  # fmt: skip


class OutboundRefused(AppError):
    """The address is none that this platform connects to."""

    kind = Kind.INVALID
    code = "outbound_refused"
    ja = (
        "{host} への接続は許可されていません（{why_ja}）。https の公開アドレスにするか、"
        "URBANOS_OUTBOUND_ALLOW に加えてください。"
    )
    en = (
        "No connection to {host} is allowed: {why}. Give a public https address, or add it to"
        " URBANOS_OUTBOUND_ALLOW."
    )


class OutboundUnreachable(AppError):
    """The other side does not answer, or not in time. `cause` says where the way ended."""

    kind = Kind.UNAVAILABLE
    code = "outbound_unreachable"
    ja = "{host} に接続できないか、時間内に応答がありません。しばらくしてから再試行してください。"
    en = "{host} cannot be reached or does not answer in time. Try again shortly."

    def __init__(self, *, host: str, cause: Cause = Cause.CONNECTION) -> None:
        super().__init__(host=host)
        self.cause = cause


class OutboundUnusable(AppError):
    """The other side answered, but not with what was asked for."""

    kind = Kind.UNAVAILABLE
    code = "outbound_unusable"
    ja = "{host} の応答は使えません（{why_ja}）。相手先の管理者に確認してください。"
    en = "The answer of {host} cannot be used: {why}. Ask who runs it."


class OutboundTooLong(OutboundUnusable):
    """More came than was allowed."""


@contextmanager
def told(host: str) -> Iterator[None]:
    """The errors of sockets, TLS and HTTP end here."""
    import aiohttp  # noqa: PLC0415 - slow to import, and many processes never ask anybody
    import httpx  # noqa: PLC0415

    try:
        yield
    # A UnicodeError is of a name that no resolver can ask for.
    except (
        httpx.HTTPError, aiohttp.ClientError, LeanBroken, OSError, TimeoutError, UnicodeError,
    ) as exc:  # fmt: skip
        raise OutboundUnreachable(host=host, cause=_cause(exc)) from exc


def _cause(exc: BaseException) -> Cause:
    """What an error, or one that it comes from, says of where the way ended."""
    import aiohttp  # noqa: PLC0415

    known: tuple[tuple[Cause, tuple[type[BaseException], ...]], ...] = (
        (Cause.PROXY, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)),
        (Cause.NAME, (socket.gaierror, UnicodeError, aiohttp.ClientConnectorDNSError)),
        (Cause.TLS, (ssl.SSLError, aiohttp.ClientSSLError)),
        (Cause.SILENCE, (TimeoutError,)),
        (Cause.ANSWER, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError,
                        aiohttp.ServerDisconnectedError, LeanBroken)),
    )  # fmt: skip
    chain = list(_chain(exc))
    for cause, kinds in known:
        if any(isinstance(each, kinds) for each in chain):
            return tls_cause(*chain) if cause is Cause.TLS else cause
    return Cause.CONNECTION


def tls_cause(*chain: BaseException) -> Cause:
    """What TLS says is wrong, with whose certificate."""
    for each in chain:
        code = getattr(each, "verify_code", None)  # what a library makes of it has none
        if code is not None:
            return _VERIFIED.get(code, Cause.TLS_AUTHORITY)
        if (getattr(each, "reason", None) or "").endswith(_ABOUT_OURS):
            return Cause.TLS_CLIENT
    return Cause.TLS


def _chain(exc: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = exc
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def not_https(host: str) -> OutboundRefused:
    """Without TLS, and not listed."""
    return refused(host, "it is not https", "https ではありません")


def refused(host: str, why: str, why_ja: str) -> OutboundRefused:
    """An address that is not gone to."""
    return OutboundRefused(host=host, why=why, why_ja=why_ja)


def unusable(host: str, why: str, why_ja: str) -> OutboundUnusable:
    """An answer that is not taken."""
    return OutboundUnusable(host=host, why=why, why_ja=why_ja)
