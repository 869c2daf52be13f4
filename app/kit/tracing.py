"""The trace that what is done here belongs to (W3C Trace Context). Holds nothing of what is done."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_TRACE: Final[ContextVar[str | None]] = ContextVar("trace", default=None)


@contextmanager
def traced(trace_id: str) -> Iterator[None]:
    """What is done in the block belongs to a trace: 32 hexadecimal digits."""
    before = _TRACE.set(trace_id)
    try:
        yield
    finally:
        _TRACE.reset(before)


def traceparent() -> dict[str, str]:
    """The header for one call that belongs to the trace; none where there is no trace."""
    trace = _TRACE.get()
    return {} if trace is None else {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
