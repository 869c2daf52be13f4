"""The writers by themselves: types, limits, tiles; what goes in comes out of other people's readers."""

import json
import random
import sqlite3
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import polars as pl
import pyogrio
import pytest
import shapely
from openpyxl.utils.escape import unescape

from app.formats.writers import geopackage
from app.formats.writers.cells import batches
from app.formats.writers.excel_csv import guarded
from app.formats.writers.making import make
from app.formats.writers.order import Column, Layout, Order
from app.formats.writers.tile_geometry import encode_geometry, encode_plain
from app.formats.writers.vector_tile import MOST_BYTES
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
        ["\ufeff", ""], ["", None], ["\\N", "\\"], ['"', '"a'], ["a\tb\nc\rd", "\\t"], ["\u2028\x85\x1c", "𠮷"],
    ]  # fmt: skip
    layout = Layout(columns(("a", T.TEXT), ("b", T.TEXT)))

    order = written(tmp_path, layout, rows, "parquet")

    assert [list(row) for frame in batches(order.cells, 2) for row in frame.rows()] == rows
    assert [list(row) for row in pl.read_parquet(tmp_path / "parquet").rows()] == rows


def test_one_column_alone_keeps_its_empty_cells(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [[""], ["a\nb"], [None], [""]]

    order = written(tmp_path, Layout(columns(("a", T.TEXT))), rows, "parquet", "csv-excel", "xlsx")

    assert [list(row) for frame in batches(order.cells, 1) for row in frame.rows()] == rows
    assert [list(row) for row in pl.read_parquet(tmp_path / "parquet").rows()] == rows


def test_a_workbook_holds_every_text_there_is(tmp_path: Path) -> None:
    texts = [" a ", "a\nb\rc", "<&>\"'", "\x01\x1f\uffff", "_x000D_", "=1", "𠮷", "1e5", ""]
    days = ["2026-04-01", "1900-02-28", None]
    rows: list[list[str | None]] = [[text, None, None] for text in texts]
    rows += [[None, day, number] for day, number in zip(days, ("0.1", "1" * 16, "-2"), strict=True)]
    layout = Layout(columns(("a&b", T.TEXT), ("d", T.DATE), ("n", T.DECIMAL)))

    written(tmp_path, layout, rows, "xlsx")

    (tmp_path / "xlsx").rename(tmp_path / "x.xlsx")
    lines = list(openpyxl.load_workbook(tmp_path / "x.xlsx")["records"].iter_rows(values_only=True))
    assert lines[0] == ("a&b", "d", "n")
    assert [unescape(line[0] or "") for line in lines[1:10]] == texts
    assert [line[1:] for line in lines[10:]] == [
        (datetime(2026, 4, 1), 0.1), ("1900-02-28", "1" * 16), (None, -2),
    ]  # fmt: skip


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
    assert pl.DataFrame({"a": [text]}).select(guarded("a")).item() == shown


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


def test_many_polygons_at_once_are_drawn_as_one_by_one() -> None:
    chance = random.Random(3)
    places = [(chance.randrange(4_000), chance.randrange(4_000)) for _ in range(200)]
    drawn = [shapely.Point(at).buffer(chance.choice((0.2, 1, 30)), 3) for at in places]
    drawn += [shapely.reverse(each) for each in drawn]

    is_drawn, made = encode_plain(np.array(drawn), np.zeros((len(drawn), 2), dtype=np.int64))

    wanted = [encode_geometry(each, (0, 0)) for each in drawn]
    assert is_drawn.tolist() == [each is not None for each in wanted]
    assert not is_drawn.all() and is_drawn.any()
    assert made == [each[1] for each in wanted if each is not None]


def test_values_of_a_tile_keep_their_types(tmp_path: Path) -> None:
    kinds = (T.BOOLEAN, T.INTEGER, T.TEXT, T.DECIMAL, T.LATITUDE, T.LONGITUDE)
    layout = Layout(columns(*zip("abcdxy", kinds, strict=True)), point=(4, 5))
    long = "0.1234567890123456"

    written(tmp_path, layout, [
        ["true", "-1", "1", "1.0", "34.7", "135.5"], [None, "300", "あ" * 99, long, "34.7", "135.5"],
    ], "pmtiles")  # fmt: skip

    (tmp_path / "pmtiles").rename(tmp_path / "x.pmtiles")
    about, _, _, values = pyogrio.raw.read(tmp_path / "x.pmtiles")
    found = dict(zip(about["fields"], values, strict=True))
    assert found["mvt_id"].tolist() == [1, 2]
    assert [found[name].tolist() for name in "bc"] == [[-1, 300], ["1", "あ" * 99]]
    assert [str(each) for each in found["d"]] == ["1.0", long] or found["d"].tolist() == ["1", long]


def test_points_at_one_place_are_one_dot_from_afar_and_all_there_close_by(tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    from pmtiles.reader import MmapSource, all_tiles  # noqa: PLC0415

    rows: list[list[str | None]] = [[f"{at}", "34.7", f"{135.5 + at / 1e6}"] for at in range(500)]
    kinds = (("no", T.CODE), ("lat", T.LATITUDE), ("lon", T.LONGITUDE))

    written(tmp_path, Layout(columns(*kinds), point=(1, 2)), rows, "pmtiles")

    (tmp_path / "pmtiles").rename(tmp_path / "x.pmtiles")
    with (tmp_path / "x.pmtiles").open("rb") as file:
        sizes = {
            zoom: len(gzip.decompress(tile)) for (zoom, *_), tile in all_tiles(MmapSource(file))
        }
    _, _, shapes, values = pyogrio.raw.read(tmp_path / "x.pmtiles")
    places = shapely.transform(shapely.from_wkb(shapes), _degrees)
    wanted = [135.5 + (int(at) - 1) / 1e6 for at in values[0]]
    assert len(shapes) == 500
    assert abs(shapely.get_x(places) - wanted).max() < 1e-5  # a metre
    assert sizes[0] < 200 and sizes[0] * 20 < sizes[14]


@pytest.mark.parametrize("held", [geopackage.MOST_HELD, 0])
def test_the_index_of_a_geopackage_leads_to_its_rows_and_to_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(geopackage, "MOST_HELD", held)
    number = 51 * 51 + 1  # three levels
    rows: list[list[str | None]] = [[f"{at}", "34.7", f"{135 + at / 1000}"] for at in range(number)]
    kinds = (("no", T.CODE), ("lat", T.LATITUDE), ("lon", T.LONGITUDE))

    written(
        tmp_path, Layout(columns(*kinds), point=(1, 2)), [*rows, ["x", None, None]], "geopackage"
    )

    (tmp_path / "geopackage").rename(tmp_path / "x.gpkg")
    _, _, _, values = pyogrio.raw.read(tmp_path / "x.gpkg", bbox=(135.0095, 34, 135.0125, 35))
    with closing(sqlite3.connect(tmp_path / "x.gpkg")) as base:
        sound = base.execute("SELECT rtreecheck('rtree_層_geom')").fetchone()
        listed = base.execute('SELECT count(*) FROM "rtree_層_geom"').fetchone()
    assert values[0].tolist() == ["10", "11", "12"]
    assert (sound, listed) == (("ok",), (number,))


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
