"""The catalogue's tables: datasets, their versions, runs, rejected rows, uploads."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class DataClass(StrEnum):
    """公開 · 庁内 · 業務限定 · 個人情報 · 特定個人情報 (the last is metadata only)."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"
    PERSONAL = "personal"
    SPECIFIC_PERSONAL = "specific-personal"


class DatasetState(StrEnum):
    """Whether readers get the dataset."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"


class VersionState(StrEnum):
    """A version is loaded whole or does not exist."""

    LOADED = "loaded"
    PUBLISHED = "published"
    DROPPED = "dropped"  # let go by the dataset's retention: its numbers stay, its rows do not


class RunState(StrEnum):
    """Every run ends in ok, degraded (some rows rejected) or failed."""

    QUEUED = "queued"
    RUNNING = "running"
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


class Dataset(Base):
    """One entry of the catalogue. The id is permanent and readable: it stands in URLs and scopes."""

    __tablename__ = "dataset"
    __table_args__ = (
        CheckConstraint("id ~ '^[a-z0-9][a-z0-9-]{1,62}$'", name="id"),
        # The beginning of the UUIDs that CKAN's clients know it by.
        Index("ix_dataset_shelf_id", text("substring(sha256(id::bytea), 1, 6)")),
        Index("ix_dataset_announced", "announced_at", "id"),
        Index("ix_dataset_themes", "themes", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    title_ja: Mapped[str]
    title_en: Mapped[str | None]
    title_kana: Mapped[str | None]
    description_ja: Mapped[str | None]
    description_en: Mapped[str | None]
    publisher_id: Mapped[str] = mapped_column(ForeignKey("organization.id"), index=True)
    steward_name: Mapped[str]
    steward_email: Mapped[str | None]
    data_class: Mapped[str]
    zone: Mapped[str]
    license: Mapped[str | None]
    update_frequency: Mapped[str]
    legal_basis: Mapped[str | None]
    source_system: Mapped[str | None]
    themes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    temporal_start: Mapped[date | None]  # the first and last day that the data speak of
    temporal_end: Mapped[date | None]
    hidden: Mapped[bool]
    profile_name: Mapped[str | None]
    profile_version: Mapped[int | None]
    fields: Mapped[list[dict[str, Any]] | None]  # declared; None: taken from the first file
    mapping: Mapped[list[dict[str, Any]] | None]
    reading: Mapped[dict[str, Any] | None]  # the publisher's word on how its files are read
    joins: Mapped[list[dict[str, Any]] | None]
    suppression: Mapped[dict[str, Any] | None]  # k, dimensions, count: records are only counted
    subject: Mapped[str | None]  # the field that names the person whom a record is about
    state: Mapped[str]
    withdrawn_reason: Mapped[str | None]
    current_version: Mapped[int | None]
    retention: Mapped[dict[str, Any] | None]  # keep_versions, keep_days; None: all are kept
    announced_at: Mapped[datetime | None]  # last published, withdrawn or put back
    search_text: Mapped[str] = mapped_column(server_default="")  # no longer written
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    modified_at: Mapped[datetime] = mapped_column(index=True)

    @property
    def classes(self) -> frozenset[str]:
        """Its class and those of its fields: a file of it may have data of each."""
        seen_by = (field.get("visibility") for field in self.fields or ())
        return frozenset({self.data_class, *filter(None, seen_by)})


class Version(Base):
    """One state of a dataset's records. A table of its own holds the rows.

    `revision` counts the batches written by `POST /records` since the version was loaded: the
    triple (dataset, version, revision) names one unchanging set of rows.
    """

    __tablename__ = "version"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    revision: Mapped[int] = mapped_column(BigInteger)
    table_name: Mapped[str] = mapped_column(unique=True)
    fields: Mapped[list[dict[str, Any]]]
    mapping: Mapped[list[dict[str, Any]] | None]  # steps that made fields of parts of a column
    read_as: Mapped[str | None]  # digest of what the publisher said of how the file is read
    row_count: Mapped[int] = mapped_column(BigInteger)
    # What the records' places span, in degrees; null without coordinates. Writes only widen it.
    west: Mapped[float | None]
    south: Mapped[float | None]
    east: Mapped[float | None]
    north: Mapped[float | None]
    source_sha256: Mapped[str | None]
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"))
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    published_by: Mapped[str | None]
    dropped_at: Mapped[datetime | None]
    words: Mapped[dict[str, Any] | None]  # the table by which `q` finds records, and of what
    released_revision: Mapped[int | None] = mapped_column(BigInteger)  # as of its last publishing


class Upload(Base):
    """The raw bytes of a file as they came; its chunks stand in `upload_chunk`."""

    __tablename__ = "upload"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    filename: Mapped[str | None]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    created_at: Mapped[datetime]


class UploadChunk(Base):
    """One megabyte or less of an upload."""

    __tablename__ = "upload_chunk"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class Run(Base):
    """One ingest: a file on its way to becoming a version."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_dataset", "dataset_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id"))
    corrects_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("run.id"))
    state: Mapped[str]
    phase: Mapped[str | None]  # reading, loading, indexing
    bytes_total: Mapped[int] = mapped_column(BigInteger)
    bytes_done: Mapped[int] = mapped_column(BigInteger)
    rows_read: Mapped[int] = mapped_column(BigInteger)
    rows_accepted: Mapped[int] = mapped_column(BigInteger)
    rows_rejected: Mapped[int] = mapped_column(BigInteger)
    cells_repaired: Mapped[int] = mapped_column(BigInteger)
    # The file holds only what differs from the version that readers get.
    delta: Mapped[bool] = mapped_column(server_default=text("false"))
    told: Mapped[dict[str, Any] | None]  # how this file is to be read, where it was said
    mapping: Mapped[list[dict[str, Any]] | None]  # of its source, in place of the dataset's
    columns: Mapped[list[dict[str, Any]] | None]  # why each inferred field has its type
    profile: Mapped[dict[str, Any] | None]  # the standard layout that the headings speak for
    format: Mapped[str | None]  # csv, xlsx, geojson, …
    table_name: Mapped[str | None]  # the sheet, layer or member that was read
    encoding: Mapped[str | None]
    header_line: Mapped[int | None]
    header: Mapped[str | None]  # the source's own header as one CSV line, for the rejects' file
    notices: Mapped[list[dict[str, Any]]]
    version_number: Mapped[int | None]
    unchanged: Mapped[bool]
    error_code: Mapped[str | None]
    error_ja: Mapped[str | None]
    error_en: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    created_via: Mapped[str | None]  # a person's client; None: who made it has none
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]


class Reject(Base):
    """One cell that kept its row out of a version."""

    __tablename__ = "reject"
    __table_args__ = (Index("ix_reject_run", "run_id", "line", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    row: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[int] = mapped_column(BigInteger)
    field: Mapped[str | None]
    code: Mapped[str]
    value_class: Mapped[str | None]
    hint: Mapped[str | None]  # a code of what was probably meant
    raw_line: Mapped[str]


class IdempotentAnswer(Base):
    """What a write with an `Idempotency-Key` was answered, so that a retry gets the same."""

    __tablename__ = "idempotent_answer"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    answer: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(index=True)
