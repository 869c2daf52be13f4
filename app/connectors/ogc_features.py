"""OGC API - Features (17-069r4) as it is asked: collections, queryables, and pages of items."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from urllib.parse import quote

from app.connectors.documents import MOST_PAGES, Document, read, told
from app.connectors.errors import SourceBroken, SourceChanged, SourceError
from app.connectors.frame import Known, Proposal
from app.connectors.ogc_asking import Filters, Shown, features_of, with_parameters
from app.connectors.web import Web, below, conditions, is_same_origin, joined, validators
from app.query.question import Box

PAGE_ROWS: Final = 1_000
_ACCEPT: Final = {"Accept": "application/geo+json, application/json;q=0.8"}
_CQL2: Final = "/conf/cql2-text"
_FILTERS: Final = "/conf/features-filter"
_MOST_COLLECTIONS: Final = 10_000
_MOST_ASKED_TYPES: Final = 100
_MOST_LISTS: Final = 1_000
Rows = list[dict[str, Any]]


class Features:
    """One server of features."""

    def __init__(self, web: Web, base: str) -> None:
        self._web = web
        self._base = base

    async def check(self, collection: str | None) -> None:
        """That it has collections, or this one with items."""
        if collection is None:
            (await self._told("collections")).objects("collections")
        else:
            url = with_parameters(self._items(collection), {"limit": "1"})
            features_of(await told(self._web, url, _ACCEPT), Shown())

    async def first(
        self, collection: str, asked: Mapping[str, str], box: Box | None, size: int, known: Known | None
    ) -> Document | None:  # fmt: skip
        """The first page; None where `known` proves that nothing has changed."""
        more = dict(asked) | {"limit": str(size)}
        if box is not None:
            more["bbox"] = ",".join(
                f"{edge:.7f}" for edge in (box.west, box.south, box.east, box.north)
            )
        url = with_parameters(self._items(collection), more)
        return await read(self._web, url, {**_ACCEPT, **conditions(known)})

    def proof(self, page: Document) -> Mapping[str, str] | None:
        """What proves the next time that nothing has changed, where one page is all."""
        return None if _next(page) else validators(page.headers)

    async def pages(self, page: Document, shown: Shown) -> AsyncGenerator[Rows, None]:
        """The rows of a page and of those behind it. Raises `SourceError` where that goes round, or
        ends before what the server itself says there is."""
        seen: set[str] = set()
        url, taken = self._base, 0
        last: Rows | None = None
        for _ in range(MOST_PAGES):
            rows = await asyncio.to_thread(features_of, page, shown)
            if rows and rows == last:
                break
            taken, last = taken + len(rows), rows
            if rows:
                yield rows
            following = _next(page)
            if following is None or not rows:
                matched = page.body.get("numberMatched")
                if isinstance(matched, int) and taken < matched:
                    raise SourceBroken(source=page.host, at="moving")
                return
            url = joined(url, following)
            if not is_same_origin(url, self._base):
                raise SourceBroken(source=page.host, at="redirect")
            if url in seen:
                break
            seen.add(url)
            page = await told(self._web, url, _ACCEPT)
        raise SourceBroken(source=page.host, at="loop")

    async def discover(self) -> list[Proposal]:
        """The collections, with the queryables of the first of them."""
        filters = await self._filters()
        found: list[Proposal] = []
        page = await self._told("collections")
        seen: set[str] = set()
        for _ in range(_MOST_LISTS):
            if len(found) >= _MOST_COLLECTIONS:
                break
            for each in page.objects("collections"):
                if each.get("itemType", "feature") == "feature" and isinstance(each.get("id"), str):
                    found.append(await self._proposal(each, filters, len(found)))
            following = _next(page)
            url = joined(self._base, following) if following else ""
            if not url or url in seen or not is_same_origin(url, self._base):
                break
            seen.add(url)
            page = await told(self._web, url)
        return found

    async def _proposal(
        self, collection: Mapping[str, Any], filters: Filters, number: int
    ) -> Proposal:
        id_ = str(collection["id"])
        types = await self._types(id_) if number < _MOST_ASKED_TYPES else {}
        # A text may have blanks around it, which we take away: only a person knows.
        sure = {name: each for name, each in types.items() if each != "string"}
        selection = {"collection": id_, "types": sure, "filters": filters if types else "none"}
        names = {"title_ja": "title", "description_ja": "description", "license": "license"}
        about = {ours: str(collection[its]) for ours, its in names.items() if collection.get(its)}
        fields = tuple({"name": name, "type": each} for name, each in types.items())
        return Proposal(id_, selection, fields, about)

    async def _filters(self) -> Filters:
        """By what features can be asked for, as the server declares (19-079r2)."""
        try:
            classes = (await self._told("conformance")).member("conformsTo", list)
        except SourceError:
            return "properties"
        named = [str(each) for each in classes]
        is_cql = any(each.endswith(_CQL2) for each in named)
        return "cql2" if is_cql and any(_FILTERS in each for each in named) else "properties"

    async def _types(self, collection: str) -> dict[str, str]:
        """The queryables by type; none where the server has none to tell."""
        try:
            page = await told(
                self._web,
                self._at(collection, "queryables"),
                {"Accept": "application/schema+json, application/json;q=0.8"},
            )
            its = page.member("properties", dict)
        except SourceBroken as broken:
            if broken.at not in ("missing", "status", "server", "format", "html"):
                raise
            return {}
        except SourceChanged:
            return {}
        return {
            str(name)[:100]: kind
            for name, each in its.items()
            if (kind := _type_of(each)) is not None
        }

    async def _told(self, path: str) -> Document:
        return await told(self._web, below(self._base, path))

    def _items(self, collection: str) -> str:
        return self._at(collection, "items")

    def _at(self, collection: str, what: str) -> str:
        return below(self._base, f"collections/{quote(collection, safe='')}/{what}")


def _type_of(schema: Any) -> str | None:
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    named = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    if len(named) != 1 or not isinstance(named[0], str):
        return None
    form = schema.get("format")
    return form if named[0] == "string" and form in ("date", "date-time") else named[0]


def _next(page: Document) -> str | None:
    links = page.body.get("links") if isinstance(page.body, dict) else None
    for link in links if isinstance(links, list) else ():
        is_json = isinstance(link, dict) and "html" not in str(link.get("type"))
        if is_json and link.get("rel") == "next" and isinstance(link.get("href"), str):
            return str(link["href"])
    return None
