"""For whom a source is asked: told to another platform that decides by its own rules. Decides nothing."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads here, why, and by which agreement of ours they may; `client` is None for nobody
    that another platform could know: without a token, or acting for a person."""

    client: str | None
    organization: str | None
    purpose: str | None
    agreement: str | None


@dataclass(frozen=True, slots=True)
class Speech:
    """What this platform is to say of a reader, to whom, and through which client of theirs."""

    reader: Reader
    audience: str
    actor: str
    scope: str


# Puts this platform's name beneath it.
Speak: TypeAlias = Callable[[Speech], Awaitable[str]]
_now: ContextVar[Reader | None] = ContextVar("behalf", default=None)


def reader() -> Reader | None:
    """For whom a source is asked now; None where it is for nobody in particular."""
    return _now.get()


@contextmanager
def reading_for(whom: Reader | None) -> Iterator[None]:
    """Sources that are asked in the block are asked for them."""
    token = _now.set(whom)
    try:
        yield
    finally:
        _now.reset(token)
