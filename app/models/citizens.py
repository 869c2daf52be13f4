"""Citizens' identity providers, and the sessions of citizens. No table here names a person.

The one reference to a person stands sealed in a session: no statement can join on it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class CitizenProvider(Base):
    """A provider whose word is taken for who a citizen is: nobody's staff, and no roles."""

    __tablename__ = "citizen_provider"
    __table_args__ = (
        Index("uq_citizen_provider_issuer_client", "issuer", "client_id", unique=True),
        CheckConstraint(
            "(public_jwk IS NOT NULL AND sealed_private_jwk IS NOT NULL AND sealed_secret IS NULL)"
            " OR (sealed_secret IS NOT NULL"
            " AND public_jwk IS NULL AND sealed_private_jwk IS NULL)",
            name="one_credential",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name_ja: Mapped[str]
    name_en: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]  # what the provider calls us
    public_jwk: Mapped[dict[str, Any] | None]
    sealed_private_jwk: Mapped[bytes | None]
    sealed_secret: Mapped[bytes | None]
    levels: Mapped[dict[str, Any]]  # the provider's acr → how surely that is: low, …
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    disabled_at: Mapped[datetime | None]


class CitizenSignIn(Base):
    """A citizen's sign-in that was sent to a provider and has not come back. Used once."""

    __tablename__ = "citizen_sign_in"

    state_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("citizen_provider.id"), index=True)
    browser_sha256: Mapped[bytes]
    sealed: Mapped[bytes]  # nonce and PKCE verifier
    return_to: Mapped[str]
    begun_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class CitizenSession(Base):
    """One sign-in of one browser. Of its secret only the hash is kept, of the person nothing."""

    __tablename__ = "citizen_session"

    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    sealed_person: Mapped[bytes]
    provider_id: Mapped[str] = mapped_column(ForeignKey("citizen_provider.id"), index=True)
    level: Mapped[str]
    signed_in_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class CitizenAllowed(Base):
    """What a citizen let an app have, for as long as the session lasts."""

    __tablename__ = "citizen_allowed"

    secret_sha256: Mapped[bytes] = mapped_column(
        ForeignKey("citizen_session.secret_sha256", ondelete="CASCADE"), primary_key=True
    )
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"), primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
