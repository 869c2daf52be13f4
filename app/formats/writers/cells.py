"""Rows as PostgreSQL's COPY writes them in its text form, read back exactly: null is no empty text.

It holds a batch at a time, whatever the length of the file. Child processes only: polars.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from app.formats.writers.order import Layout

Shapes = NDArray[Any]  # of shapely geometries, None where a row has no place
_BATCH_BYTES: Final = 2 << 20
_NULL: Final = "\\N"
_ESCAPED: Final = re.compile(r"\\(.)")
_MEANT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def batches(path: Path, width: int) -> Iterator[pl.DataFrame]:
    """The rows of a file that COPY wrote, some at a time: columns of texts, named by their place."""
    with path.open("rb") as file:
        while lines := file.readlines(_BATCH_BYTES):
            yield parse(lines, width)


def parse(lines: Sequence[bytes], width: int) -> pl.DataFrame:
    """Whole lines as columns of texts."""
    if width < 2:  # an empty cell alone is an empty line, which a reader of CSV passes over
        texts = [line[:-1].decode() for line in lines]
        cells = pl.Series("0", [None if text == _NULL else text for text in texts], pl.String())
        return pl.DataFrame([_unescaped(cells)])
    # With a heading, a byte order mark in the first cell is what it is: a part of it.
    heading = "\t".join(map(str, range(width))).encode() + b"\n"
    frame = pl.read_csv(
        heading + b"".join(lines), separator="\t", quote_char=None, infer_schema=False,
        null_values=[_NULL], empty_string_is_null=False,
    )  # fmt: skip
    return frame.with_columns([_unescaped(each) for each in frame])


def _unescaped(cells: pl.Series) -> pl.Series:
    """Few cells hold what COPY escapes: those are looked at one by one."""
    escaped = cells.str.contains("\\", literal=True).fill_null(value=False)
    if not escaped.any():
        return cells
    places = escaped.arg_true()
    meant = [_ESCAPED.sub(lambda f: _MEANT.get(f[1], f[1]), text) for text in cells.gather(places)]
    return cells.scatter(places, meant)


def typed(texts: pl.Series, kind: pl.DataType) -> pl.Series:
    """The values that texts of PostgreSQL stand for."""
    match kind:
        case pl.Boolean():
            return texts == "true"
        case pl.Date():
            return texts.str.to_date("%Y-%m-%d")
        case pl.Datetime():
            return texts.str.to_datetime("%+", time_unit="us", time_zone="UTC")
    return texts.cast(kind)


def numbers_of(frame: pl.DataFrame, at: int) -> NDArray[np.float64]:
    """A column of numbers; NaN where there is none."""
    return frame[str(at)].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def shapes_of(layout: Layout, frame: pl.DataFrame) -> Shapes:
    """The places of the rows, longitude before latitude."""
    if layout.geometry is not None:
        texts = np.array(frame[str(layout.geometry)].to_list(), dtype=object)
        return np.array(shapely.from_geojson(texts), dtype=object, ndmin=1)
    pairs, found = points_of(layout, frame), np.full(frame.height, None, dtype=object)
    given = ~np.isnan(pairs).any(axis=1)
    found[given] = shapely.points(pairs[given])
    return found


def points_of(layout: Layout, frame: pl.DataFrame) -> NDArray[np.float64]:
    """Longitude and latitude of the rows whose place is two columns."""
    if layout.point is None:
        raise LookupError("the rows have no place")
    latitude, longitude = layout.point
    return np.stack([numbers_of(frame, longitude), numbers_of(frame, latitude)], axis=1)


def apart(name: str, taken: Sequence[str]) -> str:
    """A name that none of `taken` is, upper and lower case alike."""
    lower, made, again = {each.lower() for each in taken}, name, 1
    while made.lower() in lower:
        again += 1
        made = f"{name}_{again}"
    return made
