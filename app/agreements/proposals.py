"""Other terms than those that stand, as one side words them. Puts nothing before anybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.rows import check_rows
from app.agreements.standing import Terms
from app.agreements.terms import check_columns, check_period, check_purpose
from app.kit.errors import Fault
from app.models.agreements import AccessRequest, Agreement
from app.policy.facts import Action
from app.query.fields import Field


class Keep(Enum):
    """That what stands is to stay, where None would take it away."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Proposal:
    """Other terms. None, or `KEEP`: as they stand."""

    purpose: str | None = None
    legal_basis: str | None = None
    actions: tuple[Action, ...] | None = None
    columns: tuple[str, ...] | None = None
    rows: str | Keep | None = KEEP
    per_day: int | Keep | None = KEEP
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None


def merged(standing: AccessRequest | Agreement, proposal: Proposal) -> Terms:
    """The terms that stand, with what is proposed instead."""
    return Terms(
        purpose=proposal.purpose or standing.purpose,
        legal_basis=proposal.legal_basis or standing.legal_basis,
        actions=tuple(proposal.actions or standing.actions),
        columns=tuple(standing.columns if proposal.columns is None else proposal.columns),
        rows=standing.rows if proposal.rows is KEEP else proposal.rows,
        per_day=standing.per_day if proposal.per_day is KEEP else proposal.per_day,
        valid_from=proposal.valid_from or standing.valid_from,
        valid_until=proposal.valid_until or standing.valid_until,
        reason=proposal.reason,
    )


async def check_terms(
    session: AsyncSession, terms: Terms, fields: Mapping[str, Field]
) -> list[Fault]:
    """What is wrong with terms by themselves, whoever words them."""
    return [
        *await check_purpose(session, terms.purpose),
        *check_columns(terms.columns, fields),
        *check_rows(terms.rows, fields),
        *check_period(terms.valid_from, terms.valid_until),
    ]
