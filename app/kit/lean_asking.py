"""The bytes of a question over HTTP, for what is asked at request time. Opens nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from app.kit import trace
from app.kit.lean import Origin
from app.kit.outbound_refusals import refused

_IN_TARGET: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986: what stands in an address as it is


@dataclass(frozen=True, slots=True)
class Target:
    """Where an address leads, and how a question names it."""

    origin: Origin
    line: str
    at: str


def target(url: str, origin: Origin) -> Target:
    """What of a question its address alone says."""
    parts = urlsplit(url)
    path = parts.path or "/"
    asked = quote(f"{path}?{parts.query}" if parts.query else path, safe=_IN_TARGET)
    at = parts.netloc.encode("idna").decode() if not parts.netloc.isascii() else parts.netloc
    return Target(origin, f"GET {asked} HTTP/1.1", at)


def question(to: Target, headers: Mapping[str, str], *, agent: str) -> bytes:
    """The bytes of a GET. Raises `OutboundRefused` for what would end a line."""
    told = {
        "Host": to.at,
        "User-Agent": agent,
        "Accept-Encoding": "identity",
        **headers,
        **trace.sent(),
    }
    lines = [to.line, *[f"{name}: {value}" for name, value in told.items()]]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise refused(to.origin.host, "a header holds a line end", "ヘッダに改行が含まれています")
    return text.encode("latin-1", "replace")
