"""Whose systems a caller may know of, and for whom it may act; others do not exist for it."""

from typing import Annotated, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import SCOPED_CODES, require
from app.api.finding_access import acting_for, kept_for, owners_for
from app.kit.errors import AppError, Kind
from app.policy.facts import Caller

SystemsReader = Annotated[Caller, require(scope="systems:read")]
SystemsWriter = Annotated[Caller, require(scope="systems:write")]
READING_CODES: Final = (*SCOPED_CODES, "system_not_found")


class NotYourOrganization(AppError):
    """Systems are kept by the organisation that runs them, or one above it."""

    kind = Kind.FORBIDDEN
    code = "system_not_of_organization"
    ja = "組織 {organization} のシステムは、その組織か上位の組織だけが登録できます。"
    en = "Systems of {organization} are kept by that organisation or one above it."


async def owner_of(session: AsyncSession, caller: Caller, organization: str | None) -> str:
    """The organisation that a new system is kept for. Raises `NotYourOrganization`."""
    return await kept_for(session, caller, organization, NotYourOrganization)


__all__ = [
    "READING_CODES",
    "SystemsReader",
    "SystemsWriter",
    "acting_for",
    "owner_of",
    "owners_for",
]
