"""Members of staff, how they prove who they are, and the sessions of those who have."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Person(Base):
    """A member of an organisation's staff. The id is random, and says nothing of anybody."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("id LIKE 'person:%'", name="id_is_no_clients"),
        CheckConstraint("num_nonnulls(provider_id, subject) IN (0, 2)", name="provider_subject"),
        # Who signs in with their organisation's provider has no second way in.
        CheckConstraint("provider_id IS NULL OR password_hash IS NULL", name="one_way_in"),
        Index("uq_person_email", text("lower(email)"), unique=True),
        Index("uq_person_provider_subject", "provider_id", "subject", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    name: Mapped[str]
    email: Mapped[str]  # what a local account signs in with
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    provider_id: Mapped[str | None]
    subject: Mapped[str | None]  # the provider's name for the person
    password_hash: Mapped[str | None]  # argon2id
    totp_sealed: Mapped[bytes | None]  # the shared secret of RFC 6238, sealed
    totp_confirmed_at: Mapped[datetime | None]
    totp_step: Mapped[int | None] = mapped_column(BigInteger)  # the last one used: never again
    failures: Mapped[int]
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    disabled_at: Mapped[datetime | None]

    @property
    def has_password(self) -> bool:
        """Whether a password is set here."""
        return self.password_hash is not None

    @property
    def has_second_factor(self) -> bool:
        """Whether a second factor is set up here."""
        return self.totp_confirmed_at is not None


class PersonSession(Base):
    """One sign-in of one browser. Of its secret only the hash is kept."""

    __tablename__ = "person_session"

    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id"), index=True)
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text))  # RFC 8176: pwd, otp, …
    signed_in_at: Mapped[datetime]
    second_factor_at: Mapped[datetime | None]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    failures: Mapped[int]  # wrong passwords and codes in a row


class PersonSetUp(Base):
    """A link that a person sets their password at, once. Of its secret only the hash is kept."""

    __tablename__ = "person_set_up"

    secret_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id"), unique=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime]
