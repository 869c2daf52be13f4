"""What a survey finds in a file before a row is taken in; it reads nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.formats.dates import DateOrder
from app.formats.guidance import Notice
from app.formats.mapping import Source
from app.formats.table import Head, Table
from app.query.fields import Field, FieldType, edge_columns

ROW, LINE, ORIGINAL, EXTRAS = "_row", "_line", "_original", "_extras"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Why a column's field has its type: what a steward reads before she confirms it.

    `basis` is format (the file itself says so), heading (the heading says so and the values bear
    it out), values (all of them read so), text (nothing read all) or empty. `confidence` is the
    part of the filled cells that agrees, 0 to 1.
    """

    label: str
    field: str
    type: str
    basis: str
    confidence: float
    filled: int
    empty: int
    unit: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The column as a run report stores it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Survey:
    """How a file is to be read, decided on its bytes alone."""

    table: Table
    sources: tuple[Source, ...]
    orders: Mapping[str, DateOrder] = field(default_factory=dict)  # by field name
    data_rows: int | None = None  # exact, where a whole pass was needed
    notices: tuple[Notice, ...] = ()
    chosen: tuple[Chosen, ...] = ()  # where nobody declared the fields
    rules: tuple[Mapping[str, Any], ...] = ()  # of the profile that the dataset follows
    profile: Mapping[str, Any] | None = None  # the standard layout that the headings speak for
    may_be_empty: bool = False  # to have no row is what its source states

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that the rows will have."""
        return tuple(source.field for source in self.sources)

    @property
    def head(self) -> Head:
        """The table's headings and first rows."""
        return self.table.head

    @property
    def implied_mapping(self) -> list[dict[str, Any]]:
        """The steps that make fields of parts of a column, where nobody had to say so."""
        return [
            {
                "to": source.field.name,
                "from": [self.head.labels[source.column]],
                "pattern": source.pattern,
            }
            for source in self.sources
            if source.pattern is not None and source.column is not None
        ]

    @property
    def extras(self) -> tuple[int, ...]:
        """The columns that no field takes: kept beside the record, under their own headings."""
        taken = {source.own_column for source in self.sources}
        taken |= {at for source in self.sources for at in source.columns}
        return tuple(at for at, label in enumerate(self.head.labels) if label and at not in taken)


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
    repairs: Mapping[tuple[str, str], tuple[int, int]]  # (field, rule): cells, first row
    first_line: int
    last_line: int
    bytes_read: int
    rows: int  # read: accepted and rejected
    notices: tuple[Notice, ...] = ()


def copy_columns(survey: Survey) -> tuple[str, ...]:
    """The columns of a block's CSV, in order."""
    found = [ROW, LINE, ORIGINAL, EXTRAS]
    for each in survey.fields:
        found.append(each.column)
        if each.type is FieldType.GEOMETRY:
            found += edge_columns(each)
    return tuple(found)
