"""When a source is left alone: after failures in a row, for a while, until one question succeeds.

It asks nothing, and counts as failures only what leaving alone could mend.
"""

import random
from enum import StrEnum
from typing import Final

from app.connectors.errors import SourceError

_FAILURES: Final = 5
_FIRST_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 60.0
_MOST_ASKED_FOR: Final = 300.0


class State(StrEnum):
    """Closed lets every question by, open none, half-open one that tries."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """Of one source. Times are those of the loop's clock."""

    def __init__(self) -> None:
        self._in_row = 0
        self._opened = 0  # times in a row
        self._until = float("-inf")
        self._is_trying = False

    def state(self, now: float) -> State:
        """As it is shown."""
        if not self._opened:
            return State.CLOSED
        return State.OPEN if now < self._until else State.HALF_OPEN

    def left(self, now: float) -> float:
        """For how many seconds the source is left alone; none: a question may go."""
        match self.state(now):
            case State.OPEN:
                return self._until - now
            case State.HALF_OPEN if self._is_trying:
                return 1.0
        return 0.0

    def waits(self, now: float) -> float:
        """The same, and where none are left the question is begun: of a half-open one the only."""
        left = self.left(now)
        self._is_trying = self._is_trying or (not left and bool(self._opened))
        return left

    def given_up(self) -> None:
        """A question ended with no word of the source: who asked has gone."""
        self._is_trying = False

    def succeeded(self) -> None:
        """The source has answered."""
        self._in_row = self._opened = 0
        self._is_trying = False

    def failed(self, error: SourceError, now: float) -> None:
        """The source has failed; one that says no, or answers otherwise, is there."""
        if error.at == "pace" and error.after_seconds is not None:
            self._open(now, min(error.after_seconds, _MOST_ASKED_FOR))
        elif not error.passes:
            self.succeeded()
        else:
            self._in_row += 1
            if self._is_trying or self._in_row >= _FAILURES:
                doubled = _FIRST_SECONDS * 2.0 ** min(self._opened, 10)
                jitter = random.uniform(0.8, 1.0)  # noqa: S311 - no secret: processes come apart
                self._open(now, min(doubled, _MOST_SECONDS) * jitter)

    def _open(self, now: float, seconds: float) -> None:
        self._opened += 1
        self._until = now + seconds
        self._is_trying = False
