"""Tenant groups (共同利用): whose stewards may manage whose datasets today. Gives no right to read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.onboarding import GroupMember, TenantGroup
from app.parties import organizations
from app.parties.organizations import OrganizationClosed
from app.parties.terms import today

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}\Z", re.ASCII)


class GroupNotFound(AppError):
    """No such group, or none that the caller takes part in."""

    kind = Kind.NOT_FOUND
    code = "group_not_found"
    ja = "共同利用グループ {group} はありません。"
    en = "There is no group {group}."


class GroupExists(AppError):
    """The id is taken."""

    kind = Kind.CONFLICT
    code = "group_exists"
    ja = "共同利用グループ {group} は既にあります。別の id を指定してください。"
    en = "The group {group} exists already. Choose another id."


class GroupInvalid(AppError):
    """What was said of the group or the membership is wrong."""

    kind = Kind.INVALID
    code = "group_invalid"
    ja = "共同利用グループの登録内容に誤りがあります。"
    en = "What was said of the group is wrong."


class AlreadyMember(AppError):
    """Two memberships of one organisation in one group would overlap."""

    kind = Kind.CONFLICT
    code = "already_member"
    ja = "{organization} は {since} からグループ {group} に参加しています。先にその参加を終了してください。"
    en = "{organization} is a member of {group} from {since} on. End that membership first."


class NotAMember(AppError):
    """The organisation has no membership that could end."""

    kind = Kind.CONFLICT
    code = "not_a_member"
    ja = "{organization} はグループ {group} に参加していません。"
    en = "{organization} is not a member of {group}."


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group as the platform's operator enters it."""

    id: str
    name_ja: str
    operator_id: str
    purpose: str
    name_en: str | None = None


@dataclass(frozen=True, slots=True)
class NewMember:
    """A membership: `since` is its first day, `until` the first day without it."""

    organization_id: str
    agreement: str
    since: date
    until: date | None = None


async def add(session: AsyncSession, new: NewGroup, *, by: str) -> TenantGroup:
    """Enter a group. Raises `GroupInvalid`, `GroupExists`, `OrganizationNotFound`, `…Closed`."""
    operator = await organizations.get(session, new.operator_id)
    if operator.valid_to is not None:
        raise OrganizationClosed(organization=operator.id)
    if not _ID.match(new.id):
        raise _wrong("/id", "invalid_id", "英小文字・数字・ハイフンで2〜63文字にしてください。",
                     "Use 2 to 63 lower-case letters, digits and hyphens.")  # fmt: skip
    if await session.get(TenantGroup, new.id) is not None:
        raise GroupExists(group=new.id)
    group = TenantGroup(
        id=new.id,
        name_ja=new.name_ja,
        name_en=new.name_en,
        operator_id=operator.id,
        purpose=new.purpose,
        created_at=clock.now(),
        created_by=by,
    )
    session.add(group)
    await audit.append(session, Event.GROUP_ADDED, group=group.id, operator=operator.id, by=by)
    return group


def _wrong(pointer: str, code: str, ja: str, en: str) -> GroupInvalid:
    return GroupInvalid(faults=[Fault(pointer, code, ja, en)])


async def add_member(
    session: AsyncSession, group_id: str, new: NewMember, *, by: str
) -> GroupMember:
    """Enter a membership. Raises `GroupNotFound`, `GroupInvalid`, `AlreadyMember`."""
    group = await _locked(session, group_id)
    organization = await organizations.get(session, new.organization_id)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    if organization.id == group.operator_id:
        raise _wrong("/organization", "operator_itself", "運営組織自身は参加団体になりません。",
                     "The group's operator is no member of it.")  # fmt: skip
    if new.until is not None and new.until <= new.since:
        raise _wrong("/until", "date_order", "until は since より後の日付です。",
                     "until must be after since.")  # fmt: skip
    for other in await _standing(session, group_id, organization.id):
        if _overlap(other, new):
            raise AlreadyMember(organization=organization.id, group=group_id, since=other.since)
    member = GroupMember(
        group_id=group_id,
        organization_id=organization.id,
        agreement=new.agreement,
        since=new.since,
        until=new.until,
        added_at=clock.now(),
        added_by=by,
    )
    session.add(member)
    await audit.append(
        session, Event.GROUP_CHANGED, group=group_id, member=organization.id, change="joined",
        operator=group.operator_id, since=str(new.since),
        until=str(new.until) if new.until else None, by=by,
    )  # fmt: skip
    return member


def _overlap(one: GroupMember, other: NewMember) -> bool:
    begins_before_end = one.until is None or other.since < one.until
    return begins_before_end and (other.until is None or one.since < other.until)


async def end_membership(
    session: AsyncSession, group_id: str, organization_id: str, *, by: str
) -> TenantGroup:
    """End every membership of the organisation in the group at once, those to come as well.

    Raises `GroupNotFound`, `NotAMember`.
    """
    group = await _locked(session, group_id)
    member_id = organizations.normal_id(organization_id)
    standing = await _standing(session, group_id, member_id)
    running = [member for member in standing if member.until is None or today() < member.until]
    if not running:
        raise NotAMember(organization=member_id, group=group_id)
    for member in running:
        member.ended_at = clock.now()
        member.ended_by = by
    await audit.append(
        session, Event.GROUP_CHANGED, group=group_id, member=member_id, change="left",
        operator=group.operator_id, by=by,
    )  # fmt: skip
    return group


async def _locked(session: AsyncSession, group_id: str) -> TenantGroup:
    group = await session.get(TenantGroup, group_id, with_for_update=True)
    if group is None:
        raise GroupNotFound(group=group_id)
    return group


async def _standing(
    session: AsyncSession, group_id: str, organization_id: str
) -> Sequence[GroupMember]:
    statement = select(GroupMember).where(
        GroupMember.group_id == group_id,
        GroupMember.organization_id == organization_id,
        GroupMember.ended_at.is_(None),
    )
    return (await session.scalars(statement)).all()


async def list_groups(
    session: AsyncSession,
    *,
    taking_part: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[TenantGroup]:
    """Groups by id; only those that an organisation runs or was ever a member of, where named."""
    statement = select(TenantGroup).order_by(TenantGroup.id).limit(limit)
    if taking_part is not None:
        joined = select(GroupMember.group_id).where(GroupMember.organization_id == taking_part)
        mine = TenantGroup.operator_id == taking_part
        statement = statement.where(or_(mine, TenantGroup.id.in_(joined)))
    if after is not None:
        statement = statement.where(TenantGroup.id > after)
    return (await session.scalars(statement)).all()


async def members_of(
    session: AsyncSession, groups: Sequence[TenantGroup]
) -> dict[str, list[GroupMember]]:
    """The memberships of each group, past ones too, in the order they were entered."""
    made: dict[str, list[GroupMember]] = {group.id: [] for group in groups}
    statement = select(GroupMember).where(GroupMember.group_id.in_(made)).order_by(GroupMember.id)
    for member in await session.scalars(statement):
        made[member.group_id].append(member)
    return made


async def managing_group(session: AsyncSession, *, operator_id: str, member_id: str) -> str | None:
    """The group by which one organisation manages another's datasets today, if there is one."""
    on = today()
    found: str | None = await session.scalar(
        select(TenantGroup.id)
        .join(GroupMember, GroupMember.group_id == TenantGroup.id)
        .where(
            TenantGroup.operator_id == operator_id,
            GroupMember.organization_id == member_id,
            GroupMember.ended_at.is_(None),
            GroupMember.since <= on,
            or_(GroupMember.until.is_(None), GroupMember.until > on),
        )
        .order_by(TenantGroup.id)
        .limit(1)
    )
    return found
