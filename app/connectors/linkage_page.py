"""A page of records in the words of the Linkage Interface, taken apart without reading the records.

What stands around them is read and kept back; they come out as the bytes that they are.
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.frame import Relayed
from app.kit import clock

_OPENING: Final = re.compile(rb'"records"\s*:\s*\[')
_CLOSING: Final = re.compile(rb'\]\s*,\s*"links"\s*:')
_MOST_TAIL: Final = 64 << 10
_OLDEST_S: Final = 10**9


def linkage_page(host: str, body: bytes) -> Relayed:
    """The records of an answer. Raises `SourceBroken`, `SourceChanged`.

    What stands before and behind them must be JSON by itself: nothing in a record can be taken for
    their end, for then it would not be.
    """
    opening = _OPENING.search(body, 0, _MOST_TAIL)
    if opening is None:
        raise SourceChanged(source=host, at="shape", detail="/records")
    behind = max(opening.end() - 1, len(body) - _MOST_TAIL)
    closing = max(_CLOSING.finditer(body, behind), key=re.Match.start, default=None)
    if closing is None:
        raise SourceChanged(source=host, at="shape", detail="/links")
    start, end = opening.end(), max(closing.start(), opening.end())
    head = _read(host, body[: opening.start()].rstrip().rstrip(b",") + b"}")
    tail = _read(host, b"{" + body[closing.start() + 1 :].lstrip().removeprefix(b","))
    count = head.get("numberReturned")
    if type(count) is not int or count < 0:
        raise SourceChanged(source=host, at="shape", detail="/numberReturned")
    links = tail.get("links")
    more = isinstance(links, list) and any(
        isinstance(each, dict) and each.get("rel") == "next" for each in links
    )
    meta = tail.get("meta", head.get("meta"))
    return Relayed(count, _once(body[start:end]), more, stale_since(meta))


def stale_since(meta: object) -> datetime | None:
    """Since when the other platform's own source has not been reached, where its answer says so."""
    if not isinstance(meta, Mapping) or meta.get("stale") is not True:
        return None
    age = meta.get("age_seconds")
    if not isinstance(age, int | float | Decimal) or not 0 <= age <= _OLDEST_S:
        return None
    return clock.now() - timedelta(seconds=float(age))


def _read(host: str, part: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(part)
    except ValueError as exc:
        raise SourceBroken(source=host, at="format", detail="JSON") from exc
    if not isinstance(found, dict):
        raise SourceChanged(source=host, at="shape", detail="/")
    return found


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
