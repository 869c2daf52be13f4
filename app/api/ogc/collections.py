"""Collections of features: the datasets with a place, described. Gives no record."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import OptionalCaller, PlatformDep, Reading, TokenMissing, challenge
from app.api.ogc.answering import GEOJSON, HTML, JSON, ROOT, SCHEMA, answered, both_forms, linked
from app.api.ogc.asking import CRS84
from app.api.ogc.conformance import FILTERING, SCHEMAS
from app.api.ogc.definition import MOST_COLLECTIONS
from app.api.ogc.moments import temporal_of
from app.api.paging import Cursor, after, page
from app.api.problem import language_of
from app.api.state import Platform
from app.catalogue import placed
from app.catalogue.placed import Placed
from app.catalogue.schema import feature_schema, geojson_schema
from app.formats.licences import address_of
from app.models.datasets import DataClass
from app.policy.facts import Caller
from app.query.fields import Field

router = APIRouter(prefix=f"{ROOT}/collections", include_in_schema=False)
CONFORMANCE: Final = (
    FILTERING + "queryables",
    SCHEMAS + "schemas",
    SCHEMAS + "core-roles-features",
)
_OGC: Final = "http://www.opengis.net/def/rel/ogc/1.0/"
Purpose = Annotated[str | None, Query(max_length=100)]


@router.head("")
@router.get("")
async def list_collections(
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=MOST_COLLECTIONS)] = MOST_COLLECTIONS,
    cursor: Cursor = None,
    f: str | None = None,
) -> Response:
    """What is public for everybody, the rest for who shows a token; by id, in pages."""
    found = await placed.list_placed(
        session, zone=platform.zone, everybody=caller is None, after=after(cursor), limit=limit
    )
    listed = page(found, limit, lambda each: each.id)
    base = f"{platform.issuer}{ROOT}/collections"
    language = language_of(request.headers.get("accept-language"))
    links = both_forms(base)
    if listed["next"]:
        following = f"{base}?limit={limit}&cursor={listed['next']}"
        links.append(linked("next", following, JSON))
        links.append(linked("next", f"{following}&f=html", HTML))

    def made() -> Response:
        told = [_collection(each, platform.issuer, language) for each in listed["items"]]
        return answered(request, {"collections": told, "links": links}, form=f)

    return await asyncio.to_thread(made)  # a thousand take longer than others should wait


@router.head("/{collection_id}")
@router.get("/{collection_id}")
async def show_collection(
    collection_id: str,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    f: str | None = None,
) -> Response:
    """One collection with its extent and its links."""
    found, _ = await _get(_Asked(platform, session, caller), collection_id)
    language = language_of(request.headers.get("accept-language"))
    return answered(request, _collection(found, platform.issuer, language), form=f)


@router.head("/{collection_id}/queryables")
@router.get("/{collection_id}/queryables")
async def show_queryables(
    collection_id: str,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    purpose: Purpose = None,
    f: str | None = None,
) -> Response:
    """What features may be asked by (19-079r2, 6.2)."""
    seen = await _seen(_Asked(platform, session, caller, purpose), collection_id, "queryables")
    made = feature_schema(
        seen.fields, seen.here, title=seen.title, temporal=temporal_of(seen.fields)
    )
    made |= {"additionalProperties": False, "links": both_forms(seen.here, SCHEMA)}
    # What a draft said, and GDAL (up to 3.12 at least) looks for.
    made["queryables"] = [{"id": name} for name in made["properties"]]
    return answered(request, made, form=f, media_type=SCHEMA)


@router.head("/{collection_id}/schema")
@router.get("/{collection_id}/schema")
async def show_schema(
    collection_id: str,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    purpose: Purpose = None,
    f: str | None = None,
) -> Response:
    """What a feature holds (23-058r2)."""
    seen = await _seen(_Asked(platform, session, caller, purpose), collection_id, "schema")
    made = feature_schema(
        seen.fields, seen.here, title=seen.title, temporal=temporal_of(seen.fields)
    )
    made["links"] = both_forms(seen.here, SCHEMA)
    return answered(request, made, form=f, media_type=SCHEMA)


@router.head("/{collection_id}/schema/geojson")
@router.get("/{collection_id}/schema/geojson")
async def show_geojson_schema(
    collection_id: str,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    session: Reading,
    purpose: Purpose = None,
    f: str | None = None,
) -> Response:
    """What the GeoJSON of a feature holds (17-069r4, link relation `describedby`)."""
    asked = _Asked(platform, session, caller, purpose)
    seen = await _seen(asked, collection_id, "schema/geojson")
    made = geojson_schema(seen.fields, seen.here, title=seen.title)
    return answered(request, made, form=f, media_type=SCHEMA)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks, with what."""

    platform: Platform
    session: AsyncSession
    caller: Caller | None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The fields of a collection that a caller sees, and where they are told."""

    fields: Sequence[Field]
    title: str
    here: str


async def _seen(asked: _Asked, collection_id: str, which: str) -> _Seen:
    """The fields that a read would give this caller.

    Who would be refused is told what the entry tells everybody.
    """
    found, fields = await _get(asked, collection_id)
    visible = await asked.platform.broker.visible(collection_id, asked.caller, asked.purpose)
    seen = [field for name, field in fields.items() if name in visible or not visible]
    here = f"{asked.platform.issuer}{ROOT}/collections/{collection_id}/{which}"
    return _Seen(seen, found.title_ja, here)


async def _get(asked: _Asked, collection_id: str) -> tuple[Placed, Mapping[str, Field]]:
    """A collection that the caller may know of: without a token, one that is public."""
    viewer = asked.caller.client.organization_id if asked.caller else None
    found, fields = await placed.get_placed(asked.session, collection_id, viewer=viewer)
    if asked.caller is None and found.data_class != DataClass.PUBLIC:
        refusal = TokenMissing()
        challenge(asked.platform, refusal, error=None)
        raise refusal
    return found, fields


def _collection(found: Placed, issuer: str, language: str) -> dict[str, Any]:
    english = language == "en"
    here = f"{issuer}{ROOT}/collections/{found.id}"
    made: dict[str, Any] = {
        "id": found.id,
        "title": (english and found.title_en) or found.title_ja,
        "description": (english and found.description_en) or found.description_ja,
        "itemType": "feature",
        "crs": [CRS84],
        "storageCrs": CRS84,
    }
    if made["description"] is None:
        del made["description"]
    extent = _extent(found)
    if extent:
        made["extent"] = extent
    made["links"] = [
        *both_forms(here),
        linked("items", f"{here}/items", GEOJSON),
        linked("items", f"{here}/items?f=html", HTML),
        linked(f"{_OGC}queryables", f"{here}/queryables", SCHEMA),
        linked("queryables", f"{here}/queryables", JSON),  # the draft's word for it
        linked(f"{_OGC}schema", f"{here}/schema", SCHEMA),
        linked("describedby", f"{here}/schema/geojson", SCHEMA),
    ]
    licence = address_of(found.license or "")
    if licence is not None:
        made["links"].append(linked("license", licence, HTML))
    return made


def _extent(found: Placed) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if found.extent is not None:
        made["spatial"] = {"bbox": [list(found.extent)], "crs": CRS84}
    start, end = found.temporal
    if start is not None or end is not None:
        interval = [start and f"{start}T00:00:00+09:00", end and f"{end}T23:59:59+09:00"]
        gregorian = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"
        made["temporal"] = {"interval": [interval], "trs": gregorian}
    return made
