"""The open-data shelf: what is public, as DCAT for harvesters. Gives descriptions, never records."""

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from app.api.access import PlatformDep, Reading
from app.api.dataset_shapes import DatasetId
from app.api.paging import Cursor, Limit, after, page
from app.api.problem import problems
from app.api.tagged import tagged
from app.catalogue import opendata
from app.formats.shelf import dcat

router = APIRouter(prefix="/opendata", tags=["Open data"])
MEDIA_TYPE: Final = "application/ld+json"
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "object"},
                "example": {
                    "@id": "https://urbanos.example.jp/opendata/datasets/parks",
                    "@type": "dcat:Dataset",
                    "dct:title": [{"@value": "公園一覧", "@language": "ja"}],
                },
            }
        }
    },
    304: {"description": "One's copy is still right"},
}


@router.head("/catalog.jsonld", include_in_schema=False)
@router.get(
    "/catalog.jsonld",
    summary="The open-data catalogue as DCAT",
    responses=_ANSWER | problems("invalid_cursor"),
    response_class=Response,
)
async def show_catalogue(
    request: Request,
    platform: PlatformDep,
    session: Reading,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """DCAT 3 in JSON-LD, by id; the next page stands in `hydra:next` and the Link header."""
    found = await opendata.list_open(session, after=after(cursor), limit=limit)
    listed = page(found, limit, lambda dataset: dataset.id)
    base = f"{platform.issuer}/opendata/catalog.jsonld?limit={limit}"
    here = base + (f"&cursor={cursor}" if cursor else "")
    following = f"{base}&cursor={listed['next']}" if listed["next"] else None
    made = dcat.catalogue(listed["items"], platform.issuer, here=here, following=following)
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return tagged(request, orjson.dumps(made), media_type=MEDIA_TYPE, headers=headers)


@router.head("/datasets/{dataset_id}.jsonld", include_in_schema=False)
@router.get(
    "/datasets/{dataset_id}.jsonld",
    summary="One open dataset as DCAT",
    responses=_ANSWER | problems("dataset_not_found", "not_open_data", "dataset_withdrawn"),
    response_class=Response,
)
async def show_open_dataset(
    dataset_id: DatasetId, request: Request, platform: PlatformDep, session: Reading
) -> Response:
    """Title, licence, publisher, period, and where its records are as CSV, JSON and GeoJSON."""
    found = await opendata.get_open(session, dataset_id)
    made = dcat.document(found, platform.issuer)
    return tagged(request, orjson.dumps(made), media_type=MEDIA_TYPE)
