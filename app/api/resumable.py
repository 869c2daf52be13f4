"""The door for files in parts: tus 1.0.0 (core, creation, termination, checksum, expiration).

Every replica takes every part: the bytes stand in PostgreSQL. Loading the whole file is the
business of `POST /v1/datasets/{id}/versions?upload=`.
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.ownership import TERMS_CODE, TOKEN_CODE, Owned, owner_code
from app.api.problem import problems
from app.api.received import announced_bytes, body_of
from app.api.tus_words import (
    ALGORITHMS,
    VERSION,
    PartNotTaken,
    check_version,
    checksum_of,
    metadata_of,
)
from app.catalogue import incoming, runs
from app.kit import clock
from app.tables import parts

_HEADER: Final = "Tus-Resumable"
_EXTENSIONS: Final = "creation,termination,checksum,expiration"
_FOUND: Final = (*SCOPED_CODES, "upload_not_found", "upload_expired", "tus_version")


class _Tus(APIRoute):
    """Every answer, a refusal too, says which version of the protocol it speaks; and a POST may
    stand for a method that something on the way does not let through."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        meant = _method_meant(scope)
        match, child = super().matches({**scope, "method": meant})
        if match is Match.FULL:
            child["method"] = meant
            child["method_sent"] = scope["method"]
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_HEADER] = VERSION
            await send(message)

        await super().handle(scope, receive, sending)


def _method_meant(scope: Scope) -> str:
    """The method, or what X-HTTP-Method-Override says of a POST (tus 1.0.0, core)."""
    method: str = scope["method"]
    meant = Headers(scope=scope).get("x-http-method-override", "")
    return meant if method == "POST" and meant in ("PATCH", "DELETE") else method


router = APIRouter(prefix="/v1/uploads", tags=["Files and versions"], route_class=_Tus)
Version = Annotated[str | None, Header(alias=_HEADER, json_schema_extra={"enum": [VERSION]})]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=2**62)]
_PART = {
    "requestBody": {
        "required": True,
        "content": {
            PartNotTaken.media_type: {
                "schema": {"type": "string", "format": "binary"},
                "example": "番号,名称\nP-01,架空中央公園\n",
            }
        },
    }
}


async def _speaks(version: Version = None) -> None:
    check_version(version)


_SPEAKS: Final = [Depends(_speaks)]


@router.options(
    "",
    status_code=204,
    summary="What uploads in parts can do",
    responses=problems(),
)
async def describe_uploads(platform: PlatformDep) -> Response:
    """The protocol's version and extensions, and the largest file."""
    told = {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(platform.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(status_code=204, headers=told)


@router.post(
    "",
    status_code=201,
    summary="Begin an upload in parts",
    dependencies=_SPEAKS,
    responses=problems(
        *SCOPED_CODES, owner_code(), TERMS_CODE, TOKEN_CODE, "dataset_not_found", "dataset_withdrawn",
        "metadata_only", "tus_version", "upload_metadata_wrong", "upload_too_large",
    ),
)  # fmt: skip
async def begin_upload(
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
    length: Annotated[int, Header(alias="Upload-Length", ge=0, le=2**62)],
    metadata: Annotated[
        str,
        Header(alias="Upload-Metadata", description="`dataset` and `filename`, values in Base64"),
    ] = "",
) -> Response:
    """Announce a file for one of your datasets. `Location` is where its parts go, by PATCH."""
    named = metadata_of(metadata)
    dataset = await Owned.dataset_to_load(session, named.dataset, caller)
    runs.check_can_load(dataset)
    begun = await incoming.begin(
        session, dataset, (length, named.filename, metadata), most=platform.max_upload_bytes,
        organization_id=caller.client.organization_id, by=caller.client.actor,
    )  # fmt: skip
    return Response(
        status_code=201, headers={"Location": f"/v1/uploads/{begun.id}", **_until(begun)}
    )


@router.head(
    "/{upload_id}",
    summary="How much of an upload has come",
    dependencies=_SPEAKS,
    responses=problems(*_FOUND),
    response_class=Response,
)
async def show_upload(upload_id: UUID, caller: CatalogueWriter, session: Reading) -> Response:
    """`Upload-Offset` is where to go on: that many bytes are safe, whatever happens."""
    found = await incoming.get(session, upload_id, organization_id=caller.client.organization_id)
    told = {
        "Upload-Offset": str(found.size),
        "Upload-Length": str(found.length),
        "Cache-Control": "no-store",
        **_until(found),
    }
    if found.told:
        told["Upload-Metadata"] = found.told
    return Response(status_code=200, headers=told)


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Send a part",
    dependencies=_SPEAKS,
    responses=problems(
        *_FOUND, "upload_offset_mismatch", "upload_truncated", "beyond_upload_length",
        "checksum_mismatch", "checksum_wrong", "unsupported_media_type",
    ),
    openapi_extra=_PART,
)  # fmt: skip
async def append_part(
    upload_id: UUID,
    request: Request,
    caller: CatalogueWriter,
    platform: PlatformDep,
    offset: Offset,
    upload_checksum: Annotated[
        str | None, Header(description="`sha256` or `sha1` and the digest in Base64")
    ] = None,
) -> Response:
    """Put bytes behind those that are there. Each megabyte is safe once it is committed; with a
    checksum the part is there whole or not at all."""
    PartNotTaken.check(request.headers.get("content-type"))
    checksum = checksum_of(upload_checksum)
    async with platform.database.reading() as session:
        found = await incoming.get(
            session, upload_id, organization_id=caller.client.organization_id
        )
    place = _place(found, offset, announced_bytes(request))
    reached = await parts.append(platform.database.pool, place, body_of(request), checksum)
    expires = _http_date(place.expires_at)
    return Response(
        status_code=204, headers={"Upload-Offset": str(reached), "Upload-Expires": expires}
    )


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Give an upload up",
    dependencies=_SPEAKS,
    responses=problems(*_FOUND, "upload_in_use"),
)
async def remove_upload(
    upload_id: UUID, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> Response:
    """Remove an upload that no run uses, and what has come of it."""
    mine = caller.client.organization_id
    found = await incoming.get(session, upload_id, organization_id=mine, to_remove=True)
    if not await parts.remove(await platform.database.driver_of(session), upload_id):
        raise incoming.UploadInUse(id=upload_id)
    await incoming.note_removed(session, found, by=caller.client.actor)
    return Response(status_code=204)


def _place(found: incoming.Incoming, offset: int, announced: int | None) -> parts.Place:
    """Where a part goes. Raises `OffsetMismatch`, `BeyondLength` before a byte is read."""
    incoming.check_place(found, offset)
    if offset + (announced or 0) > found.length:
        raise parts.BeyondLength(length=found.length)
    return parts.Place(found.id, offset, found.length, clock.now() + incoming.KEPT)


def _until(found: incoming.Incoming) -> dict[str, str]:
    return {"Upload-Expires": _http_date(found.expires_at)}


def _http_date(moment: datetime) -> str:
    """RFC 9110, 5.6.7."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)
