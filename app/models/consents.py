"""Consents of the people whom records are about, and the texts that they were shown.

Whom a consent is of is told by names alone, those that the person has at the provider.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base


class Method(StrEnum):
    """How somebody consented."""

    ONLINE = "online"  # the person, signed in with an assurance level
    PAPER = "paper"  # a form that the provider's steward recorded


class ConsentText(Base):
    """What is shown before somebody consents, word for word. Named by its hash, never changed."""

    __tablename__ = "consent_text"
    __table_args__ = (
        CheckConstraint("sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')", name="hash"),
    )

    sha256: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    provider_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))  # field names
    valid_until: Mapped[datetime]
    ja: Mapped[str]
    en: Mapped[str]
    body: Mapped[str]  # all of the above as canonical JSON: what is hashed
    made_at: Mapped[datetime]


class Consent(Base):
    """That a person lets a consumer have their records for a purpose. Only withdrawal changes it."""

    __tablename__ = "subject_consent"
    __table_args__ = (
        CheckConstraint("method IN ('online', 'paper')", name="method"),
        CheckConstraint("(method = 'online') = (acr IS NOT NULL)", name="assurance"),
        CheckConstraint("valid_until > given_at", name="period"),
        CheckConstraint("num_nonnulls(withdrawn_at, withdrawn_by) IN (0, 2)", name="withdrawal"),
        Index("ix_subject_consent_provider_id", "provider_id", "id"),
        Index("ix_subject_consent_consumer_id", "consumer_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    provider_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    consumer_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"))
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    text_sha256: Mapped[str] = mapped_column(ForeignKey("consent_text.sha256"))
    method: Mapped[str]
    acr: Mapped[str | None]
    given_at: Mapped[datetime]
    given_by: Mapped[str]
    valid_until: Mapped[datetime]  # the first moment without it
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None]

    text: Mapped[ConsentText] = relationship(lazy="selectin")


class ConsentName(Base):
    """One name of the person at the provider, beside what the consent is on: reads look here."""

    __tablename__ = "subject_consent_name"
    __table_args__ = (Index("ix_subject_consent_name_name", "organization_id", "name"),)

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    consumer_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[UUID] = mapped_column(
        ForeignKey("subject_consent.id"), primary_key=True, index=True
    )
    organization_id: Mapped[str]  # whose name it is: the provider's
