"""Parquet, and GeoParquet 1.1 where the rows have a place. Worker and child processes only: polars."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import shapely
from polars.io.plugins import register_io_source

from app.formats.writers.cells import apart, batches, shapes_of, typed
from app.formats.writers.order import Layout
from app.formats.writers.survey import Survey
from app.query.fields import FieldType

_MOST_DIGITS: Final = 38  # what 16 bytes hold; a longer decimal stays text, exactly
_ROW_GROUP: Final = 50_000


def write_parquet(layout: Layout, found: Survey, cells: Path, target: Path) -> None:
    """One row group after the other. Codes are texts, times are instants, decimals are exact."""
    types = [_type(layout, found, at) for at in range(len(layout.columns))]
    schema = {col.name: kind for col, kind in zip(layout.columns, types, strict=True)}
    shape = _geometry_name(layout)
    if layout.point is not None and layout.geometry is None and shape is not None:
        schema[shape] = pl.Binary()

    def frames(
        with_columns: list[str] | None, _predicate: Any, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for rows in batches(cells, len(layout.columns)):
            frame = _frame(layout, types, shape, rows)
            yield frame if with_columns is None else frame.select(with_columns)

    told = {"geo": json.dumps(_geo(found, shape))} if shape is not None else None
    rows = register_io_source(frames, schema=schema)
    rows.sink_parquet(
        target, compression="zstd", row_group_size=_ROW_GROUP, metadata=told, engine="streaming"
    )


_TYPES: Final = {
    FieldType.INTEGER: pl.Int64(),
    FieldType.BOOLEAN: pl.Boolean(),
    FieldType.DATE: pl.Date(),
    FieldType.DATETIME: pl.Datetime("us", "UTC"),
    FieldType.LATITUDE: pl.Float64(),
    FieldType.LONGITUDE: pl.Float64(),
}


def _type(layout: Layout, found: Survey, at: int) -> pl.DataType:
    if at == layout.geometry:
        return pl.Binary()
    if at in found.digits:
        digits = found.digits[at]
        if digits.whole + digits.scale > _MOST_DIGITS:
            return pl.String()
        return pl.Decimal(digits.whole + digits.scale, digits.scale)
    return _TYPES.get(layout.columns[at].type, pl.String())


def _geometry_name(layout: Layout) -> str | None:
    if layout.geometry is not None:
        return layout.columns[layout.geometry].name
    if layout.point is not None:
        return apart("geometry", _names(layout))
    return None


def _frame(
    layout: Layout, types: list[pl.DataType], shape: str | None, rows: pl.DataFrame
) -> pl.DataFrame:
    wkb = None if shape is None else _wkb(layout, shape, rows)
    made = [
        wkb if wkb is not None and at == layout.geometry else typed(rows[str(at)], kind).alias(name)
        for at, (name, kind) in enumerate(zip(_names(layout), types, strict=True))
    ]
    if wkb is not None and layout.geometry is None:
        made.append(wkb)
    return pl.DataFrame(made)


def _names(layout: Layout) -> list[str]:
    return [col.name for col in layout.columns]


def _wkb(layout: Layout, name: str, rows: pl.DataFrame) -> pl.Series:
    # ISO is the flavour that GeoParquet names for heights.
    wkb = shapely.to_wkb(shapes_of(layout, rows), flavor="iso", byte_order=1)
    return pl.Series(name, wkb.tolist(), dtype=pl.Binary())


def _geo(found: Survey, shape: str) -> dict[str, Any]:
    """The file's metadata; without a word on it the coordinates are OGC:CRS84."""
    about: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(found.kinds)}
    if found.bounds is not None:
        about["bbox"] = list(found.bounds)
    return {"version": "1.1.0", "primary_column": shape, "columns": {shape: about}}
