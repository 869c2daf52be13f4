"""Quotas: what the operator allows a client, a dataset, or a client on a dataset, a minute."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Quota(Base):
    """A limit of the operator's. Without a client it is all callers' together."""

    __tablename__ = "quota"
    __table_args__ = (
        UniqueConstraint(
            "client_id", "dataset_id", postgresql_nulls_not_distinct=True, name="uq_quota_subject"
        ),
        CheckConstraint("client_id IS NOT NULL OR dataset_id IS NOT NULL", name="has_subject"),
        CheckConstraint("requests_per_minute > 0", name="allows_some"),
    )

    whole: ClassVar[str] = ""  # the id under which all of them are remembered as one

    id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"))
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    requests_per_minute: Mapped[int]
    set_at: Mapped[datetime]
    set_by: Mapped[str]
