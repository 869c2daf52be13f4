"""Services that vendors register, the official runs that judge them, and certificates."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, deferred, mapped_column

from app.models.base import Base
from app.models.parties import Organization


class RunKind(StrEnum):
    """What a run is for."""

    FULL = "full"  # every rule of the classes: a certificate can stand on it
    SMOKE = "smoke"  # a few rules, each night, of what is certified


class RunState(StrEnum):
    """Every run ends: in passed, failed (a rule is broken), error (it cannot be judged), cancelled."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    CANCELLED = "cancelled"


class ConformanceService(Base):
    """A vendor's service, and the sandbox where it can be judged."""

    __tablename__ = "conformance_service"
    __table_args__ = (
        CheckConstraint("(lent IS NULL) = (sealed_proof IS NULL)", name="lent_is_whole"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    name: Mapped[str]
    sandbox_url: Mapped[str]  # before /v1
    dataset: Mapped[str | None]  # that is judged; None: the one that shows most
    sandbox_prefix: Mapped[str | None]  # with what the keys of what the judge writes begin
    sealed_token: Mapped[bytes | None]  # with which it writes
    classes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    municipalities: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
    withdrawn_at: Mapped[datetime | None]
    lent: Mapped[dict[str, Any] | None]  # to the judge: a client and what it may look at
    sealed_proof: Mapped[bytes | None]  # of that client

    @property
    def has_token(self) -> bool:
        """Whether a token was lent to the judge."""
        return self.sealed_token is not None


class ConformanceRun(Base):
    """One run of the judge against a sandbox, as it was registered when the run was asked for."""

    __tablename__ = "conformance_run"
    __table_args__ = (
        Index("ix_conformance_run_service", "service_id", "created_at", "id"),
        Index(
            "uq_conformance_run_under_way", "service_id", unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service_id: Mapped[UUID] = mapped_column(ForeignKey(ConformanceService.id))
    kind: Mapped[str]
    state: Mapped[str]
    sandbox_url: Mapped[str]
    dataset: Mapped[str | None]
    classes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    attempt: Mapped[UUID | None]
    standard: Mapped[str | None]  # its version
    standard_until: Mapped[datetime | None]  # when its major version ends
    profile: Mapped[str | None]  # of the dataset that was judged, as name/version
    broken: Mapped[list[str]] = mapped_column(ARRAY(Text))
    requests: Mapped[int | None]
    report: Mapped[bytes | None] = deferred(mapped_column())
    report_sha256: Mapped[str | None]
    error_code: Mapped[str | None]
    error_ja: Mapped[str | None]
    error_en: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]  # None: the schedule
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]


class ConformanceCertificate(Base):
    """That a service passed, for a time. `claims`: what was said at the issue. Never changed but
    by its revocation; nothing of it is signed here, for keys come and go."""

    __tablename__ = "conformance_certificate"
    __table_args__ = (
        CheckConstraint("expires_at > issued_at", name="period"),
        CheckConstraint(
            "(revoked_at IS NULL) = (revoked_reason IS NULL)", name="revocation_is_whole"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service_id: Mapped[UUID] = mapped_column(ForeignKey(ConformanceService.id), index=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey(ConformanceRun.id), unique=True)
    claims: Mapped[dict[str, Any]]
    issued_at: Mapped[datetime]
    issued_by: Mapped[str]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
    revoked_reason: Mapped[str | None]
    noticed_days: Mapped[int | None]  # how many were left when its end was last told of
