"""The one way out over HTTP: every URL that somebody told us is asked through it.

Never connects to an address that it has not judged, never follows a redirect, and never tells
anybody what an address answered.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

import orjson

from app.kit import trace
from app.kit.errors import AppError, Kind
from app.kit.lean import Lean, LeanBroken, Origin
from app.kit.pinned import resolved, transport

if TYPE_CHECKING:
    import httpx

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_AGENT: Final = "urbanos"
_MOST_ORIGINS: Final = 1_000
_IN_TARGET: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986: what stands in an address as it is
# IANA gives out global unicast addresses from 2000::/3 alone. What is left out of it carries
# another address within (Teredo, 6to4), or belongs to nobody (documentation, benchmarks).
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NOBODYS_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
# Protocol assignments (RFC 6890) and the relays of 6to4 (RFC 7526).
_NOBODYS_V4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))


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


class Cause(StrEnum):
    """Where the way to another side ended."""

    NAME = "name"  # it does not resolve
    CONNECTION = "connection"
    TLS = "tls"
    SILENCE = "silence"
    ANSWER = "answer"  # it is broken off, or no HTTP


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


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a deployment connects to beyond public addresses by https."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Hosts and networks parted by commas. Raises `ValueError` for what is neither."""
        hosts, networks = set(), []
        for each in filter(None, map(str.strip, text.split(","))):
            try:
                networks.append(ip_network(each))
            except ValueError:
                if not all(sign.isascii() and (sign.isalnum() or sign in "-.") for sign in each):
                    raise
                if each.replace(".", "").isdigit():
                    raise  # a mistyped address and no name
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def has(self, host: str, address: Address) -> bool:
        """Whether this host, or this address of it, is listed."""
        return host in self.hosts or any(
            address.version == network.version and address in network for network in self.networks
        )

    def may_have(self, host: str) -> bool:
        """Whether a name is listed, or could resolve to what is."""
        return host in self.hosts or bool(self.networks)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may come, and how long all of it may take, names and TLS included.

    `silent_seconds`: how long nothing at all may come, where that is to be less.
    """

    most_bytes: int = 256 * 1024
    seconds: float = 5.0
    silent_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is still coming: its head, and its body piece by piece, once."""

    host: str
    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: never a redirect, never more than was allowed."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object, or `OutboundUnusable`."""
        try:
            found = orjson.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OutboundUnusable(
                host=self.host, why="it is no JSON object", why_ja="JSONオブジェクトでない"
            )
        return found


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet: no network's, machine's or test's own."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _GLOBAL_V6 and not any(address in each for each in _NOBODYS_V6)
    is_odd = address.is_multicast or address.is_reserved
    return address.is_global and not is_odd and not any(address in each for each in _NOBODYS_V4)


class Outbound:
    """Asks others over HTTP. One a process; `close` it at the end.

    A name is resolved once for a connection; each of its addresses is judged, and the connection
    goes to one of those: there is no second answer that a name's owner could give (DNS rebinding).
    """

    def __init__(
        self,
        allowed: Allowed | None = None,
        *,
        trusted: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._allowed = allowed or Allowed()
        self._trusted = trusted
        self._resolve = resolve or resolved
        self._client: httpx.AsyncClient | None = None
        self._lean: Lean | None = None
        self._origins: dict[tuple[str, str], Origin] = {}

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        bounds: Bounds = Bounds(),
    ) -> Answer:
        """The answer of `url`, whatever its status says, but for a redirect.

        Raises `OutboundRefused`, `OutboundUnreachable` or `OutboundUnusable`.
        """
        body = bytearray()
        async with self.stream(
            method, url, headers=headers, content=content, bounds=bounds
        ) as streamed:
            async for piece in streamed.pieces:
                body += piece
        return Answer(streamed.host, streamed.status, streamed.headers, bytes(body))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        bounds: Bounds = Bounds(),
        shows_redirects: bool = False,
    ) -> AsyncIterator[Streamed]:
        """The answer of `url` while it comes. Its pieces end in the refusals of `fetch`.

        A redirect is shown to who asks for it, and never followed. The connection is let go at
        the end of the block, whatever has come until then.
        """
        host, client = self.check(url), self._opened()
        ends_at = asyncio.get_running_loop().time() + bounds.seconds
        with _told(host):
            request = client.build_request(method, url, headers=headers, content=content)
            request.headers["Accept-Encoding"] = "identity"  # what is bounded is what comes
            request.headers.update(trace.sent())
            async with asyncio.timeout_at(_patience(ends_at, bounds)):
                response = await client.send(request, stream=True)
        try:
            _check_head(host, response, shows_redirects=shows_redirects)
            pieces = _pieces(host, response.aiter_raw(), ends_at, bounds)
            async with aclosing(pieces):
                yield Streamed(host, response.status_code, response.headers, pieces)
        finally:
            with _told(host):
                await response.aclose()

    @asynccontextmanager
    async def quick(
        self, url: str, *, headers: Mapping[str, str], bounds: Bounds
    ) -> AsyncIterator[Streamed]:
        """The same as `stream` for a GET whose redirects are shown: with less around it, for what
        is asked at request time."""
        origin = self._origin_of(url)
        host, request = origin.host, _question(url, origin, headers)
        ends_at = asyncio.get_running_loop().time() + bounds.seconds
        lean = self._leanly()
        with _told(host):
            async with asyncio.timeout_at(_patience(ends_at, bounds)):
                answer, connection = await lean.ask(origin, request)
        try:
            _check_plain(host, answer.headers)
            pieces = _pieces(host, answer.pieces(), ends_at, bounds)
            async with aclosing(pieces):
                yield Streamed(host, answer.status, answer.headers, pieces)
        finally:
            lean.give_back(origin, connection)

    def _origin_of(self, url: str) -> Origin:
        """Where an address leads, judged once. Raises `OutboundRefused`."""
        parts = urlsplit(url)
        named = (parts.scheme, parts.netloc)
        found = self._origins.get(named)
        if found is None:
            host, is_plain = self.check(url), parts.scheme == "http"
            found = Origin(is_plain, host.strip("[]"), parts.port or (80 if is_plain else 443))
            if len(self._origins) >= _MOST_ORIGINS:
                self._origins.clear()
            self._origins[named] = found
        return found

    def check(self, url: str) -> str:
        """The host of an address that may be asked as far as the address itself tells.

        Raises `OutboundRefused`. A name is judged again by what it resolves to when it is asked.
        """
        import httpx  # noqa: PLC0415

        try:
            parts = httpx.URL(url)
            host = parts.raw_host.decode("ascii").lower().rstrip(".")
            # No name has an empty label, one of 64 signs or an xn-- that says nothing (RFC 1035,
            # 2.3.4; RFC 5891): whoever reads it later raises what is no refusal.
            _ = host.encode("idna"), parts.host
        except (httpx.InvalidURL, ValueError, TypeError):  # a UnicodeError is a ValueError
            raise _refused("?", "it is no address", "アドレスの形ではありません") from None
        if parts.scheme not in ("http", "https") or not host:
            raise _refused(host or "?", "only https is spoken", "https だけが使えます")
        if parts.port is not None and not 0 < parts.port < 65536:
            raise _refused(host, "there is no such port", "そのポートはありません")
        if parts.userinfo:
            raise _refused(host, "it holds a password", "パスワードが含まれています")
        literal, is_plain = _literal(host), parts.scheme == "http"
        if literal is not None:
            self._judge(host, literal, is_plain=is_plain)
        elif is_plain and not self._allowed.may_have(host):
            raise _not_https(host)
        return host

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()
        if self._lean is not None:
            await self._lean.close()

    def _judge(self, host: str, address: Address, *, is_plain: bool) -> None:
        if self._allowed.has(host, address):
            return
        if is_plain:
            raise _not_https(host)
        if not is_public(address):
            raise _refused(host, "its address is not public", "公開されたアドレスではありません")

    async def addresses(self, host: str, port: int, *, is_plain: bool) -> list[str]:
        """What a name resolves to, once every address of it has been judged."""
        name = host.lower().rstrip(".")
        found = await self._resolve(host, port)
        if not found:
            raise OutboundUnreachable(host=name)
        for each in found:
            self._judge(name, ip_address(each), is_plain=is_plain)
        return found

    def _leanly(self) -> Lean:
        if self._lean is None:
            self._lean = Lean(self.addresses, self._trusted or ssl.create_default_context())
        return self._lean

    def _opened(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx  # noqa: PLC0415

            trusted = self._trusted or ssl.create_default_context()
            nothing = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            self._client = httpx.AsyncClient(
                transport=transport(self.addresses, trusted, is_plain=False),
                mounts={"http://": transport(self.addresses, trusted, is_plain=True)},
                headers={"User-Agent": _AGENT},
                cookies=nothing,
                timeout=None,  # noqa: S113 - `fetch` bounds all of it at once
                trust_env=False,
                follow_redirects=False,
            )
        return self._client


def _question(url: str, origin: Origin, headers: Mapping[str, str]) -> bytes:
    """The bytes of a question. Raises `OutboundRefused` for what would end a line."""
    parts = urlsplit(url)
    target = quote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
                   safe=_IN_TARGET)  # fmt: skip
    at = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    told = {
        "Host": at,
        "User-Agent": _AGENT,
        "Accept-Encoding": "identity",
        **headers,
        **trace.sent(),
    }
    lines = [f"GET {target} HTTP/1.1", *[f"{name}: {value}" for name, value in told.items()]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise _refused(origin.host, "a header holds a line end", "ヘッダに改行が含まれています")
    return text.encode("latin-1", "replace")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _patience(ends_at: float, bounds: Bounds) -> float:
    """When the next sign of the other side must have come, on the loop's clock."""
    if bounds.silent_seconds is None:
        return ends_at
    return min(ends_at, asyncio.get_running_loop().time() + bounds.silent_seconds)


@contextmanager
def _told(host: str) -> Iterator[None]:
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

    told: tuple[tuple[Cause, tuple[type[BaseException], ...]], ...] = (
        (Cause.NAME, (socket.gaierror, UnicodeError, aiohttp.ClientConnectorDNSError)),
        (Cause.TLS, (ssl.SSLError, aiohttp.ClientSSLError)),
        (Cause.SILENCE, (TimeoutError,)),
        (Cause.ANSWER, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError,
                        aiohttp.ServerDisconnectedError, LeanBroken)),
    )  # fmt: skip
    for cause, kinds in told:
        each: BaseException | None = exc
        while each is not None:
            if isinstance(each, kinds):
                return cause
            each = each.__cause__ or each.__context__
    return Cause.CONNECTION


def _check_head(host: str, response: "httpx.Response", *, shows_redirects: bool) -> None:
    is_redirect = 300 <= response.status_code < 400 and response.status_code != 304
    if is_redirect and not shows_redirects:
        raise _unusable(host, "it sends elsewhere", "転送（リダイレクト）には従いません")
    _check_plain(host, response.headers)


def _check_plain(host: str, headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise _unusable(host, "it is compressed", "圧縮された応答は受け取りません")


async def _pieces(
    host: str, parts: AsyncIterator[bytes], ends_at: float, bounds: Bounds
) -> AsyncGenerator[bytes, None]:
    size = 0
    while True:
        with _told(host):
            async with asyncio.timeout_at(_patience(ends_at, bounds)):
                part = await anext(parts, None)
        if part is None:
            return
        size += len(part)
        if size > bounds.most_bytes:
            most = bounds.most_bytes
            raise OutboundTooLong(
                host=host,
                most=most,
                why=f"it is longer than {most} bytes",
                why_ja=f"{most}バイトより長い",
            )
        yield part


def _not_https(host: str) -> OutboundRefused:
    return _refused(host, "it is not https", "https ではありません")


def _refused(host: str, why: str, why_ja: str) -> OutboundRefused:
    return OutboundRefused(host=host, why=why, why_ja=why_ja)


def _unusable(host: str, why: str, why_ja: str) -> OutboundUnusable:
    return OutboundUnusable(host=host, why=why, why_ja=why_ja)
