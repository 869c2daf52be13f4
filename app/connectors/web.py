"""HTTP for the kinds that speak it: proving ourselves, redirects, and every failure told apart.

Asks through the one way out alone. What proves us goes to the source's own origin, never on with a
redirect to another.
"""

import base64
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal
from urllib.parse import quote_plus, urlencode, urljoin, urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.errors import (
    SourceBroken,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Known, Shape
from app.kit import passage
from app.kit.outbound import (
    Answer,
    Bounds,
    Cause,
    Outbound,
    OutboundTooLong,
    OutboundUnreachable,
    OutboundUnusable,
    Streamed,
    Way,
)

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_STRAIGHT: Final = Way()
_LOOK: Final = Bounds(most_bytes=1 << 40, seconds=15, silent_seconds=10)  # no byte of it is read
_TOKEN: Final = Bounds(most_bytes=64 * 1024, seconds=10)
_LONGEST_WAIT: Final = 86_400.0
# RFC 9110, 5.6.2: a token; none that frames a message or names where it goes.
_RESERVED: Final = frozenset(
    (
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept-encoding",
        "te",
        "upgrade",
    )
)


def _is_free(header: str) -> str:
    if header.lower() in _RESERVED:
        raise PydanticCustomError("reserved_header", "This header frames the message itself.")
    return header


def is_visible(key: SecretStr) -> SecretStr:
    """A key that a header takes. Raises `PydanticCustomError`."""
    if not all("!" <= sign <= "~" for sign in key.get_secret_value()):
        raise PydanticCustomError("not_visible", "A header takes visible ASCII characters alone.")
    return key


_HeaderName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"),
    AfterValidator(_is_free),
]
Address = Annotated[str, StringConstraints(min_length=8, max_length=2_000, pattern=r"^https?://")]


class NoProof(Shape):
    """The source asks nobody who they are."""

    type: Literal["none"] = "none"


class KeyInHeader(Shape):
    """A key that goes in a header of the source's own choice."""

    type: Literal["api_key"]
    header: _HeaderName = "X-API-Key"
    key: Annotated[SecretStr, Field(min_length=1, max_length=4_000), AfterValidator(is_visible)]


class Basic(Shape):
    """A user's name and password (RFC 7617)."""

    type: Literal["basic"]
    user: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^:]+$")]
    password: Annotated[SecretStr, Field(min_length=1, max_length=4_000)]


class ClientCredentials(Shape):
    """OAuth 2.0 client credentials (RFC 6749, 4.4): a token is got for each piece of work."""

    type: Literal["oauth_client"]
    token_url: Address
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=4_000)]
    scope: Annotated[str, StringConstraints(max_length=1_000)] | None = None


Proof = Annotated[NoProof | KeyInHeader | Basic | ClientCredentials, Field(discriminator="type")]


@dataclass(slots=True)
class Web:
    """One source's side of the Web. A token, once got, is kept for this object's life."""

    outbound: Outbound
    proof: Proof = field(default_factory=NoProof, repr=False)
    way: Way = field(default_factory=Way)
    _token: str | None = field(default=None, repr=False)

    @property
    def is_plain(self) -> bool:
        """Whether a status says all of a refusal, whatever its body."""
        return True

    def check(self, base: str) -> None:
        """Raises `OutboundRefused` where an address leads nowhere that we may go."""
        self.outbound.check(base, self.way)
        if isinstance(self.proof, ClientCredentials):
            self.outbound.check(self.proof.token_url, self.way)

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        bounds: Bounds,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        content: bytes | None = None,
        takes: Sequence[int] = (200,),
        is_quick: bool = False,
    ) -> AsyncIterator[Streamed]:
        """The answer while it comes: 200 or what is taken, and 304 to who asks by a condition.
        `is_quick`: somebody waits for a GET at request time.

        Raises `SourceError` and `OutboundRefused`.
        """
        own, at = _origin(url), url
        is_conditional = _is_conditional(headers)
        is_kept = self._token is not None
        for _ in range(_MOST_REDIRECTS + 1):
            is_own = _origin(at) == own
            proven = await self._proven(at) if is_own else {}
            with told():
                sent = {**(headers or {}), **passage.sent(), **proven}
                if is_quick and self.way == _STRAIGHT:
                    asking = self.outbound.quick(at, headers=sent, bounds=bounds)
                else:
                    asking = self.outbound.stream(
                        method, at, headers=sent, content=content, bounds=bounds,
                        shows_redirects=True, way=self.way if is_own else self.way.unproven,
                    )  # fmt: skip
                async with asking as answer:
                    if answer.status == 401 and is_kept:  # a token lapses: a new one may do
                        is_kept, self._token = False, None
                        continue
                    if answer.status not in _REDIRECTS:
                        is_same = is_conditional and answer.status == 304
                        if not is_same and answer.status not in takes:
                            check_status(answer.host, answer.status, answer.headers)
                        async with aclosing(_told_pieces(answer.pieces)) as pieces:
                            yield replace(answer, pieces=pieces)
                        return
                    at = joined(at, answer.headers.get("location", ""))
        raise SourceBroken(source=host_of(url), at="redirect")

    async def whole(
        self, url: str, *, bounds: Bounds, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """All of what `get` gives who waits at request time, with less around it.

        Raises `SourceError` and `OutboundRefused`.
        """
        if self.way != _STRAIGHT or not self.is_plain:
            async with self.get(url, bounds=bounds, headers=headers) as came:
                body = b"".join([piece async for piece in came.pieces])
                return Answer(came.host, came.status, came.headers, body)
        is_kept, at = self._token is not None, url
        for _ in range(_MOST_REDIRECTS + 1):
            proven = await self._proven(at) if at is url or is_same_origin(at, url) else {}
            sent = {**(headers or {}), **passage.sent(), **proven}
            try:
                answer = await self.outbound.whole(at, headers=sent, bounds=bounds)
            except (OutboundUnreachable, OutboundUnusable) as exc:
                with told():
                    raise exc
            if answer.status == 401 and is_kept:  # a token lapses: a new one may do
                is_kept, self._token = False, None
            elif answer.status in _REDIRECTS:
                at = joined(at, answer.headers.get("location", ""))
            else:
                if answer.status != 304 or not _is_conditional(headers):
                    check_status(answer.host, answer.status, answer.headers)
                return answer
        raise SourceBroken(source=host_of(url), at="redirect")

    async def send(
        self, method: str, url: str, *, bounds: Bounds, headers: Mapping[str, str],
        content: bytes | None = None, fine: Collection[int] = (),
    ) -> Answer:  # fmt: skip
        """Ask for a change. An answer that sends elsewhere is none; a status in `fine` is one.

        Raises `SourceError` and `OutboundRefused`.
        """
        body = bytearray()
        with told():
            sent = {**headers, **passage.sent(), **await self._proven(url)}
            asking = self.outbound.stream(
                method, url, headers=sent, content=content, bounds=bounds, shows_redirects=True,
                way=self.way,
            )  # fmt: skip
            async with asking as came:
                if 300 <= came.status < 400:
                    raise SourceBroken(source=came.host, at="redirect")
                async for piece in came.pieces:
                    body += piece
        answer = Answer(came.host, came.status, came.headers, bytes(body))
        if answer.status not in fine:
            check_status(answer.host, answer.status, answer.headers)
        return answer

    async def check_answers(self, url: str) -> None:
        """That somebody answers who takes our credentials; a base that shows nothing may still
        have something below it. Raises what else is wrong."""
        try:
            async with self.get(url, bounds=_LOOK):
                return
        except SourceError as refusal:
            if refusal.at not in ("missing", "permission", "status"):
                raise

    @property
    def sent(self) -> list[str]:
        """What proves us as it is sent, where that is no word of the settings: as secret as those."""
        pair = [_pair(self.proof)] if isinstance(self.proof, Basic) else []
        return [*pair, *([self._token] if self._token is not None else [])]

    async def _proven(self, url: str) -> dict[str, str]:
        """What proves us to the source, for a request of this address."""
        del url  # each of these proofs is good for all of them
        match self.proof:
            case KeyInHeader(header=header, key=key):
                return {header: key.get_secret_value()}
            case Basic():
                return {"Authorization": f"Basic {_pair(self.proof)}"}
            case ClientCredentials():
                return {"Authorization": f"Bearer {await self._bearer(self.proof)}"}
        return {}

    async def _bearer(self, by: ClientCredentials) -> str:
        if self._token is not None:
            return self._token
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(by.client_id)}:{quote_plus(by.client_secret.get_secret_value())}"
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        asked = {"grant_type": "client_credentials", **({"scope": by.scope} if by.scope else {})}
        with told():
            answer = await self.outbound.fetch(
                "POST", by.token_url, headers=headers, content=urlencode(asked).encode(),
                bounds=_TOKEN, way=self.way,
            )  # fmt: skip
            if answer.status == 400:  # RFC 6749, 5.2: invalid_client, invalid_scope and their like
                raise SourceRefused(source=answer.host, at="credentials")
            check_status(answer.host, answer.status, answer.headers)
            token = answer.json_object().get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SourceBroken(source=answer.host, at="format", detail="OAuth")
        self._token = token
        return token


def _is_conditional(headers: Mapping[str, str] | None) -> bool:
    return any(name.startswith("If-") for name in headers or ())


def _pair(by: Basic) -> str:
    return base64.b64encode(f"{by.user}:{by.password.get_secret_value()}".encode()).decode()


@contextmanager
def told() -> Iterator[None]:
    """What the way out says, as what it says of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise _of_way(exc.named["host"], exc.cause) from exc
    except OutboundTooLong as exc:
        named = exc.named
        raise SourceBroken(source=named["host"], at="too_long", detail=named["most"]) from exc
    except OutboundUnusable as exc:
        raise SourceBroken(source=exc.named["host"], at="format", detail="HTTP") from exc


async def _told_pieces(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    with told():
        async for piece in pieces:
            yield piece


def _of_way(host: str, cause: Cause) -> SourceError:
    match cause:
        case Cause.SILENCE:
            return SourceSlow(source=host, at="silence")
        case Cause.ANSWER:
            return SourceBroken(source=host, at="cut_off")
    return SourceUnreachable(source=host, at=cause.value)


def check_status(host: str, status: int, headers: Mapping[str, str]) -> None:
    """Let by what holds data. Raises `SourceError` for every other status."""
    if status == 200:
        return
    if status in (401, 407):
        raise SourceRefused(source=host, at="credentials")
    if status == 403:
        raise SourceRefused(source=host, at="permission")
    if status in (404, 410):
        raise SourceBroken(source=host, at="missing", detail=f"HTTP {status}")
    if status in (429, 503):
        after = _seconds(headers.get("retry-after"))
        if status == 429 or after is not None:
            raise SourceSlow(source=host, at="pace", after_seconds=after)
    at = "circle" if status == 508 else "server" if status >= 500 else "status"  # RFC 5842, 7.2
    raise SourceBroken(source=host, at=at, detail=status)


def _seconds(retry_after: str | None) -> float | None:
    """RFC 9110, 10.2.3. A date is left out of account: it asks for clocks that agree."""
    if retry_after is None or not retry_after.isascii() or not retry_after.strip().isdigit():
        return None
    return min(float(retry_after.strip()[:9]), _LONGEST_WAIT)


def check_is_no_page(answer: Streamed | Answer) -> None:
    """Refuse a web page where data are asked for: a sign-in, an error, a notice of maintenance."""
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() in (
        "text/html", "application/xhtml+xml",
    ):  # fmt: skip
        raise SourceBroken(source=answer.host, at="html")


def conditions(known: Known | None) -> dict[str, str]:
    """What asks for an answer only where there is another (RFC 9110, 13.1): by tag, else by time."""
    told = known.validators if known is not None else {}
    if etag := told.get("etag"):
        return {"If-None-Match": etag}
    return {"If-Modified-Since": told["last_modified"]} if told.get("last_modified") else {}


def validators(headers: Mapping[str, str]) -> dict[str, str] | None:
    """What an answer gives for the next time's conditions."""
    told = {"etag": headers.get("etag"), "last_modified": headers.get("last-modified")}
    # RFC 9110, 8.8.3 lets a tag be of any sign; one that we could not send back proves nothing.
    return {name: value for name, value in told.items() if value and value.isascii()} or None


def has_end(headers: Mapping[str, str]) -> bool:
    """Whether an answer says where it ends: one that only stops may have been cut off unseen
    (RFC 9112, 8)."""
    return "content-length" in headers or "transfer-encoding" in headers


def freshness(headers: Mapping[str, str]) -> tuple[float, bool]:
    """For how many seconds an answer is fresh, and whether it may be kept (RFC 9111, 4.2, 5.2.2)."""
    words = [each.strip().lower() for each in headers.get("cache-control", "").split(",")]
    told = dict(each.partition("=")[::2] for each in words)
    if "no-store" in told:
        return 0.0, False
    if "no-cache" in told:
        return 0.0, True
    lasts, age = _seconds(told.get("max-age", "").strip('"')), _seconds(headers.get("age"))
    return max((lasts or 0.0) - (age or 0.0), 0.0), True


def below(base: str, path: str) -> str:
    """The address of a path below a base, whose origin it never leaves."""
    root = base if base.endswith("/") else base + "/"
    return root + path.lstrip("/")


def joined(url: str, to: str) -> str:
    """Where an answer of `url` leads. Raises `SourceBroken` where that is no address."""
    try:
        return urljoin(url, to)
    except ValueError:
        raise SourceBroken(source=host_of(url), at="redirect") from None


def is_same_origin(url: str, other: str) -> bool:
    """Whether both are of one scheme, host and port (RFC 6454)."""
    return _origin(url) == _origin(other)


def host_of(url: str) -> str:
    """The host as messages name it."""
    try:
        return urlsplit(url).hostname or "-"
    except ValueError:
        return "-"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return ("", None, None)
    return (parts.scheme, parts.hostname, port)
