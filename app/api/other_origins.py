"""What pages of other origins may ask (Fetch Standard, 3.3): what anybody may, and no more."""

from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

# Pages of any origin may ask what anybody may: a token is sent by who has it, and a cookie never
# (Fetch Standard, 3.3: without allow-credentials no answer to one is shown to them).
_ANYBODY: Final[dict[str, Any]] = {
    "allow_origins": ("*",),
    "allow_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": ("*",),
    "expose_headers": (
        "ETag", "Link", "Linkage-Receipt", "Location", "RateLimit", "RateLimit-Policy",
        "Retry-After", "WWW-Authenticate", "X-Request-Id",
    ),
    "max_age": 600,
}  # fmt: skip


def let_pages_ask(app: FastAPI) -> None:
    """Tell browsers so. Not inside a closed network: a page from outside would ask with its reach."""
    app.add_middleware(CORSMiddleware, **_ANYBODY)
