"""Rows as PostgreSQL's COPY writes them in its text form, read back exactly: null is no empty text.

It holds a batch at a time, whatever the length of the file.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from app.formats.writers.order import Layout

Row = list[str | None]
Shapes = NDArray[Any]  # of shapely geometries, None where a row has no place
BATCH: Final = 10_000
_NULL: Final = "\\N"
_ESCAPED: Final = re.compile(r"\\(.)")
_MEANT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file that COPY wrote."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            # A table without columns that may be seen has rows of nothing.
            yield [_cell(text) for text in line[:-1].split("\t")]


def _cell(text: str) -> str | None:
    if "\\" not in text:
        return text
    if text == _NULL:
        return None
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), text)


def batches(path: Path, size: int = BATCH) -> Iterator[list[Row]]:
    """The rows some at a time."""
    rows = read_rows(path)
    while batch := list(islice(rows, size)):
        yield batch


def shapes_of(layout: Layout, rows: Sequence[Row]) -> Shapes:
    """The places of the rows, longitude before latitude."""
    if layout.geometry is not None:
        texts = np.array([row[layout.geometry] for row in rows], dtype=object)
        return np.array(shapely.from_geojson(texts), dtype=object, ndmin=1)
    if layout.point is None:
        raise LookupError("the rows have no place")
    latitude, longitude = layout.point
    pairs = np.array(
        [[row[longitude] or np.nan, row[latitude] or np.nan] for row in rows], dtype=float
    )
    found = np.full(len(rows), None, dtype=object)
    given = ~np.isnan(pairs).any(axis=1)
    found[given] = shapely.points(pairs[given])
    return found


def apart(name: str, taken: Sequence[str]) -> str:
    """A name that none of `taken` is, upper and lower case alike."""
    lower, made, again = {each.lower() for each in taken}, name, 1
    while made.lower() in lower:
        again += 1
        made = f"{name}_{again}"
    return made
