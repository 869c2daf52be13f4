"""Rows of a Parquet file by polars' streaming reader: types as the file declares them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import polars as pl
import shapely

from app.formats.guidance import FileRefused, Notice
from app.formats.proof import hint
from app.formats.readers.documents.row_batches import SAMPLE_ROWS
from app.formats.readers.text.layout import MAX_COLUMNS
from app.formats.readers.text.records import Record
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table, WrongRow
from app.formats.told import Told
from app.query.fields import FieldType

_ROWS = 50_000
_CELLS = 1 << 20
_FLOATS = (pl.Float32, pl.Float64)
_BIG_INTEGERS = (pl.UInt64, pl.Int128)
# What a file declares beyond doubt, whatever the heading says.
_SURE: dict[Any, FieldType] = {
    pl.Boolean: FieldType.BOOLEAN,
    pl.Date: FieldType.DATE,
    pl.Datetime: FieldType.DATETIME,
    pl.Decimal: FieldType.DECIMAL,
}
_CRS84 = frozenset({"OGC:CRS84", "EPSG:4326", "EPSG:6668", "EPSG:6697"})


@dataclass(frozen=True)
class _Column:
    name: str
    dtype: pl.DataType
    is_geometry: bool = False


@dataclass(frozen=True)
class ParquetTable:
    """A file whose columns have names and types."""

    file: StoredFile
    name: str = ""
    format: str = "parquet"
    encoding: str | None = None

    @cached_property
    def _columns(self) -> tuple[tuple[_Column, ...], tuple[Notice, ...]]:
        """The columns that can be read, and what is left out."""
        with _refusing():
            schema = pl.read_parquet_schema(self.file.path)
            shapes = _geometries(pl.read_parquet_metadata(self.file.path).get("geo"))
        if len(schema) > MAX_COLUMNS:
            raise FileRefused("too_many_columns", columns=len(schema), limit=MAX_COLUMNS)
        kept, notices = [], []
        for name, dtype in schema.items():
            if (dtype == pl.Binary and name not in shapes) or dtype == pl.Object:
                notices.append(Notice("column_unreadable", {"label": name, "type": str(dtype)}))
            else:
                kept.append(_Column(name, dtype, is_geometry=name in shapes))
        if not kept:
            raise FileRefused("no_data_rows")
        return tuple(kept), tuple(notices)

    @cached_property
    def head(self) -> Head:
        """Headings, types and the first rows."""
        columns, notices = self._columns
        first = next(self.batches(), None)
        sample: tuple[Record, ...] = ()
        if first is not None:
            rows = first.frame.head(SAMPLE_ROWS).rows()
            sample = tuple(
                Record(at, at + 1, [cell or "" for cell in row]) for at, row in enumerate(rows, 1)
            )
        return Head(
            labels=tuple(column.name.replace("\0", "\ufffd") for column in columns),
            header_line=0,
            sample=sample,
            notices=notices,
            types=tuple(map(_type, columns)),
        )

    def batches(self) -> Iterator[Batch]:
        """The rows, each under its number."""
        columns, _ = self._columns
        rows = max(1, min(_ROWS, _CELLS // len(columns)))
        size, number = self.file.size, 1
        with _refusing():
            total = pl.scan_parquet(self.file.path).select(pl.len()).collect().item()
            query = pl.scan_parquet(self.file.path).select(column.name for column in columns)
            for part in query.collect_batches(chunk_size=rows, maintain_order=True):
                for frame in part.iter_slices(rows):
                    made = _batch(frame, columns, number)
                    number = made.end_line
                    yield _at(made, size * (number - 1) // max(total, 1))


def tables(file: StoredFile, _told: Told) -> list[Table]:
    """The one table."""
    return [ParquetTable(file)]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise FileRefused("file_damaged") from exc


def _type(column: _Column) -> FieldType | None:
    """What the file declares; None where its heading and values know better (codes in integers)."""
    if column.is_geometry:
        return FieldType.GEOMETRY
    base = column.dtype.base_type()
    if base in _SURE:
        return _SURE[base]
    if hint(column.name) is not None or base in _BIG_INTEGERS:
        return None
    if base in _FLOATS:
        return FieldType.DECIMAL
    return FieldType.INTEGER if base.is_integer() else None


def _geometries(geo: str | None) -> frozenset[str]:
    """The columns of a GeoParquet file that hold WKB in degrees (GeoParquet 1.1; no crs: CRS84)."""
    try:
        columns = json.loads(geo or "{}").get("columns", {})
    except ValueError:
        return frozenset()
    return frozenset(
        name for name, about in columns.items()
        if about.get("encoding") == "WKB" and _is_degrees(about.get("crs", {}))
    )  # fmt: skip


def _is_degrees(crs: object) -> bool:
    if not crs:
        return crs is not None  # absent: CRS84; null: unknown
    known = crs.get("id", {}) if isinstance(crs, dict) else {}
    return f"{known.get('authority')}:{known.get('code')}" in _CRS84


def _batch(frame: pl.DataFrame, columns: tuple[_Column, ...], first: int) -> Batch:
    wrong: dict[int, WrongRow] = {}
    cells = [
        _cells(frame.to_series(at), column, at, wrong).alias(str(at))
        for at, column in enumerate(columns)
    ]
    lines = pl.int_range(first, first + frame.height, dtype=pl.Int64, eager=True)
    made = pl.DataFrame(cells)
    filled = made.select(pl.any_horizontal(pl.all().str.len_bytes().fill_null(0) > 0)).to_series()
    end = first + frame.height
    if filled.all():
        return Batch(made, lines, 0, end, wrong=wrong)
    place = {int(old): new for new, old in enumerate(filled.arg_true())}
    kept = {place[at]: row for at, row in wrong.items() if at in place}
    blanks = frame.height - len(place)
    return Batch(made.filter(filled), lines.filter(filled), 0, end, blanks=blanks, wrong=kept)


def _at(batch: Batch, read: int) -> Batch:
    return Batch(
        batch.frame, batch.lines, read, batch.end_line, blanks=batch.blanks, wrong=batch.wrong
    )


def _cells(values: pl.Series, column: _Column, at: int, wrong: dict[int, WrongRow]) -> pl.Series:
    """Canonical texts. A text with a NUL, which PostgreSQL cannot hold, spoils its row."""
    texts = _texts(values, column)
    has_nul = texts.str.contains("\0", literal=True).fill_null(value=False)
    if has_nul.any():
        for index in has_nul.arg_true():
            wrong.setdefault(int(index), WrongRow("nul_character", column=at))
        texts = texts.str.replace_all("\0", "\ufffd", literal=True)
    return texts


def _texts(values: pl.Series, column: _Column) -> pl.Series:
    if column.is_geometry:
        shapes = shapely.from_wkb(values.to_numpy(), on_invalid="ignore")
        return pl.Series(shapely.to_geojson(shapes).tolist(), dtype=pl.String)
    base = column.dtype.base_type()
    if base in _FLOATS:
        return _plain(values.cast(pl.String))
    if base == pl.Datetime:
        zone = getattr(column.dtype, "time_zone", None)
        return values.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + ("%:z" if zone else ""))
    if base == pl.Duration:
        return values.dt.to_string("iso")
    if base.is_nested():
        made = [None if value is None else _json(value) for value in values]
        return pl.Series(made, dtype=pl.String)
    return values.cast(pl.String)


def _plain(texts: pl.Series) -> pl.Series:
    """Numbers without exponents; NaN stays, and is refused where a number is asked for."""
    long = texts.str.contains("e", literal=True).fill_null(value=False)
    if not long.any():
        return texts
    found = texts.filter(long).unique().to_list()
    return texts.replace(found, [f"{Decimal(text):f}" for text in found])


def _json(value: Any) -> str:
    if isinstance(value, pl.Series):
        value = value.to_list()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_inner)


def _inner(value: Any) -> str:
    """What JSON has no word for, inside a list or a struct."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
