"""What a survey finds in a file before a row is taken in: plain values, no reading, no polars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.formats.dates import DateOrder
from app.formats.delimited import Layout
from app.formats.encoding import Encoding
from app.formats.guidance import Notice
from app.formats.mapping import Source
from app.query.fields import Field

ROW, LINE, ORIGINAL = "_row", "_line", "_original"


@dataclass(frozen=True, slots=True)
class Survey:
    """How a file is to be read, decided on its bytes alone."""

    encoding: Encoding
    layout: Layout
    sources: tuple[Source, ...]
    orders: Mapping[str, DateOrder] = field(default_factory=dict)  # by field name
    data_rows: int | None = None  # exact, where a whole pass was needed
    notices: tuple[Notice, ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the rows will have."""
        return tuple(source.field for source in self.sources)

    def as_json(self) -> dict[str, Any]:
        """What a run report says of the file."""
        return {
            "encoding": self.encoding.label,
            "bytes": self.encoding.size,
            "delimiter": self.layout.delimiter,
            "newline": self.layout.newline,
            "header_line": self.layout.header_line,
            "data_line": self.layout.data_line,
            "labels": list(self.layout.labels),
            "data_rows": self.data_rows,
            "notices": [notice.as_json() for notice in self.notices],
        }


@dataclass(frozen=True, slots=True)
class Reject:
    """One wrong cell (or one wrong row, where `field` is None)."""

    row: int
    line: int
    field: str | None
    value_class: str
    code: str
    raw_line: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of the file, ready for COPY, and what was wrong with the others."""

    csv: bytes
    accepted: int
    rejects: list[Reject]
    repaired: int
    first_line: int
    last_line: int
    bytes_read: int
    rows: int  # read: accepted and rejected
    notices: tuple[Notice, ...] = ()


def copy_columns(survey: Survey) -> tuple[str, ...]:
    """The columns of a block's CSV, in order."""
    return (ROW, LINE, ORIGINAL, *(field.column for field in survey.fields))
