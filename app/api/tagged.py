"""Answers with an ETag: named by the hash of their bytes, 304 for who has them. Decides nothing."""

import hashlib
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

JSON: Final = "application/json"


def tagged(
    request: Request,
    body: bytes,
    *,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
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
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=kept)
    if request.method == "HEAD":
        return Response(headers={**kept, "Content-Length": str(len(body))}, media_type=media_type)
    return Response(body, headers=kept, media_type=media_type)


def _matches(known: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    named = [one.strip().removeprefix("W/") for one in (known or "").split(",")]
    return etag in named or named == ["*"]
