"""Answers with an ETag: named by the hash of their bytes, 304 for who has them. Decides nothing."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.kit import clock

JSON: Final = "application/json"
# A date names a whole second: within it something may still change (RFC 9110, 8.8.2.2).
_SETTLED: Final = timedelta(seconds=2)


def tagged(
    request: Request,
    body: bytes,
    *,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
    modified_at: datetime | None = None,
) -> Response:
    """The answer to a GET or HEAD. One with a token may hold what others may not know of."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    is_private = "authorization" in request.headers
    kept = {
        "ETag": etag,
        "Cache-Control": "private, no-cache" if is_private else "public, no-cache",
        "Vary": "Authorization",
        **(headers or {}),
    }
    if modified_at is not None and clock.now() - modified_at >= _SETTLED:
        kept["Last-Modified"] = format_datetime(modified_at.astimezone(UTC), usegmt=True)
    if is_known(request, etag, modified_at):
        return Response(status_code=304, headers=kept)
    if request.method == "HEAD":
        return Response(headers={**kept, "Content-Length": str(len(body))}, media_type=media_type)
    return Response(body, headers=kept, media_type=media_type)


def is_known(request: Request, etag: str, modified_at: datetime | None = None) -> bool:
    """Whether the client has it already (RFC 9110, 13.2.2: a date counts only without a tag)."""
    known = request.headers.get("if-none-match")
    since = request.headers.get("if-modified-since")
    if known is not None or since is None or modified_at is None:
        return _matches(known, etag)
    try:
        return modified_at.replace(microsecond=0) <= parsedate_to_datetime(since)
    except (
        TypeError,
        ValueError,
    ):  # no date at all, or one without an offset: as if it were absent
        return False


def _matches(known: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    named = [one.strip().removeprefix("W/") for one in (known or "").split(",")]
    return etag.removeprefix("W/") in named or named == ["*"]
