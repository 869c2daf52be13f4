"""What all files of shapes come down to: a layer's features as a table in CRS84; worker only.

A layer is read once, from beginning to end, and kept beside the file in the run's own folder; how
many passes are made after that costs no parsing. Points become a latitude and a longitude, as a
CSV has them; anything else one column of GeoJSON.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from app.formats.crs import Coordinates, Settled, System, settle, told_system
from app.formats.geometries import Shapes, canonical
from app.formats.guidance import FileRefused, Notice
from app.formats.proof import COORDINATES, hint
from app.formats.readers.text.records import Record
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head
from app.formats.told import Told
from app.query.fields import FieldType

BATCH_FEATURES: Final = 20_000
_SAMPLE: Final = 1_000
_SAMPLED_BATCHES: Final = 8
_POINT, _MULTIPOINT = 0, 4  # GEOS
_SHAPE, _BROKEN, _LINE = "shape", "broken", "line"
_PLACE: Final = ("緯度", "経度")
_PLACE_TAKEN: Final = ("図形の緯度", "図形の経度")
_GEOMETRY: Final = "ジオメトリ"
_POINT_TEXT: Final = '"type": "Point"'


@dataclass(frozen=True, slots=True)
class Features:
    """Consecutive features as their format gives them."""

    columns: Mapping[str, Sequence[str | None] | pl.Series]  # by heading; absent ones are empty
    shapes: Shapes
    first: int  # the number of the first feature in its layer, from 1
    read: int  # bytes of the file consumed so far, or what comes nearest to it
    broken: Mapping[int, str] = field(default_factory=dict)  # what stands where a shape should
    lines: Sequence[int] | None = None  # where features were left out


class Layer(Protocol):
    """The features of one layer."""

    @property
    def format(self) -> str:
        """geojson, shapefile, geopackage, …"""

    @property
    def name(self) -> str:
        """The layer; empty where the file is the layer."""

    @property
    def encoding(self) -> str | None:
        """How text was decoded, where that had to be found out."""

    @property
    def types(self) -> Mapping[str, FieldType]:
        """The types that the format itself declares."""

    def features(self) -> Iterator[Features]:
        """All features in order, in batches. Raises `FileRefused`."""

    def system(self) -> System | None:
        """The coordinate system that the file names; asked when all features were read."""

    def notices(self) -> tuple[Notice, ...]:
        """What was found out on the way; asked when all features were read."""


@dataclass(slots=True)
class _Spool:
    """A layer in the run's folder, and what all of its features say."""

    labels: dict[str, int] = field(default_factory=dict)
    parts: list[tuple[Path, int]] = field(default_factory=list)  # and the bytes read till then
    rows: int = 0
    shapes: int = 0
    dots: int = 0
    others: int = 0  # broken ones that were not meant to be points
    heights: int = 0
    sample: list[Coordinates] = field(default_factory=list)

    def add(self, features: Features, folder: Path) -> None:
        shapes = features.shapes
        there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
        kinds = shapely.get_type_id(shapes)
        single = shapely.get_num_coordinates(shapes) == 1
        self.rows += len(shapes)
        self.shapes += int(there.sum())
        self.dots += int((there & single & np.isin(kinds, (_POINT, _MULTIPOINT))).sum())
        self.others += sum(_POINT_TEXT not in text for text in features.broken.values())
        self.heights += int((there & shapely.has_z(shapes)).sum())
        if len(self.sample) < _SAMPLED_BATCHES:
            chosen = shapes[there][:: max(1, int(there.sum()) // _SAMPLE)]
            self.sample.append(_first_positions(chosen))
        path = folder / f"{len(self.parts):06}"
        self._frame(features).write_ipc(path)
        self.parts.append((path, features.read))

    def _frame(self, features: Features) -> pl.DataFrame:
        height = len(features.shapes)
        lines = features.lines or range(features.first, features.first + height)
        broken = [features.broken.get(at) for at in range(height)] if features.broken else None
        found = {
            str(self.labels.setdefault(clean(label), len(self.labels))): _texts(cells)
            for label, cells in features.columns.items()
        }
        texts = _texts(broken or [None])
        return pl.DataFrame(
            {
                _LINE: pl.Series(lines, dtype=pl.Int64),
                _SHAPE: pl.Series(shapely.to_wkb(features.shapes).tolist(), dtype=pl.Binary),
                _BROKEN: texts if broken else texts.new_from_index(0, height),
                **found,
            }
        )


def _texts(cells: Sequence[str | None] | pl.Series) -> pl.Series:
    """The cells as a column; what no database holds (half a surrogate pair, NUL) is replaced."""
    try:
        found = pl.Series(cells, dtype=pl.String)
    except UnicodeEncodeError:
        found = pl.Series([cell and clean(cell) for cell in cells], dtype=pl.String)
    return found.str.replace_all("\0", "\ufffd", literal=True)


def clean(text: str) -> str:
    """Text that can be stored."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\ufffd")


def _first_positions(shapes: Shapes) -> Coordinates:
    xy, of_shape = shapely.get_coordinates(shapes, return_index=True)
    _, first = np.unique(of_shape, return_index=True)
    found: Coordinates = xy[first]
    return found


class GeoTable:
    """A layer as a table."""

    def __init__(self, layer: Layer, file: StoredFile, told: Told) -> None:
        self._layer = layer
        self._file = file
        self._told = told
        self._keep_points = False
        self.format = layer.format
        self.name = layer.name

    @property
    def encoding(self) -> str | None:
        """How text was decoded."""
        return self._layer.encoding

    @cached_property
    def _spool(self) -> _Spool:
        found = _Spool()
        folder = Path(tempfile.mkdtemp(prefix="layer-", dir=self._file.scratch))
        for features in self._layer.features():
            if len(features.shapes):
                found.add(features, folder)
        if not found.rows:
            raise FileRefused("no_data_rows")
        return found

    @cached_property
    def _settled(self) -> Settled | None:
        if not self._spool.shapes:
            return None
        told = told_system(self._told.crs) if self._told.crs else None
        return settle(self._layer.system(), told, np.concatenate(self._spool.sample))

    def shaped(self) -> "GeoTable":
        """The same table with points as shapes: its dataset has shapes, this file only points."""
        found = GeoTable(self._layer, self._file, self._told)
        found.__dict__["_spool"] = self._spool
        found._keep_points = True
        return found

    @property
    def _has_points(self) -> bool:
        found = self._spool
        return not (self._keep_points or found.others) and found.dots == found.shapes > 0

    @cached_property
    def _place_labels(self) -> tuple[str, ...]:
        if not self._spool.shapes and not self._has_broken:
            return ()
        if not self._has_points:
            taken = _GEOMETRY in self._spool.labels
            return (f"{_GEOMETRY} (2)" if taken else _GEOMETRY,)
        taken = any(hint(label) in COORDINATES for label in self._spool.labels)
        return _PLACE_TAKEN if taken else _PLACE

    @cached_property
    def _has_broken(self) -> bool:
        return any(
            pl.read_ipc(path, columns=[_BROKEN]).to_series().is_not_null().any()
            for path, _ in self._spool.parts
        )

    @cached_property
    def head(self) -> Head:
        """Headings, types and the first rows."""
        attributes = tuple(self._spool.labels)
        place = self._place_labels
        kinds = (
            (FieldType.LATITUDE, FieldType.LONGITUDE) if len(place) == 2 else (FieldType.GEOMETRY,)
        )
        first = next(self._batches(), None)
        sample = () if first is None else tuple(
            Record(line, line + 1, [cell or "" for cell in row])
            for line, row in zip(
                first.lines.head(_SAMPLE).to_list(), first.frame.head(_SAMPLE).iter_rows(),
                strict=True,
            )
        )  # fmt: skip
        types = [self._layer.types.get(label) for label in attributes]
        return Head(
            labels=self._ordered(attributes, place),
            header_line=0,
            sample=sample,
            notices=self._notices(),
            types=self._ordered(tuple(types), kinds[: len(place)]),
        )

    def _ordered(self, attributes: tuple[Any, ...], place: tuple[Any, ...]) -> tuple[Any, ...]:
        """A place of its own before other coordinates: the first pair is where a record lies."""
        before = self._place_labels == _PLACE_TAKEN
        return (*place, *attributes) if before else (*attributes, *place)

    def _notices(self) -> tuple[Notice, ...]:
        found = [*self._layer.notices()]
        if self._settled is not None:
            found += self._settled.notices
        if self._spool.heights:
            found.append(Notice("z_dropped", {"count": self._spool.heights}))
        return tuple(found)

    def batches(self) -> Iterator[Batch]:
        """The features as rows."""
        return self._batches()

    def _batches(self) -> Iterator[Batch]:
        for path, read in self._spool.parts:
            stored = pl.read_ipc(path)
            empty = pl.Series([None], dtype=pl.String).new_from_index(0, stored.height)
            attributes = tuple(
                stored.to_series(stored.get_column_index(str(at)))
                if str(at) in stored.columns
                else empty
                for at in range(len(self._spool.labels))
            )
            series = self._ordered(attributes, self._place(stored))
            yield Batch(
                frame=pl.DataFrame([each.alias(str(at)) for at, each in enumerate(series)]),
                lines=stored[_LINE],
                read=read,
                end_line=int(stored[_LINE][-1]) + 1,
            )

    def _place(self, stored: pl.DataFrame) -> tuple[pl.Series, ...]:
        if not self._place_labels:
            return ()
        shapes = self._converted(shapely.from_wkb(stored[_SHAPE].to_numpy()))
        broken = stored[_BROKEN]
        if len(self._place_labels) == 1:
            texts = canonical(shapes)
            gone = shapely.is_missing(shapes) | shapely.is_empty(shapes)
            texts[gone] = None
            return (pl.Series(texts.tolist(), dtype=pl.String).fill_null(broken),)
        x, y = _dots(shapes).T
        return tuple(
            pl.Series(axis).cast(pl.String).set(pl.Series(np.isnan(axis)), None).fill_null(broken)
            for axis in (y, x)
        )

    def _converted(self, shapes: Shapes) -> Shapes:
        settled = self._settled
        if settled is None or settled.system.is_same:
            return shapes
        found: Shapes = shapely.transform(shapes, settled.system.convert, include_z=False)
        return found


def _dots(shapes: Shapes) -> NDArray[np.float64]:
    """The one position of each shape; NaN where there is none."""
    found = np.full((len(shapes), 2), np.nan)
    xy, of_shape = shapely.get_coordinates(shapes, return_index=True)
    found[of_shape] = xy
    return found
