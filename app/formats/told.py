"""What a publisher says of a file before it is read; whatever is not said is found by looking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """The publisher's own word. It stands with the dataset, or comes with one file."""

    encoding: str | None = None
    table: str | None = None  # a sheet, a layer, a file in an archive: its name or 1-based number
    crs: str | None = None  # of coordinates in a file that does not say: EPSG:6674, JGD2011, Tokyo
    fixed_width: Mapping[str, Any] | None = None  # the layout of a fixed-length file
    rows: Mapping[str, Any] | None = None  # where the rows of an XML or JSON document stand
    empty: bool | None = None  # it has no row, and whose it is says so: a source, never a person

    @classmethod
    def from_json(cls, *given: Mapping[str, Any] | None) -> "Told":
        """Read back what was stored; a later word (for this file) goes before an earlier one, or
        with `instead` in the place of all of them."""
        merged: dict[str, Any] = {}
        for each in given:
            if (each or {}).get("instead"):
                merged.clear()
            merged |= {name: value for name, value in (each or {}).items() if value is not None}
        return cls(**{name: merged.get(name) for name in cls.__slots__})


def as_told(**words: Any) -> dict[str, Any] | None:
    """What was said, as it is stored with a run; None where nothing was."""
    return {name: word for name, word in words.items() if word is not None} or None
