"""The door to what a profile is good for: judging, converting and recognising, and its template."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from app.api.access import PlatformDep, Reading
from app.api.problem import problems
from app.api.profile_access import LIVING_CODES, LivingProfile, ending_headers
from app.api.profile_shapes import (
    CheckedOut,
    ConvertedOut,
    MatchIn,
    MatchOut,
    Records,
    Version,
)
from app.api.shapes import LONGEST_BODY, Slug
from app.catalogue import profiles
from app.formats.profiles import template
from app.formats.profiles.checking import check_records
from app.formats.profiles.conversion import Converter
from app.formats.profiles.layout import ProfileLayout
from app.formats.profiles.matching import match

router = APIRouter(prefix="/v1/profiles", tags=["Profiles"], max_body_size=LONGEST_BODY)
_SHOWN = 10
_XLSX: dict[int | str, dict[str, Any]] = {
    200: {"content": {template.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


def _records_example(example: list[dict[str, Any]]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"example": example}}}}


@router.post(
    "/match",
    response_model=list[MatchOut],
    summary="Find the profile of a file by its headings",
    responses=problems(),
)
async def match_labels(body: MatchIn, session: Reading) -> Any:
    """The best ten, best first. At most the first is `accepted`: what a load would take by itself.

    Spellings of both editions, width, look-alike characters and a prefix on every heading fold.
    """
    known = await profiles.layouts(session)
    found = await asyncio.to_thread(match, body.labels, known, body.filled)
    return [{**asdict(each), "mapping": each.mapping} for each in found[:_SHOWN]]


@router.post(
    "/{name}/convert",
    response_model=ConvertedOut,
    summary="Convert records between versions",
    responses=problems("profile_not_found"),
    openapi_extra=_records_example([{"no": "1", "name": "架空公園"}]),
)
async def convert_records(
    name: Slug,
    records: Records,
    session: Reading,
    before: Annotated[Version, Query(alias="from")],
    after: Annotated[Version, Query(alias="to")],
) -> Any:
    """Renames, other types, an address and its parts. What cannot be said is told per record.

    Works for versions that have ended too. At most 1,000 records; nothing is stored.
    """
    old = profiles.layout_of(await profiles.get(session, name, before))
    new = profiles.layout_of(await profiles.get(session, name, after))
    made = await asyncio.to_thread(_converted, old, new, records)
    return {"profile": name, "from": before, "to": after, "records": made}


def _converted(old: ProfileLayout, new: ProfileLayout, records: list[Any]) -> list[dict[str, Any]]:
    converter = Converter.between(old, new)
    return [asdict(converter.convert(record)) for record in records]


@router.post(
    "/{name}/{version}/validate",
    response_model=CheckedOut,
    summary="Judge records by a profile",
    responses=problems(*LIVING_CODES),
    openapi_extra=_records_example([{"no": "1", "name": "架空公園", "area_m2": 1200}]),
)
async def validate_records(profile: LivingProfile, records: Records) -> Any:
    """Types, code lists, required fields and rules. At most 1,000 records; nothing is stored."""
    return asdict(await asyncio.to_thread(check_records, records, profiles.layout_of(profile)))


@router.get(
    "/{name}/{version}/template.xlsx",
    summary="Excel template",
    response_class=Response,
    responses=problems(*LIVING_CODES) | _XLSX,
)
async def download_template(profile: LivingProfile, platform: PlatformDep) -> Response:
    """Headings in Japanese, a guidance row that is skipped on reading, drop-downs for code lists."""
    made = await asyncio.to_thread(template.workbook, profiles.layout_of(profile))
    filename = f"{profile.title_ja}_{profile.name}_v{profile.version}.xlsx"
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        **ending_headers(profile, platform.issuer),
    }
    return Response(made, media_type=template.MEDIA_TYPE, headers=headers)
