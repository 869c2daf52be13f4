"""Systems that organisations run or buy, how each was diagnosed, and what was decided of doubles."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base
from app.models.parties import Organization


class System(Base):
    """One entry of the system inventory (情報システム台帳), connected to the platform or not.

    `description` is what its owner says of it (`app.systems.description`); some of it stands beside,
    to be found by.
    """

    __tablename__ = "system"
    __table_args__ = (
        CheckConstraint("revision >= 1", name="revision"),
        Index("ix_system_function", "function"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    name: Mapped[str]
    function: Mapped[str]
    state: Mapped[str]
    description: Mapped[dict[str, Any]]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class SystemRevision(Base):
    """What a system was said to be from a time on. Never changed."""

    __tablename__ = "system_revision"

    system_id: Mapped[UUID] = mapped_column(ForeignKey("system.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    description: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    by: Mapped[str]


class Diagnosis(Base):
    """What was found about a system's lock-in at one time (システム診断). Never changed.

    Only what was found is kept: weights make a score of it, today's or any other's, always the same.
    """

    __tablename__ = "diagnosis"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    system_id: Mapped[UUID] = mapped_column(ForeignKey("system.id"), index=True)
    revision: Mapped[int]  # of the description that it judged
    signs: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    by: Mapped[str]


class LockInWeights(Base):
    """How much each part of the lock-in score counts from a time on. Never changed."""

    __tablename__ = "lock_in_weights"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    weights: Mapped[dict[str, Any]]
    reason: Mapped[str]
    set_at: Mapped[datetime]
    set_by: Mapped[str]


class DuplicateDecision(Base):
    """That systems of one function are no duplicates of each other, who said so, and why."""

    __tablename__ = "duplicate_decision"
    __table_args__ = (
        CheckConstraint("cardinality(members) >= 2", name="members"),
        Index("ix_duplicate_decision_function", "function"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    function: Mapped[str]
    members: Mapped[list[str]] = mapped_column(ARRAY(Text))  # ids of systems, in order
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[str]
