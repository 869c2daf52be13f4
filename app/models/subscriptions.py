"""Who is told that a dataset has changed, how far, and every notice that was put down for them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class SubscriptionState(StrEnum):
    """How a subscription does. One that stopped stays so: a new one is made instead."""

    ACTIVE = "active"
    FAILING = "failing"  # the last try failed, and there will be another
    STOPPED = "stopped"


class NoticeState(StrEnum):
    """Where one notice stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


class Subscription(Base):
    """A client's wish to be told of a dataset's changes. `position` is what it was told up to."""

    __tablename__ = "subscription"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'failing', 'stopped')", name="state"),
        CheckConstraint("(state = 'stopped') = (stopped_code IS NOT NULL)", name="stopped"),
        Index(
            "ix_subscription_dataset",
            "dataset_id",
            postgresql_where=text("state <> 'stopped'"),
        ),
        Index("ix_subscription_client", "client_id", "id"),
        Index(
            "ix_subscription_sending",
            "sending_until",
            postgresql_where=text("sending_until IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    url: Mapped[str]
    host: Mapped[str]
    sealed_secret: Mapped[bytes]
    # How it was asked for: by this it is judged anew, each time that something is to be told.
    zone: Mapped[str]
    bound: Mapped[bool]
    purpose: Mapped[str | None]
    agreement_id: Mapped[str | None]  # the token's, where it was for one
    position: Mapped[str]
    edition: Mapped[int] = mapped_column(BigInteger)  # the position's
    state: Mapped[str]
    created_at: Mapped[datetime]
    last_delivered_at: Mapped[datetime | None]
    failure: Mapped[dict[str, Any] | None]  # of the last try, until one succeeds: code, ja, en
    stopped_at: Mapped[datetime | None]
    stopped_code: Mapped[str | None]
    stopped_ja: Mapped[str | None]
    stopped_en: Mapped[str | None]
    sending_until: Mapped[datetime | None]  # a worker is at it; later, it is thought to be dead


class Notice(Base):
    """One notice to one subscriber. `id` is its order, `message_id` what the receiver knows it by."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
        Index(
            "ix_notice_waiting",
            "subscription_id",
            "id",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_notice_subscription", "subscription_id", "id"),
        Index("ix_notice_created", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(unique=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscription.id", ondelete="CASCADE"))
    since: Mapped[str]  # the position that it tells
    edition: Mapped[int] = mapped_column(BigInteger)  # up to which it tells of changes
    state: Mapped[str]
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    first_tried_at: Mapped[datetime | None]
    next_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    failure: Mapped[dict[str, Any] | None]
