"""Clients that register themselves (RFC 7591) and wait for a second person. No plain token."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class RegistrationState(StrEnum):
    """Where a registration stands. Only what is approved has become a client."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class RegistrationToken(Base):
    """An initial access token: lets software register for one organisation, a few times."""

    __tablename__ = "registration_token"
    __table_args__ = (
        UniqueConstraint("id", "created_by"),
        CheckConstraint("uses_left >= 0", name="uses_left"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"))
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))  # what its clients get, once approved
    secret_sha256: Mapped[bytes] = mapped_column(unique=True)
    uses_left: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime]


class ClientRegistration(Base):
    """What a vendor said of its client. Until it is approved there is no such client."""

    __tablename__ = "client_registration"
    __table_args__ = (
        ForeignKeyConstraint(
            ["token_id", "token_by"], ["registration_token.id", "registration_token.created_by"]
        ),
        CheckConstraint(
            "CASE state WHEN 'pending' THEN num_nonnulls(decided_at, decided_by) = 0"
            " WHEN 'rejected' THEN num_nonnulls(decided_at, decided_by) = 2"
            " WHEN 'approved' THEN num_nonnulls(decided_at, decided_by) = 2"
            " AND decided_by <> token_by AND decided_by LIKE 'person:%' ELSE false END",
            name="second_person",
        ),
    )

    client_id: Mapped[str] = mapped_column(primary_key=True)  # of the client that it may become
    token_id: Mapped[UUID] = mapped_column(index=True)
    token_by: Mapped[str]  # who made the token, and so may not approve
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    zone: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # `metadata` is SQLAlchemy's own name on a class.
    told: Mapped[dict[str, Any]] = mapped_column("metadata")  # as RFC 7591, 2 calls it
    registered_at: Mapped[datetime]
    expires_at: Mapped[datetime]  # of a registration that nobody decides on
    state: Mapped[str]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
