"""Agents in closed networks, the jobs that they are given, and the sealed pieces of their answers."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base
from app.models.parties import Organization


class JobState(StrEnum):
    """A job waits, is in an agent's hands, or is an answer that was carried here by hand."""

    WAITING = "waiting"
    GIVEN = "given"
    BROUGHT = "brought"


class Agent(Base):
    """One agent of an organisation. It is named by its key, once it has one."""

    __tablename__ = "agent"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id), index=True)
    name: Mapped[str]
    sources: Mapped[list[str]] = mapped_column(ARRAY(Text))
    zone: Mapped[str]  # of the network that it stands in, by whose listener it comes
    sealed_code: Mapped[bytes | None]  # the secret of its enrolment
    code_until: Mapped[datetime]
    kid: Mapped[str | None] = mapped_column(unique=True)  # RFC 7638
    public_jwk: Mapped[dict[str, Any] | None]
    # Bundles that are carried here are sealed for this key.
    bundle_jwk: Mapped[dict[str, Any]]
    sealed_bundle_key: Mapped[bytes]
    last_bundle: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    enrolled_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]


class AgentJob(Base):
    """One job. Who wants its answer says so again and again; nobody does after `wanted_until`."""

    __tablename__ = "agent_job"
    __table_args__ = (Index("ix_agent_job_waiting", "organization_id", "state", "asked_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey(Organization.id))
    source: Mapped[str]
    zone: Mapped[str]  # of the connector
    agreement_id: Mapped[UUID | None]  # under which it is wanted, where that is one of ours
    wanted: Mapped[dict[str, Any]]
    answer_to: Mapped[dict[str, Any] | None]  # the public half; the other one is the asker's
    state: Mapped[str]
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agent.id", ondelete="CASCADE"), index=True
    )
    attempt: Mapped[int]
    taken: Mapped[int]  # so many pieces have been taken away
    place: Mapped[str | None]  # of a brought answer: what its pieces are bound to
    asked_at: Mapped[datetime]
    wanted_until: Mapped[datetime | None]
    heard_at: Mapped[datetime | None]


class AgentPiece(Base):
    """One sealed message of an answer, until it is taken."""

    __tablename__ = "agent_piece"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("agent_job.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]
