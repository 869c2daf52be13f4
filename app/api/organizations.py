"""The door to organisations (管理). Translates; what may be changed is the service's matter."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict
from pydantic.config import JsonDict

from app.api.access import SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Time
from app.models.parties import Approval, FormerName, Organization, OrganizationKind
from app.parties import organizations

router = APIRouter(
    prefix="/v1/admin/organizations", tags=["Organisations"], max_body_size=LONGEST_BODY
)
_EXAMPLE: JsonDict = {
    "id": "271004-hokensho",
    "kind": "unit",
    "name_ja": "保健所",
    "name_en": "Public Health Center",
    "parent_id": "271004",
}


class OrganizationIn(InShape):
    """An organisation to be added. Codes of five digits get their check digit."""

    id: Name
    kind: OrganizationKind
    name_ja: Name
    name_kana: Name | None = None
    name_en: Name | None = None
    parent_id: Name | None = None
    second_parent_id: Name | None = None
    valid_from: date | None = None

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})


class OrganizationOut(OutShape):
    """An organisation. The id is permanent; names change and are not unique."""

    id: str
    local_government_code: str | None
    kind: str
    name_ja: str
    name_kana: str | None
    name_en: str | None
    parent_id: str | None
    second_parent_id: str | None
    successor_id: str | None
    valid_from: date | None
    valid_to: date | None
    approval: str | None
    created_at: Time

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "local_government_code": None,
                "name_kana": None,
                "second_parent_id": None,
                "successor_id": None,
                "valid_from": None,
                "valid_to": None,
                "approval": None,
                "created_at": "2026-04-01T09:00:00+09:00",
            }
        }
    )


class FormerNameOut(OutShape):
    """A name that the organisation bore until a day."""

    until: date
    name_ja: str
    name_en: str | None


class RenameIn(InShape):
    """A new name from a day on."""

    name_ja: Name
    name_en: Name | None = None
    since: date

    model_config = ConfigDict(
        json_schema_extra={"example": {"name_ja": "デジタル統括室", "since": "2022-04-01"}}
    )


class ApprovalIn(InShape):
    """`second_person`: whoever loads a version of public data does not publish it. null: may."""

    approval: Approval | None

    model_config = ConfigDict(json_schema_extra={"example": {"approval": "second_person"}})


class CloseIn(InShape):
    """The end of an organisation, and what took its place."""

    on: date
    successor_id: Name | None = None

    model_config = ConfigDict(
        json_schema_extra={"example": {"on": "2022-04-01", "successor_id": "271004-somu"}}
    )


@router.post(
    "",
    status_code=201,
    response_model=OrganizationOut,
    summary="Add an organisation",
    responses=problems(
        *SCOPED_CODES, "organization_invalid", "organization_exists", "organization_closed"
    ),
)
async def add_organization(
    new: OrganizationIn, caller: AdminWriter, session: Writing
) -> Organization:
    """Local governments and wards by code, units as `271004-kenko`, all others by a word."""
    told = organizations.NewOrganization(**new.model_dump())
    return await organizations.add(session, told, by=caller.client.actor)


@router.get(
    "",
    response_model=PageOut[OrganizationOut],
    summary="List organisations",
    responses=problems(*SCOPED_CODES, "invalid_cursor", "organization_invalid"),
)
async def list_organizations(
    caller: AdminReader,
    session: Reading,
    name: Annotated[str | None, Query(max_length=100, description="part of a name")] = None,
    kind: OrganizationKind | None = None,
    parent: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """By id. `name` looks in present and former names, kana and English."""
    found = await organizations.list_organizations(
        session,
        named=name,
        kind=kind,
        parent_id=parent,
        after=after(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda organization: organization.id)


@router.get(
    "/{organization_id}",
    response_model=OrganizationOut,
    summary="Show an organisation",
    responses=problems(*SCOPED_CODES, "organization_not_found", "organization_invalid"),
)
async def show_organization(
    organization_id: str, caller: AdminReader, session: Reading
) -> Organization:
    """By id, or by local government code of five or six digits."""
    return await organizations.get(session, organization_id)


@router.get(
    "/{organization_id}/tree",
    response_model=list[OrganizationOut],
    summary="List an organisation and all below it",
    responses=problems(*SCOPED_CODES, "organization_not_found", "organization_invalid"),
)
async def show_tree(
    organization_id: str, caller: AdminReader, session: Reading
) -> list[Organization]:
    """By either parent: a joint unit stands below both."""
    return await organizations.list_tree(session, organization_id)


@router.get(
    "/{organization_id}/former-names",
    response_model=list[FormerNameOut],
    summary="List former names",
    responses=problems(*SCOPED_CODES, "organization_not_found", "organization_invalid"),
)
async def list_former_names(
    organization_id: str, caller: AdminReader, session: Reading
) -> Sequence[FormerName]:
    """Oldest first."""
    organization = await organizations.get(session, organization_id)
    return await organizations.list_former_names(session, organization.id)


@router.post(
    "/{organization_id}/rename",
    response_model=OrganizationOut,
    summary="Rename an organisation",
    responses=problems(
        *SCOPED_CODES, "organization_not_found", "organization_invalid", "organization_closed"
    ),
)
async def rename_organization(
    organization_id: str, new: RenameIn, caller: AdminWriter, session: Writing
) -> Organization:
    """The id and everything that hangs on it stay."""
    return await organizations.rename(
        session, organization_id, **new.model_dump(), by=caller.client.actor
    )


@router.post(
    "/{organization_id}/close",
    response_model=OrganizationOut,
    summary="Close an organisation",
    responses=problems(
        *SCOPED_CODES,
        "organization_not_found",
        "organization_invalid",
        "organization_closed",
        "organization_has_units",
    ),
)
async def close_organization(
    organization_id: str, end: CloseIn, caller: AdminWriter, session: Writing
) -> Organization:
    """Its clients are refused from then on."""
    return await organizations.close(
        session, organization_id, **end.model_dump(), by=caller.client.actor
    )


@router.post(
    "/{organization_id}/approval",
    response_model=OrganizationOut,
    summary="Have what is published approved by a second person",
    responses=problems(
        *SCOPED_CODES, "organization_not_found", "organization_invalid", "organization_closed"
    ),
)
async def ask_approval(
    organization_id: str, asked: ApprovalIn, caller: AdminWriter, session: Writing
) -> Organization:
    """For public data of the organisation and of all below it. Only an operator lifts it again."""
    return await organizations.ask_approval(
        session, organization_id, approval=asked.approval, by=caller.client.actor
    )
