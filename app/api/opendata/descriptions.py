"""The open-data shelf: what is public, described for harvesters and for readers. Never a record."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from app.api.access import PlatformDep, Reading
from app.api.dataset_shapes import DatasetId
from app.api.opendata.negotiation import HTML, MEDIA_TYPES, wanted
from app.api.opendata.outlets import SERVICES
from app.api.pace import turn
from app.api.paging import Cursor, Limit, after, page
from app.api.problem import STATUS, problems
from app.api.tagged import tagged
from app.catalogue import opendata
from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn
from app.formats.shelf import croissant, dcat, pages, rdf, schema_org
from app.formats.shelf.dcat import CataloguePage
from app.formats.shelf.facts import OpenDataset
from app.kit.errors import AppError, Kind

router = APIRouter(prefix="/opendata", tags=["Open data"])
_WRITERS: Final[Mapping[str, Callable[[Mapping[str, Any]], bytes]]] = {
    "application/ld+json": rdf.json_ld,
    "text/turtle": rdf.turtle,
    "application/rdf+xml": rdf.rdf_xml,
}
_GONE = ("dataset_not_found", "not_open_data", "dataset_withdrawn")


def _answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """200 in these media types, and 304."""
    example = {
        "@id": "https://urbanos.example.jp/opendata/datasets/parks",
        "@type": "dcat:Dataset",
        "dct:title": [{"@value": "公園一覧", "@language": "ja"}],
    }
    json_type = {"schema": {"type": "object"}, "example": example}
    text_type = {"schema": {"type": "string"}}
    content = {each: json_type if "json" in each else text_type for each in media_types}
    return {200: {"content": content}, 304: {"description": "One's copy is still right"}}


@router.head("/catalog", include_in_schema=False)
@router.get(
    "/catalog",
    summary="The open-data catalogue in the form that is accepted",
    responses=_answers(*_WRITERS, HTML) | problems("invalid_cursor", "form_not_offered"),
    response_class=Response,
)
async def show_catalogue(
    request: Request,
    platform: PlatformDep,
    session: Reading,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """DCAT 3 in JSON-LD, Turtle or RDF/XML, or a page to read, by Accept."""
    media_type = wanted(request)
    async with turn(limit):
        found = await opendata.list_open(session, after=after(cursor), limit=limit)
        return await _catalogue(request, platform.issuer, found, (limit, cursor), media_type)


@router.head("/catalog.jsonld", include_in_schema=False)
@router.get(
    "/catalog.jsonld",
    summary="The open-data catalogue as DCAT in JSON-LD",
    responses=_answers("application/ld+json") | problems("invalid_cursor"),
    response_class=Response,
)
@router.head("/catalog.ttl", include_in_schema=False)
@router.get(
    "/catalog.ttl",
    summary="The open-data catalogue as DCAT in Turtle",
    responses=_answers("text/turtle") | problems("invalid_cursor"),
    response_class=Response,
)
@router.head("/catalog.rdf", include_in_schema=False)
@router.get(
    "/catalog.rdf",
    summary="The open-data catalogue as DCAT in RDF/XML",
    responses=_answers("application/rdf+xml") | problems("invalid_cursor"),
    response_class=Response,
)
async def show_catalogue_as(
    request: Request,
    platform: PlatformDep,
    session: Reading,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """By id; the next page stands in `hydra:next` and the Link header."""
    media_type = _by_ending(request)
    async with turn(limit):
        found = await opendata.list_open(session, after=after(cursor), limit=limit)
        return await _catalogue(request, platform.issuer, found, (limit, cursor), media_type)


async def _catalogue(
    request: Request,
    issuer: str,
    found: list[OpenDataset],
    asked: tuple[int, str | None],
    media_type: str,
) -> Response:
    """The page at the address that was asked, but of the issuer: never the Host header."""
    limit, cursor = asked
    listed = page(found, limit, lambda dataset: dataset.id)
    base = f"{issuer}{request.url.path}?limit={limit}"
    here = base + (f"&cursor={cursor}" if cursor else "")
    following = f"{base}&cursor={listed['next']}" if listed["next"] else None
    shown = CataloguePage(listed["items"], here, following)

    def write() -> bytes:
        if media_type == HTML:
            return pages.catalogue(shown, issuer)
        return _WRITERS[media_type](dcat.catalogue(shown, issuer, SERVICES))

    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return _told(request, await asyncio.to_thread(write), media_type, headers)


@router.head("/datasets/{dataset_id}.jsonld", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}.jsonld",
    summary="One open dataset as DCAT in JSON-LD",
    responses=_answers("application/ld+json") | problems(*_GONE),
    response_class=Response,
)
@router.head("/datasets/{dataset_id}.ttl", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}.ttl",
    summary="One open dataset as DCAT in Turtle",
    responses=_answers("text/turtle") | problems(*_GONE),
    response_class=Response,
)
@router.head("/datasets/{dataset_id}.rdf", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}.rdf",
    summary="One open dataset as DCAT in RDF/XML",
    responses=_answers("application/rdf+xml") | problems(*_GONE),
    response_class=Response,
)
async def show_open_dataset_as(
    dataset_id: DatasetId, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """Title, licence, publisher, versions, and where its records are in each form."""
    found = await opendata.get_open(session, dataset_id)
    return _dataset(request, platform.issuer, found, _by_ending(request))


@router.head("/datasets/{dataset_id}/croissant.json", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}/croissant.json",
    summary="One open dataset as Croissant",
    responses=_answers("application/ld+json") | problems(*_GONE),
    response_class=Response,
)
async def show_croissant(
    dataset_id: DatasetId, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """Croissant 1.0: the table and its columns, for machine learning."""
    found = await opendata.get_open(session, dataset_id)
    made = orjson.dumps(croissant.document(found, platform.issuer))
    return _told(request, made, "application/ld+json")


@router.head("/datasets/{dataset_id}/schema-org.jsonld", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}/schema-org.jsonld",
    summary="One open dataset as schema.org's Dataset",
    responses=_answers("application/ld+json") | problems(*_GONE),
    response_class=Response,
)
async def show_schema_org(
    dataset_id: DatasetId, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """What the page of the dataset tells search engines."""
    found = await opendata.get_open(session, dataset_id)
    made = orjson.dumps(schema_org.dataset(found, platform.issuer))
    return _told(request, made, "application/ld+json")


@router.head("/datasets/{dataset_id}", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}",
    summary="One open dataset in the form that is accepted",
    responses=_answers(*_WRITERS, HTML) | problems(*_GONE, "form_not_offered"),
    response_class=Response,
)
async def show_open_dataset(
    dataset_id: DatasetId, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """The permanent address of the dataset: DCAT 3 or a page to read, by Accept."""
    media_type = wanted(request)
    try:
        found = await opendata.get_open(session, dataset_id)
    except (DatasetNotFound, DatasetWithdrawn, opendata.NotOpenData) as refusal:
        if media_type != HTML:
            raise
        return _refused(platform.issuer, refusal)
    return _dataset(request, platform.issuer, found, media_type)


def _dataset(request: Request, issuer: str, found: OpenDataset, media_type: str) -> Response:
    if media_type == HTML:
        return _told(request, pages.dataset(found, issuer), media_type)
    made = _WRITERS[media_type](dcat.document(found, issuer, SERVICES))
    return _told(request, made, media_type)


def _refused(issuer: str, refusal: AppError) -> Response:
    """The refusal as a page, for who reads with a browser."""
    title = "公開を終了しました" if refusal.kind is Kind.GONE else "見つかりません"
    body = pages.refusal(title, refusal.words("ja"), issuer)
    headers = {
        "Content-Security-Policy": pages.POLICY,
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
    return Response(body, STATUS[refusal.kind], headers=headers, media_type=HTML)


def _told(
    request: Request, body: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    kept = {"Vary": "Accept, Authorization", **(headers or {})}
    if media_type == HTML:
        kept["Content-Security-Policy"] = pages.POLICY
    return tagged(request, body, media_type=media_type, headers=kept)


def _by_ending(request: Request) -> str:
    """The form that the address names."""
    return MEDIA_TYPES[request.url.path.rpartition(".")[2]]
