"""How a body comes in and is helped: invitations, terms of use, tenant groups. Keeps no code."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Invitation(Base):
    """An organisation is asked to come in. Of the code only the handle and a hash are kept."""

    __tablename__ = "invitation"
    __table_args__ = (
        CheckConstraint("(accepted_at IS NULL) = (client_id IS NULL)", name="accepted_by_a_client"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    email: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    handle: Mapped[str] = mapped_column(unique=True)  # the first group of the code: no secret
    code_sha256: Mapped[bytes]
    wrong_codes: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # taken back
    accepted_at: Mapped[datetime | None]
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"))


class InvitationAttempts(Base):
    """How often one address has shown a code in one window of time."""

    __tablename__ = "invitation_attempts"

    source_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    window_at: Mapped[datetime] = mapped_column(primary_key=True, index=True)
    attempts: Mapped[int]


class TermsVersion(Base):
    """One version of the platform's terms of use (利用規約). It never changes."""

    __tablename__ = "terms_version"
    __table_args__ = (CheckConstraint("required_from >= valid_from", name="grace"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text_ja: Mapped[str]
    text_en: Mapped[str]
    text_sha256: Mapped[str]
    valid_from: Mapped[date]
    required_from: Mapped[date]  # until then an earlier acceptance is enough
    published_at: Mapped[datetime]
    published_by: Mapped[str]


class TermsAcceptance(Base):
    """An organisation has accepted a version: who, when, and the hash of the text."""

    __tablename__ = "terms_acceptance"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), primary_key=True)
    number: Mapped[int] = mapped_column(ForeignKey("terms_version.number"), primary_key=True)
    text_sha256: Mapped[str]
    accepted_at: Mapped[datetime]
    accepted_by: Mapped[str]


class TenantGroup(Base):
    """Bodies that have one operator manage their datasets (共同利用)."""

    __tablename__ = "tenant_group"

    id: Mapped[str] = mapped_column(primary_key=True)
    name_ja: Mapped[str]
    name_en: Mapped[str | None]
    operator_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    purpose: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class GroupMember(Base):
    """A membership with its days: `since` is the first, `until` the first without it."""

    __tablename__ = "group_member"
    __table_args__ = (
        CheckConstraint("until IS NULL OR until > since", name="period"),
        Index("ix_group_member_organization_id_group_id", "organization_id", "group_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("tenant_group.id"), index=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    agreement: Mapped[str]  # the document that the membership stands on
    since: Mapped[date]
    until: Mapped[date | None]
    added_at: Mapped[datetime]
    added_by: Mapped[str]
    ended_at: Mapped[datetime | None]  # at once, whatever `until` says
    ended_by: Mapped[str | None]
