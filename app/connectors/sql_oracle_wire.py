"""The line to an Oracle, and what its failures mean. It is connected here to an address that was
judged, and spoken over by a process of its own: what that one sends is looked at, and never trusted.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import orjson

from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.sql_lines import CONNECT_SECONDS, Line, connected, of_socket
from app.connectors.sql_reading import BATCH, MOST_AT_ONCE, MOST_BYTES
from app.connectors.sql_shapes import SqlSettings
from app.kit.outbound import OutboundUnreachable

_CHILD: Final = ("-m", "app.connectors.sql_oracle_child")
# Of our environment, which holds passwords, and names of files that the driver would read.
_TOLD: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
_MORE_SECONDS: Final = 10.0  # behind its own limit, in which the server may still say so
_LAST_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1
_PLACES_FREE: Final = threading.BoundedSemaphore(32)  # processes, each of some 50 MB
_MOST_FRAME: Final = 4 * (MOST_BYTES + MOST_AT_ONCE)  # of JSON, in which a sign may be six
_FAILURES: Final[tuple[tuple[frozenset[str], type[SourceError], str], ...]] = (
    (frozenset({"ORA-01017", "ORA-01005", "ORA-28000", "ORA-28001", "DPY-4001", "DPY-3015"}),
     SourceRefused, "credentials"),
    (frozenset({"ORA-01031", "ORA-01039", "ORA-01045", "ORA-41900"}), SourceRefused, "permission"),
    (frozenset({"ORA-00942", "ORA-04043", "DPY-6001", "ORA-12514"}), SourceBroken, "missing"),
    (frozenset({"ORA-00904", "ORA-04063"}), SourceChanged, "shape"),
    (frozenset({"ORA-01013", "DPY-4024"}), SourceSlow, "silence"),
    (frozenset({"ORA-00018", "ORA-00020", "ORA-02391", "ORA-12516", "ORA-12519", "ORA-12520"}),
     SourceSlow, "pace"),
    (frozenset({"ORA-01555"}), SourceBroken, "moving"),
    (frozenset({"ORA-00028", "ORA-01012", "ORA-02396", "ORA-03113", "ORA-03114", "ORA-03135",
                "DPY-1001", "DPY-4011"}), SourceBroken, "cut_off"),
)  # fmt: skip
_PLACES: Final[dict[str, type[SourceError]]] = {
    "redirect": SourceBroken, "too_long": SourceBroken, "format": SourceBroken,
    "cut_off": SourceBroken, "silence": SourceSlow, "tls": SourceUnreachable,
    "tls_expired": SourceUnreachable,
}  # fmt: skip


class _Wrong(Exception):
    """What the other process says is wrong: where, and by which codes."""

    def __init__(self, at: Any, codes: Any) -> None:
        super().__init__(at)
        self.at = at if at in _PLACES else None
        self.codes = [str(each)[:20] for each in codes] if isinstance(codes, list) else []


class Connection(Line):
    """What the thread does. Only `stop` is called from elsewhere."""

    is_unicode = False
    at_once = BATCH  # rows

    def __init__(self, settings: SqlSettings, seconds: int) -> None:
        self._settings = settings
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopped = self._has_place = False

    def open(self, addresses: Sequence[str]) -> None:
        """Connect, sign in and begin to read."""
        settings = self._settings
        self._take_place()
        with connected(addresses, settings.asked_port, CONNECT_SECONDS) as line:
            line.settimeout(None)
            self._child = subprocess.Popen(  # noqa: S603 - a program of our own
                [sys.executable, *_CHILD],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                pass_fds=(line.fileno(),), bufsize=0,
                env={name: os.environ[name] for name in _TOLD if name in os.environ},
            )  # fmt: skip
            if self._is_stopped:
                self.stop()
            said = self._do("open", CONNECT_SECONDS, {
                "line": line.fileno(), "host": settings.source, "port": settings.asked_port,
                "service": settings.database, "user": settings.user, "password": settings.word,
                "tls": settings.tls == "verify", "ca": settings.ca,
                "connect_seconds": CONNECT_SECONDS, "most_bytes": MOST_BYTES + MOST_AT_ONCE,
            })  # fmt: skip
        self.is_unicode = said.get("charset") == "AL32UTF8"

    def _take_place(self) -> None:
        """Among as many processes as this machine bears."""
        ends_at = time.monotonic() + CONNECT_SECONDS
        while not (self._is_stopped or self._has_place):
            if time.monotonic() > ends_at:
                raise TimeoutError
            self._has_place = _PLACES_FREE.acquire(timeout=_LOOK_SECONDS)
        if self._is_stopped:
            raise ConnectionAbortedError

    def ask(self, sql: str, values: Sequence[Any]) -> None:
        """Send a statement; its rows are read by `next_rows`."""
        bound = [{"d": str(each)} if isinstance(each, Decimal) else each for each in values]
        self._do("ask", self._seconds + _MORE_SECONDS, {
            "sql": sql, "values": bound, "at_once": self.at_once, "seconds": self._seconds,
            "more_seconds": _MORE_SECONDS,
        })  # fmt: skip

    def next_rows(self) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""
        rows = self._do("next", self._seconds + _MORE_SECONDS, {}).get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise _Wrong("format", [])
        return [tuple(row) for row in rows]

    def few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few, and no more than a server may tell of itself."""
        self.at_once = BATCH
        return super().few(sql, values)

    def _do(self, what: str, seconds: float, told: dict[str, Any]) -> dict[str, Any]:
        child = self._child
        if child is None or child.stdin is None:
            raise ConnectionAbortedError
        frame, ends_at = orjson.dumps({"do": what, **told}), time.monotonic() + seconds
        with suppress(BrokenPipeError):  # that it has gone is told by what does not come
            child.stdin.write(len(frame).to_bytes(4, "big") + frame)
        size = int.from_bytes(self._read(4, ends_at), "big")
        if size > _MOST_FRAME:
            raise _Wrong("too_long", [])
        said = orjson.loads(self._read(size, ends_at))
        wrong = said.get("wrong") if isinstance(said, dict) else {"at": "format", "codes": []}
        if wrong is not None:
            raise _Wrong(wrong.get("at"), wrong.get("codes"))
        return dict(said)

    def _read(self, size: int, ends_at: float) -> bytes:
        """So many bytes of the other process; that there are none any more is a fault of what it read."""
        made = bytearray()
        stream = self._child.stdout if self._child is not None else None
        while stream is not None and len(made) < size:
            left = ends_at - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise TimeoutError
            piece = stream.read(size - len(made))
            if not piece:
                raise _Wrong("format", [])
            made += piece
        return bytes(made)

    def stop(self) -> None:
        """From outside: whatever is waited for has come to its end."""
        self._is_stopped = True
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Let it say so to the server, and be gone."""
        try:
            if self._child is not None:
                self._end(self._child)
        finally:
            if self._has_place:
                self._has_place = False
                _PLACES_FREE.release()

    @staticmethod
    def _end(child: "subprocess.Popen[bytes]") -> None:
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        try:
            child.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def told(host: str, about: str = "-") -> Iterator[None]:
    """What the other process says, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except _Wrong as exc:
        raise _meant(host, exc, about) from exc
    except (OSError, UnicodeError) as exc:
        raise of_socket(host, exc) from exc
    except (ValueError, TypeError, LookupError, ArithmeticError) as exc:  # no rows of ours
        raise SourceBroken(source=host, at="format", detail="Oracle") from exc


def _meant(host: str, exc: _Wrong, about: str) -> SourceError:
    for codes, means, at in _FAILURES:
        code = next((each for each in exc.codes if each in codes), None)
        if code is not None and exc.at in (None, "cut_off"):
            return means(source=host, at=at, detail=about if at in ("shape", "missing") else code)
    if exc.at is not None:
        detail = MOST_BYTES if exc.at == "too_long" else "Oracle"
        return _PLACES[exc.at](source=host, at=exc.at, detail=detail)
    code = next((each for each in reversed(exc.codes) if each.startswith(("ORA-", "DPY-3"))), None)
    if code is None:
        return SourceBroken(source=host, at="format", detail="Oracle")
    return SourceBroken(source=host, at="server", detail=code)
