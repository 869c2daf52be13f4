"""The kind `linkage`: another platform, or any system that speaks the Linkage Interface.

Asks as the client that it was told to be, under the agreement and for the purpose that were named;
never for more. Platforms that broker each other end at the first that is asked twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, ClassVar, Final

from app.connectors.documents import MOST_PAGES, PAGE, Document, encoded, read
from app.connectors.errors import (
    CannotAnswer,
    SourceBroken,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceRefused,
)
from app.connectors.frame import (
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
from app.connectors.linkage_asking import (
    MOST_FOLLOWED,
    MOST_HELD,
    PAGE_ROWS,
    Pairs,
    as_of,
    changed_of,
    next_of,
    parameters,
    part_of,
    present_of,
    proposal,
    purpose_of,
    reader_of,
    records_of,
    types_of,
    with_parameters,
)
from app.connectors.linkage_page import linkage_page
from app.connectors.linkage_shapes import LinkageSelection, LinkageSettings
from app.connectors.linkage_tokens import NO_READER, PlatformWeb, Right
from app.connectors.records import as_csv
from app.connectors.web import (
    below,
    check_is_no_page,
    conditions,
    host_of,
    is_same_origin,
    joined,
    validators,
)
from app.kit import passage
from app.query.question import Question

_NAME: Final = "records.ndjson"
_JSON: Final = {"Accept": "application/json"}
_FOLLOWS_FROM: Final = "next"
_MOST_PROPOSALS: Final = 10_000
_MOST_RIGHTS: Final = 1_000  # whose tokens are held; each is had for a minute
# What a platform says of a dataset without a key, of a position that is too old, and of a service
# without a feed: whoever hears it asks for all records.
_NO_FEED: Final = frozenset({"missing", "status", "permission"})


class LinkageConnector(Connector[LinkageSettings, LinkageSelection]):
    """Federation."""

    kind = "linkage"
    title_ja = "データ連携標準インタフェース（他の都市OS）"
    title_en = "Linkage Interface (another platform)"
    settings_shape: ClassVar[type[Shape]] = LinkageSettings
    selection_shape: ClassVar[type[Shape]] = LinkageSelection
    capabilities = Capabilities(
        answers=True, filters=True, sorts=True, pages=True, notices_changes=True,
        sends_changes=True, discovers=True,
    )  # fmt: skip

    def __init__(self, settings: LinkageSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._issuer = (settings.issuer or settings.base).rstrip("/")
        self._webs: OrderedDict[Right | None, PlatformWeb] = OrderedDict()

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        for address in (self.settings.base, self._issuer):
            self.means.outbound.check(address, self.settings.connection.way)

    async def check(self, selection: LinkageSelection | None = None) -> None:
        """That it speaks our interface and issues tokens; of a dataset, that it gives a record."""
        if selection is not None:
            records_of(await self._page(self._records(selection, [("limit", "1")]), selection))
            return
        health = await self._page(self._at("health"))
        if not isinstance(health.body, dict) or not isinstance(health.body.get("interface"), str):
            raise SourceBroken(source=health.host, at="format", detail="Linkage Interface")
        await self._web(None).check_issuer()

    @asynccontextmanager
    async def harvest(
        self, selection: LinkageSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """What has changed since, by its feed; else all records, from which the feed leads on."""
        position = known.validators.get(_FOLLOWS_FROM) if known is not None else None
        if position is not None:
            found = await self._changed(selection, position)
            if found is not None:
                rows, reached = found
                yield self._delta(rows, reached) if rows else None
                return
        if first is None and await self._says_none(selection):
            heading = as_csv(list(selection.types), [])
            yield Harvest(heading, "records.csv", WRITTEN_HERE, None, is_empty=True)
            return
        begun = await self._begun(selection) if first is None else None
        if begun is not None:
            proof: dict[str, Any] = {}  # is there once all has been read
            async with aclosing(self._present(selection, begun, proof)) as lines:
                yield Harvest(lines, _NAME, None, proof)
            return
        size = PAGE_ROWS if first is None else min(first, PAGE_ROWS)
        url = self._records(selection, [("limit", str(size))])
        page = await self._page_if(url, selection, conditions(known))
        if page is None:
            yield None
            return
        proven = None if next_of(page) else validators(page.headers)
        async with aclosing(self._lines(selection, page, first)) as lines:
            yield Harvest(lines, _NAME, None, proven)

    def part(self, selection: LinkageSelection, question: Question) -> Question:
        """Conditions on fields of the types that were told, and with all of them order and bounds."""
        return part_of(types_of(selection), question)

    @asynccontextmanager
    async def fetch(
        self, selection: LinkageSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The question, sent on. An answer of one page proves itself the next time."""
        self._require_reader(selection)
        if self.part(selection, question) != question:
            why_ja = "送り先の項目の型が分からない条件です"
            raise CannotAnswer(
                connector=self.kind, why="it has conditions of unknown types", why_ja=why_ja
            )
        most = None if question.limit is None else question.offset + question.limit
        asked = parameters(types_of(selection), question)
        asked.append(("limit", str(PAGE_ROWS if most is None else max(1, min(most, PAGE_ROWS)))))
        url = self._records(selection, asked)
        try:
            page = await self._page_if(url, selection, conditions(known), waits=False)
        except SourceBroken as broken:
            if broken.at != "status":
                raise
            # It knows a field no more, or by another type: what we took it for has changed.
            host = host_of(self.settings.base)
            raise SourceChanged(source=host, at="shape", detail=selection.dataset) from broken
        if page is None:
            yield None
            return
        proven = None if next_of(page) else validators(page.headers)
        async with aclosing(self._batches(selection, page, question.offset, most)) as batches:
            yield Rows(batches, as_of(page), proven)

    def relays(self, selection: LinkageSelection) -> bool:
        """Its words are ours."""
        return True

    @asynccontextmanager
    async def relay(
        self, selection: LinkageSelection, question: Question
    ) -> AsyncIterator[Relayed]:
        """The first page as it comes."""
        self._require_reader(selection)
        names = ",".join(each.name for each in question.fields)
        url = self._records(selection, [("limit", str(question.limit)), ("fields", names)])
        web = self._web(selection)
        try:
            page = await _relayed(web, url)
        except SourceRefused as refusal:  # a token may have been revoked before its time
            if refusal.at != "credentials" or not web.forget():
                raise
            page = await _relayed(web, url)
        yield page

    def _require_reader(self, selection: LinkageSelection) -> None:
        """What is for a reader to have is never asked for as ourselves, whatever forgot to say who."""
        if selection.for_reader and reader_of(selection) is None:
            raise SourceDenied(source=host_of(self.settings.base), reason=NO_READER)

    async def discover(self) -> Sequence[Proposal]:
        """All datasets of its catalogue that it shows to everybody."""
        found: list[Proposal] = []
        page = await self._page(self._at("datasets", [("limit", "100")]))
        async for each in self._pages(None, page):
            found += [proposal(each, entry) for entry in each.objects("datasets")]
            if len(found) >= _MOST_PROPOSALS:
                break
        return found[:_MOST_PROPOSALS]

    async def _changed(
        self, selection: LinkageSelection, position: str
    ) -> tuple[list[dict[str, Any]], str] | None:
        """The records that changed since, and where the feed goes on; None where all is to be read:
        a record has gone, too many came, or nobody can follow from there any more."""
        rows: dict[str, dict[str, Any]] = {}
        for _ in range(MOST_PAGES):
            try:
                page = await self._page(self._changes(selection, position), selection)
            except SourceError as broken:
                if broken.at not in _NO_FEED:
                    raise
                return None
            for key, record in changed_of(page):
                if record is None or len(rows) >= MOST_HELD:
                    return None
                rows[key] = record
            position = page.member("next", str)
            if next_of(page) is None:
                return list(rows.values()), position
        raise SourceBroken(source=host_of(self.settings.base), at="loop")

    def _delta(self, rows: list[dict[str, Any]], reached: str) -> Harvest:
        lines = _each(rows, host_of(self.settings.base))
        return Harvest(lines, _NAME, None, {_FOLLOWS_FROM: reached}, delta=True)

    async def _says_none(self, selection: LinkageSelection) -> bool:
        """Whether that there is no record is what it says, of now: its own source is not away."""
        if not (selection.empty_is_an_answer and selection.types):
            return False
        page = await self._page(
            self._records(selection, [("limit", "1"), ("count", "true")]), selection
        )
        return page.member("numberMatched", int) == 0 and not records_of(page) and not as_of(page)

    async def _begun(self, selection: LinkageSelection) -> Document | None:
        """The first page of the feed; None where there is none, or more than keys can be held of."""
        try:
            asked = [("limit", "1"), ("count", "true")]
            counted = await self._page(self._records(selection, asked), selection)
            if counted.member("numberMatched", int) > MOST_FOLLOWED:
                return None
            return await self._page(self._changes(selection, None), selection)
        except SourceError as broken:
            if broken.at not in _NO_FEED:
                raise
            return None

    async def _present(
        self, selection: LinkageSelection, page: Document, proof: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        """The records as they are; `proof` is where their changes begin."""
        seen: set[int] = set()
        position: str | None = None
        for _ in range(MOST_PAGES):
            rows, is_over = present_of(page, seen)
            if rows:
                yield await asyncio.to_thread(encoded, rows, page.host)
            reached = page.member("next", str)
            if not is_over:
                position = reached
            if is_over or next_of(page) is None:
                if position is not None:
                    proof[_FOLLOWS_FROM] = position
                return
            page = await self._page(self._changes(selection, reached), selection)
        raise SourceBroken(source=page.host, at="loop")

    async def _lines(
        self, selection: LinkageSelection, page: Document, first: int | None
    ) -> AsyncGenerator[bytes, None]:
        taken = 0
        async for each in self._pages(selection, page):
            records = records_of(each)
            taken += len(records)
            if records:
                yield await asyncio.to_thread(encoded, records, each.host)
            if first is not None and taken >= first:
                return

    async def _batches(
        self, selection: LinkageSelection, page: Document, offset: int, most: int | None
    ) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
        """The records behind `offset`, up to `most` in all."""
        taken = 0
        async for each in self._pages(selection, page):
            records = records_of(each)
            yield records[max(0, offset - taken) : None if most is None else most - taken]
            taken += len(records)
            if most is not None and taken >= most:
                return

    async def _pages(
        self, selection: LinkageSelection | None, page: Document
    ) -> AsyncIterator[Document]:
        """A page and those behind it, none of them of another origin."""
        at = self.settings.base
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            yield page
            following = next_of(page)
            if following is None:
                return
            at = joined(at, following)
            if not is_same_origin(at, self.settings.base):
                raise SourceBroken(source=page.host, at="redirect")
            if at in seen:
                break
            seen.add(at)
            page = await self._page(at, selection)
        raise SourceBroken(source=page.host, at="loop")

    async def _page(self, url: str, selection: LinkageSelection | None = None) -> Document:
        found = await self._page_if(url, selection, {})
        if found is None:  # a 304 passes only where a condition was sent
            raise SourceBroken(source=host_of(url), at="status", detail=304)
        return found

    async def _page_if(
        self, url: str, selection: LinkageSelection | None, asked: Mapping[str, str],
        *, waits: bool = True,
    ) -> Document | None:  # fmt: skip
        web = self._web(selection)
        try:
            with _told_on():
                return await read(web, url, asked, waits=waits)
        except SourceRefused as refusal:  # a token may have been revoked before its time
            if refusal.at != "credentials" or not web.forget():
                raise
        return await read(web, url, asked, waits=waits)

    def _web(self, selection: LinkageSelection | None) -> PlatformWeb:
        """A token is for one dataset. Raises `FederationLoop` where the question came from there."""
        if any(is_same_origin(self.settings.base, each) for each in passage.platforms()):
            raise passage.FederationLoop
        right = None
        if selection is not None:
            reader = reader_of(selection)
            right = Right(f"dataset:{selection.dataset}:read", selection.agreement, reader)
        if right in self._webs:
            self._webs.move_to_end(right)
        else:
            if len(self._webs) >= _MOST_RIGHTS:
                self._webs.popitem(last=False)
            self._webs[right] = PlatformWeb(
                self.means.outbound,
                way=self.settings.connection.way,
                client=self.settings.auth,
                issuer=self._issuer,
                right=right,
                speak=self.means.speak,
            )
        return self._webs[right]

    def _records(self, selection: LinkageSelection, asked: Pairs) -> str:
        return self._at(f"datasets/{selection.dataset}/records", [*asked, *purpose_of(selection)])

    def _changes(self, selection: LinkageSelection, since: str | None) -> str:
        asked = [("limit", str(PAGE_ROWS)), *purpose_of(selection)]
        if since is not None:
            asked.append(("since", since))
        return self._at(f"datasets/{selection.dataset}/changes", asked)

    def _at(self, path: str, asked: Pairs | None = None) -> str:
        return with_parameters(below(self.settings.base, f"v1/{path}"), asked or [])


async def _relayed(web: PlatformWeb, url: str) -> Relayed:
    with _told_on():
        answer = await web.whole(url, bounds=PAGE, headers=_JSON)
        check_is_no_page(answer)
        return linkage_page(answer.host, answer.body)


@contextmanager
def _told_on() -> Iterator[None]:
    """A circle that the other platform tells of is told on, as far as who asked first."""
    try:
        yield
    except SourceBroken as broken:
        if broken.at != "circle":
            raise
        raise passage.FederationLoop from broken


async def _each(rows: list[dict[str, Any]], host: str) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(encoded, rows, host)
