"""Files of shapes that public bodies really published; what each one gave, looked at by hand.

Shapefiles lie unpacked in the collection, so they are zipped here as a clerk would. What is refused
or kept though not valid: 62 shelter files that only say that their city publishes none; features of
Smart Data Models whose geometry is wrapped or lies in Europe; outlines that cross themselves.
"""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import shapely
from pyproj import Transformer

from app.formats.guidance import FileRefused
from tests.formats.reading import Taken, take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
ZONE_8 = "JGD2000 / Japan Plane Rectangular CS VIII (EPSG:2450)"
YAIZU = shapely.box(138.20, 34.74, 138.38, 34.95)
OSAKA = shapely.box(135.05, 34.25, 135.75, 35.06)

# file, format, encoding, system that the file names, kind of geometry, rows, of them not valid
TABLE: list[tuple[str, str, str, str, str, int, int]] = [
    ("yaizu/shapefile/市街化区域界_市街化調整区域界", "shapefile", "utf-8", ZONE_8, "Polygon", 8, 1),
    ("yaizu/shapefile/浸水履歴_令和6年", "shapefile", "utf-8", ZONE_8, "Polygon", 54, 1),
    ("yaizu/shapefile/焼津市自主運行バス路線図_停留所", "shapefile", "cp932", "JGD2011 (EPSG:6668)", "point", 164, 0),
    ("yaizu/shapefile/通学路_黒石小学校", "shapefile", "cp932", "JGD2011 (EPSG:6668)", "LineString", 35, 0),
    ("yaizu/shapefile/都市計画道路", "shapefile", "utf-8", ZONE_8, "LineString", 300, 0),
    ("yaizu/shapefile/駐車場", "shapefile", "utf-8", ZONE_8, "LineString", 2, 0),
    ("yaizu/geojson/bus-route.geojson", "geojson", "utf-8", "", "LineString", 14, 0),
    ("yaizu/geojson/区画整理地図.geojson", "geojson", "utf-8", "", "Polygon", 152, 0),
    ("osaka_city/mapnavoskdat_hinanbiru.geojson", "geojson", "utf-8", "", "point", 1474, 0),
    ("boundaries/N03-21_26_210101.geojson", "geojson", "utf-8", "", "Polygon", 36, 0),
    ("boundaries/N03-21_27_210101.geojson", "geojson", "utf-8", "", "Polygon", 72, 0),
    ("boundaries/N03-21_28_210101.geojson", "geojson", "utf-8", "", "Polygon", 49, 0),
    ("boundaries/N03-21_29_210101.geojson", "geojson", "utf-8", "", "Polygon", 39, 0),
    ("boundaries/N03-21_30_210101.geojson", "geojson", "utf-8", "", "Polygon", 30, 0),
    ("boundaries/prefectures.geojson", "geojson", "utf-8", "", "Polygon", 47, 0),
    ("boundaries/N03-21_27_210101.topojson", "topojson", "utf-8", "", "Polygon", 72, 0),
    ("boundaries/N03-21_210101.topojson", "topojson", "utf-8", "", "Polygon", 1906, 0),
]  # fmt: skip


def sent(name: str) -> bytes:
    place = DATA / name
    if not place.is_dir():
        return place.read_bytes()
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(place.iterdir()):
            archive.write(each, each.name)
    return held.getvalue()


def shapes_of(taken: Taken) -> list[Any]:
    rows = taken.rows
    if "geometry" in rows[0]:
        return list(shapely.from_geojson([row["geometry"] for row in rows]))
    return [shapely.Point(float(row["longitude"]), float(row["latitude"])) for row in rows]


def told_system(taken: Taken) -> str:
    said = [one for one in taken.survey.notices if one.code in ("crs_converted", "crs_kept")]
    return str(said[0].details["name"]) if said else ""


@pytest.mark.parametrize(
    ("name", "kind", "encoding", "system", "geometry", "rows", "crossing"), TABLE
)
def test_a_published_file_of_shapes_loads_without_a_setting(
    name: str, kind: str, encoding: str, system: str, geometry: str, rows: int, crossing: int
) -> None:
    taken = take(sent(name))

    shapes = shapes_of(taken)
    assert (taken.survey.table.format, taken.survey.table.encoding) == (kind, encoding)
    assert told_system(taken) == system
    assert (taken.counts[0], taken.counts[1], taken.counts[3]) == (rows, rows, {})
    assert {shape.geom_type.removeprefix("Multi") for shape in shapes} == {
        "Point" if geometry == "point" else geometry
    }
    assert sum(not shape.is_valid for shape in shapes) == crossing or name.endswith(
        "210101.topojson"
    )
    assert ("geometry_not_valid" in taken.notices) == any(not shape.is_valid for shape in shapes)
    if name.startswith("yaizu"):
        assert all(YAIZU.covers(shape) for shape in shapes)


def test_plane_coordinates_lie_where_pyproj_alone_puts_them() -> None:
    name = "yaizu/shapefile/駐車場"
    raw = (DATA / name / "駐車場.shp").read_bytes()
    first = shapely.from_geojson(take(sent(name)).values("geometry")[0])

    import struct  # noqa: PLC0415

    x, y = struct.unpack_from("<2d", raw, 100 + 8 + 44 + 4)
    expected = Transformer.from_crs(2450, 4326, always_xy=True).transform(x, y)

    assert first.coords[0] == pytest.approx(expected, abs=1e-8)


def test_geojson_keeps_the_published_coordinates() -> None:
    data = sent("boundaries/N03-21_27_210101.geojson")
    published = shapely.from_geojson(
        [json.dumps(one["geometry"]) for one in json.loads(data)["features"]]
    )

    found = shapes_of(take(data))

    assert all(shapely.equals_identical(shapely.normalize(a), shapely.normalize(b))
               for a, b in zip(published, found, strict=True))  # fmt: skip


def test_boundaries_hold_the_places_that_lie_in_them() -> None:
    city_halls = {
        "北区": (135.5023, 34.7055),
        "堺区": (135.4830, 34.5733),
        "岸和田市": (135.3710, 34.4605),
    }
    for name in ("boundaries/N03-21_27_210101.geojson", "boundaries/N03-21_27_210101.topojson"):
        taken = take(sent(name))
        by_name: dict[str, list[Any]] = {}
        for row, shape in zip(taken.rows, shapes_of(taken), strict=True):
            by_name.setdefault(row["n03_004"] or row["n03_003"], []).append(shape)

        assert taken.types["N03_007"] == "code"
        for place, at in city_halls.items():
            assert any(shape.covers(shapely.Point(at)) for shape in by_name[place]), place


def test_shelters_are_read_or_say_that_there_are_none() -> None:
    refused, rows, outside = 0, 0, []
    for path in sorted((DATA / "shelters").glob("*/*.geojson")):
        try:
            taken = take(path.read_bytes(), name=path.name)
        except FileRefused as exc:
            assert exc.code == "geojson_unavailable"
            refused += 1
            continue
        rows += taken.counts[1]
        assert taken.counts[0] == taken.counts[1], path
        assert taken.types["共通ID"] == "code"
        outside += [shape for shape in shapes_of(taken) if not OSAKA.covers(shape)]

    assert (refused, rows) == (62, 8430)
    assert outside == []


def test_features_of_elsewhere_are_refused_row_by_row() -> None:
    codes = set()
    for path in sorted((DATA / "ngsi").rglob("*geojsonfeature.json")):
        taken = take(path.read_bytes())
        assert taken.counts[:2] == (1, 0), path
        codes |= {code for _, _, code in taken.codes}

    assert codes == {"coordinate_out_of_area", "invalid_geometry"}
