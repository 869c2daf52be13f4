"""Joint procurements (共同調達): who leads, who takes part from when on, what is bought and required.

Seen by those who take part. Judges no caller and commits nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance import requirements
from app.kit import clock
from app.kit.errors import Fault
from app.models.procurement import JointParticipant, JointProcurement
from app.parties import organizations
from app.procurement.refusals import (
    AlreadyParticipant,
    JointChanged,
    JointInvalid,
    JointNotFound,
    NotAParticipant,
)
from app.systems.description import Function, Story, Words

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=1000)]

Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Lot(_Said):
    """Something that is bought. `function`: as in the system inventory."""

    name: Words
    function: Function
    note: Story | None = None


class DocumentLink(_Said):
    """Where a document of the procurement is kept."""

    title: Words
    url: Address


class JointDescription(_Said):
    """Everything that the lead says of it. `ends_on`: the last day of the contract."""

    title: Words
    starts_on: Day
    ends_on: Day
    lots: Annotated[list[Lot], Field(min_length=1, max_length=50)]
    classes: Annotated[list[Words], Field(max_length=6, default_factory=list)]
    profiles: Annotated[list[Words], Field(max_length=100, default_factory=list)]
    know_how: Annotated[list[Story], Field(max_length=100, default_factory=list)]
    documents: Annotated[list[DocumentLink], Field(max_length=100, default_factory=list)]


@dataclass(frozen=True, slots=True)
class Joint:
    """A joint procurement with those who take part beside its lead, by the day they join."""

    row: JointProcurement
    participants: Sequence[JointParticipant]


async def add(session: AsyncSession, lead_id: str, said: JointDescription, *, by: str) -> Joint:
    """Raises `OrganizationNotFound`, `JointInvalid`, `RequirementsInvalid`."""
    lead = await organizations.get(session, lead_id)
    row = JointProcurement(
        id=uuid4(), lead_id=lead.id, revision=0, created_at=clock.now(), created_by=by
    )
    await _say(session, row, said, (), by)
    session.add(row)
    await session.flush()
    await _note(session, Event.JOINT_PROCUREMENT_ADDED, row, None)
    return Joint(row, ())


async def change(
    session: AsyncSession, joint: Joint, said: JointDescription, *, revision: int | None, by: str
) -> None:
    """Say it anew and whole. Raises `JointChanged`, `JointInvalid`, `RequirementsInvalid`."""
    row = joint.row
    if revision is not None and revision != row.revision:
        raise JointChanged(id=row.id, now=row.revision, given=revision)
    await _say(session, row, said, joint.participants, by)
    await session.flush()
    await _note(session, Event.JOINT_PROCUREMENT_CHANGED, row, "said")


async def join(
    session: AsyncSession, joint: Joint, organization_id: str, since: date | None, *, by: str
) -> Joint:
    """Let a body take part, from the beginning or a later day on.

    Raises `OrganizationNotFound`, `OrganizationClosed`, `AlreadyParticipant`, `JointInvalid`.
    """
    row = joint.row
    organization = await organizations.get(session, organization_id)
    if organization.valid_to is not None:
        raise organizations.OrganizationClosed(organization=organization.id)
    first = since or row.starts_on
    known = {row.lead_id: row.starts_on}
    known |= {each.organization_id: each.since for each in joint.participants}
    if organization.id in known:
        raise AlreadyParticipant(
            organization=organization.id, since=known[organization.id], id=row.id
        )
    if not row.starts_on <= first <= row.ends_on:
        raise JointInvalid(faults=[_out_of_contract("/since", row.starts_on, row.ends_on)])
    session.add(
        JointParticipant(
            procurement_id=row.id, organization_id=organization.id, since=first,
            added_at=clock.now(), added_by=by,
        )
    )  # fmt: skip
    await session.flush()
    await _note(session, Event.JOINT_PROCUREMENT_CHANGED, row, f"joined:{organization.id}", by)
    return await _with_participants(session, row)


async def leave(session: AsyncSession, joint: Joint, organization_id: str, *, by: str) -> Joint:
    """Take a body out that does not take part after all. Raises `NotAParticipant`."""
    row, wanted = joint.row, organizations.meant_id(organization_id)
    found = next((each for each in joint.participants if each.organization_id == wanted), None)
    if found is None:
        raise NotAParticipant(organization=organization_id, id=row.id)
    await session.delete(found)
    await session.flush()
    await _note(session, Event.JOINT_PROCUREMENT_CHANGED, row, f"left:{wanted}", by)
    return await _with_participants(session, row)


async def get(
    session: AsyncSession, joint_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> Joint:
    """One that one of the owners leads or takes part in (None: any). Raises `JointNotFound`."""
    row = await session.get(JointProcurement, joint_id, with_for_update=lock or None)
    if row is None:
        raise JointNotFound(id=joint_id)
    joint = await _with_participants(session, row)
    if owners is not None and members(joint).isdisjoint(owners):
        raise JointNotFound(id=joint_id)
    return joint


async def list_joint(
    session: AsyncSession, owners: Sequence[str] | None, *, after: UUID | None, limit: int
) -> list[Joint]:
    """Those of the owners, by id."""
    statement = select(JointProcurement).order_by(JointProcurement.id).limit(limit)
    if owners is not None:
        statement = statement.where(_is_of(owners))
    if after is not None:
        statement = statement.where(JointProcurement.id > after)
    rows = (await session.scalars(statement)).all()
    taking_part = await _participants(session, [each.id for each in rows])
    return [Joint(each, taking_part.get(each.id, ())) for each in rows]


def members(joint: Joint) -> frozenset[str]:
    """The lead and all who take part, those who join later too."""
    return frozenset((joint.row.lead_id, *(each.organization_id for each in joint.participants)))


def said_of(row: JointProcurement) -> JointDescription:
    """What is said of it now."""
    return JointDescription.model_validate(row.description)


def _is_of(owners: Sequence[str]) -> ColumnElement[bool]:
    joined = select(JointParticipant.procurement_id).where(
        JointParticipant.organization_id.in_(owners)
    )
    return or_(JointProcurement.lead_id.in_(owners), JointProcurement.id.in_(joined))


async def _with_participants(session: AsyncSession, row: JointProcurement) -> Joint:
    return Joint(row, (await _participants(session, [row.id])).get(row.id, ()))


async def _participants(
    session: AsyncSession, ids: Collection[UUID]
) -> dict[UUID, list[JointParticipant]]:
    its = select(JointParticipant).where(JointParticipant.procurement_id.in_(ids))
    found: dict[UUID, list[JointParticipant]] = {}
    order = (JointParticipant.since, JointParticipant.organization_id)
    for each in await session.scalars(its.order_by(*order)):
        found.setdefault(each.procurement_id, []).append(each)
    return found


async def _say(
    session: AsyncSession, row: JointProcurement, said: JointDescription,
    participants: Sequence[JointParticipant], by: str,
) -> None:  # fmt: skip
    if said.ends_on <= said.starts_on:
        raise JointInvalid(faults=[Fault(
            "/description/ends_on", "date_order", "ends_on は starts_on より後の日付です。",
            "ends_on must be after starts_on.",
        )])  # fmt: skip
    held = await requirements.checked(session, said.classes, said.profiles, within="/description")
    for each in participants:
        if not said.starts_on <= each.since <= said.ends_on:
            at = "/description/starts_on"
            raise JointInvalid(faults=[_left_out(at, each.organization_id, each.since)])
    told = said.model_copy(update={"classes": list(held.classes), "profiles": list(held.profiles)})
    row.title, row.starts_on, row.ends_on = said.title, said.starts_on, said.ends_on
    row.description = told.model_dump(mode="json", exclude_defaults=True)
    row.revision += 1
    row.changed_at, row.changed_by = clock.now(), by


def _out_of_contract(pointer: str, first: date, last: date) -> Fault:
    return Fault(
        pointer, "date_out_of_contract", f"契約期間（{first}〜{last}）内の日付にしてください。",
        f"Give a day of the contract, {first} to {last}.",
    )  # fmt: skip


def _left_out(pointer: str, organization_id: str, since: date) -> Fault:
    return Fault(
        pointer, "date_out_of_contract",
        f"{organization_id} が参加する {since} を契約期間に含めてください。",
        f"{organization_id} joins on {since}: the contract must hold that day.",
    )  # fmt: skip


async def _note(
    session: AsyncSession, event: Event, row: JointProcurement, what: str | None,
    by: str | None = None,
) -> None:  # fmt: skip
    await log.append(
        session, event, joint_procurement=str(row.id), organization=row.lead_id,
        revision=row.revision, change=what, by=by or row.changed_by,
    )  # fmt: skip
