"""The bytes of one connection to a SQL Server, in TLS or not. Knows nothing of what they say, but for
the packets that a handshake goes in.
"""

import socket
import ssl
import time
from typing import Any, Final

from pytds import tds_base

from app.connectors.frame import SILENT_SECONDS
from app.connectors.sql_lines import CONNECT_SECONDS, TooLong, trusting
from app.connectors.sql_reading import MOST_BYTES
from app.connectors.sql_shapes import SqlSettings

PIECE: Final = 65_536


class Wire:
    """Bytes of one connection, in TLS or not: within a time, and no more than a row may have."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._tls: ssl.SSLObject | None = None
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ends_at = time.monotonic() + CONNECT_SECONDS
        self.left = MOST_BYTES
        self._has_spoken = False

    def gettimeout(self) -> float | None:
        return self._socket.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        """The time is ours, whatever the driver would have."""

    def is_connected(self) -> bool:
        return True

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._patiently()
        if self._tls is None:
            self._socket.sendall(data, flags)
            return
        self._tls.write(data)
        self._socket.sendall(self._going.read())

    def recv(self, size: int, flags: int = 0) -> bytes:
        del flags
        if self._tls is None:
            return self._take(size)
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLZeroReturnError:  # it has said that it goes
                return b""
            except ssl.SSLWantReadError:
                more = self._take(PIECE)
                if not more:
                    return b""
                self._coming.write(more)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        del flags
        if not len(buffer):
            raise TooLong  # a packet larger than was agreed
        found = self.recv(min(size or len(buffer), len(buffer)))
        buffer[: len(found)] = found
        return len(found)

    def _take(self, size: int) -> bytes:
        self._patiently()
        found = self._socket.recv(size)
        self.left -= len(found)
        if self.left < 0:
            raise TooLong
        if not self._has_spoken and found and found[0] != tds_base.PacketType.REPLY:
            raise ValueError("no packet of an answer")
        self._has_spoken = True
        return found

    def _patiently(self) -> None:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, SILENT_SECONDS))

    def encrypt(self, settings: SqlSettings, session: Any) -> None:
        """TLS, whose handshake goes in packets of PRELOGIN (MS-TDS, 3.2.5.2): of TLS 1.3 there would
        come more of it behind."""
        context = trusting(settings)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls = context.wrap_bio(self._coming, self._going, server_hostname=settings.source)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send(session)
                self._coming.write(session.handshake())
            else:
                break
        if self._going.pending:
            self._send(session)
        self._tls = tls

    def _send(self, session: Any) -> None:
        writer = session._writer
        writer.begin_packet(tds_base.PacketType.PRELOGIN)
        writer.write(self._going.read())
        writer.flush()

    def close(self) -> None:
        self._socket.close()

    def shutdown(self, how: int = 0) -> None:
        del how
        self._socket.close()
