"""OpenID Connect providers of organisations, and the sign-ins that are under way at them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class IdentityProvider(Base):
    """A provider whose word an organisation takes for who its people are."""

    __tablename__ = "identity_provider"
    __table_args__ = (
        Index("uq_identity_provider_issuer_client", "issuer", "client_id", unique=True),
        CheckConstraint(
            "(auth_method = 'private_key_jwt' AND public_jwk IS NOT NULL"
            " AND sealed_private_jwk IS NOT NULL AND sealed_secret IS NULL)"
            " OR (auth_method = 'client_secret_basic' AND sealed_secret IS NOT NULL"
            " AND public_jwk IS NULL AND sealed_private_jwk IS NULL)",
            name="one_credential",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    name: Mapped[str]
    issuer: Mapped[str]
    client_id: Mapped[str]  # what the provider calls us
    auth_method: Mapped[str]  # how we prove ourselves to it
    public_jwk: Mapped[dict[str, Any] | None]
    sealed_private_jwk: Mapped[bytes | None]
    sealed_secret: Mapped[bytes | None]
    group_claim: Mapped[str | None]
    groups: Mapped[dict[str, Any]]  # group → {"organization": id or null, "roles": […]}
    default_roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # One of these in a token says that two factors were used; none: it vouches for no second one.
    acr_values: Mapped[list[str]] = mapped_column(ARRAY(Text))
    amr_values: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    disabled_at: Mapped[datetime | None]


class ProviderDomain(Base):
    """A domain of mail addresses that one provider, and no other, may vouch for."""

    __tablename__ = "identity_provider_domain"
    __table_args__ = (CheckConstraint("domain = lower(domain)", name="lower"),)

    domain: Mapped[str] = mapped_column(primary_key=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("identity_provider.id"), index=True)


class SignInUnderWay(Base):
    """A sign-in that was sent to a provider and has not come back. Used once."""

    __tablename__ = "sign_in_under_way"

    state_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("identity_provider.id"), index=True)
    browser_sha256: Mapped[bytes]  # of a cookie's secret: another browser's answer is none
    sealed: Mapped[bytes]  # nonce and PKCE verifier
    return_to: Mapped[str]
    person_id: Mapped[str | None] = mapped_column(ForeignKey("person.id"), index=True)  # step-up
    begun_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
