"""The kind `http_json`: records of any JSON interface, page after page, as one file of lines.

A number keeps its digits, an answer is a whole one or none, and no page leads to another origin.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

import orjson
from pydantic import ConfigDict, Field, StringConstraints

from app.connectors.connection import Connection
from app.connectors.errors import CannotAnswer, SourceBroken, SourceChanged, SourceSlow
from app.connectors.frame import (
    SILENT_SECONDS,
    WRITTEN_HERE,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Relayed,
    Rows,
    Shape,
)
from app.connectors.json_asked import asked_part, parameters
from app.connectors.json_pages import (
    ByOffset,
    ByPage,
    OnePage,
    Page,
    Paging,
    ParameterName,
    Pointer,
    Walk,
    asked_with,
    following,
    found_at,
)
from app.connectors.json_texts import KEPT, parsed, plain
from app.connectors.linkage_page import linkage_page
from app.connectors.web import (
    Address,
    NoProof,
    Proof,
    Web,
    below,
    check_is_no_page,
    conditions,
    freshness,
    host_of,
    is_same_origin,
    validators,
)
from app.kit.outbound import Answer, Bounds, Streamed
from app.query.question import Question

# Its records take many times as much while they are held, and reading them holds up everybody.
_MOST_PAGE: Final = 16 << 20
_MOST_PAGES: Final = 100_000
_PAGE: Final = Bounds(most_bytes=_MOST_PAGE, seconds=120, silent_seconds=SILENT_SECONDS)
_LIVE: Final = Bounds(most_bytes=_MOST_PAGE, seconds=60, silent_seconds=SILENT_SECONDS)
_LONGEST_WAIT: Final = 60.0  # within a harvest; longer ones are for the worker to wait
_MOST_WAITS: Final = 5
_IN_LOOP: Final = 64 * 1024  # what is read without a thread
_SAMPLE: Final = 20
_MOST_REMEMBERED: Final = 4_096
_LONG_ADDRESS: Final = 2_048  # its question is as long, and held beside it


class HttpJsonSettings(Shape):
    """Where the interface is, and how we prove ourselves to it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base": "https://api.city.example.jp/v2",
                    "auth": {"type": "api_key", "header": "X-API-Key", "key": "..."},
                }
            ]
        }
    )
    base: Address
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)


class HttpJsonSelection(Shape):
    """Which records: a path below the base, what is asked for, and where in the answer they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": "shelters",
                    "query": {"open": "true"},
                    "rows": "/items",
                    "paging": {"style": "offset", "size": 100},
                }
            ]
        }
    )
    path: Annotated[str, StringConstraints(max_length=1_000)] = ""
    query: Annotated[dict[ParameterName, Annotated[str, StringConstraints(max_length=1_000)]],
                     Field(max_length=50, default_factory=dict)]  # fmt: skip
    rows: Pointer = Field(default="", description="JSON pointer to the list (RFC 6901)")
    paging: Paging = Field(default_factory=OnePage)
    equals: Annotated[
        dict[ParameterName, ParameterName], Field(max_length=50, default_factory=dict)
    ] = Field(
        description="Live: by a member of the records the parameter that asks for one value of it"
    )
    linkage: bool = Field(
        default=False,
        description="Live: its records come in the very words of the Linkage Interface, and pages"
        " of them are passed on as they are",
    )


class HttpJsonConnector(Connector[HttpJsonSettings, HttpJsonSelection]):
    """REST and its like."""

    kind = "http_json"
    title_ja = "HTTP API（JSON）"
    title_en = "HTTP interface (JSON)"
    settings_shape: ClassVar[type[Shape]] = HttpJsonSettings
    selection_shape: ClassVar[type[Shape]] = HttpJsonSelection
    capabilities = Capabilities(
        notices_changes=True, discovers=True, answers=True, filters=True, pages=True
    )

    def __init__(self, settings: HttpJsonSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)
        self._addresses: dict[int, tuple[tuple[Any, ...], str]] = {}

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._web.check(self.settings.base)

    async def check(self, selection: HttpJsonSelection | None = None) -> None:
        """Ask for one page, and look for the records in it."""
        if selection is None:
            await self._web.check_answers(self.settings.base)
        else:
            await self._page(self._first(selection), selection.rows)

    @asynccontextmanager
    async def harvest(
        self, selection: HttpJsonSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The records as JSON lines. Only a source of one page can prove that nothing changed."""
        url = self._first(selection)
        is_one = isinstance(selection.paging, OnePage)
        page = await self._page(url, selection.rows, known if is_one else None)
        if page is None:
            yield None
            return
        async with aclosing(self._lines(page, url, selection, first)) as lines:
            yield Harvest(
                lines, "records.ndjson", WRITTEN_HERE, validators(page.headers) if is_one else None
            )

    def part(self, selection: HttpJsonSelection, question: Question) -> Question:
        """Equality with what has a parameter, and a page where nothing else is asked."""
        return asked_part(question, self._free(selection))

    @asynccontextmanager
    async def fetch(
        self, selection: HttpJsonSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """Page after page, until there are as many records as are wanted."""
        url = self._address(selection, question, self._asked_at)
        skip = question.offset
        if isinstance(selection.paging, ByOffset):
            size = min(selection.paging.size, question.limit or selection.paging.size)
            url = asked_with(url, {selection.paging.parameter: str(skip),
                              selection.paging.size_parameter: str(size)})  # fmt: skip
            skip = 0
        is_one = isinstance(selection.paging, OnePage)
        page = await self._asked(url, selection.rows, known if is_one else None, is_live=True)
        if page is None:
            yield None
            return
        fresh, may_be_kept = freshness(page.headers)
        async with aclosing(self._batches(page, url, selection, skip, question.limit)) as batches:
            yield Rows(
                batches, validators=validators(page.headers) if is_one else None,
                fresh_seconds=fresh, may_be_kept=may_be_kept,
            )  # fmt: skip

    async def _batches(
        self, page: Page, url: str, selection: HttpJsonSelection, skip: int, limit: int | None
    ) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
        """Records behind the first `skip`, `limit` of them; an offset counts on from its first."""
        paging, walk, left = selection.paging, Walk(), limit
        if isinstance(paging, ByOffset):
            asked = dict(parse_qsl(urlsplit(url).query))
            walk.rows = int(asked[paging.parameter])
            paging = paging.model_copy(update={"size": int(asked[paging.size_parameter])})
        for _ in range(_MOST_PAGES):
            records, skip = page.records[skip:], max(skip - len(page.records), 0)
            if left is not None:
                records, left = records[:left], max(left - len(records), 0)
            if records:
                yield records
            walk.take(page)
            onward = None if left == 0 else following(page, url, paging, walk)
            if onward is None:
                return
            if onward == url or not is_same_origin(onward, self.settings.base):
                raise SourceBroken(source=host_of(url), at="redirect")
            url = onward
            found = await self._asked(url, selection.rows, None, is_live=True)
            if found is None:
                break
            page = found
        raise SourceBroken(source=host_of(url), at="loop")

    def relays(self, selection: HttpJsonSelection) -> bool:
        """Where the selection says that its words are ours."""
        return selection.linkage

    @asynccontextmanager
    async def relay(
        self, selection: HttpJsonSelection, question: Question
    ) -> AsyncIterator[Relayed]:
        """The first page, as the Linkage Interface has it."""
        url = self._address(selection, question, self._relayed_at)
        answer = await self._web.whole(url, bounds=_LIVE, headers={"Accept": "application/json"})
        check_is_no_page(answer)
        yield linkage_page(answer.host, answer.body)

    def _address(
        self, selection: HttpJsonSelection, question: Question,
        made: Callable[[HttpJsonSelection, Question], str],
    ) -> str:  # fmt: skip
        """Where a question is asked; the same one comes again and again."""
        before, found = self._addresses.get(id(question), (None, ""))
        if before == (question, selection, made):
            return found
        found = made(selection, question)
        if len(found) > _LONG_ADDRESS:
            return found
        if len(self._addresses) >= _MOST_REMEMBERED:
            self._addresses.clear()
        self._addresses[id(question)] = (question, selection, made), found
        return found

    def _asked_at(self, selection: HttpJsonSelection, question: Question) -> str:
        if self.part(selection, question) != question:
            why_ja = "条件か並べ替えを扱えません"
            raise CannotAnswer(connector=self.kind, why="it cannot judge it", why_ja=why_ja)
        return asked_with(self._first(selection), parameters(question, self._free(selection)))

    def _relayed_at(self, selection: HttpJsonSelection, question: Question) -> str:
        names = ",".join(each.name for each in question.fields)
        return asked_with(self._first(selection), {"limit": str(question.limit), "fields": names})

    async def discover(self) -> Sequence[Proposal]:
        """The lists of records in the answer at the base itself, by where they stand."""
        page = await self._page(self.settings.base, None)
        if page is None:
            return ()
        found = [("", page.document)] if isinstance(page.document, list) else []
        if isinstance(page.document, dict):
            found = [(f"/{_escaped(name)}", value) for name, value in page.document.items()]
        return [
            Proposal(at.lstrip("/") or "records", {"rows": at}, _fields(value))
            for at, value in found
            if _are_records(value)
        ]

    def _free(self, selection: HttpJsonSelection) -> dict[str, str]:
        """The parameters that a question may set: those of which the selection says nothing, or it
        could ask for what the selection leaves out."""
        said = {name for name, _ in parse_qsl(urlsplit(self._first(selection)).query, True)}
        return {name: asked for name, asked in selection.equals.items() if asked not in said}

    def _first(self, selection: HttpJsonSelection) -> str:
        base = self.settings.base
        url = below(base, selection.path) if selection.path else base
        asked = dict(selection.query)
        match selection.paging:
            case ByPage(parameter=name, first=number, size_parameter=sized, size=size):
                asked[name] = str(number)
                if sized is not None and size is not None:
                    asked[sized] = str(size)
            case ByOffset(parameter=name, size_parameter=sized, size=size):
                asked |= {name: "0", sized: str(size)}
        return asked_with(url, asked)

    async def _lines(
        self, page: Page, url: str, selection: HttpJsonSelection, first: int | None
    ) -> AsyncGenerator[bytes, None]:
        """Each page's records, encoded; `first` pages are enough where only so many rows are."""
        seen: set[bytes] = set()
        walk = Walk()
        for _ in range(_MOST_PAGES):
            if page.digest in seen:
                raise SourceBroken(source=host_of(url), at="loop")
            seen.add(page.digest)
            if page.records:
                yield await asyncio.to_thread(_encoded, page.records)
            walk.take(page)
            onward = following(page, url, selection.paging, walk)
            if onward is None or (first is not None and walk.rows >= first):
                return
            if not is_same_origin(onward, self.settings.base):
                raise SourceBroken(source=host_of(url), at="redirect")
            url = onward
            found = await self._page(url, selection.rows)
            if found is None:
                break
            page = found
        raise SourceBroken(source=host_of(url), at="loop")

    async def _page(self, url: str, rows: str | None, known: Known | None = None) -> Page | None:
        """One page, asked for again where the source asks for a moment; None for a 304."""
        for tried in range(_MOST_WAITS):
            try:
                return await self._asked(url, rows, known)
            except SourceSlow as slow:
                wait = slow.after_seconds
                if wait is None or wait > _LONGEST_WAIT or tried == _MOST_WAITS - 1:
                    raise
                await asyncio.sleep(wait)
        return None

    async def _asked(
        self, url: str, rows: str | None, known: Known | None, *, is_live: bool = False
    ) -> Page | None:
        headers = {"Accept": "application/json", **conditions(known)}
        if is_live:
            whole = await self._web.whole(url, bounds=_LIVE, headers=headers)
            if whole.status == 304:
                return None
            check_is_no_page(whole)
            return await _page_of(whole, whole.body, rows, is_plain=True)
        async with self._web.get(url, bounds=_PAGE, headers=headers) as answer:
            if answer.status == 304:
                return None
            check_is_no_page(answer)
            body = bytearray()
            async for piece in answer.pieces:
                body += piece
        return await _page_of(answer, bytes(body), rows, is_plain=False)


async def _page_of(
    answer: Streamed | Answer, body: bytes, rows: str | None, *, is_plain: bool
) -> Page:
    if len(body) < _IN_LOOP:
        return _read(answer, body, rows, is_plain=is_plain)
    return await asyncio.to_thread(_read, answer, body, rows, is_plain=is_plain)


def _read(answer: Streamed | Answer, body: bytes, rows: str | None, *, is_plain: bool) -> Page:
    document = plain(answer, body) if is_plain else parsed(answer, body, KEPT)
    records: list[dict[str, Any]] = []
    if rows is not None:
        found = found_at(document, rows)
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise SourceChanged(source=answer.host, at="shape", detail=rows or "/")
        records = found
    return Page(document, records, answer.headers, hashlib.sha256(body).digest())


def _encoded(records: list[dict[str, Any]]) -> bytes:
    try:
        return b"".join(orjson.dumps(each) + b"\n" for each in records)
    except orjson.JSONEncodeError as exc:  # a lone surrogate, or too deep
        raise SourceBroken(source="-", at="format", detail="JSON") from exc


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) for e in value)


def _fields(records: list[dict[str, Any]]) -> tuple[dict[str, str], ...]:
    names = dict.fromkeys(name for each in records[:_SAMPLE] for name in each)
    return tuple({"name": name} for name in names)
