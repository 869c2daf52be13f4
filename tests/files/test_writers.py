"""The writers by themselves: types, limits, tiles; what goes in comes out of other people's readers."""

import json
import random
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyogrio
import pytest
import shapely

from app.formats.writers.cells import read_rows
from app.formats.writers.excel_csv import guarded
from app.formats.writers.making import make
from app.formats.writers.order import Column, Layout, Order
from app.formats.writers.vector_tile import MOST_BYTES, Tile, encode_geometry
from app.query.fields import FieldType as T


def written(folder: Path, layout: Layout, rows: list[list[str | None]], *forms: str) -> Order:
    """Cells as COPY writes them, made into the forms."""
    cells = folder / "cells"
    marks = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
    lines = ["\t".join(r"\N" if c is None else c.translate(marks) for c in row) for row in rows]
    cells.write_text("".join(line + "\n" for line in lines), newline="")
    order = Order(cells, layout, tuple((form, folder / form) for form in forms), "層", "題")
    assert Order.from_json(order.as_json()) == order
    assert [reason for _, reason in make(order)] == [None] * len(forms)
    return order


def columns(*specs: tuple[str, T]) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in specs)


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [
        ["", None], ["\\N", "\\"], ["a\tb\nc\rd", "\\t"], ["\u2028\x85\x1c", "𠮷"],
    ]  # fmt: skip
    layout = Layout(columns(("a", T.TEXT), ("b", T.TEXT)))

    order = written(tmp_path, layout, rows, "parquet")

    assert list(read_rows(order.cells)) == rows
    assert [list(row) for row in pl.read_parquet(tmp_path / "parquet").rows()] == rows


def test_decimals_are_exact_or_text(tmp_path: Path) -> None:
    layout = Layout(columns(("a", T.DECIMAL), ("b", T.DECIMAL)))
    long = "1" * 30 + "." + "2" * 10

    written(tmp_path, layout, [["-0.1", long], ["123.45", None]], "parquet", "xlsx")

    frame = pl.read_parquet(tmp_path / "parquet")
    assert frame["a"].to_list() == [Decimal("-0.10"), Decimal("123.45")]
    assert frame["b"].to_list() == [long, None]


def test_a_name_that_the_format_needs_for_itself_gives_way(tmp_path: Path) -> None:
    names = ("fid", "geom", "FID", "geometry", "lat", "lon")
    kinds = (T.TEXT, T.TEXT, T.TEXT, T.TEXT, T.LATITUDE, T.LONGITUDE)
    layout = Layout(columns(*zip(names, kinds, strict=True)), point=(4, 5))

    written(tmp_path, layout, [["a", "b", "c", "d", "34.7", "135.5"]], "geopackage", "parquet")

    package = tmp_path / "x.gpkg"
    (tmp_path / "geopackage").rename(package)
    about, _, shapes, values = pyogrio.raw.read(package)
    found = dict(zip(about["fields"], (value[0] for value in values), strict=True))
    assert found == {
        "fid_2": "a", "geom_2": "b", "FID_3": "c", "geometry": "d", "lat": 34.7, "lon": 135.5,
    }  # fmt: skip
    assert shapely.from_wkb(shapes[0]).equals(shapely.Point(135.5, 34.7))
    assert "geometry_2" in pl.read_parquet(tmp_path / "parquet").columns


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"), ("+81-6", "'+81-6"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"), ("＝1", "'＝1"), ("-", "-"), ("－", "－"), ("大阪-1", "大阪-1"), ("", ""),
    ],
)  # fmt: skip
def test_what_excel_would_run_gets_an_apostrophe(text: str, shown: str) -> None:
    assert guarded(text) == shown


def shapes(number: int, seed: int) -> list[list[str | None]]:
    """Lines, polygons with holes and collections of points around Osaka."""
    chance = random.Random(seed)
    rows: list[list[str | None]] = []
    for at in range(number):
        x, y = 135.3 + chance.random() * 0.4, 34.5 + chance.random() * 0.3
        size = chance.choice((0.0001, 0.01, 0.2))
        shape = chance.choice((
            shapely.box(x, y, x + size, y + size) - shapely.Point(x + size / 2, y + size / 2).buffer(size / 4),
            shapely.LineString([(x, y), (x + size, y + size / 3), (x - size, y)]),
            shapely.MultiPoint([(x, y), (x + size, y)]),
        ))  # fmt: skip
        rows.append([f"{at:03}", shapely.to_geojson(shape)])
    return rows


def test_large_shapes_are_cut_into_tiles_and_lose_nothing(tmp_path: Path) -> None:
    rows = shapes(60, seed=1)
    layout = Layout(columns(("no", T.CODE), ("shape", T.GEOMETRY)), geometry=1)

    written(tmp_path, layout, rows, "pmtiles")

    archive = tmp_path / "x.pmtiles"
    (tmp_path / "pmtiles").rename(archive)
    about, _, pieces, values = pyogrio.raw.read(archive)
    numbers = dict(zip(about["fields"], values, strict=True))["no"]
    found: dict[str, list[shapely.Geometry]] = {}
    for number, piece in zip(numbers, shapely.from_wkb(pieces), strict=True):
        found.setdefault(number, []).append(piece)
    assert sorted(found) == [row[0] for row in rows]
    for number, text in rows:
        wanted = shapely.from_geojson(text)
        if wanted.geom_type == "Polygon" and wanted.area > 1e-6:
            drawn = shapely.transform(shapely.union_all(found[str(number)]), _degrees)
            assert drawn.symmetric_difference(wanted).area < wanted.area * 0.02


def _degrees(metres: object) -> object:
    import numpy as np  # noqa: PLC0415
    import numpy.typing as npt  # noqa: PLC0415

    xy: npt.NDArray[np.float64] = np.asarray(metres) / 6_378_137
    return np.degrees(np.stack([xy[:, 0], 2 * np.arctan(np.exp(xy[:, 1])) - np.pi / 2], axis=-1))


def test_no_tile_is_larger_than_its_limit_and_the_archive_says_what_it_left_out(
    tmp_path: Path,
) -> None:
    import gzip  # noqa: PLC0415

    from pmtiles.reader import MmapSource, Reader, all_tiles  # noqa: PLC0415

    rows: list[list[str | None]] = [
        [f"{at:05}{'長' * 100}", "34.7", "135.5"] for at in range(3_000)
    ]
    layout = Layout(
        columns(("no", T.CODE), ("lat", T.LATITUDE), ("lon", T.LONGITUDE)), point=(1, 2)
    )

    written(tmp_path, layout, rows, "pmtiles")

    with (tmp_path / "pmtiles").open("rb") as file:
        sizes = [len(gzip.decompress(tile)) for _, tile in all_tiles(MmapSource(file))]
        metadata = Reader(MmapSource(file)).metadata()
    assert len(sizes) == 15
    assert MOST_BYTES * 0.9 < max(sizes) <= MOST_BYTES
    assert 0 < metadata["features_left_out"] < 3_000


def test_a_shape_that_rounds_to_nothing_is_left_out_of_its_tile() -> None:
    assert encode_geometry(shapely.box(1.1, 1.1, 1.2, 1.2), (0, 0)) is None
    assert encode_geometry(shapely.from_wkt("POLYGON EMPTY"), (0, 0)) is None
    assert encode_geometry(shapely.Point(25, 17), (0, 0)) == (1, bytes((9, 50, 34)))
    line = shapely.LineString([(2, 2), (2, 10), (10, 10)])
    # The example of the specification, 4.3.5.3.
    assert encode_geometry(line, (0, 0)) == (2, bytes((9, 4, 4, 18, 0, 16, 16, 0)))


def test_values_of_a_tile_keep_their_types() -> None:
    tile = Tile("l", ["a", "b", "c"])

    assert tile.add(1, 1, b"\x09\x00\x00", [True, 1, "1"])
    assert tile.add(2, 1, b"\x09\x00\x00", [1.0, -1, None])

    assert len(tile._values) == 5


def test_the_geopackage_of_shapes_says_what_they_span(tmp_path: Path) -> None:
    rows = shapes(20, seed=2)
    layout = Layout(columns(("no", T.CODE), ("shape", T.GEOMETRY)), geometry=1)

    written(tmp_path, layout, rows, "geopackage", "parquet")

    (tmp_path / "geopackage").rename(tmp_path / "x.gpkg")
    about, _, found, _ = pyogrio.raw.read(tmp_path / "x.gpkg")
    frame = pl.read_parquet(tmp_path / "parquet")
    wanted = shapely.from_geojson([row[1] for row in rows])
    assert shapely.equals(shapely.from_wkb(found), wanted).all()
    assert shapely.equals(shapely.from_wkb(frame["shape"].to_list()), wanted).all()
    geo = json.loads(pl.read_parquet_metadata(tmp_path / "parquet")["geo"])["columns"]["shape"]
    assert geo["bbox"] == shapely.total_bounds(wanted).tolist()
    assert set(geo["geometry_types"]) == {shape.geom_type for shape in wanted}
    assert about["geometry_type"].startswith("Unknown")
