"""The kind `ngsi`: entities of a context broker, asked for page by page, and told of as they change.

A subscription is ours to renew and to remove: one that is forgotten ends by itself within a day.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import urlencode, urlsplit

import orjson

from app.connectors import ngsi_words as words
from app.connectors.errors import CannotAnswer, SourceBroken, SourceChanged
from app.connectors.frame import (
    SILENT_SECONDS,
    Capabilities,
    Changes,
    Connector,
    Harvest,
    Inbox,
    Known,
    Means,
    Message,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.ngsi_shapes import NgsiSelection, NgsiSettings
from app.connectors.payload import Unusable, encoded, parsed
from app.connectors.web import Web, below, check_is_no_page, host_of
from app.kit import clock
from app.kit.outbound import Bounds, Streamed
from app.query.question import Question

_PAGE_ROWS: Final = 500
_MOST_PAGES: Final = 20_000
_BOUNDS: Final = Bounds(most_bytes=16 << 20, seconds=120, silent_seconds=SILENT_SECONDS)
_WORD: Final = Bounds(most_bytes=256 << 10, seconds=20)  # of a subscription
_LASTS: Final = timedelta(days=1)
_RENEWED_S: Final = 6 * 3600.0
_IN_LOOP: Final = 64 * 1024  # what is read without a thread
_NAME: Final = re.compile(r"[A-Za-z0-9:._~-]{1,250}")


@dataclass(frozen=True, slots=True)
class _Page:
    rows: list[dict[str, Any]]
    total: int | None


class NgsiConnector(Connector[NgsiSettings, NgsiSelection]):
    """NGSIv2 and NGSI-LD brokers: Orion, Orion-LD, Scorpio, Stellio and others."""

    kind = "ngsi"
    title_ja = "NGSI コンテキストブローカー（Orion など）"
    title_en = "NGSI context broker (Orion and others)"
    settings_shape: ClassVar[type[Shape]] = NgsiSettings
    selection_shape: ClassVar[type[Shape]] = NgsiSelection
    capabilities = Capabilities(
        answers=True, filters=True, pages=True, streams=True, discovers=True
    )

    def __init__(self, settings: NgsiSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)
        self._host = host_of(settings.base)

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._web.check(self.settings.base)

    async def check(self, selection: NgsiSelection | None = None) -> None:
        """Ask for one entity; of the broker alone, whether it answers."""
        if selection is None:
            await self._web.check_answers(self.settings.base)
        else:
            await self._page(selection, {}, 1, 0)

    @asynccontextmanager
    async def harvest(
        self, selection: NgsiSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """All entities of the type as JSON lines."""
        page = await self._page(selection, {}, min(first or _PAGE_ROWS, _PAGE_ROWS), 0)
        async with aclosing(self._lines(selection, page, first)) as lines:
            yield Harvest(lines, "entities.ndjson")

    async def _lines(
        self, selection: NgsiSelection, page: _Page, first: int | None
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._pages(selection, {}, page, first)) as pages:
            async for rows in pages:
                yield await asyncio.to_thread(encoded, rows, self._host)

    def part(self, selection: NgsiSelection, question: Question) -> Question:
        """Comparisons of what the selection says may be asked; a page, where nothing else is asked."""
        kept, is_whole = words.filter_of(question.where, self._pushed(selection))
        where = question.where if is_whole else words.together(kept)
        others = (question.box, question.near, question.after, question.order, question.joins)
        if is_whole and not any(others):
            return Question(question.fields, where, limit=question.limit, offset=question.offset)
        return Question(question.fields, where, limit=None)

    @asynccontextmanager
    async def fetch(
        self, selection: NgsiSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The entities of a question as `part` gave it."""
        if self.part(selection, question) != question:
            why_ja = "この条件・並べ替えは扱えません"
            raise CannotAnswer(
                connector=self.kind, why="it cannot filter or sort so", why_ja=why_ja
            )
        kept, _ = words.filter_of(question.where, self._pushed(selection))
        asked = words.asked(kept, self.settings.version)
        if selection.q and "q" in asked:
            asked["q"] = f"{selection.q};{asked['q']}"
        wanted, start = question.limit, question.offset
        page = await self._page(selection, asked, min(wanted or _PAGE_ROWS, _PAGE_ROWS), start)
        names = [each.name for each in question.fields]
        async with aclosing(self._pages(selection, asked, page, wanted, start)) as pages:
            yield Rows(_named(pages, names))

    def _pushed(self, selection: NgsiSelection) -> frozenset[str]:
        """Nothing is put behind a filter of somebody's with `|`; an id stands in a pattern's place."""
        if selection.q and "|" in selection.q:
            return frozenset()
        own = () if selection.id_pattern else ("id",)
        return frozenset((*selection.pushes, *own))

    @asynccontextmanager
    async def listen(
        self, selection: NgsiSelection, position: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[Changes]]:
        """Subscribe, take all that is there now (which is what came while we were away), and then
        what the broker sends."""
        inbox = self.means.inbox
        if inbox is None:
            raise CannotAnswer(
                connector=self.kind, why="nobody can send to us here", why_ja="通知を受け取れません"
            )
        name = await self._subscribe(selection, inbox, (position or {}).get("subscription"))
        async with aclosing(self._heard(selection, inbox, name)) as changes:
            yield changes

    async def _heard(
        self, selection: NgsiSelection, inbox: Inbox, name: str
    ) -> AsyncGenerator[Changes, None]:
        after, loop = 0, asyncio.get_running_loop()
        while True:
            yield Changes(position={"subscription": name})
            while messages := await inbox.next(after, 0):  # older than what is asked for now
                for each in messages:
                    yield await asyncio.to_thread(_changes, each, selection)
                after = messages[-1].number
            # All that is there: a broker does not tell again what it could not get rid of.
            page = await self._page(selection, {}, _PAGE_ROWS, 0)
            async with aclosing(self._pages(selection, {}, page, None)) as pages:
                async for rows in pages:
                    yield Changes(rows=rows)
            ends_at = loop.time() + _RENEWED_S
            while (left := ends_at - loop.time()) > 0:
                for each in await inbox.next(after, left):
                    yield await asyncio.to_thread(_changes, each, selection)
                    after = each.number
            name = await self._subscribe(selection, inbox, name)

    async def forget(self, selection: NgsiSelection, position: Mapping[str, Any]) -> None:
        """Remove the subscription."""
        path = words.subscription_path(self.settings.version, str(position["subscription"]))
        await self._send("DELETE", path, selection, None, (204, 404))

    async def _subscribe(self, selection: NgsiSelection, inbox: Inbox, name: str | None) -> str:
        """Renew a subscription, or make one where there is none; its name."""
        version = self.settings.version
        make = words.v2_subscription if version == "v2" else words.ld_subscription
        wanted = words.Wanted(
            selection.type, selection.id_pattern, selection.attributes, selection.q,
            selection.format == "normalized", selection.deletions,
        )  # fmt: skip
        until = clock.now().astimezone(UTC) + _LASTS
        body = make(wanted, (inbox.url, inbox.headers), until)
        if name is not None:
            path = words.subscription_path(version, name)
            if await self._send("PATCH", path, selection, body, (204, 404)) == 204:
                return name
        return await self._made(selection, body)

    async def _made(self, selection: NgsiSelection, body: Mapping[str, Any]) -> str:
        url = below(self.settings.base, words.path_of(self.settings.version, "subscriptions"))
        headers = {**self._headers(selection), "Content-Type": "application/json"}
        answer = await self._web.send(
            "POST", url, headers=headers, content=orjson.dumps(body), bounds=_WORD, fine=(201,)
        )
        path = urlsplit(answer.headers.get("location", "")).path
        name = path.rstrip("/").rpartition("/")[2]
        if answer.status != 201 or not _NAME.fullmatch(name):
            raise SourceBroken(source=self._host, at="format", detail="NGSI")
        return name

    async def _send(
        self, method: str, path: str, selection: NgsiSelection, body: Mapping[str, Any] | None,
        fine: tuple[int, ...],
    ) -> int:  # fmt: skip
        headers = self._headers(selection)
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = await self._web.send(
            method, below(self.settings.base, path), headers=headers, bounds=_WORD, fine=fine,
            content=orjson.dumps(body) if body is not None else None,
        )  # fmt: skip
        return answer.status

    async def discover(self) -> Sequence[Proposal]:
        """The types that the broker knows, with their attributes where it tells them."""
        version = self.settings.version
        document, _ = await self._asked(words.path_of(version, "types"), {}, self._headers(None))
        if version == "ld":
            listed = document.get("typeList") if isinstance(document, dict) else None
            listed = [{"type": each} for each in listed or ()]
        else:
            listed = document
        if not isinstance(listed, list):
            raise SourceChanged(source=self._host, at="shape", detail="types")
        return [
            Proposal(
                each["type"], {"type": each["type"]},
                tuple({"name": name} for name in ("id", "type", *(each.get("attrs") or {}))),
            )
            for each in listed
            if isinstance(each, dict) and isinstance(each.get("type"), str)
        ]  # fmt: skip

    async def _pages(
        self, selection: NgsiSelection, asked: Mapping[str, str], page: _Page,
        most: int | None, start: int = 0,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:  # fmt: skip
        """Page after page until all have come, or `most`."""
        got, last = 0, None
        for _ in range(_MOST_PAGES):
            if page.rows and page.rows[0].get("id") == last:
                raise SourceBroken(source=self._host, at="loop")
            last = page.rows[0].get("id") if page.rows else None
            got += len(page.rows)
            if page.rows:
                yield page.rows
            is_enough = most is not None and got >= most
            if is_enough or not page.rows or start + got == page.total:
                if not is_enough and page.total is not None and start + got < page.total:
                    raise SourceBroken(source=self._host, at="moving")
                return
            size = _PAGE_ROWS if most is None else min(most - got, _PAGE_ROWS)
            page = await self._page(selection, asked, size, start + got)
        raise SourceBroken(source=self._host, at="loop")

    async def _page(
        self, selection: NgsiSelection, asked: Mapping[str, str], limit: int, offset: int
    ) -> _Page:
        is_v2 = self.settings.version == "v2"
        told = {"type": selection.type, "limit": str(limit), "offset": str(offset)}
        options = ["keyValues"] if selection.format == "keyValues" else []
        if is_v2:
            options.append("count")
        else:
            told["count"] = "true"
        optional = {
            "options": ",".join(options), "idPattern": selection.id_pattern, "q": selection.q,
            "attrs": ",".join(selection.attributes),
        }  # fmt: skip
        told |= {name: value for name, value in optional.items() if value}
        path = words.path_of(self.settings.version, "entities")
        document, headers = await self._asked(path, {**told, **asked}, self._headers(selection))
        if not isinstance(document, list) or not all(map(_is_entity, document)):
            raise SourceChanged(source=self._host, at="shape", detail="entities")
        is_normalized = selection.format == "normalized"
        rows = [words.row_of(each, is_normalized=is_normalized) for each in document]
        total = headers.get("fiware-total-count" if is_v2 else "ngsild-results-count", "")
        return _Page(rows, int(total) if total.isascii() and total.isdigit() else None)

    async def _asked(
        self, path: str, told: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[Any, Mapping[str, str]]:
        url = below(self.settings.base, path) + (f"?{urlencode(told)}" if told else "")
        async with self._web.get(url, bounds=_BOUNDS, headers=headers) as answer:
            check_is_no_page(answer)
            body = b"".join([piece async for piece in answer.pieces])
        if len(body) < _IN_LOOP:
            return _read(answer, body), answer.headers
        return await asyncio.to_thread(_read, answer, body), answer.headers

    def _headers(self, selection: NgsiSelection | None) -> dict[str, str]:
        its = self.settings
        told = {
            "Fiware-Service": its.service, "Fiware-ServicePath": its.service_path,
            "NGSILD-Tenant": its.tenant, "Accept": "application/json",
        }  # fmt: skip
        named = {name: value for name, value in told.items() if value is not None}
        is_ld = its.version == "ld" and selection is not None
        return {**named, **(words.link_to(selection.context) if is_ld and selection else {})}


def _changes(message: Message, selection: NgsiSelection) -> Changes:
    """What a notification says."""
    rows: list[Mapping[str, Any]] = []
    gone: list[Mapping[str, Any]] = []
    unusable: list[str] = []
    try:
        entities = _told(parsed(message.body))
    except Unusable as wrong:
        entities, unusable = [], [wrong.code]
    for entity in entities:
        if not _is_entity(entity):
            unusable.append("message_no_id")
        elif words.is_deletion(entity):
            gone.append({"id": entity["id"], "type": entity.get("type")})
        else:
            kept = {name: value for name, value in entity.items() if name != "alterationType"}
            rows.append(words.row_of(kept, is_normalized=selection.format == "normalized"))
    return Changes(rows=rows, gone=gone, unusable=unusable, taken=message.number)


def _told(document: Any) -> list[Any]:
    """The entities of a notification. Raises `Unusable`."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise Unusable("message_no_object")
    return data


def _is_entity(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("id"), str)


def _read(answer: Streamed, body: bytes) -> Any:
    try:
        return parsed(body)
    except Unusable as wrong:
        at, detail = (
            ("charset", "UTF-8") if wrong.code == "message_not_text" else ("format", "JSON")
        )
        raise SourceBroken(source=answer.host, at=at, detail=detail) from wrong


async def _named(
    pages: AsyncIterator[list[dict[str, Any]]], names: Sequence[str]
) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    async for rows in pages:
        yield [{name: row.get(name) for name in names} for row in rows]
