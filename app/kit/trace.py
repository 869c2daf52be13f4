"""The trace that a request belongs to, on its way to whoever is asked for its sake (W3C Trace Context).

It keeps none; a job of ours has one by its id.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_FORM: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
_Trace = tuple[str, str, str]  # the trace's id, its flags, its state

_NONE: Final[_Trace] = ("", "", "")
_now: ContextVar[_Trace] = ContextVar("trace", default=_NONE)


def begin(parent: bytes | None, state: bytes | None) -> None:
    """Remember what a request came with; what is no trace is none (3.2.2.1)."""
    found = _FORM.match(parent) if parent is not None else None
    if found is None or (found[1] == b"00" and found.end() != len(parent or b"")):
        _now.set(_NONE)
        return
    told = state.decode("ascii") if state is not None and _STATE.fullmatch(state) else ""
    _now.set((found[2].decode(), found[3].decode(), told))


@contextmanager
def traced(trace_id: str) -> Iterator[None]:
    """What is done in the block belongs to a trace of ours: 32 hexadecimal digits."""
    before = _now.set((trace_id, "01", ""))
    try:
        yield
    finally:
        _now.reset(before)


def sent() -> dict[str, str]:
    """What a question to somebody else goes with: the same trace, and a step of our own."""
    trace_id, flags, state = _now.get()
    if not trace_id:
        return {}
    told = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"}
    return {**told, "tracestate": state} if state else told
