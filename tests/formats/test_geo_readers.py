"""Files of shapes of every kind: what they give, what is told, and what is refused and why."""

import io
import json
import sqlite3
import struct
import zipfile
from pathlib import Path
from typing import Any

import pyogrio.raw
import pytest
import shapely
from pyproj import CRS, Transformer

from app.formats.guidance import FileRefused
from tests.formats.reading import Taken, fields, take

CITY_HALL = (138.3194, 34.8668)  # synthetic, in Shizuoka
JGD2000_8 = (
    'PROJCS["JGD_2000_Japan_Zone_8",GEOGCS["GCS_JGD_2000",DATUM["D_JGD_2000",SPHEROID["GRS_1980",'
    '6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",138.5],PARAMETER["Scale_Factor",0.9999],'
    'PARAMETER["Latitude_Of_Origin",36.0],UNIT["Meter",1.0]]'
)


def metres(epsg: int) -> tuple[float, float]:
    """The city hall in another system, by pyproj's own plain way."""
    found = Transformer.from_crs("EPSG:4326", epsg, always_xy=True).transform(*CITY_HALL)
    return found[0], found[1]


def collection(*geometries: Any, **more: Any) -> bytes:
    features = [
        {"type": "Feature", "properties": {"名称": f"施設{at}"}, "geometry": geometry}
        for at, geometry in enumerate(geometries)
    ]
    return json.dumps({"type": "FeatureCollection", **more, "features": features}).encode()


def point(x: float, y: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y]}


def refused(data: bytes, **told: Any) -> str:
    with pytest.raises(FileRefused) as exc:
        take(data, **told)
    assert exc.value.words("ja") != exc.value.words("en")
    return exc.value.code


def place(taken: Taken) -> tuple[float, float]:
    return float(taken.values("longitude")[0]), float(taken.values("latitude")[0])


# --- shapefiles -----------------------------------------------------------------------------------


def dbf(cells: list[bytes], *, name: bytes = "名称".encode("cp932"), length: int = 20) -> bytes:
    columns = name.ljust(11, b"\0")[:11] + b"C" + bytes(4) + bytes([length, 0]) + bytes(14)
    head = struct.pack("<BBBBIHH20x", 3, 124, 1, 1, len(cells), 32 + 32 + 1, 1 + length)
    return head + columns + b"\r" + b"".join(b" " + cell.ljust(length) for cell in cells) + b"\x1a"


def shp(records: list[bytes], kind: int) -> tuple[bytes, bytes]:
    """A .shp and its .shx."""
    body = index = b""
    for at, record in enumerate(records, 1):
        index += struct.pack(">ii", (100 + len(body)) // 2, len(record) // 2)
        body += struct.pack(">ii", at, len(record) // 2) + record
    head = struct.pack(">i5ii", 9994, 0, 0, 0, 0, 0, (100 + len(body)) // 2)
    head += struct.pack("<ii8d", 1000, kind, *[0.0] * 8)
    return head + body, head + index


def dots(*places: tuple[float, float]) -> tuple[bytes, bytes]:
    return shp([struct.pack("<i2d", 1, *each) for each in places], 1)


def polygon(*rings: list[tuple[float, float]]) -> bytes:
    starts, total = [], 0
    for ring in rings:
        starts.append(total)
        total += len(ring)
    raw = struct.pack(f"<i4d2i{len(rings)}i", 5, 0, 0, 0, 0, len(rings), total, *starts)
    return raw + b"".join(struct.pack("<2d", *each) for ring in rings for each in ring)


def archive(parts: dict[str, bytes], *, encoding: str | None = None) -> bytes:
    """A ZIP; with `encoding` as Windows packs it: names in that encoding, and no flag."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            if encoding is None:
                made.writestr(name, data)
                continue
            info = zipfile.ZipInfo("x")
            info.filename = name.encode(encoding).decode("cp437")
            made.writestr(info, data)
    raw = held.getvalue()
    if encoding is None:
        return raw
    for name in parts:  # the writer stored CP437 letters as UTF-8: put the bytes of Windows there
        old = name.encode(encoding).decode("cp437").encode()
        new = name.encode(encoding)
        assert old == new or raw.count(old) == 2
        raw = _renamed(raw, old, new)
    return raw


def _renamed(raw: bytes, old: bytes, new: bytes) -> bytes:
    return raw if old == new else raw.replace(old, new.ljust(len(old), b"\0"))


def shapefile(
    stem: str, shapes: tuple[bytes, bytes], cells: list[bytes], **more: bytes
) -> dict[str, bytes]:
    return {
        f"{stem}.shp": shapes[0], f"{stem}.shx": shapes[1], f"{stem}.dbf": dbf(cells),
        **{f"{stem}.{suffix}": data for suffix, data in more.items()},
    }  # fmt: skip


SJIS = ["髙橋①".encode("cp932"), "表示板".encode("cp932")]


@pytest.mark.parametrize("declared", [None, b"UTF-8", b"Shift_JIS", b"ISO-8859-1"])
def test_attributes_are_read_by_their_bytes_whatever_the_cpg_says(declared: bytes | None) -> None:
    more = {"prj": JGD2000_8.encode()} | ({"cpg": declared} if declared else {})
    parts = shapefile("施設", dots(metres(2450), metres(2450)), SJIS, **more)

    taken = take(archive(parts))

    assert taken.values("name") == ["髙橋①", "表示板"]
    assert taken.survey.table.encoding == "cp932"
    wrong = declared in (b"UTF-8", b"ISO-8859-1")
    assert ("encoding_declared_wrong" in taken.notices) == wrong
    assert place(taken) == pytest.approx(CITY_HALL, abs=1e-8)


def test_utf8_attributes_cut_inside_a_character_lose_that_character_alone() -> None:
    cells = ["あいうえおかき".encode()[:20], b"x"]
    parts = shapefile("a", dots(CITY_HALL, CITY_HALL), cells, prj=b"", cpg=b"UTF-8")
    parts["a.dbf"] = dbf(cells, name="名称".encode())

    taken = take(archive(parts))

    assert taken.values("name") == ["あいうえおか", "x"]
    assert "crs_assumed" in taken.notices


def test_members_named_by_windows_with_backslashes_are_found() -> None:
    first = shapefile("表\\予定図", dots(metres(2450)), [b"a"], prj=JGD2000_8.encode())
    second = shapefile("表\\実績図", dots(metres(2450)), [b"b"], prj=JGD2000_8.encode())

    with pytest.raises(FileRefused) as exc:
        take(archive(first | second))
    taken = take(archive(first | second), table="実績図")

    assert exc.value.code == "several_tables"
    assert "予定図" in exc.value.words("ja")
    assert taken.values("name") == ["b"]


def test_metres_without_a_system_are_refused_and_read_when_told() -> None:
    data = archive(shapefile("a", dots(metres(6676)), [b"a"]))

    assert refused(data) == "crs_missing"
    assert refused(data, crs="どこか系") == "crs_unknown"
    for told in ("EPSG:6676", "6676", "JGD2011 8系", "JGD2011 / 平面直角座標8系", "8系"):
        taken = take(data, crs=told)
        assert place(taken) == pytest.approx(CITY_HALL, abs=1e-8)
        assert "crs_converted" in taken.notices


def test_a_system_that_the_coordinates_cannot_be_of_is_a_conflict() -> None:
    degrees = archive(shapefile("a", dots(CITY_HALL), [b"a"], prj=JGD2000_8.encode()))
    jgd2011 = CRS.from_epsg(6668).to_wkt().encode()
    metre = archive(shapefile("a", dots(metres(6676)), [b"a"], prj=jgd2011))

    assert refused(degrees) == "crs_conflict"
    assert refused(metre) == "crs_conflict"
    taken = take(metre, crs="EPSG:6676")
    assert "crs_of_file_wrong" in taken.notices
    assert place(taken) == pytest.approx(CITY_HALL, abs=1e-8)


@pytest.mark.parametrize(
    "epsg",
    [
        2443,
        2450,
        2461,
        6669,
        6676,
        6687,
        30161,
        30168,
        30179,
        4301,
        4612,
        6668,
        3099,
        3100,
        6690,
        32654,
    ],
)
def test_every_japanese_system_comes_out_where_pyproj_puts_it(epsg: int) -> None:
    words = CRS.from_epsg(epsg).to_wkt("WKT1_ESRI").encode()
    parts = shapefile("a", dots(metres(epsg)), [b"a"], prj=words)

    taken = take(archive(parts))

    datum_metres = 12 if 30161 <= epsg <= 30179 or epsg == 4301 else 0.01
    assert place(taken) == pytest.approx(CITY_HALL, abs=datum_metres / 100_000)
    told = "crs_kept" if epsg in (4612, 6668) else "crs_converted"
    assert told in taken.notices


SHELL = [(138.0, 34.0), (138.0, 35.0), (139.0, 35.0), (139.0, 34.0), (138.0, 34.0)]  # clockwise
HOLE = [(138.4, 34.4), (138.6, 34.4), (138.6, 34.6), (138.4, 34.6), (138.4, 34.4)]
ISLAND = [(139.5, 34.0), (139.5, 34.5), (140.0, 34.5), (140.0, 34.0), (139.5, 34.0)]


def test_rings_become_polygons_with_their_holes_and_islands() -> None:
    shapes = shp([polygon(SHELL), polygon(SHELL, HOLE), polygon(ISLAND, HOLE, SHELL),
                  struct.pack("<i", 0)], 5)  # fmt: skip
    taken = take(archive(shapefile("a", shapes, [b"1", b"2", b"3", b"4"])))

    found = shapely.from_geojson([text or None for text in taken.values("geometry")])

    assert [shape and shape.geom_type for shape in found] == [
        "Polygon",
        "Polygon",
        "MultiPolygon",
        None,
    ]
    assert shapely.area(found[:3]).tolist() == pytest.approx([1.0, 0.96, 0.96 + 0.25])


def test_rings_that_are_none_reject_their_row_and_crossing_ones_are_kept() -> None:
    bow = [(138.0, 34.0), (139.0, 35.0), (139.0, 34.0), (138.0, 35.0), (138.0, 34.0)]
    nan = [(138.0, 34.0), (138.0, float("nan")), (139.0, 35.0), (139.0, 34.0), (138.0, 34.0)]
    shapes = shp([polygon(SHELL[:4]), polygon(SHELL[:2] + SHELL[:1]), polygon(bow), polygon(nan),
                  polygon(SHELL)], 5)  # fmt: skip
    taken = take(archive(shapefile("a", shapes, [b"1", b"2", b"3", b"4", b"5"])))

    assert taken.codes == [
        (1, "geometry", "geometry_ring_open"),
        (2, "geometry", "geometry_too_few_points"),
        (4, "geometry", "invalid_geometry"),
    ]
    assert "geometry_not_valid" in taken.notices


def test_a_shapefile_without_its_parts_is_refused_by_name() -> None:
    parts = shapefile("a", dots(CITY_HALL), [b"a"])
    short = {**parts, "a.dbf": dbf([])}

    assert refused(archive({"a.shp": parts["a.shp"]})) == "shapefile_part_missing"
    assert refused(archive(short)) == "shapefile_broken"
    assert refused(archive({**parts, "a.dbf": b"x"})) == "shapefile_broken"
    without_index = {name: data for name, data in parts.items() if name != "a.shx"}
    assert place(take(archive(without_index))) == CITY_HALL


# --- GeoJSON --------------------------------------------------------------------------------------


def test_points_become_coordinates_and_anything_else_a_geometry() -> None:
    line = {"type": "LineString", "coordinates": [[138, 34], [138.5, 34.5]]}

    points = take(collection(point(*CITY_HALL), None))
    mixed = take(collection(point(*CITY_HALL), line))

    assert points.types == {"名称": "text", "緯度": "latitude", "経度": "longitude"}
    assert points.values("latitude") == ["34.8668", ""]
    assert mixed.types == {"名称": "text", "ジオメトリ": "geometry"}


def test_points_stay_shapes_where_the_dataset_has_shapes() -> None:
    line = {"type": "LineString", "coordinates": [[138, 34], [138.5, 34.5]]}
    declared = take(collection(point(*CITY_HALL), line)).survey.fields

    later = take(collection(point(*CITY_HALL), None), declared)

    assert later.values("geometry") == ['{"type":"Point","coordinates":[138.3194,34.8668]}', ""]
    assert later.values("geometry_east") == ["138.3194", ""]


def test_what_json_can_say_and_no_library_reads_rejects_its_row() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    geometries = [
        {"type": "Point", "coordinates": [10**40, 34]},
        {"type": "LineString", "coordinates": deep},
        {"type": "LineString", "coordinates": [[138, 34], [138.5, 34.5]], "x": "\ud800"},
    ]

    taken = take(collection(*geometries, point(*CITY_HALL)))

    assert [code for _, _, code in taken.codes] == ["coordinate_out_of_area", "invalid_geometry"]


def test_a_place_that_attributes_name_already_gets_other_headings() -> None:
    feature = {
        "type": "Feature",
        "properties": {"緯度": 34.1, "経度": 138.1},
        "geometry": point(*CITY_HALL),
    }
    taken = take(json.dumps({"type": "FeatureCollection", "features": [feature]}))

    assert list(taken.types) == ["図形の緯度", "図形の経度", "緯度", "経度"]
    assert set(taken.types.values()) == {"latitude", "longitude"}


def test_one_feature_bare_geometries_and_sequences_are_read() -> None:
    feature = {
        "type": "Feature",
        "id": 7,
        "properties": {"a": {"b": 1, "c": [1, 2]}},
        "geometry": point(*CITY_HALL),
    }
    bare = {"type": "GeometryCollection", "geometries": [point(*CITY_HALL)] * 3}
    one = take(json.dumps(feature))
    three = take(json.dumps(bare))
    lines = take("\n".join([json.dumps(feature)] * 4))
    records = take("".join(f"\x1e{json.dumps(feature)}\n" for _ in range(5)))

    assert list(one.types) == ["id", "a.b", "a.c", "緯度", "経度"]
    assert one.values("a_c") == ["[1, 2]"]
    assert [len(each.rows) for each in (three, lines, records)] == [3, 4, 5]


def test_the_old_crs_member_is_obeyed_wherever_it_stands() -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::6676"}}
    before = collection(point(*metres(6676)), crs=crs)
    document = json.loads(before)
    after = json.dumps({key: document[key] for key in ("type", "features", "crs")})

    for data in (before, after.encode()):
        assert place(take(data)) == pytest.approx(CITY_HALL, abs=1e-8)
    assert refused(collection(point(*metres(6676)))) == "crs_missing"


@pytest.mark.parametrize(
    ("geometry", "code"),
    [
        ({"type": "LineString", "coordinates": [[138, 34]]}, "geometry_too_few_points"),
        ({"type": "Polygon", "coordinates": [SHELL[:4]]}, "geometry_ring_open"),
        ({"type": "Polygon", "coordinates": [[*SHELL[:2], SHELL[0]]]}, "geometry_too_few_points"),
        ({"type": "LineString", "coordinates": [[138, "34"], [138, 35]]}, "invalid_geometry"),
        (
            {"type": "LineString", "coordinates": [[138, float("nan")], [138, 35]]},
            "invalid_geometry",
        ),
        ({"type": "LineString", "coordinates": [[138, 1e400], [138, 35]]}, "invalid_geometry"),
        ({"type": "LineString", "coordinates": [[34, 138], [35, 138]]}, "coordinate_out_of_area"),
        ({"type": "Round", "coordinates": [138, 34]}, "invalid_geometry"),
        ("POINT(138 34)", "invalid_geometry"),
    ],
)
def test_a_wrong_geometry_rejects_its_row_with_a_reason(geometry: Any, code: str) -> None:
    good = {"type": "LineString", "coordinates": [[138, 34], [138.5, 34.5]]}

    taken = take(collection(good, geometry, {"type": "Polygon", "coordinates": []}))

    assert taken.codes == [(2, "geometry", code)]
    assert taken.values("geometry")[-1] == ""


def test_heights_are_dropped_and_said() -> None:
    taken = take(
        collection({"type": "LineString", "coordinates": [[138, 34, 5], [138.5, 34.5, 6]]})
    )

    assert taken.values("geometry") == [
        '{"type":"LineString","coordinates":[[138.0,34.0],[138.5,34.5]]}'
    ]
    assert "z_dropped" in taken.notices


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"type":"unavailable","code":"271161"}', "geojson_unavailable"),
        (b'{"type":"FeatureCollection","features":[]}', "no_data_rows"),
        (b'{"type":"FeatureCollection","features":[{"type":"Feature"', "geojson_broken"),
        (b'{"type":"FeatureCollection","features":[1]}', "geojson_broken"),
        (b'{"type":"FeatureCollection","features":[' + b"[" * 200_000, "geojson_broken"),
        (b'{"type":"Topology","arcs":[],"objects":{"a":{"type":"Polygon","arcs":[[9]]}}}', "topojson_broken"),
        (b'{"type":"Topology","arcs":7,"objects":{}}', "topojson_broken"),
        (b"SQLite format 3\x00" + bytes(200), "geopackage_broken"),
        (b'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY a "b">]><kml><Placemark><name>&a;</name></Placemark></kml>', "kml_has_dtd"),
        (b"<kml><Document><NetworkLink><Link><href>http://x/y.kml</href></Link></NetworkLink></Document></kml>", "kml_only_links"),
        (b"<kml><Document><Placemark></Document></kml>", "kml_broken"),
        (b"<kml></kml>", "no_data_rows"),
    ],
)  # fmt: skip
def test_a_file_that_gives_nothing_is_refused_with_a_reason(data: bytes, code: str) -> None:
    assert refused(data) == code


def test_letters_that_no_database_holds_are_replaced() -> None:
    taken = take(b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":'
                 b'{"a":"x\\u0000y","b":"\\ud800z"},"geometry":null}]}')  # fmt: skip

    assert taken.values("a") == ["x\ufffdy"]
    assert taken.values("b") == ["\ufffdz"]


def test_a_declared_geometry_is_read_from_a_csv_too() -> None:
    declared = fields(no="code", shape="geometry")
    shape = json.dumps({"type": "Polygon", "coordinates": [SHELL]}).replace('"', '""')

    taken = take(f'no,shape\n1,"{shape}"\n2,abc\n3,\n', declared)

    assert taken.codes == [(3, "shape", "invalid_geometry")]
    assert shapely.from_geojson(taken.values("shape")[0]).area == 1.0
    assert taken.values("shape_east") == ["139.0", ""]


# --- KML and GeoPackage ---------------------------------------------------------------------------

KML = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder><name>避難所</name>
<Placemark><name>架空小学校</name><ExtendedData><Data name="収容人数"><value>120</value></Data>
<SchemaData><SimpleData name="区分">指定</SimpleData></SchemaData></ExtendedData>
<Point><coordinates> 138.3194,34.8668,5 </coordinates></Point></Placemark></Folder>
<Placemark><name>浸水域</name><MultiGeometry><Polygon><outerBoundaryIs><LinearRing><coordinates>
138,34 138,35 139,35 139,34 138,34</coordinates></LinearRing></outerBoundaryIs><innerBoundaryIs>
<LinearRing><coordinates>138.4,34.4 138.6,34.4 138.6,34.6 138.4,34.6 138.4,34.4</coordinates>
</LinearRing></innerBoundaryIs></Polygon></MultiGeometry></Placemark></Document></kml>"""


@pytest.mark.parametrize("packed", [False, True])
def test_placemarks_are_rows_with_their_folders_and_data(packed: bool) -> None:
    data = archive({"doc.kml": KML.encode()}) if packed else KML.encode()

    taken = take(data)

    assert taken.values("name") == ["架空小学校", "浸水域"]
    assert taken.values("folder") == ["避難所", ""]
    assert {"収容人数": "integer", "区分": "text"}.items() <= taken.types.items()
    shapes = shapely.from_geojson(taken.values("geometry"))
    assert shapely.area(shapes).tolist() == pytest.approx([0, 0.96])
    assert "z_dropped" in taken.notices


def geopackage(folder: Path, *layers: str, epsg: int = 6668) -> Path:
    path = folder / "made.gpkg"
    for at, layer in enumerate(layers):
        pyogrio.raw.write(
            path, shapely.to_wkb([shapely.Point(*CITY_HALL), None]),
            [_column(["髙", None]), _column([7, 8])], _column(["名称", "数"]),
            field_mask=None, layer=layer, driver="GPKG", geometry_type="Point",
            crs=f"EPSG:{epsg}", append=at > 0,
        )  # fmt: skip
    return path


def _column(values: list[Any]) -> Any:
    import numpy as np  # noqa: PLC0415

    numbers = all(isinstance(value, int) for value in values)
    return np.array(values, dtype="int64" if numbers else object)


def test_each_layer_of_a_geopackage_is_a_table(tmp_path: Path) -> None:
    one = take(geopackage(tmp_path, "施設").read_bytes())
    (tmp_path / "made.gpkg").unlink()
    two = geopackage(tmp_path, "施設", "道路").read_bytes()

    assert one.values("name") == ["髙", ""]
    assert place(one) == CITY_HALL
    assert refused(two) == "several_tables"
    assert take(two, table="道路").survey.table.name == "道路"


def test_files_of_shapes_are_found_inside_archives(tmp_path: Path) -> None:
    shapes = archive(shapefile("a", dots(CITY_HALL), [b"a"]))
    inside = {
        "x.geojson": collection(point(*CITY_HALL)),
        "x.gpkg": geopackage(tmp_path, "施設").read_bytes(),
        "x.kml": KML.encode(),
        "x.zip": shapes,
    }

    for name, data in inside.items():
        taken = take(archive({f"folder/{name}": data}))
        assert taken.counts[0] == taken.counts[1] >= 1, name


def test_a_geopackage_runs_nothing_that_its_author_wrote(tmp_path: Path) -> None:
    path = geopackage(tmp_path, "施設")
    with sqlite3.connect(path) as database:
        database.execute("DROP TRIGGER IF EXISTS rtree_施設_geom_insert")
        database.execute("ALTER TABLE 施設 RENAME TO held")
        database.execute(
            "CREATE VIEW 施設 AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
            " SELECT i AS fid, NULL AS geom, 'x' AS 名称 FROM n"
        )
        database.execute("UPDATE gpkg_contents SET table_name = '施設'")
        database.execute("UPDATE gpkg_geometry_columns SET table_name = '施設'")
    database.close()

    assert refused(path.read_bytes()) == "no_layers"
