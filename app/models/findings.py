"""Findings: what somebody must look into, by when, who was told of it; and the rules' own memory."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class FindingState(StrEnum):
    """Where a finding (指摘) stands. What ended stays: the same again is a new finding."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # somebody has said that they look into it
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class Severity(StrEnum):
    """How bad it is if nobody acts."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ChannelKind(StrEnum):
    """How somebody is told."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class DeliveryState(StrEnum):
    """Where one message on its way to one channel stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


class Finding(Base):
    """What a rule found about a subject, and who must act on it. One that stands a rule and subject."""

    __tablename__ = "finding"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'acknowledged', 'resolved', 'dismissed')", name="state"),
        CheckConstraint("severity IN ('low', 'medium', 'high', 'critical')", name="severity"),
        CheckConstraint("seen >= 1", name="seen"),
        CheckConstraint("due_at > opened_at", name="due"),
        CheckConstraint(
            "(state IN ('resolved', 'dismissed')) = (closed_at IS NOT NULL)", name="closed"
        ),
        Index(
            "uq_finding_standing",
            "rule",
            "subject_kind",
            "subject_id",
            "dataset_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("state IN ('open', 'acknowledged')"),
        ),
        Index("ix_finding_opened", "opened_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    rule: Mapped[str]
    subject_kind: Mapped[str]  # client, agreement, signing_key, log, …
    subject_id: Mapped[str]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    severity: Mapped[str]
    ja: Mapped[str]  # names the thing and the mend
    en: Mapped[str]
    # Who must act; null: the operators.
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("organization.id"), index=True)
    person_id: Mapped[str | None] = mapped_column(ForeignKey("person.id"))
    state: Mapped[str]
    seen: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    due_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    # False while the log has not taken the entry of its opening: the log itself is the subject.
    is_logged: Mapped[bool] = mapped_column(default=True)


class FindingChange(Base):
    """One step in a finding's life: who took it, when, and what they said. Never changed."""

    __tablename__ = "finding_change"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    finding_id: Mapped[UUID] = mapped_column(ForeignKey("finding.id"), index=True)
    at: Mapped[datetime]
    by: Mapped[str]
    state: Mapped[str]  # as it was from then on
    note: Mapped[str | None]


class AlertRuleSetting(Base):
    """What an operator has set of a rule; what is not set is as the rule itself says."""

    __tablename__ = "alert_rule_setting"

    rule: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    given: Mapped[dict[str, Any]]  # value → number
    set_at: Mapped[datetime]
    set_by: Mapped[str]


class AlertMark(Base):
    """The last entry of the log that a rule has judged."""

    __tablename__ = "alert_mark"

    rule: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)


class AlertTally(Base):
    """What a rule remembers of one subject: amounts by time, none older than its window."""

    __tablename__ = "alert_tally"

    rule: Mapped[str] = mapped_column(primary_key=True)
    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(primary_key=True)  # empty: of none
    amounts: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime] = mapped_column(index=True)


class AlertChannel(Base):
    """Where an organisation, or the operators, are told of their findings."""

    __tablename__ = "alert_channel"
    __table_args__ = (
        CheckConstraint("kind IN ('webhook', 'mail')", name="kind"),
        CheckConstraint("(kind = 'webhook') = (sealed_secret IS NOT NULL)", name="secret"),
        CheckConstraint(
            "min_severity IN ('low', 'medium', 'high', 'critical')", name="min_severity"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    # Null: the operators, who are told of every finding.
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organization.id"), index=True)
    kind: Mapped[str]
    target: Mapped[str]  # an address: of the Web or of mail
    min_severity: Mapped[str]
    sealed_secret: Mapped[bytes | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    sending_until: Mapped[datetime | None]  # a worker is at it; later, it is thought to be dead
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]  # the last try that failed, until one succeeds
    failure: Mapped[str | None]


class AlertDelivery(Base):
    """One message to one channel. `id` is its order, `message_id` what the receiver knows it by."""

    __tablename__ = "alert_delivery"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
        Index(
            "ix_alert_delivery_waiting",
            "channel_id",
            "id",
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[str] = mapped_column(unique=True)
    channel_id: Mapped[UUID] = mapped_column(ForeignKey("alert_channel.id", ondelete="CASCADE"))
    message: Mapped[dict[str, Any]]
    state: Mapped[str]
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    next_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
