"""What a child process is to make of a file of cells. Light: the server imports it, and no writer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.query.fields import FieldType

MOST_SHEET_ROWS: Final = 1_048_575  # of a workbook, below the heading


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file, and which of them are the rows' place on the map."""

    columns: tuple[Column, ...]
    geometry: int | None = None  # the column of GeoJSON
    point: tuple[int, int] | None = None  # the columns of latitude and longitude

    @property
    def has_place(self) -> bool:
        """Whether the rows can be drawn on a map."""
        return self.geometry is not None or self.point is not None

    @property
    def others(self) -> tuple[int, ...]:
        """The columns beside the geometry: what a map's feature has as its properties."""
        return tuple(at for at in range(len(self.columns)) if at != self.geometry)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of the cells: each format with where its file goes."""

    cells: Path
    layout: Layout
    wanted: tuple[tuple[str, Path], ...]
    layer: str = "records"
    title: str = ""
    changed_at: str = "1970-01-01T00:00:00Z"  # of the rows: their files are the same bytes again

    def as_json(self) -> bytes:
        """The order as a child process reads it."""
        return orjson.dumps(
            {
                "cells": str(self.cells),
                "columns": [[col.name, col.type] for col in self.layout.columns],
                "geometry": self.layout.geometry,
                "point": self.layout.point,
                "wanted": [[name, str(path)] for name, path in self.wanted],
                "layer": self.layer,
                "title": self.title,
                "changed_at": self.changed_at,
            }
        )

    @classmethod
    def from_json(cls, told: bytes) -> "Order":
        """Read back what `as_json` wrote."""
        read: dict[str, Any] = orjson.loads(told)
        columns = tuple(Column(name, FieldType(kind)) for name, kind in read["columns"])
        point = tuple(read["point"]) if read["point"] else None
        wanted = tuple((name, Path(path)) for name, path in read["wanted"])
        layout = Layout(columns, read["geometry"], point)
        named = (read["layer"], read["title"], read["changed_at"])
        return cls(Path(read["cells"]), layout, wanted, *named)
