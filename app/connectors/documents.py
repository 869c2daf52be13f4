"""JSON answers of the kinds that page through them: read whole, within bounds, off the loop.

A number keeps its digits, text that is not what it says it is is refused, and nothing is guessed.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken, SourceChanged, SourceSlow
from app.connectors.frame import SILENT_SECONDS
from app.connectors.json_texts import EXACT, parsed
from app.connectors.web import Web, check_is_no_page, host_of
from app.kit.outbound import Bounds

MOST_PAGE: Final = 64 << 20
MOST_PAGES: Final = 100_000
PAGE: Final = Bounds(most_bytes=MOST_PAGE, seconds=120, silent_seconds=SILENT_SECONDS)
_LONGEST_WAIT: Final = 60.0  # within one piece of work; longer ones are for the worker to wait
_MOST_WAITS: Final = 5
_SHAPED: Final = frozenset({"coordinates", "geometries"})  # RFC 7946, 3.1
_IN_LOOP: Final = 64 * 1024  # what is read without a thread


@dataclass(frozen=True, slots=True)
class Document:
    """One answer: what it says, and its headers. None of the one for an answer of 304."""

    host: str
    body: Any = field(repr=False)
    headers: Mapping[str, str]

    def member(self, name: str, kind: type[Any]) -> Any:
        """A member of an object. Raises `SourceChanged` where it is missing or something else."""
        found = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(found, kind):
            raise SourceChanged(source=self.host, at="shape", detail=name)
        return found

    def objects(self, name: str) -> list[dict[str, Any]]:
        """A member that is a list of objects. Raises `SourceChanged`."""
        found = self.member(name, list)
        if not all(isinstance(each, dict) for each in found):
            raise SourceChanged(source=self.host, at="shape", detail=name)
        return list(found)


async def read(
    web: Web, url: str, headers: Mapping[str, str] | None = None, *, waits: bool = True
) -> Document | None:
    """The JSON of an address, asked for again where the source asks for a moment; None for a 304.

    Who answers somebody at once does not wait: they are told when to come again, and so is whoever
    watches the source. Raises `SourceError`.
    """
    for tried in range(_MOST_WAITS):
        try:
            return await _asked(web, url, headers or {})
        except SourceSlow as slow:
            wait = slow.after_seconds
            if wait is None or wait > _LONGEST_WAIT or not waits or tried == _MOST_WAITS - 1:
                raise
            await asyncio.sleep(wait)
    return None


async def told(web: Web, url: str, headers: Mapping[str, str] | None = None) -> Document:
    """The JSON of an address that is asked for without a condition. Raises `SourceError`."""
    found = await read(web, url, headers)
    if found is None:  # a 304 passes only where a condition was sent
        raise SourceBroken(source=host_of(url), at="status", detail=304)
    return found


async def _asked(web: Web, url: str, headers: Mapping[str, str]) -> Document | None:
    async with web.get(url, bounds=PAGE, headers={"Accept": "application/json", **headers}) as got:
        if got.status == 304:
            return None
        check_is_no_page(got)
        body = bytearray()
        async for piece in got.pieces:
            body += piece
    if len(body) < _IN_LOOP:
        return Document(got.host, parsed(got, bytes(body), EXACT), got.headers)
    return Document(got.host, await asyncio.to_thread(parsed, got, bytes(body), EXACT), got.headers)


def encoded(rows: Iterable[Mapping[str, Any]], host: str) -> bytes:
    """Rows as JSON lines, each number with its own digits.

    A geometry is a text, for the take-in makes columns of what an object holds.
    """
    try:
        return b"".join(
            orjson.dumps({name: _cell(value) for name, value in each.items()}, default=_as_told)
            + b"\n"
            for each in rows
        )
    except orjson.JSONEncodeError as exc:  # a lone surrogate, or too deep
        raise SourceBroken(source=host, at="format", detail="JSON") from exc


def _cell(value: Any) -> Any:
    is_shape = isinstance(value, dict) and "type" in value and not _SHAPED.isdisjoint(value)
    return orjson.dumps(value, default=_as_told).decode() if is_shape else value


def _as_told(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError
