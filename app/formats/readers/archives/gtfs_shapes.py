"""The lines that a feed's shape points make, one for each shape_id; it moves no point."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.documents.row_batches import Row, gathered, sample_of
from app.formats.readers.text.delimited import DelimitedTable
from app.formats.table import Batch, Head, WrongRow
from app.formats.text import BLANKS
from app.query.fields import FieldType

_COLUMNS = ("shape_id", "shape_pt_sequence", "shape_pt_lat", "shape_pt_lon")
_LABELS = ("shape_id", "geometry")
_DEGREES = r"^-?[0-9]{1,3}(?:\.[0-9]{1,20})?$"


@dataclass(frozen=True)
class ShapeLines:
    """One LineString for each shape."""

    points: DelimitedTable
    name: str = "shapes (lines)"
    format: str = "gtfs"

    @property
    def encoding(self) -> str:
        """The encoding of the points' file."""
        return self.points.encoding

    @cached_property
    def head(self) -> Head:
        """Two columns; the shapes are made already for it."""
        return Head(
            labels=_LABELS,
            header_line=0,
            sample=sample_of(self._rows, 2),
            types=(FieldType.CODE, FieldType.GEOMETRY),
            keys=("shape_id",),
        )

    @cached_property
    def _rows(self) -> list[Row]:
        """Each shape at the line of its first point, its points by their numbers."""
        points = self._points()
        lines = points.group_by("shape_id", maintain_order=True).agg(
            pl.col("line").min(),
            pl.col("point").sort_by("sequence", maintain_order=True),
            pl.col("good").all(),
        )
        return [
            _row(shape, line, points, good=good)
            for shape, line, points, good in lines.select(
                "shape_id", "line", "point", "good"
            ).iter_rows()
        ]

    def _points(self) -> pl.DataFrame:
        labels = [label.strip(BLANKS) for label in self.points.head.labels]
        missing = [name for name in _COLUMNS if name not in labels]
        if missing:
            raise FileRefused("column_missing", missing="、".join(missing), found="、".join(labels))
        at = [str(labels.index(name)) for name in _COLUMNS]
        parts = []
        for batch in self.points.batches():
            cells = batch.frame.select(
                pl.col(index).str.strip_chars(BLANKS).alias(name)
                for index, name in zip(at, _COLUMNS, strict=True)
            )
            lat, lon = pl.col("shape_pt_lat"), pl.col("shape_pt_lon")
            sequence = pl.col("shape_pt_sequence").cast(pl.Int64, strict=False)
            good = lat.str.contains(_DEGREES) & lon.str.contains(_DEGREES) & sequence.is_not_null()
            parts.append(
                cells.select(
                    "shape_id",
                    sequence.alias("sequence"),
                    pl.format("[{},{}]", lon, lat).alias("point"),
                    good.fill_null(value=False).alias("good"),
                ).with_columns(batch.lines.alias("line"))
            )
        return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)

    def batches(self) -> Iterator[Batch]:
        """The lines."""
        return gathered(iter(self._rows), 2, lambda: 0)


_SCHEMA = {
    "shape_id": pl.String,
    "sequence": pl.Int64,
    "point": pl.String,
    "good": pl.Boolean,
    "line": pl.Int64,
}


def _row(shape: str | None, line: int, points: list[str], *, good: bool) -> Row:
    if not good or len(points) < 2:
        return Row(line, [shape, None], WrongRow("shape_no_line", column=1))
    return Row(line, [shape, f'{{"type":"LineString","coordinates":[{",".join(points)}]}}'])
