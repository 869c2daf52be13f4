"""What every format comes down to: a table with a head, whose rows come as batches of texts.

A reader knows its format and nothing of fields; types are chosen, and cells repaired, behind it.
Values that a format has typed itself come as their canonical text (2022-04-01, 1.5, true, GeoJSON).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import polars as pl

from app.formats.guidance import Notice
from app.formats.readers.text.records import Record
from app.query.fields import FieldType


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The headings and the first rows."""

    labels: tuple[str, ...]
    # None: the table has no header, the labels are ours; 0: they stand on no line of their own
    header_line: int | None
    sample: tuple[Record, ...]  # the first data rows, at most 1,000
    notices: tuple[Notice, ...] = ()
    header_rows: tuple[tuple[str, ...], ...] = ()  # as they stand, where they may come again
    types: tuple[FieldType | None, ...] = ()  # as the format itself declares them; () for none
    keys: tuple[str, ...] = ()  # the labels that together name a row, as the format declares them


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that its own format has spoilt: it is rejected whatever else it holds."""

    code: str
    column: int | None = None  # the index of the spoilt cell, where it is one
    raw: tuple[str, ...] | None = None  # what stood there, where the frame cannot hold it


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive data rows, blank ones left out."""

    frame: pl.DataFrame  # String columns "0", "1", … as many as there are labels
    lines: pl.Series  # Int64: the physical line (row of a sheet, number of a feature) of each row
    read: int  # bytes of the file consumed so far, or what comes nearest to it
    end_line: int  # the line after the last row
    overlong: dict[int, list[str]] = field(default_factory=dict)  # row index: all its cells
    blanks: int = 0
    footer: tuple[int, int] | None = None  # first line and count of notes and totals cut off
    wrong: dict[int, WrongRow] = field(default_factory=dict)  # by row index
    repeated: int = 0  # heading rows that came again among the data and were left out


class Table(Protocol):
    """One table of a file."""

    @property
    def format(self) -> str:
        """csv, xlsx, geojson, …: the word that a run report shows."""

    @property
    def name(self) -> str:
        """The sheet, layer or member; empty where the file is the table."""

    @property
    def encoding(self) -> str | None:
        """How text was decoded, where that had to be found out."""

    @property
    def head(self) -> Head:
        """What stands before and at the top of the rows."""

    def batches(self) -> Iterator[Batch]:
        """All data rows in order, in bounded batches; may be called again for another pass."""


@runtime_checkable
class Shaped(Protocol):
    """A table whose points are coordinates, and could as well be shapes."""

    def shaped(self) -> Table:
        """The same table with one column of shapes."""
