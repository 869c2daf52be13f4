"""Answers of sources in memory: as long as they are fresh, to be proven, or the last good ones.

Bounded in bytes. Which of them may be given, and to whom, is not decided here.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final

_LARGEST_SHARE: Final = 4  # one copy may take this part of the room at most
_ROW_BYTES: Final = 256
_VALUE_BYTES: Final = 64
_COPY_BYTES: Final = 4096  # of one of no record, with a question of few words
_ASKED_BYTES: Final = 16  # about, for each character of a question

Record = dict[str, Any]


@dataclass(slots=True, eq=False)
class Copy:
    """What a source has answered: records of the dataset's types, never changed by anybody.

    `held_at` is the moment, of `time.monotonic`, at which the source was last known to say this; `fresh_for` says
    for how long it need not be asked again.
    """

    records: list[Record] = field(repr=False)
    rejected: int  # of its rows, those that are no records of the dataset
    came: int  # its rows, good or not
    held_at: float
    body: bytes | None = field(default=None, repr=False)  # in its own words, where those pass
    more: bool = False  # and whether it has a further page
    as_of: datetime | None = None
    validators: Mapping[str, Any] | None = None
    fresh_for: float = 0.0
    stored: bool = True  # whether the source lets it be kept
    size: int = 0

    def is_fresh(self, now: float) -> bool:
        """Whether the source itself says that it would say the same."""
        return now < self.held_at + self.fresh_for

    def weigh(self) -> int:
        """About how many bytes it takes."""
        if self.body is not None:
            return len(self.body)
        values = chain.from_iterable(map(dict.values, self.records))
        texts = sum([len(value) for value in values if type(value) is str])
        fields = len(self.records[0]) if self.records else 0
        return len(self.records) * (_ROW_BYTES + _VALUE_BYTES * fields) + texts * 2


class Copies:
    """The least recently used go first. One a process."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[Hashable, tuple[Hashable, Copy]] = OrderedDict()
        self._of: dict[Hashable, set[Hashable]] = {}

    @property
    def size(self) -> int:
        """About how many bytes are held."""
        return self._bytes

    def find(self, key: Hashable) -> Copy | None:
        """What is held for a question."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[1]

    def keep(self, key: Hashable, copy: Copy, *, owner: Hashable = None, asked_in: int = 0) -> None:
        """Hold an answer in place of the one before; `asked_in` characters, which its key holds."""
        self.drop(key)
        told = _COPY_BYTES + _ASKED_BYTES * asked_in + len(repr(copy.validators))
        size = copy.size or copy.weigh() + told
        if size * _LARGEST_SHARE > self._most_bytes:
            return
        copy.size = size
        self._held[key] = (owner, copy)
        self._of.setdefault(owner, set()).add(key)
        self._bytes += size
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._held)))

    def drop(self, key: Hashable) -> None:
        """Forget an answer."""
        gone = self._held.pop(key, None)
        if gone is None:
            return
        owner, copy = gone
        self._bytes -= copy.size
        self._of[owner].discard(key)
        if not self._of[owner]:
            del self._of[owner]

    def drop_of(self, owner: Hashable) -> None:
        """Forget all answers of one owner."""
        for key in tuple(self._of.get(owner, ())):
            self.drop(key)
