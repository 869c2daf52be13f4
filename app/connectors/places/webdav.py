"""Files of a WebDAV server. An address that it tells is never gone to: of it only the name is taken."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from app.connectors.errors import SourceBroken
from app.connectors.places.http import BOUNDS
from app.connectors.places.place import (
    MOST_ENTRIES,
    Entry,
    Opened,
    Place,
    missing,
    size_of,
    usual,
    whole,
)
from app.connectors.places.xml import parsed
from app.connectors.web import Web, below, host_of
from app.kit.outbound import Bounds

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LISTING: Final = Bounds(most_bytes=32 << 20, seconds=60, silent_seconds=30)
_DAV: Final = "{DAV:}"
_ASKED: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    b"<getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)


class DavPlace(Place):
    """A collection of a WebDAV server (RFC 4918)."""

    def __init__(self, base: str, web: Web) -> None:
        self._base, self._web = base, web
        self.host = host_of(base)

    async def check(self) -> None:
        """That the collection is there, and lets itself be listed."""
        await self.look("")

    async def look(self, path: str) -> Entry:
        """What PROPFIND tells of a path itself."""
        for each in await self._propfind(path, "0"):
            return _entry(path, each)
        raise missing(self.host, path)

    async def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """The members of a collection."""
        found = await self._propfind(folder, "1")
        for entry in await asyncio.to_thread(lambda: list(self._members(folder, found))):
            yield entry

    def _members(self, folder: str, found: "list[Element]") -> Iterator[Entry]:
        for each in found:
            href = urlsplit(each.findtext(f"{_DAV}href", "").strip()).path.rstrip("/")
            above, _, name = href.rpartition("/")
            if unquote(above).rstrip("/") != unquote(urlsplit(self._at(folder)).path).rstrip("/"):
                continue  # the collection itself, or what lies elsewhere
            name = unquote(name)
            if name not in ("", ".", "..") and "/" not in name:
                yield _entry(f"{folder}/{name}" if folder else name, each)

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The bytes, of the version that was looked at."""
        del known
        async with self._web.get(self._at(entry.path), bounds=BOUNDS) as answer:
            check_same(entry, answer.headers, self.host)
            yield Opened(self._pieces(answer.pieces, entry), entry.proof)

    async def _pieces(self, pieces: AsyncIterator[bytes], entry: Entry) -> AsyncIterator[bytes]:
        """At their end the file is to be as it was: a server may read what is just written."""
        async for piece in whole(pieces, entry, self.host):
            yield piece
        if await self.look(entry.path) != entry:
            raise SourceBroken(source=self.host, at="moving")

    async def _propfind(self, path: str, depth: str) -> "list[Element]":
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        body = bytearray()
        asking = self._web.get(
            self._at(path), bounds=_LISTING, headers=headers, method="PROPFIND", content=_ASKED,
            takes=(207,),
        )  # fmt: skip
        async with asking as answer:
            async for piece in answer.pieces:
                body += piece
        root = await asyncio.to_thread(parsed, bytes(body), self.host, "WebDAV")
        found = root.findall(f"{_DAV}response")
        if root.tag != f"{_DAV}multistatus":
            raise SourceBroken(source=self.host, at="format", detail="WebDAV")
        if len(found) > MOST_ENTRIES:
            raise SourceBroken(source=self.host, at="crowded", detail=MOST_ENTRIES)
        return found

    def _at(self, path: str) -> str:
        return below(self._base, quote(path)) if path else self._base


def _entry(path: str, response: "Element") -> Entry:
    told: dict[str, str] = {}
    is_folder = False
    for part in response.findall(f"{_DAV}propstat"):
        if " 200" not in part.findtext(f"{_DAV}status", ""):
            continue
        for each in part.findall(f"{_DAV}prop/*"):
            told[each.tag] = (each.text or "").strip()
            is_folder = is_folder or each.find(f"{_DAV}collection") is not None
    return Entry(
        path,
        is_folder,
        None if is_folder else size_of(told.get(f"{_DAV}getcontentlength", "")),
        moment(told.get(f"{_DAV}getlastmodified", "")),
        plain_tag(told.get(f"{_DAV}getetag")),
    )


def plain_tag(text: str | None) -> str | None:
    """An entity tag without what servers write around it in one place and leave out in another."""
    return (text or "").strip().removeprefix("W/").strip('"') or None


def check_same(entry: Entry, headers: Mapping[str, str], host: str) -> None:
    """Raises `SourceBroken` where an answer is of another version than was looked at."""
    tag = plain_tag(headers.get("etag"))
    if tag is not None and entry.tag is not None and tag != entry.tag:
        raise SourceBroken(source=host, at="moving")


def moment(text: str) -> datetime | None:
    """A date of HTTP (RFC 9110, 5.6.7); None for what is none."""
    try:
        return usual(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None
