"""Access requests, agreements and the controlled list of purposes."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class RequestState(StrEnum):
    """Where an access request stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class AgreementState(StrEnum):
    """Where an agreement stands. Expiry is by date and needs no job to take effect."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class Purpose(Base):
    """One purpose of use (利用目的) of the controlled list."""

    __tablename__ = "purpose"

    code: Mapped[str] = mapped_column(primary_key=True)
    name_ja: Mapped[str]
    name_en: Mapped[str]


class AccessRequest(Base):
    """What a consumer asks of a provider: dataset, actions, purpose, columns, period."""

    __tablename__ = "access_request"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), index=True)
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    legal_basis: Mapped[str]
    reason: Mapped[str | None]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))  # field names
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]


class Agreement(Base):
    """What the provider granted. Only the provider may have narrowed what was asked."""

    __tablename__ = "agreement"
    __table_args__ = (
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("valid_until > valid_from", name="period"),
        Index("ix_agreement_dataset_consumer", "dataset_id", "consumer_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("access_request.id"), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    provider_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    legal_basis: Mapped[str]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    state: Mapped[str]
    requested_by: Mapped[str]
    approved_by: Mapped[str]
    approved_at: Mapped[datetime]
    state_changed_at: Mapped[datetime]
    state_changed_by: Mapped[str]
    state_reason: Mapped[str | None]
