"""The trace that what is done here belongs to (W3C Trace Context). Holds nothing of what is done."""

import secrets
from contextvars import ContextVar
from typing import Final

trace_id: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)  # 32 hex digits


def traceparent() -> dict[str, str]:
    """The header for one call that belongs to the trace; none where there is no trace."""
    trace = trace_id.get()
    return {} if trace is None else {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
