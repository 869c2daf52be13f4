"""The boundary that no individual number (個人番号) crosses: every address, header and body.

It stands before every door, keeps nothing of what it sees, and never repeats a number: a refusal
says where. Files are let through, for their worker looks at them in whatever form they are packed.
What is signed or sealed (tokens, proofs, cookies) is not looked at: there numbers come by chance.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, pairwise
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access import find_caller
from app.api.handlers import refused
from app.api.sessions import platform_of
from app.formats.individual_number import (
    Watch,
    holds_number,
    is_split,
    mask,
    may_hold,
)
from app.formats.number_refusal import IndividualNumberRefused, Where
from app.kit.errors import AppError
from app.oauth.tokens import InvalidToken

_T = TypeVar("_T")
# Standard headers that hold secrets, or nothing that anybody keeps or passes on.
_PASSED_OVER: Final = frozenset(
    {
        b"authorization", b"dpop", b"cookie", b"host", b"accept", b"accept-encoding",
        b"accept-language", b"connection", b"content-length", b"content-type",
        b"client-cert", b"x-ssl-client-cert",  # signed by its authority
    }
)  # fmt: skip
_FILES: Final = re.compile(
    r"/v1/(?:datasets/[^/]+/versions|uploads(?:/[^/]+)?|agent/jobs/[^/]+/[0-9]+/pieces/[0-9]+)/?"
)
_KEPT_BYTES: Final = 32 << 20  # as many as any door takes: to say where a number stands
_QUICK_BYTES: Final = 1 << 16  # read again while all others wait
# All bytes but those of digits, full-width ones too (EF BC 90 to 99).
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789") - set(range(0x90, 0x9A)))
_MOST_PLACES: Final = 20
_NAME_CHARACTERS: Final = 60
_POINTER_CHARACTERS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"


def checked_name(name: str | None) -> str | None:
    """A file's name as its sender gives it; None for an empty one. Raises `IndividualNumberRefused`."""
    if name and holds_number(name.encode("utf-8", "replace")):
        raise IndividualNumberRefused(Where("ファイル名", "the file's name"))
    return name or None


class NumberGuard:
    """Pure ASGI, because the hottest path goes through it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        where = in_head(scope)
        if where is not None:
            response = await _refuse(Request(scope), IndividualNumberRefused(where))
            await response(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD") and not _FILES.fullmatch(scope["path"]):
            receive = _Body(scope, receive).receive
        await self._app(scope, receive, send)


async def _refuse(request: Request, refusal: AppError) -> Response:
    """Counted like every request, and in the log before it leaves."""
    try:
        with suppress(InvalidToken):
            await find_caller(platform_of(request), request.scope)
    except AppError as other:  # too many
        return await refused(request, other)
    return await refused(request, refusal)


def in_head(scope: Scope) -> Where | None:
    """Where the address or a header holds a number. Costs less than a microsecond where none does."""
    query: bytes = scope["query_string"]
    path: str = scope["path"]
    if b"%" in query:
        query = unquote_to_bytes(query.replace(b"+", b" "))
    parts = [value for name, value in scope["headers"] if name not in _PASSED_OVER]
    parts += (path.encode("utf-8", "replace"), query)
    whole = b"\n".join(parts)
    if len(whole.translate(None, _NO_DIGITS)) < 12:  # percent-encoded digits have digits too
        return None
    if b"%" in whole:
        whole += b"\n" + unquote_to_bytes(whole)
    if not may_hold(whole):
        return None
    return _place_in_head(scope)


def _place_in_head(scope: Scope) -> Where | None:
    if holds_number(scope["path"].encode("utf-8", "replace")):
        return Where("URLのパス", "the path of the address")
    query = unquote_to_bytes(scope["query_string"].replace(b"+", b" "))
    if holds_number(query):
        return Where("URLのパラメーター", "the query of the address")
    for name, value in scope["headers"]:
        # What does not come in UTF-8 comes percent-encoded (RFC 8187).
        if name not in _PASSED_OVER and (
            holds_number(value) or (b"%" in value and holds_number(unquote_to_bytes(value)))
        ):
            shown = mask(name.decode("latin-1"))[:_NAME_CHARACTERS]
            return Where(f"ヘッダー {shown}", f"the header {shown}")
    return None


class _Body:
    """A request's body on its way to its door, which gets the last piece once all were looked at."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._watch = Watch()
        self._kind = _media_type(scope)
        self._kept: bytearray | None = bytearray()
        self._rest = b""  # of a form: an escape that was cut
        self._has_gap = False
        self._quote = 0  # where the last quotation mark stands that was looked up to

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        body: bytes = message.get("body", b"")
        last = not message.get("more_body", False)
        if self._kept is not None:
            self._kept += body
            if len(self._kept) > _KEPT_BYTES:
                self._kept = None
            elif self._kind != _FORM:
                self._look_for_gap(self._kept, len(body))
        lines = self._watch.feed(self._text(body, last=last), last=last)
        if lines:
            raise IndividualNumberRefused(await self._where(lines, last=last))
        if last and self._kept and self._has_gap:
            await self._aside(self._check_split)
        return message

    def _look_for_gap(self, kept: bytearray, new: int) -> None:
        """Piece by piece, for all others wait while a pattern is looked for, in whatever thread.

        Between quotation marks stands no other, so each byte is looked at once.
        """
        quote = kept.rfind(b'"', len(kept) - new)
        if quote >= 0 and not self._has_gap:
            self._has_gap = _GAP.search(kept, self._quote, quote + 1) is not None
            self._quote = quote

    def _text(self, body: bytes, *, last: bool) -> bytes:
        if self._kind != _FORM:
            return body
        body = self._rest + body.replace(b"+", b" ")
        cut = body.rfind(b"%", -2) if not last else -1
        self._rest = body[cut:] if cut >= 0 else b""
        return unquote_to_bytes(body[:cut] if cut >= 0 else body)

    async def _where(self, lines: list[int], *, last: bool) -> Where:
        """By pointer or field where the body is small enough to be read as a whole."""
        while not last and self._kept is not None:
            message = await self._receive()
            if message["type"] != "http.request":
                break
            self._kept += message.get("body", b"")
            last = not message.get("more_body", False)
            if len(self._kept) > _KEPT_BYTES:
                self._kept = None
        pointers = await self._aside(self._pointers) if self._kept is not None else ()
        if pointers:
            shown = ", ".join(pointers)
            return Where(f"本文の {shown}", f"{shown} of the body", pointers)
        return Where(f"本文の {lines[0]} 行目", f"line {lines[0]} of the body")

    async def _aside(self, work: Callable[[], _T]) -> _T:
        """Do it in a thread where all others would wait for long."""
        if len(self._kept or b"") > _QUICK_BYTES:
            return await asyncio.to_thread(work)
        return work()

    def _pointers(self) -> tuple[str, ...]:
        body = bytes(self._kept or b"")
        if self._kind == _FORM:
            pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            named = (mask(name) for name, value in pairs if _holds(value) or _holds(name))
            return tuple(name[:_NAME_CHARACTERS] for name in named)[:_MOST_PLACES]
        found = (place for at, value in _values(body) for place in _with_numbers(value, at))
        return tuple(place[:_POINTER_CHARACTERS] for place in islice(found, _MOST_PLACES))

    def _check_split(self) -> None:
        """A record whose neighbouring values are what stands on one card: 1234 5678 | 9018."""
        body = bytes(self._kept or b"")
        split = (place for at, value in _values(body) for place in _split_over(value, at))
        found = tuple(place[:_POINTER_CHARACTERS] for place in islice(split, _MOST_PLACES))
        if found:
            shown = ", ".join(found)
            raise IndividualNumberRefused(Where(f"本文の {shown}", f"{shown} of the body", found))


# One cell of a card's number, in JSON: four digits, a sign, four digits.
_FOUR: Final = rb"(?:[0-9]|\xef\xbc[\x90-\x99]|\\u(?:003|[fF][fF]1)[0-9]){4}"
_GAP: Final = re.compile(rb'"\s*+' + _FOUR + rb'[^0-9"]{1,6}' + _FOUR + rb'\s*+"')


def _media_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind: str = value.partition(b";")[0].strip().lower().decode("latin-1")
            return kind
    return ""


def _values(body: bytes) -> list[tuple[str, Any]]:
    """(pointer, value): the body as JSON, or its lines; nothing where it is neither."""
    try:
        return [("", orjson.loads(body))]
    except orjson.JSONDecodeError:
        pass
    found = []
    for at, line in enumerate(body.splitlines()):
        try:
            found.append((f"/{at}", orjson.loads(line)))
        except orjson.JSONDecodeError:
            continue
    return found


def _holds(value: object) -> bool:
    return holds_number(str(value).encode("utf-8", "replace"))


def _children(value: Any, at: str) -> list[tuple[str, Any, Any]]:
    """(pointer, name, value) of what stands in an object or a list, in its order."""
    if isinstance(value, dict):
        return [(f"{at}/{_named(name)}", name, each) for name, each in value.items()]
    if isinstance(value, list):
        return [(f"{at}/{number}", None, each) for number, each in enumerate(value)]
    return []


def _inside(value: Any, at: str) -> Iterator[list[tuple[str, Any, Any]]]:
    """The children of every object and list. Without recursion: senders nest as deep as they like."""
    waiting = [(at, value)]
    while waiting:
        place, each = waiting.pop()
        children = _children(each, place)
        if children:
            yield children
        waiting += [(where, child) for where, _, child in reversed(children)]


def _with_numbers(value: Any, at: str) -> Iterator[str]:
    """The pointers of members that hold a number in their value or name."""
    if _is_number(value):
        yield at
    for children in _inside(value, at):
        for place, name, each in children:
            if (name is not None and _holds(name)) or _is_number(each):
                yield place


def _is_number(value: Any) -> bool:
    if isinstance(value, dict | list):
        return False
    return _holds(int(value) if isinstance(value, float) and value.is_integer() else value)


def _split_over(value: Any, at: str) -> Iterator[str]:
    """The pointers of members that make a number with the one before them."""
    for children in _inside(value, at):
        for (_, _, before), (place, _, each) in pairwise(children):
            if _is_piece(before) and _is_piece(each) and is_split(str(before), str(each)):
                yield place


def _is_piece(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _named(name: str) -> str:
    """A member's name as a pointer has it (RFC 6901, 3)."""
    return mask(name)[:_NAME_CHARACTERS].replace("~", "~0").replace("/", "~1")
