"""The table of uploads that come in parts: what was announced, by whom, until when it is kept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class UploadInParts(Base):
    """An upload by the tus protocol. How much has come is the `size` of its `upload`."""

    __tablename__ = "upload_in_parts"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id"), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    organization_id: Mapped[str]  # the one that began it; no other may go on
    created_by: Mapped[str]
    length: Mapped[int] = mapped_column(BigInteger)  # as announced, in bytes
    told: Mapped[str] = mapped_column("metadata")  # Upload-Metadata, as it came
    expires_at: Mapped[datetime] = mapped_column(index=True)
