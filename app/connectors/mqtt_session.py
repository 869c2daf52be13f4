"""One connection to an MQTT broker, at a judged address alone; says nothing of what messages mean.

The library has a thread of its own for each connection. What it hears stands in a bounded buffer; a
full one lets the thread wait, and with it the broker. A packet is held as far as a message may reach.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
from paho.mqtt import client as library
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.connectors.errors import (
    SourceBroken,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.kit.outbound import Outbound
from app.kit.ways import Way, trusting

log = structlog.get_logger()
LONGEST_MESSAGE: Final = 1 << 20
_PATIENCE_S: Final = 10.0  # for a connection, and for each word of the broker at its beginning
_KEEPALIVE_S: Final = 30
_GOODBYE_S: Final = 2.0
_MOST_HELD: Final = 1_000  # messages,
_MOST_BYTES: Final = 16 << 20  # and bytes of them
_IN_FLIGHT: Final = 500
_LONGEST_PACKET: Final = LONGEST_MESSAGE + 65_536  # a topic before the message
_PIECE: Final = 65_536
_OF_ONE: Final = 500  # bytes of a message beside what it says
# Brokers that do not answer are waited for here, and hold up nothing else that needs a thread.
_THREADS: Final = ThreadPoolExecutor(64, "mqtt")
# Of CONNACK (MQTT 5, 3.2.2.2); the codes of 3.1.1 are told as these.
_CREDENTIALS: Final = frozenset((0x85, 0x86, 0x87, 0x8A, 0x8C))
_BUSY: Final = frozenset((0x88, 0x89, 0x97, 0x9F))
_OTHER_VERSION: Final = 0x84
_REFUSED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are to it."""

    host: str
    port: int
    version: str  # 5, 3.1.1
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    authority: str | None = None  # PEM: who vouches for it, in place of those of the system
    certificate: str | None = None  # PEM: our own,
    key: str | None = field(default=None, repr=False)  # and its key


@dataclass(frozen=True, slots=True)
class Heard:
    """One message."""

    topic: str | None  # None: no text
    payload: bytes = field(repr=False)
    number: int
    qos: int
    is_retained: bool
    is_cut: bool = False  # it was too long to be held

    @property
    def size(self) -> int:
        """Bytes that it takes here: a short message may have a long topic."""
        return len(self.payload) + len(self.topic or "") + _OF_ONE


@dataclass(slots=True)
class Session:
    """A connection that stands. `was_known`: the broker has kept a session of this name."""

    host: str
    was_known: bool
    _client: "_Pinned" = field(repr=False)
    _events: "_Events" = field(repr=False)

    async def subscribe(self, topics: str, qos: int) -> None:
        """Raises `SourceRefused` where we may not hear them."""
        _, number = self._client.subscribe(topics, qos)
        code = await self._events.word(self._events.subscribed, self.host)
        if number is None or code >= _REFUSED:
            raise SourceRefused(source=self.host, at="permission")

    async def take(self, most: int, seconds: float | None = None) -> list[Heard]:
        """Messages in their order, as soon as there is one; none where so long none came.

        Raises `SourceError` once the connection is gone and all that came was taken.
        """
        return await self._events.take(most, seconds, self.host)

    def acknowledge(self, heard: Sequence[Heard]) -> None:
        """Say that they are kept. One that is not told so is sent again (MQTT 5, 4.4)."""
        for each in heard:
            self._client.ack(each.number, each.qos)


@asynccontextmanager
async def session(
    broker: Broker, outbound: Outbound, name: str, *, keeps_days: int
) -> AsyncIterator[Session]:
    """A connection under a name. With `keeps_days` the broker keeps what comes while we are away.

    Raises `SourceError`, `OutboundRefused`.
    """
    addresses = await _addresses(broker, outbound)
    events = _Events(asyncio.get_running_loop())
    trusted = await asyncio.to_thread(_trust, broker) if broker.tls else None
    client = _client(broker, (addresses, trusted), name, events, is_kept=keeps_days > 0)
    try:
        await _connect(client, broker, keeps_days)
        client.loop_start()
        code, was_known = await events.word(events.connected, broker.host)
        _check_connack(code, broker.host)
        yield Session(broker.host, was_known, client, events)
    finally:
        events.close()
        closing = asyncio.get_running_loop().run_in_executor(_THREADS, _close, client)
        await asyncio.shield(closing)


async def _addresses(broker: Broker, outbound: Outbound) -> list[str]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await outbound.addresses(broker.host, broker.port, is_plain=not broker.tls)
    except (OSError, UnicodeError) as exc:
        raise SourceUnreachable(source=broker.host, at="name") from exc


async def _connect(client: "_Pinned", broker: Broker, keeps_days: int) -> None:
    told: dict[str, Any] = {}
    if broker.version == "5":
        wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wanted.SessionExpiryInterval = keeps_days * 86_400
        wanted.ReceiveMaximum = _IN_FLIGHT
        wanted.MaximumPacketSize = _LONGEST_PACKET
        told = {"clean_start": keeps_days == 0, "properties": wanted}
    begin = partial(client.connect, broker.host, broker.port, keepalive=_KEEPALIVE_S, **told)
    try:
        async with asyncio.timeout(2 * _PATIENCE_S):
            await asyncio.get_running_loop().run_in_executor(_THREADS, begin)
    except ssl.SSLError as exc:
        raise SourceUnreachable(source=broker.host, at="tls") from exc
    except TimeoutError as exc:
        raise SourceSlow(source=broker.host, at="silence") from exc
    except OSError as exc:
        raise SourceUnreachable(source=broker.host, at="connection") from exc


def _check_connack(code: int, host: str) -> None:
    if code in _CREDENTIALS:
        raise SourceRefused(source=host, at="credentials")
    if code == _OTHER_VERSION:
        raise SourceBroken(source=host, at="format", detail="MQTT")
    if code in _BUSY:
        raise SourceBroken(source=host, at="server", detail=f"MQTT {code}")
    if code:
        raise SourceBroken(source=host, at="status", detail=f"MQTT {code}")


class _Pinned(library.Client):
    """Connects to the judged addresses alone; the name is for TLS."""

    def __init__(
        self, addresses: Sequence[str], trusted: ssl.SSLContext | None, events: "_Events",
        *told: Any, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(*told, **more)
        self._addresses, self._trusted, self._events = addresses, trusted, events
        if trusted is not None:
            self.tls_set_context(trusted)

    def _create_socket_connection(self) -> socket.socket:
        wrong: OSError | None = None
        ends_at = time.monotonic() + _PATIENCE_S  # for all of them: a name may have many
        for address in self._addresses:
            left = ends_at - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((address, self._port), left)
            except OSError as exc:
                wrong = exc
        raise wrong or OSError("no address")

    def _sock_recv(self, bufsize: int) -> bytes:
        """What is behind the longest packet is read and let go: to hold it is anybody's to ask."""
        del self._in_packet["packet"][_LONGEST_PACKET:]
        return super()._sock_recv(min(bufsize, _PIECE))

    def _thread_main(self) -> None:
        """What the library cannot read ends the connection, and not its thread alone."""
        try:
            super()._thread_main()
        except Exception as exc:  # noqa: BLE001 - the outermost place of a thread that is not ours
            log.warning("mqtt.broken_off", error=type(exc).__name__)
        finally:
            self._events.end()

    @property
    def is_cut(self) -> bool:
        """Whether the packet that is read now was longer than is held."""
        return self._in_packet["remaining_length"] > _LONGEST_PACKET

    def _ssl_wrap_socket(self, plain: socket.socket) -> ssl.SSLSocket:
        """Never without the name, as the library would where it cannot be sent."""
        if self._trusted is None:
            raise ssl.SSLError("nobody is trusted")
        try:  # it closes what it could not make safe
            plain.settimeout(_PATIENCE_S)
            return self._trusted.wrap_socket(plain, server_hostname=self._host)
        except (ssl.SSLError, TimeoutError):
            raise
        except (OSError, ValueError) as exc:
            raise ssl.SSLError("broken off") from exc


def _client(
    broker: Broker,
    way: tuple[Sequence[str], ssl.SSLContext | None],
    name: str,
    events: "_Events",
    *,
    is_kept: bool,
) -> _Pinned:
    is_5 = broker.version == "5"
    made = _Pinned(
        *way, events, CallbackAPIVersion.VERSION2, name, clean_session=None if is_5 else not is_kept,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False, manual_ack=True,
    )  # fmt: skip
    made.connect_timeout = _PATIENCE_S
    if broker.user is not None:
        made.username_pw_set(broker.user, broker.password)
    made.on_connect = lambda _c, _u, flags, code, _p: events.say(
        events.connected, (code.value, flags.session_present)
    )
    made.on_subscribe = lambda _c, _u, _m, codes, _p: events.say(
        events.subscribed, max((each.value for each in codes), default=_REFUSED)
    )
    made.on_disconnect = lambda *_: events.end()
    made.on_message = lambda _c, _u, message: events.hear(message, is_cut=made.is_cut)
    return made


def _trust(broker: Broker) -> ssl.SSLContext:
    """Whom we take for the broker, and our own certificate where it wants one."""
    way = Way(authority=broker.authority, certificate=broker.certificate, key=broker.key)
    try:
        return trusting(way)
    except (ssl.SSLError, ValueError) as exc:
        raise SourceUnreachable(source=broker.host, at="tls") from exc


def _close(client: "_Pinned") -> None:
    """Say goodbye; a broker that hears nothing any more is not waited for."""
    client.disconnect()
    late = threading.Timer(_GOODBYE_S, client._reset_sockets)
    late.start()
    client.loop_stop()
    late.cancel()
    late.join()
    client._reset_sockets()


class _Events:
    """What the library's thread hears, for the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.connected: asyncio.Future[tuple[int, bool]] = loop.create_future()
        self.subscribed: asyncio.Future[int] = loop.create_future()
        self._held: deque[Heard] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._news = asyncio.Event()
        self._is_over = self._is_closed = False
        self._over: asyncio.Future[None] = loop.create_future()

    def hear(self, message: Any, *, is_cut: bool) -> None:
        """In the library's thread, which waits where nobody takes."""
        try:
            topic: str | None = message.topic
        except UnicodeDecodeError:
            topic = None
        heard = Heard(topic, message.payload, message.mid, message.qos, message.retain, is_cut)
        with self._room:
            self._room.wait_for(self._has_room)
            if self._is_closed:
                return
            self._held.append(heard)
            self._bytes += heard.size
        self._tell()

    def say(self, what: "asyncio.Future[Any]", word: object) -> None:
        """In the library's thread."""

        def tell() -> None:
            if not what.done():
                what.set_result(word)

        with suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(tell)

    def end(self) -> None:
        """In the library's thread: the connection is gone."""
        self._is_over = True
        self.say(self._over, None)
        self._tell()

    def close(self) -> None:
        """Nobody takes any more."""
        with self._room:
            self._is_closed = True
            self._held.clear()
            self._room.notify_all()

    async def word(self, what: "asyncio.Future[Any]", host: str) -> Any:
        """What the broker answers to us. Raises `SourceError`."""
        await asyncio.wait(
            {what, self._over}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not what.done():
            if self._over.done():
                raise SourceBroken(source=host, at="cut_off")
            raise SourceSlow(source=host, at="silence")
        return what.result()

    async def take(self, most: int, seconds: float | None, host: str) -> list[Heard]:
        """What is held, at least one; none after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._held and not self._is_over:
                    self._news.clear()
                    if not self._held and not self._is_over:
                        await self._news.wait()
        with self._room:
            taken = [self._held.popleft() for _ in range(min(most, len(self._held)))]
            self._bytes -= sum(each.size for each in taken)
            self._room.notify_all()
        if not taken and self._is_over:
            raise SourceBroken(source=host, at="cut_off")
        return taken

    def _has_room(self) -> bool:
        is_full = len(self._held) >= _MOST_HELD or self._bytes >= _MOST_BYTES
        return self._is_closed or not is_full

    def _tell(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)
