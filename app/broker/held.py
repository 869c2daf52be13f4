"""Plans and their answers, held by question. An answer held here can never be stale.

The key names an unchanging set of rows and the columns that may leave; who may have it is decided
anew on each request, before this is asked.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from app.broker.plan import Plan

_MOST_PLANS: Final = 4_096
_LONG: Final = 2_048  # characters of a question; longer ones are planned anew each time
_LARGEST_SHARE: Final = 8  # one answer may take this part of the room at most

Key = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Held:
    """A plan and, once it has been answered, the answer's bytes."""

    plan: Plan
    body: bytes | None = None
    rows: int = 0
    next_link: str | None = None
    joined: tuple[int, ...] = ()  # records of each joined dataset
    matched: int | None = None  # all that match, where it was asked for
    groups: int = 0  # of an aggregate, into which `rows` records went
    named_by: bytes | None = None  # what of its bytes tells it from another, where not all do
    headers: tuple[tuple[str, str], ...] = ()
    people: tuple[str, ...] | None = ()  # whom it is about, where the log is told; None: very many


class HeldAnswers:
    """The least recently used go first. Bounded in number and in bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[Key, Held] = OrderedDict()

    def find(self, key: Key) -> Held | None:
        """What is held for a question."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def hold(self, key: Key, held: Held) -> None:
        """Hold a plan, its answer still to come; none of a question that takes much room."""
        self._drop(key)
        if held.plan.length > _LONG:
            return
        self._held[key] = held
        if len(self._held) > _MOST_PLANS:
            self._drop(next(iter(self._held)))

    def fill(self, key: Key, held: Held, answered: Held) -> None:
        """Keep the answer with its plan, if the plan is still held and the answer is not large."""
        size = len(answered.body or b"")
        if self._held.get(key) is not held or size * _LARGEST_SHARE > self._most_bytes:
            return
        self._held[key] = answered
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._held)))

    def _drop(self, key: Key) -> None:
        gone = self._held.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.body or b"")
