"""The kind `ogc`: features of a map server, by OGC API - Features or WFS, in CRS84 whatever it has.

Half of what a server says that it has is not taken for all of it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from app.connectors import ogc_features
from app.connectors.connection import Connection
from app.connectors.documents import Document, encoded
from app.connectors.errors import CannotAnswer, SourceBroken, SourceChanged
from app.connectors.frame import (
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.ogc_asking import Can, Filters, Shown
from app.connectors.ogc_places import Axis
from app.connectors.ogc_wfs import Version, Wanted, Wfs
from app.connectors.web import Address, NoProof, Proof, Web, host_of
from app.query.question import Question

_NAME: Final = "features.ndjson"
_Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Batches = AsyncGenerator[list[dict[str, Any]], None]


class OgcSettings(Shape):
    """Where the server is, what it speaks, and how we prove ourselves to it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"base": "https://maps.example.lg.jp/ogc"},
                {"base": "https://maps.example.lg.jp/geoserver/wfs", "speaks": "wfs"},
            ]
        }
    )
    base: Address
    speaks: Literal["features", "wfs"] = "features"
    version: Version = Field(default="2.0.0", description="Of WFS")
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)


class OgcSelection(Shape):
    """Which collection (the name of a type, for WFS), and how its features become rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"collection": "shelters", "types": {"name": "string"}, "filters": "cql2"}]
        }
    )
    collection: _Text
    geometry: _Word | None = Field(
        default="geometry", description="What a row calls the place; null: rows have none"
    )
    id: _Word | None = Field(default=None, description="What a row calls the feature's id")
    axis: Axis = Field(
        default="auto", description="xy or yx where the server's own word on its axes is wrong"
    )
    query: Annotated[
        dict[_Word, Annotated[str, StringConstraints(max_length=1_000)]], Field(max_length=20)
    ] = Field(default_factory=dict, description="More that is asked each time, such as datetime")
    types: Annotated[dict[_Word, _Word], Field(max_length=1_000)] = Field(
        default_factory=dict,
        description="What features can be asked by, as the server tells it. `string` says as well"
        " that no blank stands around its values, and no full-width letter in codes",
    )
    filters: Filters = "none"
    json_form: _Word | None = Field(
        default=None, alias="json", description="What a WFS calls GeoJSON; otherwise GML is asked"
    )

    @property
    def shown(self) -> Shown:
        """How rows are made of features."""
        return Shown(self.geometry, self.id, self.axis)


class OgcConnector(Connector[OgcSettings, OgcSelection]):
    """Map servers."""

    kind = "ogc"
    title_ja = "OGC API Features・WFS（地図サーバー）"
    title_en = "OGC API Features, WFS (map servers)"
    settings_shape: ClassVar[type[Shape]] = OgcSettings
    selection_shape: ClassVar[type[Shape]] = OgcSelection
    capabilities = Capabilities(
        answers=True, filters=True, pages=True, notices_changes=True, discovers=True
    )

    def __init__(self, settings: OgcSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)

    @property
    def _features(self) -> ogc_features.Features:
        return ogc_features.Features(self._web, self.settings.base)

    @property
    def _wfs(self) -> Wfs | None:
        if self.settings.speaks == "features":
            return None
        return Wfs(self._web, self.settings.base, self.settings.version)

    @property
    def _starts_anywhere(self) -> bool:
        """WFS 1.1 gives features from the first on."""
        return self.settings.version != "1.1.0"

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._web.check(self.settings.base)

    async def check(self, selection: OgcSelection | None = None) -> None:
        """That it tells what it has; of a collection, that features of it would come."""
        its = self._wfs or self._features
        await its.check(None if selection is None else selection.collection)

    @asynccontextmanager
    async def harvest(
        self, selection: OgcSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """All features as JSON lines. Only one that comes on one page can prove that it is the same."""
        page, proven = None, None
        if self._wfs is None:
            page = await self._first(selection, Question((), limit=first), known)
            if page is None:
                yield None
                return
            proven = self._features.proof(page)
        rows = self._rows(selection, page, Question((), limit=first))
        async with aclosing(_lines(rows, host_of(self.settings.base))) as lines:
            yield Harvest(lines, _NAME, None, proven)

    def part(self, selection: OgcSelection, question: Question) -> Question:
        """Conditions that the server's own types bear, and a box somewhat larger than was asked."""
        return self._can(selection).part(question)

    @asynccontextmanager
    async def fetch(
        self, selection: OgcSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The features of a question."""
        if not self._is_part(selection, question):
            why_ja = "並べ替えと、項目の型が分からない条件は扱えません"
            raise CannotAnswer(
                connector=self.kind, why="it takes no order and no unknown types", why_ja=why_ja
            )
        page, proven = None, None
        if self._wfs is None:
            page = await self._first(selection, question, known)
            if page is None:
                yield None
                return
            proven = self._features.proof(page)
        async with aclosing(self._rows(selection, page, question)) as batches:
            yield Rows(batches, None, proven)

    async def discover(self) -> Sequence[Proposal]:
        """The collections, or the types of features."""
        return await (self._wfs or self._features).discover()

    def _can(self, selection: OgcSelection) -> Can:
        is_api = self.settings.speaks == "features"
        place = selection.geometry if is_api or selection.axis == "auto" else None
        return Can(selection.types, selection.filters if is_api else "none", place)

    def _is_part(self, selection: OgcSelection, question: Question) -> bool:
        """A box is larger each time it is asked about, and is taken as it is."""
        part = self.part(selection, question)
        others = (part.where, part.order, part.near, part.joins, part.after)
        return others == (
            question.where, question.order, question.near, question.joins, question.after,
        ) and (part.box is None) == (question.box is None)  # fmt: skip

    async def _first(
        self, selection: OgcSelection, question: Question, known: Known | None
    ) -> Document | None:
        size = ogc_features.PAGE_ROWS
        if question.limit is not None:
            size = max(1, min(size, question.offset + question.limit))
        asked = {**selection.query, **self._can(selection).parameters(question)}
        try:
            return await self._features.first(
                selection.collection, asked, question.box, size, known
            )
        except SourceBroken as broken:
            if broken.at != "status" or question.where is None:
                raise
            # It knows a field no more, or by another type: what we took it for has changed.
            host = host_of(self.settings.base)
            raise SourceChanged(source=host, at="shape", detail=selection.collection) from broken

    async def _rows(
        self, selection: OgcSelection, page: Document | None, question: Question
    ) -> Batches:
        """The rows behind the offset, up to the limit."""
        left, most = question.offset, question.limit
        if page is not None:
            batches: Batches = self._features.pages(page, selection.shown)
        else:
            batches = self._by_wfs(selection, question)
            left = 0 if self._starts_anywhere else left
        async with aclosing(batches) as found:
            async for rows in found:
                kept = rows[left:]
                left -= len(rows) - len(kept)
                if most is not None:
                    kept, most = kept[:most], most - len(kept[:most])
                if kept:
                    yield kept
                if most == 0:
                    return

    def _by_wfs(self, selection: OgcSelection, question: Question) -> Batches:
        if self._wfs is None:
            raise LookupError("a page is there")
        offset, most = question.offset, question.limit
        if not self._starts_anywhere:
            offset, most = 0, None if most is None else offset + most
        wanted = Wanted(
            selection.collection, selection.json_form, selection.query, question.box, offset, most
        )
        return self._wfs.rows(wanted, selection.shown)


async def _lines(batches: Batches, host: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(batches) as found:
        async for rows in found:
            if rows:
                yield await asyncio.to_thread(encoded, rows, host)
