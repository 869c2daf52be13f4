"""The door to tenant groups (共同利用): entered by the operator, seen and left by their members."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    ADMIN_CODES,
    SCOPED_CODES,
    AdminReader,
    AdminWriter,
    CallerDep,
    OrganizationWriter,
    Reading,
    Writing,
)
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Text, Time
from app.models.onboarding import GroupMember, TenantGroup
from app.parties import groups

router = APIRouter(tags=["Tenant groups"], max_body_size=LONGEST_BODY)
_ORGANIZATION = ("organization_not_found", "organization_invalid", "organization_closed")


class GroupIn(InShape):
    """A group: its operator's stewards manage the datasets of its members."""

    id: Slug
    name_ja: Name
    name_en: Name | None = None
    operator: Name
    purpose: Text

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "municipal-cloud",
                "name_ja": "自治体クラウド共同利用",
                "operator": "270008-smartcity",
                "purpose": "町村のデータセットの共同運用",
            }
        }
    )


class MemberIn(InShape):
    """A membership. `since` is its first day, `until` the first day without it."""

    organization: Name
    agreement: Text
    since: date
    until: date | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "organization": "273015",
                "agreement": "共同利用に関する協定書（令和8年4月1日）",
                "since": "2026-04-01",
            }
        }
    )


class MemberOut(OutShape):
    """A membership. One that has `ended_at` ended then, whatever `until` says."""

    organization_id: str
    agreement: str
    since: date
    until: date | None
    added_at: Time
    ended_at: Time | None


class GroupOut(OutShape):
    """A group with its memberships, past ones too."""

    id: str
    name_ja: str
    name_en: str | None
    operator_id: str
    purpose: str
    created_at: Time
    members: list[MemberOut]


@router.post(
    "/v1/admin/groups",
    status_code=201,
    response_model=GroupOut,
    summary="Enter a tenant group",
    responses=problems(*ADMIN_CODES, *_ORGANIZATION, "group_invalid", "group_exists"),
)
async def add_group(body: GroupIn, caller: AdminWriter, session: Writing) -> dict[str, Any]:
    """Its operator manages what members publish; reading records takes agreements all the same."""
    given = body.model_dump(exclude={"operator"})
    new = groups.NewGroup(**given, operator_id=body.operator)
    return _shown(await groups.add(session, new, by=caller.client.actor), [])


@router.get(
    "/v1/admin/groups",
    response_model=PageOut[GroupOut],
    summary="List all tenant groups",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_all_groups(
    caller: AdminReader, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """By id, with their memberships."""
    found = await groups.list_groups(session, after=after(cursor), limit=limit + 1)
    return await _page(session, found, limit)


@router.post(
    "/v1/admin/groups/{group_id}/members",
    status_code=201,
    response_model=MemberOut,
    summary="Enter a membership",
    responses=problems(
        *ADMIN_CODES, *_ORGANIZATION, "group_not_found", "group_invalid", "already_member"
    ),
)
async def add_member(
    group_id: str, body: MemberIn, caller: AdminWriter, session: Writing
) -> GroupMember:
    """From its first day on, the group's operator may manage the member's datasets."""
    given = body.model_dump(exclude={"organization"})
    new = groups.NewMember(**given, organization_id=body.organization)
    return await groups.add_member(session, group_id, new, by=caller.client.actor)


@router.post(
    "/v1/admin/groups/{group_id}/members/{organization_id}/end",
    response_model=GroupOut,
    summary="End a membership",
    responses=problems(*ADMIN_CODES, "organization_invalid", "group_not_found", "not_a_member"),
)
async def end_membership(
    group_id: str, organization_id: str, caller: AdminWriter, session: Writing
) -> dict[str, Any]:
    """At once, and whatever membership is still to come."""
    by = caller.client.actor
    group = await groups.end_membership(session, group_id, organization_id, by=by)
    return await _one(session, group)


@router.get(
    "/v1/groups",
    response_model=PageOut[GroupOut],
    summary="List one's own tenant groups",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_own_groups(
    caller: CallerDep, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Those that your organisation runs, is or was a member of."""
    found = await groups.list_groups(
        session,
        taking_part=caller.client.organization_id,
        after=after(cursor),
        limit=limit + 1,
    )
    return await _page(session, found, limit)


@router.post(
    "/v1/groups/{group_id}/leave",
    response_model=GroupOut,
    summary="Leave a tenant group",
    responses=problems(*SCOPED_CODES, "group_not_found", "not_a_member"),
)
async def leave_group(
    group_id: str, caller: OrganizationWriter, session: Writing
) -> dict[str, Any]:
    """The operator's rights end with this call; nobody has to agree."""
    mine, by = caller.client.organization_id, caller.client.actor
    return await _one(session, await groups.end_membership(session, group_id, mine, by=by))


async def _page(session: AsyncSession, found: Sequence[TenantGroup], limit: int) -> dict[str, Any]:
    listed = page(found, limit, lambda group: group.id)
    members = await groups.members_of(session, listed["items"])
    listed["items"] = [_shown(group, members[group.id]) for group in listed["items"]]
    return listed


async def _one(session: AsyncSession, group: TenantGroup) -> dict[str, Any]:
    return _shown(group, (await groups.members_of(session, [group]))[group.id])


def _shown(group: TenantGroup, members: Sequence[GroupMember]) -> dict[str, Any]:
    known = [name for name in GroupOut.model_fields if name != "members"]
    return {**{name: getattr(group, name) for name in known}, "members": members}
