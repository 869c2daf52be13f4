"""Which entry of the log speaks of the present request: noted where it is written, for the answer.

A number is noted once its entry is committed, never before: an entry that was taken back has none.
"""

from contextvars import ContextVar


class Receipt:
    """The number of the newest entry that a request made; None while it made none."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number: int | None = None


_of_request: ContextVar[Receipt | None] = ContextVar("receipt", default=None)


def begin() -> Receipt:
    """Open the receipt of a request; what runs for the request finds it."""
    receipt = Receipt()
    _of_request.set(receipt)
    return receipt


def current() -> Receipt | None:
    """The receipt of the request that this runs for; None for jobs and commands."""
    return _of_request.get()
