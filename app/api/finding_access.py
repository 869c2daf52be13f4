"""Whose findings and channels a caller may know of; others get the answer of what does not exist."""

from collections.abc import Sequence
from typing import Annotated, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import SCOPED_CODES, require
from app.findings.refusals import NotForOperators
from app.kit.errors import AppError
from app.models.parties import Role
from app.parties.organizations import list_tree, meant_id
from app.policy.facts import Caller

FindingsReader = Annotated[Caller, require(scope="findings:read")]
FindingsWriter = Annotated[Caller, require(scope="findings:write")]
READING_CODES: Final = (*SCOPED_CODES, "finding_not_found")
_SEE_ALL: Final = frozenset({Role.OPERATOR.value, Role.AUDITOR.value})


async def owners_for(session: AsyncSession, caller: Caller) -> Sequence[str] | None:
    """The organisations whose findings the caller may read, its own and those below; None: all."""
    if not _SEE_ALL.isdisjoint(caller.client.roles):
        return None
    return await _mine(session, caller)


async def acting_for(session: AsyncSession, caller: Caller) -> Sequence[str] | None:
    """The organisations for which the caller may act; None: for everybody, the operators too."""
    return None if is_operator(caller) else await _mine(session, caller)


async def kept_for(
    session: AsyncSession, caller: Caller, organization: str | None, refusal: type[AppError]
) -> str:
    """The organisation that something is kept for, the caller's own where none is named.

    Raises the refusal for one that the caller may not act for.
    """
    wanted = meant_id(organization or caller.client.organization_id)
    mine = await acting_for(session, caller)
    if mine is not None and wanted not in mine:
        raise refusal(organization=wanted)
    return wanted


async def _mine(session: AsyncSession, caller: Caller) -> list[str]:
    return [each.id for each in await list_tree(session, caller.client.organization_id)]


def is_operator(caller: Caller) -> bool:
    """Whether the caller is one of the operators'."""
    return Role.OPERATOR in caller.client.roles


def check_operator(caller: Caller) -> None:
    """Raise `NotForOperators` for anybody else."""
    if not is_operator(caller):
        raise NotForOperators
