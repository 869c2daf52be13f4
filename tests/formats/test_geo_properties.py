"""Any shapes written out by another library and read back are the same shapes."""

import json
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.formats.geometries import read_geometries
from app.query.geojson import NotGeometry, read_geometry
from tests.database import REPO
from tests.formats.reading import take

pytestmark = pytest.mark.long

LONGITUDE = st.floats(123, 153, allow_subnormal=False)
LATITUDE = st.floats(21, 45, allow_subnormal=False)
PLACE = st.tuples(LONGITUDE, LATITUDE)
LINE = st.lists(PLACE, min_size=2, max_size=6, unique=True).map(shapely.LineString)


def boxes(corners: list[tuple[int, int]], side: float) -> shapely.MultiPolygon:
    """Squares on a grid, so that none meets another, each with a hole."""
    found = []
    for x, y in corners:
        outer = shapely.box(123 + x, 21 + y, 123 + x + side, 21 + y + side)
        inner = shapely.box(*(outer.centroid.buffer(side / 8).bounds))
        found.append(outer.difference(inner))
    return shapely.MultiPolygon(found)


AREA = st.builds(
    boxes,
    st.lists(
        st.tuples(st.integers(0, 29), st.integers(0, 23)), min_size=1, max_size=4, unique=True
    ),
    st.floats(0.001, 0.9),
)
KINDS: dict[str, Any] = {
    "Point": PLACE.map(shapely.Point),
    "MultiPoint": st.lists(PLACE, min_size=2, max_size=5, unique=True).map(shapely.MultiPoint),
    "LineString": LINE,
    "MultiLineString": st.lists(LINE, min_size=1, max_size=3).map(shapely.MultiLineString),
    "Polygon": AREA.map(lambda area: area.geoms[0]),
    "MultiPolygon": AREA,
}
LAYER = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(KINDS[kind] | st.none(), min_size=1, max_size=5))
)
slow = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def written(kind: str, shapes: list[Any], suffix: str) -> bytes:
    """A file as GDAL writes it; a shapefile in a ZIP."""
    drivers = {
        "geojson": "GeoJSON",
        "gpkg": "GPKG",
        "shp": "ESRI Shapefile",
        "geojsonl": "GeoJSONSeq",
    }
    numbers = np.array([f"{at:03}" for at in range(len(shapes))], dtype=object)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made.{suffix}"
        more = {"COORDINATE_PRECISION": "15"} if suffix.startswith("geojson") else {}
        pyogrio.raw.write(
            path, shapely.to_wkb(np.array(shapes, dtype=object)), [numbers], np.array(["番号"], dtype=object),
            field_mask=None, driver=drivers[suffix], crs="OGC:CRS84" if more else "EPSG:6668",
            geometry_type=kind, encoding="cp932" if suffix == "shp" else "utf-8",
            promote_to_multi=False, layer_options=more,
        )  # fmt: skip
        if suffix != "shp":
            return path.read_bytes()
        held = BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for each in sorted(Path(folder).iterdir()):
                archive.write(each, each.name)
        return held.getvalue()


def read_back(data: bytes) -> list[Any]:
    rows = take(data, encoding=None).rows
    if rows and "geometry" in rows[0]:
        return list(shapely.from_geojson([row["geometry"] or None for row in rows]))
    if rows and "longitude" in rows[0]:
        return [
            shapely.Point(float(row["longitude"]), float(row["latitude"]))
            if row["latitude"]
            else None
            for row in rows
        ]
    return [None] * len(rows)


def _plain(shape: Any) -> Any:
    """A shapefile does not tell one line from several that are one."""
    several = shape.geom_type in ("MultiLineString", "MultiPolygon")
    return shapely.normalize(shape.geoms[0] if several and len(shape.geoms) == 1 else shape)


@pytest.mark.parametrize("suffix", ["geojson", "geojsonl", "gpkg", "shp"])
@slow
@given(layer=LAYER)
def test_shapes_come_back_as_they_were_written(suffix: str, layer: tuple[str, list[Any]]) -> None:
    kind, shapes = layer

    found = read_back(written(kind, shapes, suffix))

    assert len(found) == len(shapes)
    for was, now in zip(shapes, found, strict=True):
        assert (was is None) == (now is None)
        if was is not None:
            assert shapely.equals_exact(_plain(was), _plain(now), 1e-9)


@slow
@given(shapes=st.lists(st.one_of(*KINDS.values()), min_size=1, max_size=6))
def test_columns_and_single_records_are_read_alike(shapes: list[Any]) -> None:
    import polars as pl  # noqa: PLC0415

    texts = [shapely.to_geojson(shape) for shape in shapes]

    column = read_geometries(pl.Series(texts))

    singles = [read_geometry(json.loads(text)) for text in texts]
    for at, single in enumerate(singles):
        assert single is not None
        assert shapely.equals_identical(*shapely.from_geojson([column.values[at], single.text]))
        assert tuple(edge[at] for edge in column.edges) == single.edges
        assert single.edges == shapely.from_geojson(texts[at]).bounds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "coordinates", "geometries", "x"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(kind=st.sampled_from([*KINDS, "GeometryCollection", "x"]), coordinates=JSON, geometries=JSON)
def test_nothing_that_is_sent_as_a_geometry_breaks_the_house(
    kind: str, coordinates: Any, geometries: Any
) -> None:
    given_geometry = {"type": kind, "coordinates": coordinates, "geometries": geometries}
    try:
        found = read_geometry(given_geometry)
    except NotGeometry as exc:
        assert exc.code
        return
    assert found is None or shapely.from_geojson(found.text) is not None


MEASURE = """
import resource, sys, tempfile
from pathlib import Path
from app.formats.intake import blocks, survey
from app.formats.stored import StoredFile
from app.formats.told import Told

with tempfile.TemporaryDirectory() as folder:
    file = StoredFile(Path(sys.argv[1]), Path(folder), None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = survey(file, declared=None, told=Told())
    print(sum(block.accepted for block in blocks(found)))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_two_hundred_thousand_features_stay_within_bounds(tmp_path: Path, suffix: str) -> None:
    count = 200_000 if suffix == "gpkg" else 100_000
    dice = np.random.default_rng(20260401)
    x, y = dice.uniform(135, 136, count), dice.uniform(34, 35, count)
    names = np.array([f"地番{at}" for at in range(count)], dtype=object)
    path = tmp_path / f"made.{suffix}"
    pyogrio.raw.write(
        path, shapely.to_wkb(shapely.box(x, y, x + 5e-4, y + 5e-4)), [names], np.array(["名称"], dtype=object),
        field_mask=None, geometry_type="Polygon", crs="EPSG:6668" if suffix == "gpkg" else "OGC:CRS84",
        driver="GPKG" if suffix == "gpkg" else "GeoJSON",
    )  # fmt: skip

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, check=True, cwd=REPO
    )

    accepted, grown = (int(line) for line in done.stdout.split())
    assert accepted == count
    assert grown < 300, f"{grown} MB"
