"""A batch of records as HTTP carries it: JSON or NDJSON, within bounds. Knows nothing of fields."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request

from app.kit.errors import AppError, Fault, Kind

_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_RECORDS: Final = 10_000
_JSON: Final = frozenset({"", "application/json"})  # RFC 9110, 8.3: none given may be guessed
_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson"})


class BatchTooLarge(AppError):
    """More than one batch may hold."""

    kind = Kind.TOO_LARGE
    code = "body_too_large"
    ja = "一度に送れるのは {records} 件・{bytes} バイトまでです。分けて送ってください。"
    en = "A batch holds at most {records} records and {bytes} bytes. Send it in parts."

    def __init__(self) -> None:
        super().__init__(records=_MOST_RECORDS, bytes=_MOST_BYTES)


class BatchUnreadable(AppError):
    """The body is no JSON array and no NDJSON."""

    kind = Kind.MALFORMED
    code = "malformed_body"
    ja = "本文は JSON の配列か NDJSON（1行1件）です: {why_ja}"
    en = "The body must be a JSON array or NDJSON, one record a line: {why_en}"

    def __init__(self, ja: str, en: str) -> None:
        fault = Fault("", "not_readable", ja, en)
        super().__init__(why_ja=ja, why_en=en, faults=[fault])


class BatchEmpty(AppError):
    """There is nothing to write."""

    kind = Kind.INVALID
    code = "invalid_input"
    ja = "レコードがありません。1件以上送ってください。"
    en = "There are no records. Send at least one."

    def __init__(self) -> None:
        super().__init__(faults=[Fault("", "too_short", self.ja, self.en)])


class BatchNotTaken(AppError):
    """The body is of another media type."""

    kind = Kind.UNSUPPORTED
    code = "unsupported_media_type"
    ja = "Content-Type は application/json か application/x-ndjson にしてください。"
    en = "Content-Type must be application/json or application/x-ndjson."


@dataclass(frozen=True, slots=True)
class Body:
    """Records as they came, and the identity of their bytes for `Idempotency-Key`."""

    records: list[Any]
    sha256: str


async def read_body(request: Request) -> Body:
    """The batch that a request carries.

    Raises `BatchNotTaken`, `BatchTooLarge`, `BatchUnreadable`, `BatchEmpty`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _JSON | _LINES:
        raise BatchNotTaken
    held = await _bytes(request)
    records = _lines(held) if media_type in _LINES else _array(held)
    if not records:
        raise BatchEmpty
    if len(records) > _MOST_RECORDS:
        raise BatchTooLarge
    return Body(records, hashlib.sha256(held).hexdigest())


async def _bytes(request: Request) -> bytes:
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) > _MOST_BYTES:
            raise BatchTooLarge
    return bytes(held)


def _array(body: bytes) -> list[Any]:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BatchUnreadable(
            f"{exc.lineno}行{exc.colno}文字目が JSON として読めません。",
            f"line {exc.lineno} column {exc.colno} is no JSON.",
        ) from None
    if not isinstance(read, list):
        raise BatchUnreadable("配列ではありません。[ ] で囲んでください。", "not an array.")
    return read


def _lines(body: bytes) -> list[Any]:
    found = []
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                raise BatchUnreadable(
                    f"{number}行目が JSON として読めません。", f"line {number} is no JSON."
                ) from None
    return found
