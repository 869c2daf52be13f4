"""The one base of every refusal: a kind for the door, a stable code, and words in two languages."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Kind(StrEnum):
    """What sort of refusal this is. Each door has one table from kind to its own dialect."""

    MALFORMED = "malformed"  # the request cannot be read
    INVALID = "invalid"  # it can be read, and what it says is wrong
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    NOT_ACCEPTABLE = "not_acceptable"
    GONE = "gone"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"  # the caller speaks another version of the protocol
    MISMATCH = "mismatch"  # the bytes that came are not those that were announced
    TOO_LARGE = "too_large"
    RANGE = "range"  # the part that was asked for is not there
    UNSUPPORTED = "unsupported"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    LOOP = "loop"  # whoever is asked asks us again
    BAD_ANSWER = "bad_answer"  # somebody behind us answers with what cannot be used
    NO_ANSWER = "no_answer"  # somebody behind us does not answer in time


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in an input: where, which rule, and how to mend it in two languages."""

    pointer: str  # a JSON pointer, or the name of a query parameter
    code: str
    ja: str
    en: str


class AppError(Exception):
    """Base of every refusal. Subclasses stand beside the code that raises them.

    `ja` and `en` are templates filled with the keywords of the constructor. They name the thing
    and the mend; never a secret, never a row.
    """

    kind: ClassVar[Kind]
    code: str
    ja: ClassVar[str]
    en: ClassVar[str]

    def __init__(self, *, faults: Sequence[Fault] = (), **named: Any) -> None:
        self.named = named
        self.faults = tuple(faults)
        self.logged = False  # whoever wrote the refusal to the log says so here
        self.headers: dict[str, str] = {}  # for a door that speaks HTTP
        super().__init__(self.en.format(**named))

    def words(self, language: str) -> str:
        """The detail in `language` (`ja` or `en`)."""
        return (self.en if language == "en" else self.ja).format(**self.named)
