"""Purpose views: what a publisher lets out of a dataset for one purpose at most."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Text, false
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class PurposeView(Base):
    """A bound on columns, on rows, by consent; an empty list of columns lets nothing out."""

    __tablename__ = "purpose_view"
    __table_args__ = (
        CheckConstraint("num_nonnulls(columns, rows) > 0 OR consent", name="bounds_something"),
    )

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(ForeignKey("purpose.code"), primary_key=True)
    columns: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # field names
    rows: Mapped[str | None]  # CQL2 Text
    consent: Mapped[bool] = mapped_column(server_default=false())  # only of whom consents to it
    set_at: Mapped[datetime]
    set_by: Mapped[str]
