"""What a version is worth and what was repaired in it: counts and decisions, never a cell."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class RepairChoice(StrEnum):
    """What a steward says of one kind of repair in one field."""

    ACCEPT = "accept"
    REFUSE = "refuse"


class Quality(Base):
    """What was counted in a version's table at one revision, and the score that follows from it."""

    __tablename__ = "quality"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dataset_id", "number"],
            ["version.dataset_id", "version.number"],
            name="fk_quality_dataset_id_version",
            ondelete="CASCADE",
        ),
    )

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    measured_at: Mapped[datetime]
    measures: Mapped[dict[str, Any]]
    score: Mapped[Decimal] = mapped_column(Numeric(5, 2))  # on the day of loading: age excluded


class RepairCount(Base):
    """How many cells of a field a run repaired by one rule, and the first row with such a cell."""

    __tablename__ = "repair_count"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    cells: Mapped[int] = mapped_column(BigInteger)
    first_row: Mapped[int] = mapped_column(BigInteger)


class RepairDecision(Base):
    """The steward's word on a rule in a field, good for every later load."""

    __tablename__ = "repair_decision"
    __table_args__ = (CheckConstraint("decision IN ('accept', 'refuse')", name="decision"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    decision: Mapped[str]
    decided_at: Mapped[datetime]
    decided_by: Mapped[str]
    # When it last changed how files are read: from then on, a file read before is read anew.
    reading_changed_at: Mapped[datetime | None]
