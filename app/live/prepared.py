"""What a question comes to at its source, found once for all who ask it in the same words.

It holds no answer and decides nothing: what may leave is in the question, which is decided anew.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from app.live.parted import Parted, parted
from app.live.relayed import Look, can_pass
from app.live.sources import Opened
from app.query.question import Question
from app.tables.encode import Wording

LONG: Final = 2_048  # characters of a question; what longer ones come to is not held
_MOST: Final = 4_096


class Name:
    """A key that is reckoned once: questions are long to look through."""

    __slots__ = ("_hash", "_told")

    def __init__(self, *told: Hashable) -> None:
        self._told = told
        self._hash = hash(told)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Name) and self._told == other._told)


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """A page that leaves in its source's own words."""

    name: Name
    asked: Question
    look: Look


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Records that are made of the source's rows, `need` of them; None: all that it has."""

    name: Name
    part: Parted
    need: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One question as it is asked of one source, by those who see the same."""

    question: Question
    wording: Wording
    opened: Opened
    seen: Hashable
    passed: Passed | None
    made: Made

    def is_of(self, question: Question, wording: Wording, opened: Opened, seen: Hashable) -> bool:
        """Whether it is of this very question."""
        return (
            self.question is question
            and self.wording is wording
            and self.opened is opened
            and self.seen == seen
        )


class Preparations:
    """Those of one process, found by their question: the broker holds one for the same words."""

    def __init__(self) -> None:
        self._held: dict[int, Prepared] = {}

    def of(
        self, question: Question, wording: Wording, opened: Opened, seen: Hashable, skip: int
    ) -> Prepared:
        """What a question comes to; `skip` records of its answer are passed over."""
        found = self._held.get(id(question))
        if found is not None and found.is_of(question, wording, opened, seen):
            return found
        made = prepare(question, wording, opened, seen, skip)
        if len(self._held) >= _MOST:
            self._held.clear()
        self._held[id(question)] = made  # which holds the question: no other has its number
        return made


def prepare(
    question: Question, wording: Wording, opened: Opened, seen: Hashable, skip: int
) -> Prepared:
    """What a question comes to, found anew."""
    mapping, connector = opened.feed.mapping, opened.source.connector
    passed = None
    if not skip and can_pass(question, wording, mapping) and connector.relays(opened.selection):
        name = Name(opened.name, "relay", question.fields, question.limit, seen)
        asked = Question(question.fields, limit=question.limit)
        passed = Passed(name, asked, Look(question.fields))
    part = parted(connector, opened.selection, question, opened.fields, mapping, skip=skip)
    need = _need(question, part, skip)
    # Of a part that is not read to its end, which records it has hangs on who asks for what.
    told = (question.where, question.box, need) if need is not None else None
    made = Made(Name(opened.name, part.asked, seen, told), part, need)
    return Prepared(question, wording, opened, seen, passed, made)


def _need(question: Question, part: Parted, skip: int) -> int | None:
    """How many records that belong to the answer are enough; None: all that the source has."""
    if part.is_cut or question.order or question.near or question.count or question.limit is None:
        return None
    return skip + question.limit + 1
