"""Entries of RSS and Atom feeds, as records, one by one as they come. Asks nobody."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.safe_xml import Reader, local, text

COLUMNS: Final = (
    "id", "title", "link", "summary", "author", "categories", "published_at", "updated_at",
)  # fmt: skip
_MOST: Final = 20_000
_MOST_HELD: Final = 50_000  # elements of one entry, or before the first
# To free what was read, lxml looks through all of it for each element that a piece had.
_AT_ONCE: Final = 1 << 10
_ROOTS: Final = {"feed": "entry", "rss": "item", "RDF": "item"}  # Atom, RSS 0.9x and 2.0, RSS 1.0
# What each member is called: RSS 2.0, Atom (RFC 4287), Dublin Core. The first that is there counts.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id", "guid"),
    "title": ("title",),
    "summary": ("summary", "description", "content", "encoded"),
    "author": ("creator", "author"),
    "published_at": ("published", "pubDate", "issued", "date"),
    "updated_at": ("updated", "modified"),
}
_TIMES: Final = ("published_at", "updated_at")
_NEVER: Final = datetime.min.replace(tzinfo=UTC).isoformat()


async def entries(host: str, pieces: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    """All entries, each id once, the latest word of it. Holds no more of a feed than they are.

    Raises `SourceBroken` for what is no XML, and `SourceChanged` for what is no feed.
    """
    # A parser of libxml2 stays in the thread that made it; one start tag may take it a second.
    thread, loop = ThreadPoolExecutor(1), asyncio.get_running_loop()
    try:
        gathering = await loop.run_in_executor(thread, _Gathering, host)
        async for piece in pieces:
            await loop.run_in_executor(thread, gathering.read, piece)
        return await loop.run_in_executor(thread, gathering.ended)
    finally:
        thread.shutdown(wait=False)


class _Gathering:
    """What has come of a feed."""

    def __init__(self, host: str) -> None:
        self.host, self.reader = host, Reader(host, "RSS / Atom", _MOST_HELD)
        self.found: dict[str, dict[str, Any]] = {}
        self._entry: str | None = None  # what an entry is called here

    def read(self, piece: bytes) -> None:
        """The entries that end in a piece."""
        for at in range(0, len(piece), _AT_ONCE):
            self._read(piece[at : at + _AT_ONCE])

    def _read(self, piece: bytes) -> None:
        for event, element in self.reader.feed(piece):
            name = local(element)
            if self._entry is None:
                self._entry = _ROOTS.get(name)
                if self._entry is None:
                    raise SourceChanged(source=self.host, at="shape", detail="RSS / Atom")
            if event == "end" and name == self._entry and _is_shallow(element):
                self._keep(_record(element))
                self.reader.let_go(element)

    def ended(self) -> list[dict[str, Any]]:
        """All entries, once all has come."""
        self.reader.close()
        return list(self.found.values())

    def _keep(self, record: dict[str, Any]) -> None:
        before = self.found.get(record["id"])
        if before is None or _updated(record) > _updated(before):
            self.found[record["id"]] = record
        if len(self.found) > _MOST:
            raise SourceBroken(source=self.host, at="too_many", detail=_MOST)


def _is_shallow(element: Any) -> bool:
    """Whether it is an entry of the feed, and not what somebody quotes within one."""
    return sum(1 for _ in element.iterancestors()) <= 2


def _updated(record: dict[str, Any]) -> datetime:
    """When it was: 09:00 of Japan is before 00:30 of Greenwich."""
    return datetime.fromisoformat(record["updated_at"] or record["published_at"] or _NEVER)


def _record(entry: Any) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(COLUMNS)
    members: dict[str, list[Any]] = {}
    for each in entry:
        members.setdefault(local(each), []).append(each)
    for name, called in _NAMES.items():
        first = next((members[each][0] for each in called if each in members), None)
        made[name] = _moment(text(first)) if name in _TIMES else text(first)
    categories = [each.get("term") or text(each) for each in members.get("category", ())]
    made["categories"] = ", ".join(filter(None, categories)) or None
    made["link"] = _link(members.get("link", []))
    made["id"] = made["id"] or made["link"] or _digest(made)
    return made


def _link(links: list[Any]) -> str | None:
    """Where an entry leads: Atom's has a relation, of which `alternate` is meant by none."""
    main = [each for each in links if each.get("rel", "alternate") == "alternate"]
    for each in [*main, *links]:
        if address := each.get("href") or text(each):
            return str(address).strip()[:2_000]
    return None


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(repr((record["title"], record["published_at"])).encode()).hexdigest()


def _moment(said: str | None) -> str | None:
    """RFC 3339 or RFC 5322 as RFC 3339; None where it says no zone, for it may be any."""
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        try:
            found = parsedate_to_datetime(said)
        except (ValueError, OverflowError):
            return None
    return found.isoformat() if found.tzinfo is not None else None
