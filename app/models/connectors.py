"""Connectors, what each feeds, how each harvest went, and how far each stream has come."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Mode(StrEnum):
    """How a dataset is fed: from time to time, by asking its source whenever it is read, or by
    listening to it."""

    HARVEST = "harvest"
    LIVE = "live"
    STREAM = "stream"


class HarvestState(StrEnum):
    """Every harvest ends: in ok, degraded (some rows rejected), unchanged, failed or cancelled."""

    QUEUED = "queued"
    FETCHING = "fetching"
    LOADING = "loading"
    OK = "ok"
    DEGRADED = "degraded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ConnectorEntry(Base):
    """One source, and who we are to it. `sealed`: the secrets among its settings."""

    __tablename__ = "connector"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    kind: Mapped[str]
    name: Mapped[str]
    settings: Mapped[dict[str, Any]]
    sealed: Mapped[bytes | None]
    zone: Mapped[str]
    paused: Mapped[bool]  # asked for by nobody but who tests it
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    changed_at: Mapped[datetime]
    # Who last said what is asked of which source, and by which client: they stand for what it loads.
    set_by: Mapped[str]
    set_via: Mapped[str | None]


class Feed(Base):
    """What of a connector's source one dataset is fed by; a dataset has at most one."""

    __tablename__ = "connector_feed"
    __table_args__ = (Index("ix_connector_feed_next", "next_at"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    connector_id: Mapped[UUID] = mapped_column(
        ForeignKey("connector.id", ondelete="CASCADE"), index=True
    )
    mode: Mapped[str]  # of `Mode`
    selection: Mapped[dict[str, Any]]
    schedule: Mapped[str | None]  # cron, in the time of Japan; None: only when somebody asks
    next_at: Mapped[datetime | None]
    mapping: Mapped[list[dict[str, Any]] | None]
    # Rows of the source, and what the mapping (the dataset's, where there is none) makes of them.
    examples: Mapped[list[dict[str, Any]] | None]
    publish: Mapped[bool]
    # Live: how long the last good answer serves while the source is away; None: not at all.
    stale_for_seconds: Mapped[int | None]
    # What the source proves its state by, and the version that was made of that state.
    validators: Mapped[dict[str, Any] | None]
    version_number: Mapped[int | None]
    good_at: Mapped[datetime | None]  # when a harvest last ended well
    failures: Mapped[int] = mapped_column(server_default="0")  # harvests since then
    failed_in: Mapped[UUID | None]  # the last of them
    # Of what proves to us that it is the source that says: there is something new.
    notice_sha256: Mapped[bytes | None]
    noticed_at: Mapped[datetime | None]  # since the source was last asked

    @property
    def takes_notices(self) -> bool:
        """Whether the source may ask for a harvest."""
        return self.notice_sha256 is not None


class HarvestCount(Base):
    """How often harvests of a kind have ended in which way, however long ago."""

    __tablename__ = "harvest_count"

    kind: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int] = mapped_column(BigInteger)


class StreamState(StrEnum):
    """A stream never ends by itself: it connects, streams, or waits to try again."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"


class Stream(Base):
    """How far a feed that listens has come, and which process listens now."""

    __tablename__ = "connector_stream"

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("connector_feed.dataset_id", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[str]
    holder: Mapped[UUID | None]  # a silent one that comes back changes nothing
    held_until: Mapped[datetime | None]
    next_try_at: Mapped[datetime | None]
    tries: Mapped[int]
    tried_of: Mapped[datetime | None]  # the connector as it was tried: another is tried at once
    made_for: Mapped[str | None]  # a digest of settings and selection that the position belongs to
    position: Mapped[dict[str, Any] | None]
    secret_sha256: Mapped[bytes | None]  # of what proves to us who sends notifications,
    former_sha256: Mapped[bytes | None]  # and of the one before, while the source knows no other
    since: Mapped[datetime | None]
    # How often the source has taken us on: whoever watches sees that it breaks off.
    connections: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_at: Mapped[datetime | None]
    received: Mapped[int] = mapped_column(BigInteger)
    written: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[int] = mapped_column(BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
    rejects: Mapped[list[dict[str, Any]]]  # why the last few were: codes and fields, no value
    error_class: Mapped[str | None]
    error_code: Mapped[str | None]
    error_ja: Mapped[str | None]
    error_en: Mapped[str | None]
    error_at: Mapped[datetime | None]


class StreamMessage(Base):
    """What a source has sent to us, until it is taken in the transaction that keeps its rows."""

    __tablename__ = "stream_message"
    __table_args__ = (Index("ix_stream_message_next", "dataset_id", "number"),)

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("connector_stream.dataset_id", ondelete="CASCADE")
    )
    body: Mapped[bytes]
    received_at: Mapped[datetime]


class Harvest(Base):
    """One harvest: begun, fetched, loaded by a run of the take-in, ended."""

    __tablename__ = "harvest"
    __table_args__ = (
        Index("ix_harvest_connector", "connector_id", "created_at", "id"),
        Index(
            "uq_harvest_under_way", "dataset_id", unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "uq_harvest_fetching", "connector_id", unique=True,
            postgresql_where=text("state = 'fetching'"),
        ),
        Index("ix_harvest_run", "run_id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connector_id: Mapped[UUID] = mapped_column(ForeignKey("connector.id", ondelete="CASCADE"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    state: Mapped[str]
    fresh: Mapped[bool]  # asked without a condition
    attempt: Mapped[UUID | None]  # the worker's own: a silent one that comes back changes nothing
    tries: Mapped[int]
    validators: Mapped[dict[str, Any] | None]
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"))
    version_number: Mapped[int | None]
    published: Mapped[bool]
    rows: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    error_class: Mapped[str | None]  # unreachable, broken, refused, slow, changed, ours
    error_code: Mapped[str | None]
    error_ja: Mapped[str | None]
    error_en: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None]  # None: the schedule
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
