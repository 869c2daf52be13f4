"""JSON that sources send in messages: a number keeps its digits, and what is no JSON is said so."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.connectors.errors import UNUSABLE, SourceBroken
from app.connectors.json_texts import KEPT


class Unusable(ValueError):
    """A message that holds no row; `code` is a name of `errors.UNUSABLE`."""

    def __init__(self, code: str) -> None:
        super().__init__(UNUSABLE[code][1])
        self.code = code


def parsed(body: bytes) -> Any:
    """A body as JSON (RFC 8259). Raises `Unusable`."""
    try:
        return json.loads(text_of(body), **KEPT)
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
