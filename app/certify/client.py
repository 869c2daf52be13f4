"""Asks the server that is judged: politely, within bounds, and remembers what was said for a report.

It follows no redirect, reads no more of an answer than it must, and waits no longer than it said.
"""

import asyncio
import logging
import re
import shlex
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlencode, urljoin, urlsplit

import httpx
import orjson

from app.certify.ledger import Ledger
from app.certify.lent import Lent

LONGEST_S: Final = 15.0
LARGEST: Final = 8 * 1024 * 1024
_SHOWN: Final = 2_000
_SHORTEST_SECRET: Final = 8
_LONGEST_SECRET: Final = 32 * 1024  # as it may be written
_HIDDEN: Final = "…"
_LOOKED_AT: Final = 128 * 1024
_LONGEST_URL: Final = 8_000
_MOST_HEADERS: Final = 30
_GZIP_OR_ZLIB: Final = 47  # as zlib names it: either, by what it begins with
_SECRET: Final = re.compile(r"^(authorization|dpop|cookie)$", re.IGNORECASE)


class NoAnswer(Exception):
    """The server gave no answer that could be judged: it is gone, hangs, or never ends."""

    def __init__(self, exchange: "Exchange") -> None:
        super().__init__(exchange.error)
        self.exchange = exchange


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it. `error` is set where no whole answer came, or none to go by;
    `error_ja` where it was foreseen."""

    method: str
    url: str
    sent: Mapping[str, str]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str | None = None
    given: bytes = b""
    error_ja: str | None = None

    @property
    def media_type(self) -> str:
        """What the answer says it is, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def member(self, name: str) -> Any:
        """A member of the body, where it is an object."""
        told = self.json
        return told.get(name) if isinstance(told, dict) else None

    def curl(self) -> str:
        """The request as one can repeat it; what proves who asks is left out."""
        words = ["curl", "-i"]
        if self.method != "GET":
            words += ["-X", self.method]
        for name, value in self.sent.items():
            words += ["-H", f"{name}: {_HIDDEN if _SECRET.match(name) else value}"]
        if self.given:
            words += ["--data-binary", self.given.decode("utf-8", "replace")[:_SHOWN]]
        return shlex.join([*words, self.url])

    def trimmed(self, hidden: "Callable[[str], str]") -> "Exchange":
        """The same with as much of the bodies as is ever shown: a report holds many of them. `hidden`
        takes secrets out, before anything is cut."""
        return replace(
            self, url=hidden(self.url[:_LOOKED_AT])[:_LONGEST_URL], sent=_each(hidden, self.sent),
            headers=_each(hidden, self.headers), error=self.error and worded(hidden, self.error),
            body=_as_bytes(hidden, self.body)[:_SHOWN], given=_as_bytes(hidden, self.given)[:_SHOWN],
        )  # fmt: skip

    def shown(self) -> str:
        """The answer, cut to what a person reads."""
        if self.error is not None:
            return self.error
        head = [f"HTTP {self.status}", *(f"{k}: {v}" for k, v in self.headers.items())]
        return "\n".join([*head, "", self.body[:_SHOWN].decode("utf-8", "replace")])[: 2 * _SHOWN]


def worded(hidden: Callable[[str], str], text: str) -> str:
    """A text as it is kept: without secrets, and as much of it as is ever shown."""
    return hidden(text[:_LOOKED_AT])[:_SHOWN]


def _each(hidden: Callable[[str], str], headers: Mapping[str, str]) -> dict[str, str]:
    shown = [*headers.items()][:_MOST_HEADERS]
    return {worded(hidden, name): worded(hidden, value) for name, value in shown}


def _as_bytes(hidden: Callable[[str], str], body: bytes) -> bytes:
    # Every byte is a sign of Latin-1: what is no text stays as it is.
    text = hidden(body[:_LOOKED_AT].decode("latin-1"))
    told = text.replace(_HIDDEN, _HIDDEN.encode().decode("latin-1")).encode("latin-1")
    # A secret that was cut in two is not known again: where something was cut, its end is not shown.
    return told if len(body) <= _LOOKED_AT else told[:-_LONGEST_SECRET]


@dataclass(slots=True)
class Server:
    """The server that is judged. `base` is the address before `/v1`.

    `token`: an access token that goes with each request but those that say otherwise. `prefix`: with
    what the keys of all that the judge writes begin; without one it writes nothing. `clean`: records
    that another run left under the prefix are removed first. `ledger`: what was written; there is one
    while the judge may write.
    """

    base: str
    http: httpx.AsyncClient
    per_second: float = 20.0
    settle_seconds: float = 1.2  # until what was written before the run is past, at whole seconds
    token: str | None = field(default=None, repr=False)
    prefix: str | None = None
    clean: bool = False
    ledger: Ledger | None = None
    lent: Lent = field(default_factory=Lent, repr=False)
    longest_s: float = 3_600.0  # of all that is asked, beside what notices are waited for
    subscriptions: dict[str, None] = field(default_factory=dict)  # paths of what may be there still
    secrets: set[str] = field(default_factory=set, repr=False)  # that came up in this run
    asked: int = 0
    last: Exchange = field(default_factory=lambda: Exchange("GET", "", {}))
    _next_at: float = 0.0
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Keep the library's log shut: it writes addresses and headers, and tokens stand in both."""
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def once(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """What several cases need, made for the first of them; so is its failure."""
        if name not in self._made:
            try:
                self._made[name] = await make()
            except Exception as exc:  # noqa: BLE001 - it is raised, now and each time
                self._made[name] = exc
        if isinstance(made := self._made[name], Exception):
            raise made
        return made

    def hidden(self, text: str) -> str:
        """The text without anything that proves who the judge is, however it is written."""
        # What a server calls a secret and is a word hides nothing.
        found = {each for each in self.secrets if _SHORTEST_SECRET <= len(each) <= _LONGEST_SECRET}
        known = {*found, *self.lent.secrets(), self.token or ""} - {""}
        forms = {form for each in known for form in _written(each)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, _HIDDEN)
        return text

    async def get(
        self, path: str, query: Mapping[str, Any] | None = None, **headers: str
    ) -> Exchange:
        """One GET. `path` is a path of the standard or a whole address of the same server.

        Headers are named with underscores. Raises `NoAnswer`.
        """
        url = self.url_of(path)
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query, doseq=True)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send("GET", url, sent)

    async def send(
        self, method: str, url: str, sent: Mapping[str, str], given: bytes = b""
    ) -> Exchange:
        """One request, with the token unless `sent` has an `Authorization`; an empty one is not sent.

        Raises `NoAnswer`.
        """
        await self._wait()
        return await self._sent(method, url, sent, given)

    async def together(
        self, requests: Sequence[tuple[str, str, Mapping[str, str], bytes]]
    ) -> list[Exchange]:
        """Several requests at one time, in the order in which they were given. Raises `NoAnswer`.

        Their time is waited for before, so that the mean rate stays what it may be.
        """
        await self._wait(len(requests))
        asking = (self._sent(*each) for each in requests)
        found = await asyncio.gather(*asking, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [each for each in found if isinstance(each, Exchange)]

    async def _sent(self, method: str, url: str, sent: Mapping[str, str], given: bytes) -> Exchange:
        sent = self._authorised(sent)
        self.asked += 1
        told: dict[str, Any] = {"method": method, "url": url, "sent": sent, "given": given}
        try:
            async with asyncio.timeout(LONGEST_S):
                self.last = await self._answer(told)
                return self.last
        except TimeoutError:
            error = f"no whole answer within {LONGEST_S:.0f} s"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, zlib.error) as exc:
            error = self.hidden(f"{type(exc).__name__}: {str(exc)[:_LOOKED_AT]}")[:500]
        raise NoAnswer(Exchange(**told, error=error))

    def _authorised(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        told = {name.lower(): value for name, value in sent.items()}
        if self.token is not None:
            told = {"authorization": f"Bearer {self.token}", **told}
        return {
            name: value for name, value in told.items() if (name, value) != ("authorization", "")
        }

    async def _answer(self, told: Mapping[str, Any]) -> Exchange:
        asking = self.http.stream(
            told["method"], told["url"], headers=told["sent"], content=told["given"] or None
        )
        async with asking as response:
            body = bytearray()
            async for piece in _unpacked(response):
                body += piece
                if len(body) > LARGEST:
                    raise ValueError(f"the answer is over {LARGEST} bytes")
            headers = dict(response.headers.items())
            return Exchange(**told, status=response.status_code, headers=headers, body=bytes(body))

    def url_of(self, path: str) -> str:
        """An address of this server. Raises `NoAnswer` for one that leads elsewhere."""
        url = urljoin(
            self.base.rstrip("/") + "/", path.removeprefix("/") if path.startswith("/") else path
        )
        if urlsplit(url)[:2] != urlsplit(self.base)[:2]:
            raise NoAnswer(Exchange("GET", url, {}, error="the address leads to another server"))
        return url

    async def _wait(self, requests: int = 1) -> None:
        now = time.monotonic()
        wait = self._next_at - now
        self._next_at = max(now, self._next_at) + requests / self.per_second
        if wait > 0:
            await asyncio.sleep(wait)


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it was before it was packed, in pieces of which none is too large: a few bytes can
    be packed that unfold to gigabytes, above all if they are packed again. Raises `ValueError`."""
    packed = response.headers.get("content-encoding", "").strip().lower() or "identity"
    if packed not in {"identity", "gzip", "x-gzip", "deflate"}:
        raise ValueError(f"the answer is packed as {packed[:100]}, which was not asked for")
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - an asynchronous client's
    if packed == "identity":
        async for piece in stream:
            yield piece
        return
    opener = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for piece in stream:
        while piece:
            yield opener.decompress(piece, LARGEST)
            piece = opener.unconsumed_tail  # noqa: PLW2901 - what is left of it
    yield opener.flush()


def _written(secret: str) -> set[str]:
    """A secret as it stands in a form, a path, JSON and Latin-1."""
    plain = {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        orjson.dumps(secret).decode()[1:-1],
    }
    return plain | {each.encode().decode("latin-1") for each in plain}
