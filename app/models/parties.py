"""Organisations and their OAuth clients: who takes part. Holds no rights of its own."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class OrganizationKind(StrEnum):
    """What sort of body an organisation is."""

    PREFECTURE = "prefecture"
    DESIGNATED_CITY = "designated_city"
    CITY = "city"
    TOWN = "town"
    VILLAGE = "village"
    WARD = "ward"
    UNIT = "unit"  # a bureau, office or department: 所属
    WIDE_AREA_UNION = "wide_area_union"
    JOINT_ASSOCIATION = "joint_association"
    NATIONAL = "national"
    VENDOR = "vendor"
    PRIVATE_PROVIDER = "private_provider"


class Role(StrEnum):
    """What a client may do for its organisation, beyond reading and writing records."""

    OPERATOR = "operator"
    COORDINATOR = "coordinator"
    STEWARD = "steward"
    DEVELOPER = "developer"
    AUDITOR = "auditor"


class Zone(StrEnum):
    """The network segment (三層の対策) that a dataset, a client or a request belongs to."""

    INTERNET = "internet"
    LGWAN = "lgwan"
    MYNUMBER = "mynumber"


class Approval(StrEnum):
    """Who must approve what an organisation and those below it publish; absent: nobody else."""

    SECOND_PERSON = "second_person"


class AuthMethod(StrEnum):
    """How a client proves itself at the token endpoint."""

    PRIVATE_KEY_JWT = "private_key_jwt"
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method, not a secret
    TLS_CLIENT_AUTH = "tls_client_auth"  # RFC 8705, 2.1


class Organization(Base):
    """A body or one of its units. The id is permanent; names change and are not unique."""

    __tablename__ = "organization"
    __table_args__ = (
        CheckConstraint("local_government_code ~ '^[0-9]{6}$'", name="code_is_six_digits"),
        CheckConstraint("parent_id IS DISTINCT FROM id", name="not_its_own_parent"),
        CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="period"),
        CheckConstraint("approval IN ('second_person')", name="approval"),
        Index(
            "ix_organization_code_in_force",
            "local_government_code",
            unique=True,
            postgresql_where=text("valid_to IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    local_government_code: Mapped[str | None]
    kind: Mapped[str]
    name_ja: Mapped[str]
    name_kana: Mapped[str | None]
    name_en: Mapped[str | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("organization.id"), index=True)
    second_parent_id: Mapped[str | None] = mapped_column(ForeignKey("organization.id"))
    successor_id: Mapped[str | None] = mapped_column(ForeignKey("organization.id"))
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    approval: Mapped[str | None]
    created_at: Mapped[datetime]


class FormerName(Base):
    """A name that an organisation bore until a day; its id and agreements stayed."""

    __tablename__ = "organization_former_name"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), primary_key=True)
    until: Mapped[date] = mapped_column(primary_key=True)  # first day of the next name
    name_ja: Mapped[str]
    name_en: Mapped[str | None]


class Client(Base):
    """An OAuth client: software that acts for one organisation."""

    __tablename__ = "client"
    __table_args__ = (
        CheckConstraint(
            "(auth_method = 'private_key_jwt' AND jwks IS NOT NULL"
            " AND num_nonnulls(secret_hash, tls_subject) = 0)"
            " OR (auth_method = 'client_secret_basic' AND secret_hash IS NOT NULL"
            " AND tls_subject IS NULL)"
            " OR (auth_method = 'tls_client_auth' AND tls_subject IS NOT NULL"
            " AND num_nonnulls(jwks, secret_hash) = 0)",
            name="one_credential",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    name: Mapped[str]
    system: Mapped[str | None]  # the system that the client is, where it is one
    zone: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    auth_method: Mapped[str]
    jwks: Mapped[dict[str, Any] | None]  # public keys only, at most two
    secret_hash: Mapped[str | None]  # argon2id
    tls_subject: Mapped[str | None]  # whom the certificate must name (RFC 4514)
    # Its tokens are bound to the certificate that it asks with, and it gets no others.
    certificate_bound: Mapped[bool] = mapped_column(default=False)
    # Where people are sent back to after they signed in; none: nobody signs in to this client.
    redirect_uris: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # The organisations whose staff may: each with all that is below it.
    staff_of: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # Whether citizens may, at their own providers: never as anybody's staff.
    citizens: Mapped[bool] = mapped_column(default=False)
    # The clients whose tokens for a person it may exchange for its own (RFC 8693).
    exchange_from: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # For whom another platform may speak through it: its issuer, its reader, the reader's client here.
    speaks_for: Mapped[list[list[str]]] = mapped_column(JSONB, default=list)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]


class UsedAssertion(Base):
    """A client assertion's `jti`, kept until it expires so that it is used once."""

    __tablename__ = "used_assertion"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    jti: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RevokedToken(Base):
    """An access token that was ended before its time, kept until it would have expired."""

    __tablename__ = "revoked_token"

    jti: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    revoked_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(Base):
    """A key that signs access tokens. The private half is sealed by the platform's own key."""

    __tablename__ = "signing_key"
    __table_args__ = (
        Index("ix_signing_key_current", "state", unique=True,
              postgresql_where=text("state = 'current'")),
    )  # fmt: skip

    kid: Mapped[str] = mapped_column(primary_key=True)  # RFC 7638 thumbprint
    state: Mapped[str]  # next, current, previous, dropped
    public_jwk: Mapped[dict[str, Any]]
    sealed_private_jwk: Mapped[bytes]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    leaked: Mapped[bool] = mapped_column(server_default=text("false"))  # dropped in an emergency
