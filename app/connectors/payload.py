"""JSON that sources send in messages: a number keeps its digits, and what is no JSON is said so."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.connectors.errors import UNUSABLE, SourceBroken


class Unusable(ValueError):
    """A message that holds no row; `code` is a name of `errors.UNUSABLE`."""

    def __init__(self, code: str) -> None:
        super().__init__(UNUSABLE[code][1])
        self.code = code


def parsed(body: bytes) -> Any:
    """A body as JSON (RFC 8259). Raises `Unusable`."""
    try:
        return json.loads(
            text_of(body), parse_float=_kept, parse_int=_whole, parse_constant=_refused
        )
    except (ValueError, RecursionError) as exc:
        if isinstance(exc, Unusable):
            raise
        raise Unusable("message_not_json") from exc


def encoded(rows: Sequence[Mapping[str, Any]], source: str) -> bytes:
    """Rows as JSON lines. Raises `SourceBroken`."""
    try:
        return b"".join(orjson.dumps(each) + b"\n" for each in rows)
    except orjson.JSONEncodeError as exc:  # a lone surrogate, or too deep
        raise SourceBroken(source=source, at="format", detail="JSON") from exc


def text_of(body: bytes) -> str:
    """A body as text. Raises `Unusable`."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Unusable("message_not_text") from exc


def _kept(number: str) -> orjson.Fragment:
    """A number with all its digits, whatever a float would make of them."""
    return orjson.Fragment(number.encode())


def _whole(number: str) -> int | orjson.Fragment:
    return int(number) if len(number) < 19 else orjson.Fragment(number.encode())


def _refused(word: str) -> None:
    raise ValueError(word)  # NaN and Infinity are no JSON (RFC 8259, 6)
