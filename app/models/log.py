"""The log's tables. Only `audit` touches them, and only by inserting."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, SmallInteger
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
