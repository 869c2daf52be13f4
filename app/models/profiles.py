"""The registry of standard layouts: one row a version, as data."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class ProfileState(StrEnum):
    """Where a version stands. It follows from the dates and is stored nowhere."""

    DRAFT = "draft"  # may still change; no dataset can be registered on it
    PUBLISHED = "published"
    DEPRECATED = "deprecated"  # works as before; those who use it are told to move
    SUNSET = "sunset"  # answers 410 with the migration note


class Profile(Base):
    """One version of a standard layout, as data. Once published it never changes but its dates."""

    __tablename__ = "profile"
    __table_args__ = (
        CheckConstraint("sunset_at >= deprecated_at", name="sunset_after_deprecation"),
        CheckConstraint(
            "(successor_name IS NULL) = (successor_version IS NULL)", name="successor_is_whole"
        ),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    title_ja: Mapped[str]
    title_en: Mapped[str | None]
    fields: Mapped[list[dict[str, Any]]]
    rules: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    mapping: Mapped[list[dict[str, Any]] | None]  # steps beyond labels and variants
    edition: Mapped[str | None]
    source: Mapped[str | None]
    confidence: Mapped[str | None]
    owner_id: Mapped[str | None]  # the organisation that registered it; None: built in
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    published_at: Mapped[datetime | None]
    deprecated_at: Mapped[datetime | None]
    sunset_at: Mapped[datetime | None]
    successor_name: Mapped[str | None]
    successor_version: Mapped[int | None]
    note_ja: Mapped[str | None]
    note_en: Mapped[str | None]
