"""The log's tables. Only `audit` touches them, and only by inserting."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger
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


class UsageMinute(Base):
    """Reads of public data, counted by dataset, client and minute."""

    __tablename__ = "usage_minute"

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(primary_key=True)  # empty: no token was shown
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    reads: Mapped[int] = mapped_column(BigInteger)


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
