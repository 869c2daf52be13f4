"""Whether the columns that a format names as its key do name each row; it chooses none itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from app.formats.guidance import Notice
from app.formats.table import Head

_MOST_ROWS = 5_000_000  # of more, the database will say which rows have one key


@dataclass(slots=True)
class DeclaredKey:
    """The key of a head, proved on all rows."""

    labels: tuple[str, ...]
    columns: tuple[int, ...]
    rows: int = 0
    empty: int = 0
    _hashes: list[pl.Series] = field(default_factory=list)

    @classmethod
    def of(cls, head: Head) -> "DeclaredKey | None":
        """The key that the format declares, if all its columns are there."""
        if not head.keys or not set(head.keys) <= set(head.labels):
            return None
        return cls(head.keys, tuple(head.labels.index(label) for label in head.keys))

    def add(self, cells: Sequence[pl.Series]) -> None:
        """Take one batch of trimmed columns into account."""
        frame = pl.DataFrame([cells[at].alias(str(at)) for at in self.columns])
        self.rows += frame.height
        self.empty += frame.height - frame.drop_nulls().height
        if self.rows <= _MOST_ROWS:
            self._hashes.append(frame.hash_rows(seed=0))

    @property
    def doubled(self) -> int:
        """How many rows have the key of another."""
        if self.rows > _MOST_ROWS or not self._hashes:
            return 0
        hashes = pl.concat(self._hashes)
        return len(hashes) - hashes.n_unique()

    def settle(self) -> tuple[tuple[int, ...], tuple[Notice, ...]]:
        """The key's columns where it holds; otherwise none, and why."""
        doubled = self.doubled
        if not self.empty and not doubled:
            return self.columns, ()
        details = {"labels": "・".join(self.labels), "count": self.empty + doubled}
        return (), (Notice("key_not_unique", details),)
