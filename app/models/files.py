"""The ready-made files of published versions, and why some of them are not made."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class VersionFile(Base):
    """One format of one unchanging set of rows. Written once its file is whole in the store.

    A row with a `reason` says why there is no file. One with `removed_at` is listed no more, and
    its file is about to go.
    """

    __tablename__ = "version_file"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dataset_id", "version_number"],
            ["version.dataset_id", "version.number"],
            name="fk_version_file_version",
        ),
        CheckConstraint("(reason IS NULL) = (sha256 IS NOT NULL)", name="file_or_reason"),
    )

    dataset_id: Mapped[str] = mapped_column(primary_key=True)
    version_number: Mapped[int] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    format: Mapped[str] = mapped_column(primary_key=True)
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))  # the names of the fields in the file
    rows: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    reason: Mapped[str | None]
    made_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
