"""What bodies buy together, and the solutions that they let others use."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base
from app.models.conformance import ConformanceService
from app.models.parties import Organization


class JointProcurement(Base):
    """A joint procurement (共同調達). `description`: what its lead says of it
    (`app.procurement.joint`); some of it stands beside, to be found by."""

    __tablename__ = "joint_procurement"
    __table_args__ = (CheckConstraint("ends_on > starts_on", name="period"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    lead_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    title: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]  # last day of the contract
    description: Mapped[dict[str, Any]]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class JointParticipant(Base):
    """A body that takes part, from a day on: it may join while the contract runs."""

    __tablename__ = "joint_participant"
    __table_args__ = (Index("ix_joint_participant_organization_id", "organization_id"),)

    procurement_id: Mapped[UUID] = mapped_column(ForeignKey(JointProcurement.id), primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), primary_key=True)
    since: Mapped[date]
    added_at: Mapped[datetime]
    added_by: Mapped[str]


class SharedSolution(Base):
    """A solution that its owner lets other bodies use (共同利用). Everybody may read it."""

    __tablename__ = "shared_solution"
    __table_args__ = (Index("ix_shared_solution_function", "function"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    name: Mapped[str]
    function: Mapped[str]
    service_id: Mapped[UUID | None] = mapped_column(ForeignKey(ConformanceService.id))
    users: Mapped[list[str]] = mapped_column(ARRAY(Text))  # ids of organisations
    licence: Mapped[str]
    terms: Mapped[str | None]
    contact: Mapped[str]  # a desk, never a person
    documentation_url: Mapped[str | None]
    how_to_join: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
    withdrawn_at: Mapped[datetime | None]
