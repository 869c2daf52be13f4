"""What searches go by: the folded words of each dataset, and the readings of words."""

from sqlalchemy import ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class DatasetWords(Base):
    """A dataset as it is searched; made anew from its entry, and never shown.

    `made_as` names the folding it was made with, `read_as` the dictionary that its readings were
    taken with. Where `made_as` is empty, nothing is made yet, and the entry itself is looked at.
    """

    __tablename__ = "dataset_words"
    __table_args__ = (
        Index("ix_dataset_words_grams", "grams", postgresql_using="gin"),
        Index("ix_dataset_words_order", "length", text('dataset_id COLLATE "C"')),
        Index("ix_dataset_words_unmade", "dataset_id", postgresql_where=text("made_as = ''")),
    )

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True
    )
    length: Mapped[int]  # of the title: of two that fit alike, the shorter says less else
    # The first two parts once more, beside the row: most searches look at nothing else.
    title: Mapped[str]
    kana: Mapped[str]
    parts: Mapped[list[str]] = mapped_column(ARRAY(Text))  # by weight, see catalogue.indexing
    grams: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    made_as: Mapped[str]
    read_as: Mapped[str | None]


class Reading(Base):
    """How a written word is read, both folded. From the catalogue and from open columns only."""

    __tablename__ = "reading"
    __table_args__ = (Index("ix_reading", "reading"),)

    # Both in the order of code points (collation "C"), so that the index knows beginnings.
    word: Mapped[str] = mapped_column(primary_key=True)
    reading: Mapped[str] = mapped_column(primary_key=True)
