"""A process of its own that speaks with one Oracle, over a line that was judged and is handed to it.

The driver is a library of C: what a hostile server sends can end it by force, and whoever it is in.
So it is in nobody. It opens no connection, follows no redirect, and knows nothing but what it is told.

The driver opens its own sockets, and would follow a listener anywhere, by way of files that a
server may name. So all of the network that it is given is that one line, and what comes over it is
looked at first. Frames of JSON go over standard input and output, each with its length before it.
"""

import re
import resource
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from types import ModuleType
from typing import Any, Final

import oracledb
import orjson
from oracledb import base_impl, thin_impl  # type: ignore[attr-defined]

# Kinds of packets of the transparent network substrate: in the fifth byte.
_HEAD, _ACCEPT, _REDIRECT, _KINDS = 8, 2, 5, frozenset(range(1, 16))
# Of an acceptance: where the size of a session data unit stands, what it may be, and how long all is.
_UNIT, _UNITS, _LEAST_ACCEPTED = 32, range(512, 2_097_153), 45
_THEIRS: Final = re.compile(r"ORA-\d{5}")
_MOST_MEMORY: Final = 2 << 30  # of addresses
_LAST_SECONDS: Final = 2.0
_EXPIRED: Final = (9, 10)  # X509_verify_cert: not yet, and no longer valid
_SESSION: Final = (
    "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY NLS_NUMERIC_CHARACTERS = '.,'"
    " NLS_CALENDAR = 'GREGORIAN' TIME_ZONE = '+00:00'",
    "SET TRANSACTION READ ONLY",
)
_CHARSET: Final = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"


class _Elsewhere(Exception):
    """The server sends us to another one."""


class _TooLong(Exception):
    """More came than any batch of ours may be."""


class _NoOracle(Exception):
    """What comes is no packet of the protocol."""


class _Watch:
    """What one connection may still take, and how long."""

    def __init__(self) -> None:
        self.ends_at = 0.0
        self.left = 0
        self.lines: list[socket.socket] = []
        self._begun = bytearray()
        self._is_accepted = False
        self._skipped = 0

    def wait(self, line: socket.socket) -> None:
        """Let a line wait no longer than that."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        line.settimeout(left)

    def see(self, data: bytes) -> bytes:
        """Look at what has come, before the driver does. Raises `_Elsewhere`."""
        self.left -= len(data)
        if self.left < 0:
            raise _TooLong
        if not self._is_accepted:
            self._begun += data
            self._walk()
        return data

    def _walk(self) -> None:
        """From head to head, until the listener has taken us on."""
        while len(self._begun) >= self._skipped + _HEAD:
            head = self._begun[self._skipped : self._skipped + _HEAD]
            size, kind = int.from_bytes(head[:2], "big"), head[4]
            if kind not in _KINDS or size < _HEAD:
                raise _NoOracle
            if kind == _REDIRECT:
                raise _Elsewhere
            if kind != _ACCEPT:
                self._skipped += size
                continue
            whole = self._begun[self._skipped : self._skipped + size]
            if len(whole) == size:  # until then the driver does not look at it either
                _check_accepted(bytes(whole))
                self._is_accepted = True
                self._begun.clear()
            return


def _check_accepted(packet: bytes) -> None:
    """The driver makes its buffers of the size that is told here, and looks at none."""
    size = int.from_bytes(packet[_UNIT : _UNIT + 4], "big")
    if len(packet) < _LEAST_ACCEPTED or size not in _UNITS:
        raise _NoOracle


class _Watched:
    """What comes over a line is looked at first."""

    watch: _Watch

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next of it."""
        self.watch.wait(self)  # type: ignore[arg-type]
        found: bytes = super().recv(size, flags)  # type: ignore[misc]
        return self.watch.see(found)


class _Line(_Watched, socket.socket):
    """In the open."""


class _TlsLine(_Watched, ssl.SSLSocket):  # type: ignore[misc]
    """In TLS."""


class _Trust(ssl.SSLContext):
    """TLS with whom the settings name. The driver would look for the name by a rule of its own."""

    sslsocket_class = _TlsLine
    host: str
    watch: _Watch

    def wrap_socket(self, sock: socket.socket, *_: Any, **__: Any) -> ssl.SSLSocket:
        """A line in TLS, its other end known by its certificate."""
        self.check_hostname = True
        self.watch.wait(sock)
        made = super().wrap_socket(sock, server_hostname=self.host)
        made.watch = self.watch  # type: ignore[attr-defined]
        self.watch.lines.append(made)
        return made


class _Network(ModuleType):
    """All that the driver has of a network."""

    given: list[socket.socket] = []  # noqa: RUF012 - there is one of it

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def create_connection(self, *_: Any, **__: Any) -> socket.socket:
        """The line that was given, once."""
        if not self.given:
            raise _Elsewhere
        return self.given.pop()

    def getaddrinfo(self, host: str, port: int, **more: Any) -> Any:
        """Of an address alone: names were resolved, and judged, before."""
        return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **more)


_NETWORK: Final = _Network("socket")
for _part in (thin_impl, base_impl):
    if _part.socket is not socket:  # it reaches its network by another way than the one we hold
        raise ImportError(f"{_part.__name__} is another than was looked through")
    _part.socket = _NETWORK
oracledb.enable_thin_mode()  # type: ignore[no-untyped-call]


class _Session:
    """What is asked for, one thing after the other."""

    def __init__(self) -> None:
        self._watch = _Watch()
        self._driver: Any = None
        self._cursor: Any = None
        self._most = 0

    def open(self, told: dict[str, Any]) -> dict[str, Any]:
        """Sign in and begin to read; the answer is the charset of its texts."""
        self._most = told["most_bytes"]
        self._begin(told["connect_seconds"])
        line = _Line(fileno=told["line"])
        line.watch = self._watch
        self._watch.lines.append(line)
        _NETWORK.given.append(line)
        who = dict.fromkeys(("program", "machine", "terminal", "osuser"), "urbanos")
        self._driver = oracledb.connect(
            user=told["user"], password=told["password"], host=line.getpeername()[0],
            port=told["port"], service_name=told["service"],
            protocol="tcps" if told["tls"] else "tcp",
            ssl_context=self._trust(told) if told["tls"] else None,
            ssl_server_dn_match=False,  # by `_Trust`, before anything is said
            tcp_connect_timeout=told["connect_seconds"], disable_oob=True, **who,
        )  # fmt: skip
        self._driver.outputtypehandler = _output
        for statement in _SESSION:
            self._driver.cursor().execute(statement)
        cursor = self._driver.cursor()
        cursor.execute(_CHARSET)
        [charset] = cursor.fetchone()
        return {"charset": charset}

    def _trust(self, told: dict[str, Any]) -> ssl.SSLContext:
        made = _Trust(ssl.PROTOCOL_TLS_CLIENT)
        made.host, made.watch = told["host"], self._watch
        if told["ca"] is None:
            made.load_default_certs()
        else:
            made.load_verify_locations(cadata=told["ca"])
        return made

    def ask(self, told: dict[str, Any]) -> dict[str, Any]:
        """Send a statement; its rows are read by `next`."""
        self._driver.call_timeout = told["seconds"] * 1000
        self._begin(told["seconds"] + told["more_seconds"])
        self._cursor = self._driver.cursor()
        self._cursor.prefetchrows = 0  # as many as `arraysize`, and none before
        self._cursor.arraysize = told["at_once"]
        values = [Decimal(each["d"]) if isinstance(each, dict) else each for each in told["values"]]
        self._cursor.execute(told["sql"], values)
        return {}

    def next(self, told: dict[str, Any]) -> dict[str, Any]:
        """The next rows, none at the end."""
        del told
        self._watch.left = self._most
        return {"rows": [[_plain(cell) for cell in row] for row in self._cursor.fetchmany()]}

    def close(self) -> None:
        """Say so, and let go."""
        if self._driver is not None:
            self._begin(_LAST_SECONDS)
            with suppress(oracledb.Error, OSError, _TooLong):
                self._driver.close()
        for line in self._watch.lines:
            line.close()

    def _begin(self, seconds: float) -> None:
        self._watch.ends_at = time.monotonic() + seconds
        self._watch.left = self._most


def _output(cursor: Any, told: Any) -> Any:
    """Numbers to their last digit; long texts with their rows, and not asked for one by one."""
    kinds = {
        oracledb.DB_TYPE_NUMBER: Decimal, oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG, oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }  # fmt: skip
    kind = kinds.get(told.type_code)
    return None if kind is None else cursor.var(kind, arraysize=cursor.arraysize)


def _plain(cell: Any) -> Any:
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return cell.hex().upper() if isinstance(cell, bytes) else cell


def _wrong(exc: BaseException) -> dict[str, Any]:
    """Where the way ended, and what the driver and the server call it."""
    chain = list(_chain(exc))
    told = [each.args[0] for each in chain if isinstance(each, oracledb.Error) and each.args]
    codes = [str(getattr(each, "full_code", "-")) for each in told]
    for each in told:  # a listener's own is in what the driver says of it
        codes += _THEIRS.findall(str(getattr(each, "message", "")))
    for each in chain:  # the driver makes its own of what we told it
        for kind, at in _PLACES:
            if isinstance(each, kind):
                late = at == "tls" and getattr(each, "verify_code", None) in _EXPIRED
                return {"at": "tls_expired" if late else at, "codes": codes}
    return {"at": None, "codes": codes}


_PLACES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (_Elsewhere, "redirect"), (_TooLong, "too_long"), (_NoOracle, "format"),
    (TimeoutError, "silence"), (ssl.SSLError, "tls"), (ConnectionError, "cut_off"),
)  # fmt: skip


def _chain(exc: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = exc
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def main() -> None:
    """Do what is asked until nobody asks."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    for none in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(none, (0, 0))  # it writes no file, and starts nothing
    session = _Session()
    told, tell = sys.stdin.buffer, sys.stdout.buffer
    try:
        while size := told.read(4):
            asked = orjson.loads(told.read(int.from_bytes(size, "big")))
            try:
                said = {"open": session.open, "ask": session.ask, "next": session.next}[
                    asked["do"]
                ](asked)
            except Exception as exc:  # noqa: BLE001 - the outermost place of this process
                said = {"wrong": _wrong(exc)}
            frame = orjson.dumps(said)
            tell.write(len(frame).to_bytes(4, "big") + frame)
            tell.flush()
    finally:
        session.close()


if __name__ == "__main__":
    main()
