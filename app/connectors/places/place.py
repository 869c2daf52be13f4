"""A place where files are, whatever it speaks: it lists, looks and reads. It chooses no file.

A new transport is one module with one `Place`, and a line in `opening`.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from app.connectors.errors import SourceBroken
from app.formats.individual_number import holds_number
from app.kit.outbound import Bounds

PIECE: Final = 1 << 20
MOST_ENTRIES: Final = 10_000  # of one folder
# A control character ends a command of FTP; half of a character is in no text.
_NO_NAME: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_LAST_YEAR: Final = 9999
_MOST_DIGITS: Final = 18
LOOK: Final = Bounds(most_bytes=1 << 40, seconds=15, silent_seconds=10)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder, as its place tells of it."""

    path: str  # below the base, parted by "/"
    is_folder: bool = False
    size: int | None = None
    modified: datetime | None = None
    tag: str | None = None  # another one for other bytes, where the place has such
    own: Any = field(default=None, repr=False, compare=False)  # how the place finds it again

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def proof(self) -> dict[str, Any] | None:
        """What shows later that the same bytes are meant; None where the place tells too little.

        A name may be somebody's, and is not kept: of its digest so few signs that they tell files
        of one size and second apart, and say nothing of the name.
        """
        if self.tag is None and self.modified is None:
            return None
        when = self.modified.isoformat() if self.modified is not None else None
        sign = hashlib.sha256(self.path.encode()).hexdigest()[:4]
        told = {"size": self.size, "modified": when, "tag": self.tag, "sign": sign}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is being read: its bytes, once, and what proves later that they are the same."""

    pieces: AsyncIterator[bytes] = field(repr=False)
    proof: Mapping[str, Any] | None = None


class Place(ABC):
    """One base at one source, for one piece of work. Paths are below the base, and have no dots.

    Whatever a transport raises ends here, as a `SourceError`.
    """

    host: str  # as messages name the source
    lists: ClassVar[bool] = True  # without it a path is an address, and its proof comes with it

    @abstractmethod
    async def check(self) -> None:
        """That the source answers, takes us, and has the base."""

    @abstractmethod
    async def look(self, path: str) -> Entry:
        """What is at a path. Raises `SourceBroken` (`missing`)."""

    @abstractmethod
    def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """What is in a folder, in any order; "" is the base."""

    @abstractmethod
    def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AbstractAsyncContextManager[Opened | None]:
        """A file's bytes; None where `known` proves to a place that lists nothing that it has the
        same. Raises `SourceBroken` (`moving`) where they are not those that were looked at."""

    def name_of(self, entry: Entry) -> str:
        """What a publisher would call the file."""
        return entry.name

    async def has(self, path: str) -> bool:
        """Whether there is something at a path."""
        try:
            await self.look(path)
        except SourceBroken as refusal:
            if refusal.at != "missing":
                raise
            return False
        return True


def missing(host: str, path: str) -> SourceBroken:
    """There is no such thing; a name that may be somebody's number is not repeated."""
    shown = path or "/"
    return SourceBroken(
        source=host, at="missing", detail="-" if holds_number(shown.encode()) else shown
    )


def is_plain(text: str) -> bool:
    """Whether a path can be said in any protocol, and kept."""
    return not _NO_NAME.search(text)


async def listed(place: Place, folder: str) -> AsyncGenerator[Entry, None]:
    """What is in a folder under names that can be said."""
    async with aclosing(place.entries(folder)) as entries:
        async for each in entries:
            if is_plain(each.name):
                yield each


def when(seconds: float | None) -> datetime | None:
    """A moment that is told in seconds; None for one that no calendar has."""
    if seconds is None:
        return None
    try:
        return usual(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def usual(moment: datetime) -> datetime | None:
    """A moment in UTC; None for one so far off that some zone has no day for it."""
    told = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return told.astimezone(UTC) if 1 < told.year < _LAST_YEAR else None


def size_of(text: str) -> int | None:
    """A size as a server writes it; None for what is no size that a file could have."""
    is_size = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_size else None


async def whole(
    pieces: AsyncIterator[bytes], entry: Entry, host: str
) -> AsyncGenerator[bytes, None]:
    """As many bytes as were seen, or `SourceBroken`: somebody writes to the file."""
    left = entry.size
    async for piece in pieces:
        if left is not None:
            left -= len(piece)
            if left < 0:
                break
        yield piece
    if left not in (None, 0):
        raise SourceBroken(source=host, at="moving")
