"""Whose projects and joint procurements a caller may know of, and for whom it may act."""

from collections.abc import Sequence
from typing import Annotated, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import SCOPED_CODES, require
from app.api.finding_access import acting_for, kept_for, owners_for
from app.kit.errors import AppError, Kind
from app.models.programmes import Programme, Project
from app.policy.facts import Caller
from app.programmes.projects import DECIDED, Move
from app.programmes.refusals import ProjectNotYours

ProgrammesReader = Annotated[Caller, require(scope="programmes:read")]
ProgrammesWriter = Annotated[Caller, require(scope="programmes:write")]
PROGRAMME_CODES: Final = (*SCOPED_CODES, "programme_not_found")
PROJECT_CODES: Final = (*SCOPED_CODES, "project_not_found")


class NotForOrganization(AppError):
    """Each organisation keeps its own, and what is of those below it."""

    kind = Kind.FORBIDDEN
    code = "not_for_organization"
    ja = "組織 {organization} の登録は、その組織か上位の組織だけができます。"
    en = "What is of {organization} is kept by that organisation or one above it."


async def owner_of(session: AsyncSession, caller: Caller, organization: str | None) -> str:
    """The organisation that something new is kept for. Raises `NotForOrganization`."""
    return await kept_for(session, caller, organization, NotForOrganization)


def check_may_move(
    project: Project, programme: Programme, move: Move, mine: Sequence[str] | None
) -> None:
    """The owner submits and withdraws, whoever runs the programme decides; `mine` None: an operator.

    Raises `ProjectNotYours`.
    """
    is_decided = move.to in DECIDED
    who = programme.organization_id if is_decided else project.organization_id
    if mine is not None and who not in mine:
        raise ProjectNotYours(to=move.to, organization=who)


__all__ = [
    "PROGRAMME_CODES",
    "PROJECT_CODES",
    "ProgrammesReader",
    "ProgrammesWriter",
    "acting_for",
    "check_may_move",
    "owner_of",
    "owners_for",
]
