"""Entries of RSS and Atom feeds, as records, one by one as they come. Asks nobody."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.safe_xml import Reader, local, text

COLUMNS: Final = (
    "id", "title", "link", "summary", "author", "categories", "published_at", "updated_at",
)  # fmt: skip
_MOST: Final = 20_000
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


async def entries(host: str, pieces: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    """All entries, each id once, the latest word of it. Holds no more of a feed than they are.

    Raises `SourceBroken` for what is no XML, and `SourceChanged` for what is no feed.
    """
    reader, found, root = Reader(host, "RSS / Atom"), dict[str, dict[str, Any]](), None
    async for piece in pieces:
        for event, element in reader.feed(piece):
            if root is None:
                root = element
                if local(root) not in _ROOTS:
                    raise SourceChanged(source=host, at="shape", detail="RSS / Atom")
            if event == "end" and local(element) == _ROOTS[local(root)] and _is_shallow(element):
                record = _record(element)
                _keep(found, record)
                _let_go(element)
                if len(found) > _MOST:
                    raise SourceBroken(source=host, at="too_many", detail=_MOST)
    reader.close()
    return list(found.values())


def _keep(found: dict[str, dict[str, Any]], record: dict[str, Any]) -> None:
    before = found.get(record["id"])
    if before is None or (record["updated_at"] or "") > (before["updated_at"] or ""):
        found[record["id"]] = record


def _is_shallow(element: Any) -> bool:
    """Whether it is an entry of the feed, and not what somebody quotes within one."""
    return sum(1 for _ in element.iterancestors()) <= 2


def _let_go(element: Any) -> None:
    element.clear(keep_tail=False)
    parent = element.getparent()
    while parent is not None and (before := element.getprevious()) is not None:
        parent.remove(before)


def _record(entry: Any) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name, called in _NAMES.items():
        its = {local(each): each for each in reversed(entry) if local(each) in called}
        first = next((its[each] for each in called if each in its), None)
        made[name] = _moment(text(first)) if name in _TIMES else text(first)
    categories = [each.get("term") or text(each) for each in entry if local(each) == "category"]
    made["categories"] = ", ".join(filter(None, categories)) or None
    made["link"] = _link(entry)
    made["id"] = made["id"] or made["link"] or _digest(made)
    return made


def _link(entry: Any) -> str | None:
    """Where an entry leads: Atom's has a relation, of which `alternate` is meant by none."""
    links = [each for each in entry if local(each) == "link"]
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
        except ValueError:
            return None
    return found.isoformat() if found.tzinfo is not None else None
