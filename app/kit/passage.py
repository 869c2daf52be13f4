"""What a request brings along for whoever is asked because of it: its trace, and the platforms that
it came through. Decides nothing.

Platforms that broker each other's data would ask each other for ever: each writes itself into
`Linkage-Via`, and is asked no more by what has come through it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

VIA: Final = "Linkage-Via"
MOST_PLATFORMS: Final = 4  # that one question goes through, the last one included
_PLATFORM: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,300}")  # visible, and no comma
# W3C Trace Context, 3.2.2: neither id is all noughts, and no version is ff.
_TRACE: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class Passage:
    """The platforms that a question came through, this one last, and the trace that it is part of."""

    platforms: tuple[str, ...] = ()
    trace: Mapping[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the next one is told."""
        via = {VIA: ", ".join(self.platforms)} if self.platforms else {}
        return {**via, **(self.trace or {})}


_NONE: Final = Passage()
_now: ContextVar[Passage] = ContextVar("passage", default=_NONE)


def current() -> Passage:
    """The passage of the request that is being answered; an empty one where there is none."""
    return _now.get()


@contextmanager
def taken_up(headers: Iterable[tuple[bytes, bytes]], own: Passage) -> Iterator[bool]:
    """What a request brings, for as long as it is answered. Gives False where the request has come
    through here before, or through too many.

    `own`: this platform alone, which is what most requests go on with.
    """
    found, is_new = _read(headers, own)
    token = _now.set(found)
    try:
        yield is_new
    finally:
        _now.reset(token)


def _read(headers: Iterable[tuple[bytes, bytes]], own: Passage) -> tuple[Passage, bool]:
    via, trace, state = "", "", ""
    for name, value in headers:
        if name == b"linkage-via":
            via = f"{via},{value.decode('latin-1')}"
        elif name == b"traceparent":
            trace = value.decode("latin-1")
        elif name == b"tracestate":
            state = value.decode("latin-1")
    if not via and not trace:
        return own, True
    came = tuple(filter(None, (each.strip() for each in via.split(","))))
    is_new = not set(came) & set(own.platforms) and len(came) < MOST_PLATFORMS
    is_well = all(map(_PLATFORM.fullmatch, came))
    return Passage((*came, *own.platforms), _traced(trace, state)), is_new and is_well


def _traced(trace: str, state: str) -> dict[str, str]:
    if _TRACE.fullmatch(trace) is None:
        return {}
    return {"traceparent": trace, **({"tracestate": state} if _STATE.fullmatch(state) else {})}
