"""Which agreements organisations stand under: as parties, or as members of a group today."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.models.agreements import Agreement
from app.models.onboarding import GroupMember


def in_parties(parties: Sequence[str]) -> ColumnElement[bool]:
    """The condition that one of these organisations is a party, or stands under it today."""
    return or_(
        Agreement.consumer_id.in_(parties),
        Agreement.provider_id.in_(parties),
        Agreement.group_id.in_(_groups_of(parties)),
    )


async def is_member(session: AsyncSession, group_id: str | None, organization_id: str) -> bool:
    """Whether an organisation is a member of the group today."""
    if group_id is None:
        return False
    mine = _groups_of([organization_id]).where(GroupMember.group_id == group_id).limit(1)
    return await session.scalar(mine) is not None


def _groups_of(organizations: Sequence[str]) -> Select[str]:
    today = clock.now().astimezone(clock.TOKYO).date()
    return select(GroupMember.group_id).where(
        GroupMember.organization_id.in_(organizations),
        GroupMember.ended_at.is_(None),
        GroupMember.since <= today,
        or_(GroupMember.until.is_(None), GroupMember.until > today),
    )
