"""Access requests, agreements and the controlled list of purposes."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base


class RequestState(StrEnum):
    """Where an access request stands.

    In the words of the Dataspace Protocol's negotiation: REQUESTED, OFFERED (`countered`), AGREED
    (`approved`), TERMINATED (the rest). An agreement in force is its FINALIZED.
    """

    DRAFT = "draft"  # the asking organisation's alone: nothing has been offered yet
    REQUESTED = "requested"  # the provider must answer
    COUNTERED = "countered"  # the consumer must answer
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"  # nobody answered in time: by date alone, no row says so


class Side(StrEnum):
    """Whose offer it is."""

    CONSUMER = "consumer"
    PROVIDER = "provider"


class AgreementState(StrEnum):
    """Where an agreement stands. Expiry is by date and needs no job to take effect."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"  # a later version of the same series took its place


class Purpose(Base):
    """One purpose of use (利用目的) of the controlled list."""

    __tablename__ = "purpose"

    code: Mapped[str] = mapped_column(primary_key=True)
    name_ja: Mapped[str]
    name_en: Mapped[str]


class AccessRequestOffer(Base):
    """One offer of one side, as it was made. Never changed, never taken away."""

    __tablename__ = "access_request_offer"
    __table_args__ = (CheckConstraint("per_day >= 1", name="per_day"),)

    request_id: Mapped[UUID] = mapped_column(ForeignKey("access_request.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    side: Mapped[str]
    purpose: Mapped[str]
    legal_basis: Mapped[str]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rows: Mapped[str | None]
    per_day: Mapped[int | None]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    reason: Mapped[str | None]
    made_by: Mapped[str]
    made_via: Mapped[str]
    made_at: Mapped[datetime]


class AccessRequest(Base):
    """What a consumer asks of a provider. Its terms are those of the newest offer."""

    __tablename__ = "access_request"
    __table_args__ = (CheckConstraint("per_day >= 1", name="per_day"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), index=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    # For whose members it asks; the consumer is then the group's operator.
    group_id: Mapped[str | None] = mapped_column(ForeignKey("tenant_group.id"), index=True)
    # The agreement that this is to take the place of.
    amends: Mapped[UUID | None] = mapped_column(ForeignKey("agreement.id", use_alter=True))
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    legal_basis: Mapped[str]
    reason: Mapped[str | None]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))  # field names
    rows: Mapped[str | None]  # CQL2 Text over the dataset's fields; None: all rows
    per_day: Mapped[int | None]  # requests a day; None: no bound of the agreement's own
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    offer_number: Mapped[int]  # 0: a draft
    offered_by: Mapped[str]  # who acted: a person's id, or a client's that acts for itself
    offered_via: Mapped[str]  # the client
    offered_at: Mapped[datetime]
    due_at: Mapped[datetime | None]  # None: a draft
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]

    offers: Mapped[list["AccessRequestOffer"]] = relationship(
        lazy="selectin", order_by="AccessRequestOffer.number"
    )


class AgreementExclusion(Base):
    """That a member may not use its group's agreement, in whatever version, until let in again."""

    __tablename__ = "agreement_exclusion"

    series: Mapped[UUID] = mapped_column(ForeignKey("agreement.id"), primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), primary_key=True)
    dataset_id: Mapped[str]
    reason: Mapped[str]
    excluded_at: Mapped[datetime]
    excluded_by: Mapped[str]


class Agreement(Base):
    """What both sides agreed on: one version of a series, of which at most one is in force."""

    __tablename__ = "agreement"
    __table_args__ = (
        CheckConstraint("approved_by <> requested_by", name="two_people"),
        CheckConstraint("valid_until > valid_from", name="period"),
        CheckConstraint("per_day >= 1", name="per_day"),
        CheckConstraint(
            "terms_sha256 = encode(sha256(convert_to(terms, 'UTF8')), 'hex')", name="terms_hash"
        ),
        UniqueConstraint("series", "version"),
        Index(
            "uq_agreement_series_in_force",
            "series",
            unique=True,
            postgresql_where=text("state IN ('active', 'suspended')"),
        ),
        Index("ix_agreement_dataset_consumer", "dataset_id", "consumer_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("access_request.id"), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    provider_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    # Whose members of the day stand under it; the consumer signed for them.
    group_id: Mapped[str | None] = mapped_column(ForeignKey("tenant_group.id"), index=True)
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    legal_basis: Mapped[str]
    actions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rows: Mapped[str | None]
    per_day: Mapped[int | None]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    state: Mapped[str]
    requested_by: Mapped[str]
    approved_by: Mapped[str]
    approved_at: Mapped[datetime]
    state_changed_at: Mapped[datetime]
    state_changed_by: Mapped[str]
    state_reason: Mapped[str | None]
    series: Mapped[UUID]  # the id of its first version
    version: Mapped[int]
    superseded_by: Mapped[UUID | None] = mapped_column(
        ForeignKey("agreement.id", deferrable=True, initially="DEFERRED")
    )
    terms: Mapped[str]  # canonical JSON (RFC 8785)
    terms_sha256: Mapped[str]

    exclusions: Mapped[list["AgreementExclusion"]] = relationship(
        lazy="selectin",
        viewonly=True,
        order_by="AgreementExclusion.organization_id",
        primaryjoin="foreign(AgreementExclusion.series) == Agreement.series",
    )

    @property
    def excluded(self) -> list[str]:
        """The members of the group that may not use it."""
        return [each.organization_id for each in self.exclusions]


class AgreementNotice(Base):
    """That an agreement ends in so many days: said once."""

    __tablename__ = "agreement_notice"

    agreement_id: Mapped[UUID] = mapped_column(ForeignKey("agreement.id"), primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
