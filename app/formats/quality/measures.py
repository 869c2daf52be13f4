"""What is counted in a version, as it is stored beside it: plain numbers, no cell of any record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ColumnCount:
    """How many rows say something in a field, and how many of those only that they do not know."""

    name: str
    filled: int
    placeholders: int = 0
    first: tuple[int, ...] = ()  # rows with a placeholder


@dataclass(frozen=True, slots=True)
class RejectCount:
    """Rows that were kept out for one reason in one field; `first` are lines of the file."""

    code: str
    field: str | None
    rows: int
    first: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Previous:
    """The version that readers had before: its keys, and how many of them are still there."""

    number: int
    revision: int
    is_same_key: bool
    keys: int
    kept: int
    first_lost: tuple[str, ...] = ()  # of public data only


@dataclass(frozen=True, slots=True)
class Measures:
    """All counts of one version at one revision."""

    rows: int
    columns: tuple[ColumnCount, ...]
    repaired: tuple[
        tuple[str, int], ...
    ] = ()  # (field, cells); readings of a type's own notation left out
    rejected: tuple[RejectCount, ...] = ()
    rows_rejected: int = 0
    rows_doubled: int = 0
    rows_uncorrected: int = 0  # rejected by the run that this one corrects, and not sent again
    exponents: tuple[tuple[str, int], ...] = ()  # (label, cells)
    previous: Previous | None = None
    run: str | None = None
    row_shift: int = (
        0  # what the rows of the run's own file were moved by, behind those it corrects
    )

    def as_json(self) -> dict[str, Any]:
        """The counts as they are stored."""
        return {
            "rows": self.rows,
            "columns": [[c.name, c.filled, c.placeholders, list(c.first)] for c in self.columns],
            "repaired": [list(pair) for pair in self.repaired],
            "rejected": [[r.code, r.field, r.rows, list(r.first)] for r in self.rejected],
            "rows_rejected": self.rows_rejected,
            "rows_doubled": self.rows_doubled,
            "rows_uncorrected": self.rows_uncorrected,
            "exponents": [list(pair) for pair in self.exponents],
            "previous": _previous_json(self.previous),
            "run": self.run,
            "row_shift": self.row_shift,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Measures":
        """Read back what `as_json` wrote."""
        before = stored["previous"]
        return cls(
            rows=stored["rows"],
            columns=tuple(ColumnCount(c[0], c[1], c[2], tuple(c[3])) for c in stored["columns"]),
            repaired=tuple((name, count) for name, count in stored["repaired"]),
            rejected=tuple(RejectCount(r[0], r[1], r[2], tuple(r[3])) for r in stored["rejected"]),
            rows_rejected=stored["rows_rejected"],
            rows_doubled=stored["rows_doubled"],
            rows_uncorrected=stored["rows_uncorrected"],
            exponents=tuple((label, count) for label, count in stored["exponents"]),
            previous=Previous(**{**before, "first_lost": tuple(before["first_lost"])}) if before else None,
            run=stored["run"],
            row_shift=stored["row_shift"],
        )  # fmt: skip


def _previous_json(before: Previous | None) -> dict[str, Any] | None:
    if before is None:
        return None
    return {
        "number": before.number,
        "revision": before.revision,
        "is_same_key": before.is_same_key,
        "keys": before.keys,
        "kept": before.kept,
        "first_lost": list(before.first_lost),
    }
