"""Owner exports that were asked for, and what an import keeps as a document because it gives no right."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base
from app.models.parties import Organization


class ExportState(StrEnum):
    """Where an owner export stands. Its archive is there in `ready` alone."""

    WAITING = "waiting"  # for the word of a second person
    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # kept for a week: the archive is gone


class OwnerExport(Base):
    """One archive of all that an organisation owns, from the asking to its end."""

    __tablename__ = "owner_export"
    __table_args__ = (
        CheckConstraint("classes_up_to IN ('public', 'internal', 'restricted', 'personal')", name="class"),
        # What is above internal is sealed for one who is named, for a reason, by two people.
        CheckConstraint(
            "classes_up_to IN ('public', 'internal')"
            " OR (recipient IS NOT NULL AND purpose IS NOT NULL)",
            name="sealed",
        ),
        CheckConstraint(
            "classes_up_to IN ('public', 'internal') OR approved_by IS NOT NULL"
            " OR state IN ('waiting', 'cancelled', 'failed')",
            name="approved",
        ),
        CheckConstraint("approved_by <> asked_by", name="two_people"),
        CheckConstraint("(state = 'ready') <= (sha256 IS NOT NULL)", name="whole"),
        Index("ix_owner_export_organization", "organization_id", "asked_at", "id"),
        Index(
            "uq_owner_export_under_way", "organization_id", unique=True,
            postgresql_where=text("state IN ('waiting', 'queued', 'running')"),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id))
    state: Mapped[str]
    classes_up_to: Mapped[str]
    zone: Mapped[str]  # the segment that it was asked in: datasets of no other go
    purpose: Mapped[str | None]
    recipient: Mapped[str | None]  # an age key (X25519): who alone can open the archive
    asked_by: Mapped[str]
    asked_via: Mapped[str]
    asked_at: Mapped[datetime]
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    attempt: Mapped[UUID | None]
    members_done: Mapped[int]
    started_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    kid: Mapped[str | None]  # whose signature the manifest bears
    counts: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None]
    error_ja: Mapped[str | None]
    error_en: Mapped[str | None]


class CarriedRecord(Base):
    """What came in an archive and is a document here: an agreement of another platform gives no
    right on this one. `body` is the line as it came, so that it goes on unchanged."""

    __tablename__ = "carried_record"

    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]
