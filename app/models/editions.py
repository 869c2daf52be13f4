"""What readers got of each dataset, from when on; and which versions somebody still pages through."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Edition(Base):
    """What readers get of a dataset from a moment on: a version at one of its revisions.

    Numbers count from 1 without a gap, in the order of commits: they are given under the dataset's
    lock. An edition of the version before it is a batch of records; one of another version is a
    publication, and `differences` names the table of what changed with it (None: the first
    edition, no key to compare by, or no longer kept).
    """

    __tablename__ = "edition"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dataset_id", "version_number"],
            ["version.dataset_id", "version.number"],
            name="fk_edition_dataset_id_version",
        ),
        Index("ix_edition_began", "dataset_id", "began_at", "number"),
        Index("ix_edition_version", "dataset_id", "version_number", "revision"),
    )

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version_number: Mapped[int]
    revision: Mapped[int] = mapped_column(BigInteger)
    row_count: Mapped[int] = mapped_column(BigInteger)
    began_at: Mapped[datetime]
    differences: Mapped[str | None] = mapped_column(unique=True)


class VersionPin(Base):
    """A version that a cursor was given for: retention waits a day (noted once an hour)."""

    __tablename__ = "version_pin"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dataset_id", "number"],
            ["version.dataset_id", "version.number"],
            name="fk_version_pin_dataset_id_version",
        ),
    )

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pinned_at: Mapped[datetime]
