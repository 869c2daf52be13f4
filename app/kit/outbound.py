"""The one way out over HTTP: every URL that somebody told us is asked through it.

Never connects to an address that it has not judged, never follows a redirect, and never tells
anybody what an address answered.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import orjson

from app.kit import trace
from app.kit.judging import Address, Allowed, is_public, literal
from app.kit.lean import Lean, LeanBroken, LeanTooLong, Origin, Patience
from app.kit.lean_asking import Target, question, target
from app.kit.outbound_refusals import (
    Cause,
    OutboundRefused,
    OutboundTooLong,
    OutboundUnreachable,
    OutboundUnusable,
    not_https,
    refused,
    told,
    unusable,
)
from app.kit.pinned import resolved, transport
from app.kit.ways import Clients, Way, trusting

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Allowed", "Answer", "Bounds", "Cause", "Outbound", "OutboundRefused", "OutboundTooLong",
    "OutboundUnreachable", "OutboundUnusable", "Streamed", "Way", "is_public",
]  # fmt: skip
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_AGENT: Final = "urbanos"
_NO_WAY: Final = Way()
_MOST_ORIGINS: Final = 1_000
_A_PIECE: Final = 1024 * 1024  # of a body, that is sent at one go
_MOST_TARGETS: Final = 4_096
_LONG_TARGET: Final = 1_000
_LOOKED_UP_S: Final = 2.0


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
        self._clients = Clients(self._client)
        self._lean: Lean | None = None
        self._origins: dict[tuple[str, str], Origin] = {}
        self._targets: dict[str, Target] = {}

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        bounds: Bounds = Bounds(),
        way: Way = _NO_WAY,
    ) -> Answer:
        """The answer of `url`, whatever its status says, but for a redirect.

        Raises `OutboundRefused`, `OutboundUnreachable` or `OutboundUnusable`.
        """
        body = bytearray()
        async with self.stream(
            method, url, headers=headers, content=content, bounds=bounds, way=way
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
        way: Way = _NO_WAY,
    ) -> AsyncIterator[Streamed]:
        """The answer of `url` while it comes. Its pieces end in the refusals of `fetch`.

        A redirect is shown to who asks for it, and never followed. The connection is let go at
        the end of the block, whatever has come until then.
        """
        host = self.check(url, way)
        ends_at = asyncio.get_running_loop().time() + bounds.seconds
        async with AsyncExitStack() as held:
            with told(host):
                if way.proxy is not None:
                    async with asyncio.timeout_at(_patience(ends_at, bounds)):
                        await self._judge_behind_proxy(host, url)
                client = await held.enter_async_context(self._clients.of(way))
                request = client.build_request(method, url, **_given(headers, content))
                request.headers["Accept-Encoding"] = "identity"  # what is bounded is what comes
                request.headers.update(trace.sent())
                if request.url.scheme == "http":  # by https it goes with CONNECT, and no further
                    request.headers.update(way.proof_to_proxy)
                async with asyncio.timeout_at(_patience(ends_at, bounds)):
                    response = await client.send(request, stream=True)
            try:
                _check_head(host, response, shows_redirects=shows_redirects)
                pieces = _pieces(host, response.aiter_raw(), ends_at, bounds)
                async with aclosing(pieces):
                    yield Streamed(host, response.status_code, response.headers, pieces)
            finally:
                with told(host):
                    await response.aclose()

    @asynccontextmanager
    async def quick(
        self, url: str, *, headers: Mapping[str, str], bounds: Bounds
    ) -> AsyncIterator[Streamed]:
        """The same as `stream` for a GET whose redirects are shown: with less around it, for what
        is asked at request time, by no other way than the straight one."""
        to = self._target_of(url)
        origin, request = to.origin, question(to, headers, agent=_AGENT)
        host = origin.host
        ends_at = asyncio.get_running_loop().time() + bounds.seconds
        lean = self._leanly()
        with told(host):
            async with asyncio.timeout_at(_patience(ends_at, bounds)):
                answer, connection = await lean.ask(origin, request)
        try:
            _check_plain(host, answer.headers)
            pieces = _pieces(host, answer.pieces(), ends_at, bounds)
            async with aclosing(pieces):
                yield Streamed(host, answer.status, answer.headers, pieces)
        finally:
            lean.give_back(origin, connection)

    async def whole(self, url: str, *, headers: Mapping[str, str], bounds: Bounds) -> Answer:
        """The same read to its end: for a short answer one wait, and no timer of its own."""
        to = self._target_of(url)
        request, host = question(to, headers, agent=_AGENT), to.origin.host
        ends_at = asyncio.get_running_loop().time() + bounds.seconds
        patience = Patience(bounds.most_bytes, ends_at, bounds.silent_seconds or bounds.seconds)
        try:
            answer, body = await self._leanly().whole(to.origin, request, patience)
        except LeanTooLong:
            raise _too_long(host, bounds.most_bytes) from None
        except (LeanBroken, OSError, UnicodeError) as exc:  # a TimeoutError is an OSError
            with told(host):
                raise exc
        _check_plain(host, answer.headers)
        return Answer(host, answer.status, answer.headers, body)

    def _target_of(self, url: str) -> Target:
        """Where an address leads, and how it is asked. Raises `OutboundRefused`."""
        found = self._targets.get(url)
        if found is None:
            found = target(url, self._origin_of(url))
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            if len(url) <= _LONG_TARGET:
                self._targets[url] = found
        return found

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

    def _leanly(self) -> Lean:
        if self._lean is None:
            self._lean = Lean(self.addresses, self._trusted or ssl.create_default_context())
        return self._lean

    def check(self, url: str, way: Way = _NO_WAY) -> str:
        """The host of an address that may be asked as far as the address itself tells, and its way.

        Raises `OutboundRefused`. A name is judged again by what it resolves to when it is asked.
        """
        if way.proxy is not None:
            self.check(way.proxy)
        import httpx  # noqa: PLC0415

        try:
            parts = httpx.URL(url)
            host = parts.raw_host.decode("ascii").lower().rstrip(".")
            # No name has an empty label, one of 64 signs or an xn-- that says nothing (RFC 1035,
            # 2.3.4; RFC 5891): whoever reads it later raises what is no refusal.
            _ = host.encode("idna"), parts.host
        except (httpx.InvalidURL, ValueError, TypeError):  # a UnicodeError is a ValueError
            raise refused("?", "it is no address", "アドレスの形ではありません") from None
        if parts.scheme not in ("http", "https") or not host:
            raise refused(host or "?", "only https is spoken", "https だけが使えます")
        if parts.port is not None and not 0 < parts.port < 65536:
            raise refused(host, "there is no such port", "そのポートはありません")
        if parts.userinfo:
            raise refused(host, "it holds a password", "パスワードが含まれています")
        address, is_plain = literal(host), parts.scheme == "http"
        if address is not None:
            self._judge(host, address, is_plain=is_plain)
        elif is_plain and not self._allowed.may_have(host):
            raise not_https(host)
        return host

    async def check_now(self, url: str) -> str:
        """The same, and by what a name resolves to now, where it resolves at all: the earlier one
        is told, the better. Raises `OutboundRefused`."""
        host, parts = self.check(url), urlsplit(url)
        if literal(host) is None:
            is_plain = parts.scheme == "http"
            with contextlib.suppress(OutboundUnreachable, OSError, UnicodeError):
                async with asyncio.timeout(_LOOKED_UP_S):
                    port = parts.port or (80 if is_plain else 443)
                    await self.addresses(host, port, is_plain=is_plain)
        return host

    async def close(self) -> None:
        """Let go of the connections."""
        await self._clients.close()
        if self._lean is not None:
            await self._lean.close()

    def _judge(self, host: str, address: Address, *, is_plain: bool) -> None:
        if self._allowed.has(host, address):
            return
        if is_plain:
            raise not_https(host)
        if not is_public(address):
            raise refused(host, "its address is not public", "公開されたアドレスではありません")

    async def addresses(self, host: str, port: int, *, is_plain: bool) -> list[str]:
        """What a name resolves to, once every address of it has been judged."""
        name = host.lower().rstrip(".")
        found = await self._resolve(host, port)
        if not found:
            raise OutboundUnreachable(host=name)
        for each in found:
            self._judge(name, ip_address(each), is_plain=is_plain)
        return found

    async def _judge_behind_proxy(self, host: str, url: str) -> None:
        """A proxy resolves a name for itself: it is judged by what it is here, and one that is
        nothing here has to be listed by itself."""
        import httpx  # noqa: PLC0415

        if literal(host) is not None:
            return
        parts = httpx.URL(url)
        try:
            found = await self._resolve(host, parts.port or 443)
        except (OSError, UnicodeError):
            found = []
        if not found and not self._allowed.lists(host):
            raise refused(
                host, "its name is not known here", "名前を解決できず、許可一覧にもありません"
            )
        for each in found:
            self._judge(host, ip_address(each), is_plain=parts.scheme == "http")

    async def _client(self, way: Way) -> "httpx.AsyncClient":
        import httpx  # noqa: PLC0415

        trusted = self._trusted
        if trusted is None or way.authority is not None or way.certificate is not None:
            trusted = await asyncio.to_thread(trusting, way)
        proxy = None
        if way.proxy is not None:
            proxy = httpx.Proxy(way.proxy, headers=way.proof_to_proxy)
        return httpx.AsyncClient(
            transport=transport(self.addresses, trusted, is_plain=False, proxy=proxy),
            mounts={"http://": transport(self.addresses, trusted, is_plain=True, proxy=proxy)},
            headers={"User-Agent": _AGENT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=None,  # noqa: S113 - `fetch` bounds all of it at once
            trust_env=False,
            follow_redirects=False,
        )


def _given(headers: Mapping[str, str] | None, content: bytes | None) -> dict[str, Any]:
    """What goes with a request: a large body in pieces, so that others have their turn between."""
    if content is None or len(content) <= _A_PIECE:
        return {"headers": headers, "content": content}
    sized = {**(headers or {}), "Content-Length": str(len(content))}
    return {"headers": sized, "content": _in_pieces(content)}


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), _A_PIECE):
        yield content[at : at + _A_PIECE]


def _patience(ends_at: float, bounds: Bounds) -> float:
    """When the next sign of the other side must have come, on the loop's clock."""
    if bounds.silent_seconds is None:
        return ends_at
    return min(ends_at, asyncio.get_running_loop().time() + bounds.silent_seconds)


def _check_head(host: str, response: "httpx.Response", *, shows_redirects: bool) -> None:
    is_redirect = 300 <= response.status_code < 400 and response.status_code != 304
    if is_redirect and not shows_redirects:
        raise unusable(host, "it sends elsewhere", "転送（リダイレクト）には従いません")
    _check_plain(host, response.headers)


def _check_plain(host: str, headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise unusable(host, "it is compressed", "圧縮された応答は受け取りません")


async def _pieces(
    host: str, parts: AsyncIterator[bytes], ends_at: float, bounds: Bounds
) -> AsyncGenerator[bytes, None]:
    size = 0
    while True:
        with told(host):
            async with asyncio.timeout_at(_patience(ends_at, bounds)):
                part = await anext(parts, None)
        if part is None:
            return
        size += len(part)
        if size > bounds.most_bytes:
            raise _too_long(host, bounds.most_bytes)
        yield part


def _too_long(host: str, most: int) -> OutboundTooLong:
    why, why_ja = f"it is longer than {most} bytes", f"{most}バイトより長い"
    return OutboundTooLong(host=host, most=most, why=why, why_ja=why_ja)
