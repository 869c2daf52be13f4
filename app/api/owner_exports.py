"""The door of a body to all that it owns: asked for, approved, looked at, taken. Makes no archive."""

from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    SCOPED_CODES,
    OrganizationWriter,
    PlatformDep,
    Reading,
    StepUp,
    Writing,
)
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.sent_file import FilePart, Sending, asked_range
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Text, Time
from app.api.state import Platform
from app.kit.errors import AppError, Kind
from app.models.moving import ExportState, OwnerExport
from app.moving import requests
from app.moving.refusals import ExportWaits
from app.moving.requests import Asked
from app.parties import organizations
from app.policy.facts import Caller
from app.policy.rules import RANK, ceiling

router = APIRouter(
    prefix="/v1/organizations/{organization_id}/exports", tags=["Owner export"],
    max_body_size=LONGEST_BODY, dependencies=[StepUp],
)  # fmt: skip
_SIGNED_S: Final = 300
_OWN: Final = (
    *SCOPED_CODES, "insufficient_user_authentication", "organization_not_found",
    "organization_invalid", "not_the_owner",
)  # fmt: skip
_ONE: Final = (*_OWN, "export_not_found", "export_out_of_reach")
_ZIP: Final = "application/zip"


class NotTheOwner(AppError):
    """What a body owns is for itself and for those above it."""

    kind = Kind.FORBIDDEN
    code = "not_the_owner"
    ja = "{organization} の所有データは、その組織か上位の組織の担当者だけが書き出せます。"
    en = "What {organization} owns is exported by its own officers, or those of a body above it."


class ExportOutOfReach(AppError):
    """The token, or the segment that it came by, does not reach so far."""

    kind = Kind.FORBIDDEN
    code = "export_out_of_reach"
    ja = (
        "{classes} までの書き出し（{zone}）には届きません。鍵に結び付いたトークン（DPoP か mTLS）で、"
        "求めたときと同じセグメントから接続してください。"
    )
    en = (
        "An export up to {classes} (of {zone}) is out of reach: come with a token that is bound to a"
        " key (DPoP or mTLS), by the segment that it was asked for in."
    )


class OwnerExportIn(InShape):
    """What is to go. Above internal it takes a purpose, the age key of who opens it, and somebody
    else who approves."""

    model_config = ConfigDict(json_schema_extra={"example": {"classes_up_to": "internal"}})

    classes_up_to: Literal["public", "internal", "restricted", "personal"] = "internal"
    purpose: Text | None = None
    recipient: Annotated[str, StringConstraints(pattern=r"^age1[a-z0-9]{1,100}$")] | None = Field(
        default=None, description="An age key (X25519): the archive is sealed for it alone"
    )


class OwnerExportOut(OutShape):
    """One owner export. `counts`: of each part of the archive, and `rows` of its datasets."""

    id: UUID
    organization: str = Field(validation_alias="organization_id")
    state: ExportState
    classes_up_to: str
    zone: str
    purpose: str | None
    recipient: str | None
    asked_by: str
    asked_at: Time
    approved_by: str | None
    approved_at: Time | None
    members_done: int
    ended_at: Time | None
    expires_at: Time | None
    size: int | None
    sha256: str | None
    kid: str | None = Field(description="The key whose signature the manifest bears: keep it")
    counts: dict[str, int] | None
    error_code: str | None
    error_ja: str | None
    error_en: str | None


@router.post(
    "", status_code=202, response_model=OwnerExportOut, summary="Export all that a body owns",
    responses=problems(*_OWN, "export_under_way", "export_not_sealed", "export_out_of_reach"),
)  # fmt: skip
async def ask_export(
    organization_id: str, body: OwnerExportIn, caller: OrganizationWriter, session: Writing,
    platform: PlatformDep,
) -> OwnerExport:  # fmt: skip
    """One archive of datasets with every version that readers had, of agreements, systems, findings
    and the log. A worker makes it; above internal it waits for somebody else's word."""
    organization = await _own(session, caller, organization_id)
    _check_reach(platform, caller, body.classes_up_to, platform.zone)
    asked = Asked(
        organization, body.classes_up_to, platform.zone, body.purpose, body.recipient,
        caller.client.actor, caller.client.client_id,
    )  # fmt: skip
    return await requests.ask(session, asked)


@router.get(
    "", response_model=PageOut[OwnerExportOut], summary="List a body's exports",
    responses=problems(*_OWN, "invalid_cursor"),
)  # fmt: skip
async def list_exports(
    organization_id: str, caller: OrganizationWriter, session: Reading,
    limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Newest first."""
    organization, after = await _own(session, caller, organization_id), after_id(cursor)
    found = await requests.list_exports(session, organization, after=after, limit=limit + 1)
    return page(found, limit, lambda each: each.id)


@router.get(
    "/{export_id}",
    response_model=OwnerExportOut,
    summary="Show an export",
    responses=problems(*_ONE),
)
async def show_export(
    organization_id: str, export_id: UUID, caller: OrganizationWriter, session: Reading
) -> OwnerExport:
    """How far it is, and what it holds once it is ready."""
    organization = await _own(session, caller, organization_id)
    return await requests.get(session, export_id, organization)


@router.post(
    "/{export_id}/approve", response_model=OwnerExportOut, summary="Approve an export",
    responses=problems(*_ONE, "export_state", "export_needs_another"),
)  # fmt: skip
async def approve_export(
    organization_id: str, export_id: UUID, caller: OrganizationWriter, session: Writing,
    platform: PlatformDep,
) -> OwnerExport:  # fmt: skip
    """By somebody else than who asked: two people answer for what is above internal."""
    export = await _locked(session, platform, caller, organization_id, export_id)
    by, via = caller.client.actor, caller.client.client_id
    await requests.approve(session, export, by=by, via=via)
    return export


@router.delete(
    "/{export_id}", status_code=204, summary="Cancel an export or let its archive go",
    responses=problems(*_OWN, "export_not_found", "export_state"),
)  # fmt: skip
async def cancel_export(
    organization_id: str, export_id: UUID, caller: OrganizationWriter, session: Writing
) -> None:
    """Its worker stops at the next member; an archive that is there can be had no more."""
    organization = await _own(session, caller, organization_id)
    export = await requests.get(session, export_id, organization, lock=True)
    await requests.cancel(session, export, by=caller.client.actor)


@router.get(
    "/{export_id}/archive", summary="Download an export",
    responses={
        200: {"description": "The archive", "content": {_ZIP: {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "The part that `Range` named"},
        302: {"description": "Where the archive is: a signed address of short life"},
        **problems(*_ONE, "export_state", "range_not_satisfiable"),
    },
    response_class=Response,
)  # fmt: skip
async def download_export(
    organization_id: str, export_id: UUID, request: Request, caller: OrganizationWriter,
    session: Writing, platform: PlatformDep,
) -> Response:  # fmt: skip
    """Whole or in parts (`Range`, `If-Range`), for a week. Every taking stands in the log."""
    export = await _locked(session, platform, caller, organization_id, export_id)
    by, via = caller.client.actor, caller.client.client_id
    await requests.taken(session, export, by=by, via=via)
    path = platform.store.path_of(requests.store_key(export.id))
    if path is None:
        key = requests.store_key(export.id)
        signed = await platform.store.sign(key, seconds=_SIGNED_S)
        return Response(status_code=302, headers={"Location": signed, "Cache-Control": "no-store"})
    return _part(request, export, path)


def _part(request: Request, export: OwnerExport, path: FilePath) -> Response:
    suffix = "zip.age" if export.recipient else "zip"
    name = f"owner-export-{export.organization_id}.{suffix}"
    if (
        export.size is None
        or export.sha256 is None
        or export.ended_at is None
        or not path.is_file()
    ):
        raise ExportWaits(id=export.id, state=export.state)
    sending = Sending(
        export.size, export.sha256, export.ended_at, _ZIP, name, name, "private, no-store", None
    )
    part = asked_range(request, sending)
    if part is None:
        return FilePart(path, 0, sending.size, headers=sending.headers)
    begin, end = part
    headers = {**sending.headers, "Content-Range": f"bytes {begin}-{end}/{sending.size}"}
    return FilePart(path, begin, end - begin + 1, status_code=206, headers=headers)


async def _own(session: AsyncSession, caller: Caller, organization_id: str) -> str:
    """The body's id. Raises `NotTheOwner` for another's."""
    body = await organizations.get(session, organization_id)
    if caller.client.organization_id not in await organizations.line_of(session, body.id):
        raise NotTheOwner(organization=body.id)
    return body.id


async def _locked(
    session: AsyncSession, platform: Platform, caller: Caller, organization_id: str, export_id: UUID
) -> OwnerExport:
    organization = await _own(session, caller, organization_id)
    export = await requests.get(session, export_id, organization, lock=True)
    _check_reach(platform, caller, export.classes_up_to, export.zone)
    return export


def _check_reach(platform: Platform, caller: Caller, classes: str, zone: str) -> None:
    if ceiling(caller) < RANK[classes] or platform.zone != zone:
        raise ExportOutOfReach(classes=classes, zone=zone)
