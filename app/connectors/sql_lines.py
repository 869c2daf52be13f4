"""A line to a database: to an address that was judged, within a time. Knows no protocol, judges nothing."""

import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

from app.connectors.errors import (
    DriverNotInstalled,
    SourceError,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.sql_shapes import SqlSettings
from app.kit.outbound_refusals import Cause, tls_cause

CONNECT_SECONDS: Final = 10.0
_MOST_ROWS: Final = 10_000  # of what a server tells about itself


class TooLong(Exception):
    """More came than any row of ours may be."""


class Line(ABC):
    """A connection that a thread works with."""

    @abstractmethod
    def ask(self, sql: str, values: Sequence[Any]) -> None:
        """Send a statement; its rows are read by `next_rows`."""

    @abstractmethod
    def next_rows(self) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""

    def few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few, and no more than a server may tell of itself."""
        self.ask(sql, values)
        found: list[tuple[Any, ...]] = []
        while (rows := self.next_rows()) and len(found) < _MOST_ROWS:
            found += rows
        return found


def check_installed(dialect: str, module: str) -> None:
    """Raises `DriverNotInstalled` where the extra of a dialect is not here."""
    if find_spec(module) is None:
        raise DriverNotInstalled(dialect=dialect, extra=f"urbanos[{dialect}]")


def connected(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """A socket to the first of the addresses that takes one."""
    ends_at, failed = time.monotonic() + seconds, OSError("no address")
    for address in addresses:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            made = socket.create_connection((address, port), timeout=left)
        except OSError as exc:
            failed = exc
        else:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
    raise failed


def trusting(settings: SqlSettings, made: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Trust in the settings' authority, or in those of the system."""
    made = made or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.ca is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cadata=settings.ca)
    return made


def of_socket(host: str, exc: BaseException) -> SourceError:
    """What a socket's error means."""
    if isinstance(exc, TimeoutError):
        return SourceSlow(source=host, at="silence")
    if isinstance(exc, ssl.SSLError):
        is_late = tls_cause(exc) is Cause.TLS_EXPIRED
        return SourceUnreachable(source=host, at="tls_expired" if is_late else "tls")
    if isinstance(exc, socket.gaierror | UnicodeError):
        return SourceUnreachable(source=host, at="name")
    return SourceUnreachable(source=host, at="connection")
