"""A page of records in the words of the Linkage Interface, taken apart without reading the records.

What stands around them is read and kept back; they come out as the bytes that they are.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.frame import Relayed

_OPENING: Final = b'"records":['
_CLOSING: Final = b'],"links":'


def linkage_page(host: str, body: bytes) -> Relayed:
    """The records of an answer. Raises `SourceBroken`, `SourceChanged`.

    What stands before and behind them must be JSON by itself: nothing in a record can be taken for
    their end, for then it would not be.
    """
    start, end = body.find(_OPENING), body.rfind(_CLOSING)
    if start < 0 or end < start + len(_OPENING) - 1:
        raise SourceChanged(source=host, at="shape", detail="/records")
    head = _read(host, body[:start].rstrip().rstrip(b",") + b"}")
    tail = _read(host, b"{" + body[end + 2 :].lstrip())
    count = head.get("numberReturned")
    if type(count) is not int or count < 0:
        raise SourceChanged(source=host, at="shape", detail="/numberReturned")
    links = tail.get("links")
    more = isinstance(links, list) and any(
        isinstance(each, dict) and each.get("rel") == "next" for each in links
    )
    return Relayed(count, _once(body[start + len(_OPENING) : end]), more)


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
