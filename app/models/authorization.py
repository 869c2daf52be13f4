"""What passes between an app's request for a sign-in and its token: requests, consents, codes."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class PushedRequest(Base):
    """An authorization request that a client pushed (RFC 9126). Deleted when it is answered."""

    __tablename__ = "pushed_request"

    request_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    asked: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]  # when a browser first came with it
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AppGrant(Base):
    """What somebody let an app have, for as long as the one sign-in lasts."""

    __tablename__ = "consent"

    person_id: Mapped[str] = mapped_column(ForeignKey("person.id"), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"), primary_key=True)
    signed_in_at: Mapped[datetime] = mapped_column(primary_key=True)  # names the sign-in
    what: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuthorizationCode(Base):
    """A code that an app redeems for a token, once. Of the code only the hash is kept.

    A used one is kept for as long as its token lives: a second use ends that token.
    """

    __tablename__ = "authorization_code"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(used_at, token_jti, token_expires_at) IN (0, 3)", name="used_for_a_token"
        ),
        CheckConstraint("num_nonnulls(person_id, subject) = 1", name="of_one"),
    )

    code_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    person_id: Mapped[str | None] = mapped_column(ForeignKey("person.id"))
    subject: Mapped[str | None]  # a citizen, by the name that the app's organisation has for them
    asked: Mapped[dict[str, Any]]
    acr: Mapped[str]
    auth_time: Mapped[datetime]
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    token_jti: Mapped[str | None]
    token_expires_at: Mapped[datetime | None]
