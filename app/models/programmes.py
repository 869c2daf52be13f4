"""Programmes that support or subsidise projects, the projects, and everything each once was."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base
from app.models.parties import Organization


class ProgrammeKind(StrEnum):
    """What a programme gives."""

    SUPPORT = "support"  # 支援
    SUBSIDY = "subsidy"  # 補助


class ProjectState(StrEnum):
    """Where a project stands. `rejected`, `withdrawn` and `completed` are for good."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    COMPLETED = "completed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Programme(Base):
    """A programme (支援・補助事業) of a fiscal year. `gated`: no project is approved without what
    it requires."""

    __tablename__ = "programme"
    __table_args__ = (
        CheckConstraint("kind IN ('support', 'subsidy')", name="kind"),
        Index("uq_programme_title", "organization_id", "fiscal_year", "title", unique=True),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id))
    kind: Mapped[str]
    fiscal_year: Mapped[int]
    title: Mapped[str]
    classes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    profiles: Mapped[list[str]] = mapped_column(ARRAY(Text))  # name/version
    gated: Mapped[bool]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class Project(Base):
    """A project of an organisation in a programme. `description`: what its owner says of it
    (`app.programmes.description`)."""

    __tablename__ = "project"
    __table_args__ = (
        CheckConstraint(
            "state IN ('draft', 'submitted', 'approved', 'completed', 'rejected', 'withdrawn')",
            name="state",
        ),
        Index(
            "uq_project_title", "programme_id", "organization_id", "title", unique=True,
            postgresql_where=text("state NOT IN ('rejected', 'withdrawn')"),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    programme_id: Mapped[UUID] = mapped_column(ForeignKey(Programme.id), index=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    title: Mapped[str]
    state: Mapped[str]
    granted_thousand_yen: Mapped[int | None] = mapped_column(BigInteger)
    description: Mapped[dict[str, Any]]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class ProjectRevision(Base):
    """What a project was said to be, and where it stood, from a time on. Never changed."""

    __tablename__ = "project_revision"

    project_id: Mapped[UUID] = mapped_column(ForeignKey(Project.id), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    granted_thousand_yen: Mapped[int | None] = mapped_column(BigInteger)
    description: Mapped[dict[str, Any]]
    note: Mapped[str | None]
    at: Mapped[datetime]
    by: Mapped[str]
