"""What people want to know or find wrong, and what the body in charge says to it in public."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class NeedState(StrEnum):
    """Open until the body replies; closed once a dataset answers it."""

    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


class Need(Base):
    """A wish for data addressed to a body, or feedback on one of its datasets."""

    __tablename__ = "need"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'answered', 'closed')", name="state"),
        CheckConstraint(
            "(state = 'closed') = (closed_at IS NOT NULL AND closed_by IS NOT NULL"
            " AND closed_with IS NOT NULL)",
            name="closed_with_a_dataset",
        ),
        Index("ix_need_created", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    addressed_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    municipality: Mapped[str | None]  # six digits, where the body has a code
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    title: Mapped[str]
    text: Mapped[str]
    state: Mapped[str]
    asker_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    closed_with: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))


class NeedReply(Base):
    """One public answer of the body to a need. Never changed: a second thought is a second reply."""

    __tablename__ = "need_reply"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    need_id: Mapped[UUID] = mapped_column(ForeignKey("need.id", ondelete="CASCADE"), index=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    text: Mapped[str]
    replied_at: Mapped[datetime]
    replied_by: Mapped[str]
