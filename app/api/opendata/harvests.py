"""The shelf as a whole for harvesters and search engines: data.json, the feed, sitemaps. No record."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.access import PlatformDep, Reading
from app.api.pace import turn
from app.api.paging import Cursor, Limit, WrongCursor, after, page
from app.api.problem import problems
from app.api.shapes import OutShape
from app.api.state import Platform
from app.api.tagged import is_known, tagged
from app.catalogue import announcements, opendata
from app.formats import licences
from app.formats.shelf import atom, data_json, sitemap
from app.formats.shelf.atom import FeedPage
from app.formats.shelf.facts import Announced, OpenDataset
from app.kit.clock import TOKYO
from app.kit.errors import AppError, Kind

router = APIRouter(tags=["Open data"])
_BATCH: Final = 500  # datasets of data.json that are in memory at a time
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # of a shelf on which nothing has happened yet
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "One's copy is still right"}
}
Whole = Annotated[int, Path(ge=1, le=100_000)]


class SitemapNotFound(AppError):
    """The shelf has fewer sitemaps."""

    kind = Kind.NOT_FOUND
    code = "sitemap_not_found"
    ja = "サイトマップ {number} はありません。/sitemap.xml を確認してください。"
    en = "There is no sitemap {number}. See /sitemap.xml."


class LicenceOut(OutShape):
    """A licence that is known here. Another may be used by its address, or in words."""

    id: str
    title_ja: str
    title_en: str
    url: str
    is_open: bool


@router.head("/v1/licenses", include_in_schema=False)
@router.get(
    "/v1/licenses",
    response_model=list[LicenceOut],
    summary="List licences",
    responses=problems() | _UNCHANGED,
)
async def list_licenses(request: Request) -> Response:
    """Licences by id, with address and whether anyone may use, change and pass on under them."""
    told = [LicenceOut.model_validate(each).model_dump() for each in licences.LICENCES]
    return tagged(request, orjson.dumps(told))


@router.head("/opendata/data.json", include_in_schema=False)
@router.get(
    "/opendata/data.json",
    summary="All open datasets as data.json",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}}
    | problems()
    | _UNCHANGED,
    response_class=StreamingResponse,
)
async def show_data_json(request: Request, platform: PlatformDep, session: Reading) -> Response:
    """Project Open Data metadata schema 1.1 (DCAT-US), streamed: one document of any length."""
    at = await opendata.state(session)
    # Weak: datasets that change while the document is streamed may stand in it either way.
    headers = {"ETag": f'W/"{at.mark}"', "Cache-Control": "public, no-cache"}
    if at.modified_at is not None:
        headers["Last-Modified"] = format_datetime(at.modified_at.astimezone(UTC), usegmt=True)
    if is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/json")
    pieces = _data_json(platform)
    return StreamingResponse(pieces, headers=headers, media_type="application/json")


async def _data_json(platform: Platform) -> AsyncIterator[bytes]:
    """The document in pieces; no session is held while a slow reader takes one."""
    head = orjson.dumps(data_json.head(platform.issuer))
    yield head[:-1] + b',"dataset":['
    last: str | None = None
    between = b""
    while True:
        async with turn(_BATCH):
            async with platform.database.reading() as session:
                found = await opendata.list_open(session, after=last, limit=_BATCH)
            batch = found[:_BATCH]
            entries = await asyncio.to_thread(_entries, batch, platform.issuer)
        if batch:
            yield between + entries
            between, last = b",\n", batch[-1].id
        if len(found) <= _BATCH:
            break
    yield b"]}"


def _entries(batch: list[OpenDataset], issuer: str) -> bytes:
    return b",\n".join(orjson.dumps(data_json.entry(each, issuer)) for each in batch)


@router.head("/opendata/feed.atom", include_in_schema=False)
@router.get(
    "/opendata/feed.atom",
    summary="What changed on the shelf, as Atom",
    responses={200: {"content": {atom.MEDIA_TYPE: {"schema": {"type": "string"}}}}}
    | problems("invalid_cursor")
    | _UNCHANGED,
    response_class=Response,
)
async def show_feed(
    request: Request,
    platform: PlatformDep,
    session: Reading,
    publisher: Annotated[
        str | None, Query(pattern=r"^[a-z0-9-]{1,63}$", description="Id of an organisation")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Newest first, each dataset by its newest publication; withdrawals are tombstones (RFC 6721)."""
    found = await announcements.list_announced(
        session, publisher=publisher, after=_moment(cursor), limit=limit
    )
    listed = page(found, limit, lambda item: f"{item.at.isoformat()} {item.id}")
    items: list[Announced] = listed["items"]
    name = f"{platform.issuer}/opendata/feed.atom" + (
        f"?publisher={publisher}" if publisher else ""
    )
    base = f"{name}{'&' if publisher else '?'}limit={limit}"
    told = FeedPage(
        name=name,
        here=f"{base}&cursor={cursor}" if cursor else name,
        following=f"{base}&cursor={listed['next']}" if listed["next"] else None,
        publisher=items[0].publisher_ja if publisher and items else None,
        updated_at=items[0].at if items else _NEVER,
        items=items,
    )
    body = await asyncio.to_thread(atom.feed, told, platform.issuer)
    return tagged(request, body, media_type=atom.MEDIA_TYPE, modified_at=told.updated_at)


def _moment(cursor: str | None) -> tuple[datetime, str] | None:
    """The event that the cursor names. Raises `WrongCursor`."""
    named = after(cursor)
    if named is None:
        return None
    when, _, dataset_id = named.partition(" ")
    try:
        at = datetime.fromisoformat(when)
    except ValueError:
        raise WrongCursor from None
    if at.tzinfo is None or not 1900 <= at.year <= 9000 or not dataset_id:
        raise WrongCursor
    return at, dataset_id


_SITEMAP: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {sitemap.MEDIA_TYPE: {"schema": {"type": "string"}}}}
}


@router.head("/sitemap.xml", include_in_schema=False)
@router.get(
    "/sitemap.xml",
    summary="The shelf's pages, for search engines",
    responses=_SITEMAP | problems() | _UNCHANGED,
    response_class=Response,
)
async def show_sitemap(request: Request, platform: PlatformDep, session: Reading) -> Response:
    """Every open dataset with its last change; past 50,000 an index of sitemaps."""
    at = await opendata.state(session)
    count = -(-at.count // sitemap.MOST_ADDRESSES)
    if count > 1:
        parts = (f"{platform.issuer}/sitemaps/{number}.xml" for number in range(1, count + 1))
        return tagged(request, sitemap.index(parts), media_type=sitemap.MEDIA_TYPE)
    return await _sitemap(request, platform, session, 1)


@router.head("/sitemaps/{number}.xml", include_in_schema=False)
@router.get(
    "/sitemaps/{number}.xml",
    summary="One sitemap of several",
    responses=_SITEMAP | problems("sitemap_not_found") | _UNCHANGED,
    response_class=Response,
)
async def show_one_sitemap(
    number: Whole, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """50,000 datasets by id."""
    return await _sitemap(request, platform, session, number)


async def _sitemap(request: Request, platform: Platform, session: Reading, number: int) -> Response:
    found = await opendata.addresses(session, page=number - 1, size=sitemap.MOST_ADDRESSES)
    if not found and number > 1:
        raise SitemapNotFound(number=number)
    base = f"{platform.issuer}/opendata"
    pages = [(f"{base}/datasets/{dataset_id}", at) for dataset_id, at in found]
    newest = max((at for _, at in pages), default=_NEVER.astimezone(TOKYO))
    if number == 1:
        pages.insert(0, (f"{base}/catalog", newest))
    body = await asyncio.to_thread(sitemap.sitemap, pages)
    return tagged(request, body, media_type=sitemap.MEDIA_TYPE)


@router.head("/robots.txt", include_in_schema=False)
@router.get("/robots.txt", include_in_schema=False)
async def show_robots(request: Request, platform: PlatformDep) -> Response:
    """Crawlers are welcome on the shelf; records are for programs that ask for them."""
    lines = (
        "User-agent: *",
        "Allow: /opendata/",
        "Allow: /v1/datasets/*/files/",
        "Disallow: /v1/",
        "Disallow: /oauth/",
    )
    body = "\n".join((*lines, "", f"Sitemap: {platform.issuer}/sitemap.xml", ""))
    return tagged(request, body.encode(), media_type="text/plain")
