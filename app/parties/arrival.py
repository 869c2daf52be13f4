"""Whether an organisation has come in: its steward's client and its terms. Keeps nothing."""

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.parties import Client, Role
from app.parties import terms
from app.parties.terms import Standing


@dataclass(frozen=True, slots=True)
class Arrival:
    """What stands between an organisation and its first dataset."""

    has_steward: bool
    terms: Standing


async def arrival_of(session: AsyncSession, organization_id: str) -> Arrival:
    """Where the organisation stands now."""
    steward = exists().where(
        Client.organization_id == organization_id,
        Client.revoked_at.is_(None),
        Client.roles.contains([Role.STEWARD.value]),
    )
    return Arrival(
        has_steward=bool(await session.scalar(select(steward))),
        terms=await terms.standing_of(session, organization_id),
    )
