"""WFS 1.1 and 2.0 as it is asked: capabilities, types of features, and GML or GeoJSON by pages."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.connectors.documents import MOST_PAGES, PAGE, told
from app.connectors.errors import SourceBroken, SourceError
from app.connectors.frame import MOST_SECONDS, SILENT_SECONDS, Proposal
from app.connectors.gml import Features
from app.connectors.ogc_asking import Shown, features_of, with_parameters
from app.connectors.web import Web, check_is_no_page, host_of
from app.kit.outbound import Bounds
from app.query.question import Box

PAGE_ROWS: Final = 2_000
_STREAM: Final = Bounds(most_bytes=1 << 40, seconds=MOST_SECONDS, silent_seconds=SILENT_SECONDS)
_PIECE: Final = 128 * 1024  # that is parsed at once, in a thread
_COMPARED: Final = 100  # features of two pages that are one and the same
_MOST_TYPES: Final = 2_000
_MOST_DESCRIBED: Final = 100
_URN: Final = "urn:ogc:def:crs:EPSG::4326"
_JSON: Final = ("application/json", "application/geo+json", "application/vnd.geo+json", "geojson",
                "json")  # fmt: skip
Version = Literal["2.0.0", "1.1.0"]
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which features, and in which form they come."""

    type_name: str
    json: str | None = None  # what the server calls GeoJSON; None: GML
    asked: Mapping[str, str] | None = None
    box: Box | None = None
    offset: int = 0
    most: int | None = None


class Wfs:
    """One server of features by WFS."""

    def __init__(self, web: Web, base: str, version: Version) -> None:
        self._web = web
        self._base = base
        self._version = version

    async def check(self, type_name: str | None) -> None:
        """That it tells what it can, or describes this type."""
        if type_name is None:
            await self._capabilities()
        elif not await self._described(type_name):
            raise SourceBroken(source=host_of(self._base), at="missing", detail="typeName")

    async def rows(self, wanted: Wanted, shown: Shown) -> AsyncGenerator[Rows, None]:
        """All features, page after page where the version has pages."""
        start, taken = wanted.offset, 0
        before: Rows = []
        for _ in range(MOST_PAGES):
            size = PAGE_ROWS if wanted.most is None else min(PAGE_ROWS, wanted.most - taken)
            page = _Page(self._url(wanted, start, size), size)
            async with aclosing(self._page(page, wanted, shown)) as parts:
                async for rows in parts:
                    if page.rows == 0 and rows:
                        head = rows[:_COMPARED]
                        if head == before:  # it passes startIndex over
                            raise SourceBroken(source=host_of(self._base), at="loop")
                        before = head
                    page.rows += len(rows)
                    yield rows
            start, taken = start + page.rows, taken + page.rows
            if self._is_last(page, wanted, taken, start):
                return
        raise SourceBroken(source=host_of(self._base), at="loop")

    def _is_last(self, page: "_Page", wanted: Wanted, taken: int, start: int) -> bool:
        """Whether nothing follows. What a server counts is no end while its pages are full: some
        count the page. One that counts more than it gives gives a part that would pass for all."""
        if self._version == "1.1.0" or (wanted.most is not None and taken >= wanted.most):
            return True
        is_counted = page.matched is not None and start >= page.matched
        if is_counted and page.rows < page.size:
            return True
        if page.rows:
            return False
        if not is_counted and page.matched is not None and wanted.most is None:
            raise SourceBroken(source=host_of(self._base), at="moving")
        return True

    async def _page(
        self, page: "_Page", wanted: Wanted, shown: Shown
    ) -> AsyncGenerator[Rows, None]:
        if wanted.json is not None:
            found = await told(self._web, page.url)
            matched = found.body.get("numberMatched") if isinstance(found.body, dict) else None
            page.matched = matched if isinstance(matched, int) else None
            yield await asyncio.to_thread(features_of, found, shown, by_wfs=True)
            return
        async with self._web.get(page.url, bounds=_STREAM) as answer:
            check_is_no_page(answer)
            reading = Features(answer.host, shown.geometry, shown.id, shown.axis)
            held = bytearray()
            async for piece in answer.pieces:
                held += piece
                if len(held) >= _PIECE:
                    rows = await asyncio.to_thread(reading.feed, bytes(held))
                    held.clear()
                    page.matched = reading.matched
                    yield rows
            rows = await asyncio.to_thread(reading.feed, bytes(held))
            reading.close()
            page.matched = reading.matched
            yield rows

    def _url(self, wanted: Wanted, start: int, size: int) -> str:
        is_two = self._version == "2.0.0"
        asked = {**(wanted.asked or {}), "service": "WFS", "version": self._version,
                 "request": "GetFeature"}  # fmt: skip
        asked["typeNames" if is_two else "typeName"] = wanted.type_name
        if is_two:
            asked |= {"count": str(size), "startIndex": str(start)}
        elif wanted.most is not None:
            asked["maxFeatures"] = str(wanted.most)
        if wanted.json is not None:
            asked["outputFormat"] = wanted.json
        if (box := wanted.box) is not None:  # by its URN: latitude first
            edges = ",".join(f"{each:.7f}" for each in (box.south, box.west, box.north, box.east))
            asked["bbox"] = f"{edges},{_URN}"
        return with_parameters(self._base, asked)

    async def discover(self) -> list[Proposal]:
        """The types, with the properties of the first of them."""
        root = await self._capabilities()
        json = _json_form(root)
        found: list[Proposal] = []
        for at, each in enumerate(
            root.findall(".//{*}FeatureTypeList/{*}FeatureType")[:_MOST_TYPES]
        ):
            name = _text(each, "Name")
            if name is None:
                continue
            fields: dict[str, str] = {}
            if at < _MOST_DESCRIBED:
                try:
                    fields = await self._described(name)
                except SourceError as broken:  # one that is broken hides no other
                    if broken.at not in ("missing", "status", "server", "format"):
                        raise
            selection = {"collection": name, **({"json": json} if json else {})}
            told_of = {"title_ja": _text(each, "Title"), "description_ja": _text(each, "Abstract"),
                       "crs": _text(each, "DefaultCRS") or _text(each, "DefaultSRS")}  # fmt: skip
            about = {key: value for key, value in told_of.items() if value}
            told_fields = tuple({"name": key, "type": kind} for key, kind in fields.items())
            found.append(Proposal(name, selection, told_fields, about))
        return found

    async def _capabilities(self) -> Any:
        asked = {"service": "WFS", "version": self._version, "request": "GetCapabilities"}
        return await self._tree(asked, "WFS_Capabilities")

    async def _described(self, type_name: str) -> dict[str, str]:
        """The properties of a type that its schema names, each with its type."""
        named = "typeNames" if self._version == "2.0.0" else "typeName"
        asked = {"service": "WFS", "version": self._version, "request": "DescribeFeatureType",
                 named: type_name}  # fmt: skip
        root = await self._tree(asked, "schema")
        its = root.iterfind(".//{http://www.w3.org/2001/XMLSchema}sequence/"
                            "{http://www.w3.org/2001/XMLSchema}element")  # fmt: skip
        return {
            str(each.get("name")): str(each.get("type") or "").rpartition(":")[2] or "complex"
            for each in its
            if each.get("name")
        }

    async def _tree(self, asked: Mapping[str, str], expected: str) -> Any:
        url = with_parameters(self._base, asked)
        async with self._web.get(url, bounds=PAGE) as answer:
            check_is_no_page(answer)
            body = b"".join([piece async for piece in answer.pieces])
        return await asyncio.to_thread(_parsed, answer.host, body, expected)


@dataclass(slots=True)
class _Page:
    url: str
    size: int  # that was asked for
    rows: int = 0
    matched: int | None = None


def _parsed(host: str, body: bytes, expected: str) -> Any:
    """A document that is small enough to be held. Raises `SourceError`."""
    from lxml import etree  # noqa: PLC0415 - most processes never meet XML

    safe = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                           remove_comments=True, remove_pis=True)  # fmt: skip
    try:
        root = etree.fromstring(body, safe)
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise SourceBroken(source=host, at="format", detail="XML") from exc
    name = str(root.tag).rpartition("}")[2]
    if name in ("ExceptionReport", "ServiceExceptionReport"):
        raise SourceBroken(source=host, at="status", detail="ExceptionReport")
    if root.getroottree().docinfo.doctype or name != expected:
        raise SourceBroken(source=host, at="format", detail="WFS")
    return root


def _text(element: Any, name: str) -> str | None:
    found = element.find(f"{{*}}{name}")
    text = (found.text or "").strip() if found is not None else ""
    return text[:500] or None


def _json_form(root: Any) -> str | None:
    """What the server calls GeoJSON among the forms that it gives features in."""
    offered = [
        (value.text or "").strip()
        for operation in root.iterfind(".//{*}Operation[@name='GetFeature']")
        for value in operation.iterfind(".//{*}Parameter[@name='outputFormat']//{*}Value")
    ]
    by_name = {each.lower().replace(" ", ""): each for each in offered}
    return next((by_name[each] for each in _JSON if each in by_name), None)
