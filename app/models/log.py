"""The log's tables and what is counted from it. Only `audit` touches them.

Entries are inserted, and deleted only from the log's beginning, as `log_retention` allows.
"""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class LogEntry(Base):
    """One decision or change. `hash` = SHA-256(previous hash ‖ body as UTF-8)."""

    __tablename__ = "log_entry"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    body: Mapped[str]  # canonical JSON, hashed as stored
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class LogHead(Base):
    """The one row that orders all writers and tells where the chain ends."""

    __tablename__ = "log_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class LogRetention(Base):
    """How long entries are kept (None: for ever), and how many were let go from the beginning.

    `hash` is that of the last one let go: the first that is kept is chained to it.
    """

    __tablename__ = "log_retention"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("keep_days BETWEEN 365 AND 36500", name="a_year"),
    )

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    keep_days: Mapped[int | None]
    dropped: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    dropped_at: Mapped[datetime | None]


class UsageDay(Base):
    """Entries of the log and reads of public data, counted by day in Japan. Empty: not told."""

    __tablename__ = "usage_day"
    __table_args__ = (Index("ix_usage_day_dataset_id", "dataset_id", "day"),)

    day: Mapped[date] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)  # the log's, or `public.read`
    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    provider_id: Mapped[str] = mapped_column(primary_key=True)
    consumer_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)  # of a refusal; what was decided
    agreement_id: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]


class UsageState(Base):
    """The number of the last entry that `usage_day` holds."""

    __tablename__ = "usage_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    counted: Mapped[int] = mapped_column(BigInteger)


class UsageMinute(Base):
    """Reads of public data, counted by dataset, client and minute.

    `counted`: how many of them `usage_day` holds.
    """

    __tablename__ = "usage_minute"
    __table_args__ = (
        Index("ix_usage_minute_due", "minute", postgresql_where=text("counted < reads")),
    )

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(primary_key=True)  # empty: no token was shown
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    reads: Mapped[int] = mapped_column(BigInteger)
    provider_id: Mapped[str] = mapped_column(server_default="")
    consumer_id: Mapped[str] = mapped_column(server_default="")
    counted: Mapped[int] = mapped_column(BigInteger, server_default="0")


class LogTile(Base):
    """Hashes of the Merkle tree: 256 neighbours of one level, fewer in a level's last tile.

    Level 0 holds the leaves; a hash above is the root of a whole tile below. A tile only grows.
    """

    __tablename__ = "log_tile"

    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)


class LogKey(Base):
    """The one key that signs checkpoints. Its name is the log's: neither changes, ever."""

    __tablename__ = "log_key"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    verifier: Mapped[str]  # the public half as C2SP writes it
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class LogCheckpoint(Base):
    """How large the log was and what its root was then, signed. One root a size, for ever."""

    __tablename__ = "log_checkpoint"

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    note: Mapped[str]
    signed_at: Mapped[datetime]
    confirmed_at: Mapped[datetime]  # when the tree was last found to have this root


class LogCosignature(Base):
    """What a witness signed of a checkpoint. `line` is its signature as a note holds it."""

    __tablename__ = "log_cosignature"

    size: Mapped[int] = mapped_column(ForeignKey("log_checkpoint.size"), primary_key=True)
    witness: Mapped[str] = mapped_column(primary_key=True)  # its verifier key
    line: Mapped[str]
    signed_at: Mapped[datetime]  # as the witness says


class LogSubject(Base):
    """That an entry is about somebody, told only with the salt of a name of theirs.

    No foreign key: an entry may be let go before what stands beside it, or after.
    """

    __tablename__ = "log_subject"
    __table_args__ = (Index("ix_log_subject_seq", "seq", postgresql_using="brin"),)

    # SHA-256(salt ‖ organisation ‖ name)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class SubjectSalt(Base):
    """What tells whose digest is whose. Once it is deleted, no digest made with it says anything."""

    __tablename__ = "subject_salt"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
