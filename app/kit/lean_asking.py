"""The bytes of a question over HTTP, for what is asked at request time. Opens nothing."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from app.kit import trace
from app.kit.lean import Origin
from app.kit.outbound_refusals import refused

_IN_TARGET: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986: what stands in an address as it is


def question(url: str, origin: Origin, headers: Mapping[str, str], *, agent: str) -> bytes:
    """The bytes of a GET. Raises `OutboundRefused` for what would end a line."""
    parts = urlsplit(url)
    target = quote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
                   safe=_IN_TARGET)  # fmt: skip
    at = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    told = {
        "Host": at,
        "User-Agent": agent,
        "Accept-Encoding": "identity",
        **headers,
        **trace.sent(),
    }
    lines = [f"GET {target} HTTP/1.1", *[f"{name}: {value}" for name, value in told.items()]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise refused(origin.host, "a header holds a line end", "ヘッダに改行が含まれています")
    return text.encode("latin-1", "replace")
