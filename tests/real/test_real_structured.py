"""JSON, XML, feeds, archives and fixed-length files as they were published; what each one gave.

Each figure was looked at by hand. Repairs are spellings of dates, times, telephone numbers and
booleans, blanks around the ids of Akita's feed, and numbers of companies padded with blanks.
"""

import csv
import io
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.formats.guidance import FileRefused
from app.formats.intake import blocks, survey
from app.formats.opening import open_tables
from app.formats.stored import StoredFile
from app.formats.told import Told
from tests.formats.reading import Taken, take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)

# file, format, table, encoding, rows read, accepted, cells repaired
TABLE: list[tuple[str, str, str, str, int, int, int]] = [
    ("sakai/companies.ndjson", "ndjson", "", "utf-8", 30624, 30624, 23357),
    ("sakai/company_images.json", "json", "", "utf-8", 746, 746, 0),
    ("addresses/abr/mt_city_all.csv.zip", "csv", "mt_city_all.csv", "utf-8", 1918, 1918, 0),
    ("addresses/abr/mt_city_pos_all.csv.zip", "csv", "mt_city_pos_all.csv", "utf-8", 1918, 1918, 0),
    (
        "addresses/abr/mt_parcel_pos_city302015.csv.zip",
        "csv",
        "mt_parcel_pos_city302015.csv",
        "utf-8",
        117836,
        117836,
        0,
    ),
    ("addresses/abr/mt_pref_all.csv.zip", "csv", "mt_pref_all.csv", "utf-8", 47, 47, 0),
    ("addresses/abr/mt_pref_pos_all.csv.zip", "csv", "mt_pref_pos_all.csv", "utf-8", 47, 47, 0),
    (
        "addresses/abr/mt_rsdtdsp_rsdt_pos_pref30.csv.zip",
        "csv",
        "mt_rsdtdsp_rsdt_pos_pref30.csv",
        "utf-8",
        34016,
        34016,
        0,
    ),
    (
        "addresses/abr/mt_rsdtdsp_rsdt_pref30.csv.zip",
        "csv",
        "mt_rsdtdsp_rsdt_pref30.csv",
        "utf-8",
        34015,
        34015,
        0,
    ),
    (
        "addresses/abr/mt_town_pos_pref30.csv.zip",
        "csv",
        "mt_town_pos_pref30.csv",
        "utf-8",
        3537,
        3537,
        0,
    ),
    ("addresses/abr/mt_town_pref30.csv.zip", "csv", "mt_town_pref30.csv", "utf-8", 3544, 3544, 0),
    ("addresses/isj/30000-17.0b.zip", "csv", "30000-17.0b/30_2023.csv", "cp932", 1918, 1918, 1918),
    ("catalog/ckan/package_search_demo_ckan_org.json", "json", "result/results", "utf-8", 3, 3, 7),
    ("catalog/dataspace_protocol/catalog-error.json", "json", "", "utf-8", 1, 1, 0),
    ("catalog/dataspace_protocol/dataset-request-message.json", "json", "", "utf-8", 1, 1, 0),
    ("catalog/dataspace_protocol/nested-catalog.json", "json", "catalog", "utf-8", 1, 1, 0),
    ("catalog/dcat/amsterdam_dcat.json", "json", "dcat:dataset", "utf-8", 1, 1, 0),
    ("messy/csvkit/testjson.json", "json", "", "utf-8", 5, 5, 3),
    ("messy/csvkit/testjson_multiline.json", "ndjson", "", "utf-8", 2, 2, 0),
    ("messy/csvkit/testjson_nested.json", "json", "", "utf-8", 2, 2, 2),
    ("messy/csvkit/dummy.csv.bz2", "csv", "", "utf-8", 1, 1, 0),
    ("messy/csvkit/dummy.csv.gz", "csv", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/comma_in_quotes.json", "json", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/empty.json", "json", "", "utf-8", 2, 2, 0),
    ("messy/csv-spectrum/json/empty_crlf.json", "json", "", "utf-8", 2, 2, 0),
    ("messy/csv-spectrum/json/escaped_quotes.json", "json", "", "utf-8", 2, 2, 0),
    ("messy/csv-spectrum/json/json.json", "json", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/location_coordinates.json", "json", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/newlines.json", "json", "", "utf-8", 3, 3, 0),
    ("messy/csv-spectrum/json/newlines_crlf.json", "json", "", "utf-8", 3, 3, 0),
    ("messy/csv-spectrum/json/quotes_and_newlines.json", "json", "", "utf-8", 2, 2, 0),
    ("messy/csv-spectrum/json/simple.json", "json", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/simple_crlf.json", "json", "", "utf-8", 1, 1, 0),
    ("messy/csv-spectrum/json/utf8.json", "json", "", "utf-8", 2, 2, 0),
    ("jma_xml/13_07_01_130906_VPCU50.xml", "xml", "", "utf-8", 10, 10, 0),
    ("jma_xml/14_05_01_130906_VPCY50.xml", "xml", "", "utf-8", 35, 35, 0),
    ("jma_xml/15_10_03_160628_VPWW53.xml", "xml", "", "utf-8", 145, 145, 0),
    ("jma_xml/29_01_01_140129_VPZI50.xml", "xml", "", "utf-8", 14, 14, 7),
    ("jma_xml/32-35_04_04_240613_VXSE53.xml", "xml", "", "utf-8", 136, 136, 0),
    ("jma_xml/32-35_07_04_100915_VXSE51.xml", "xml", "", "utf-8", 48, 48, 0),
    ("jma_xml/32-35_07_06_240613_VXSE53.xml", "xml", "", "utf-8", 1603, 1603, 0),
    ("jma_xml/32-39_11_02_250206_VTSE41.xml", "xml", "", "utf-8", 43, 43, 0),
    ("jma_xml/32-39_11_03_250206_VTSE51.xml", "xml", "", "utf-8", 72, 72, 0),
    ("jma_xml/61_11_01_250206_VTSE52.xml", "xml", "", "utf-8", 3, 3, 0),
    ("jma_xml/77_01_15_240613_VXSE45.xml", "xml", "", "utf-8", 39, 39, 0),
    ("sensorthings/gost_responses.json", "json", "", "utf-8", 6, 6, 2),
]

REFUSED: list[tuple[str, str]] = [
    ("sakai/company_images.cbor", "file_is_binary"),
    ("addresses/geolonia_api/ja.json", "json_rows_unknown"),
    ("shelters/code-to-city.json", "json_rows_unknown"),
    ("shelters/data-availability.json", "several_tables"),
    ("stations/csv.zip", "several_tables"),
    ("catalog/ckan/package_show_17be64bb-da74-4195-9bb8-565c39846af2.json", "several_tables"),
    ("catalog/ckan/package_show_62513382-3b26-4bc8-9096-40b6ce8383c0.json", "several_tables"),
    ("catalog/dataspace_protocol/catalog-request-message.json", "json_rows_unknown"),
    ("catalog/dataspace_protocol/catalog.json", "several_tables"),
    ("catalog/dataspace_protocol/dataset.json", "several_tables"),
    ("jma_xml/18_01_01_100806_VPOA50.xml", "xml_rows_unknown"),
    ("jma_xml/21_01_01_160628_VPCJ50.xml", "xml_rows_unknown"),
    ("jma_xml/32-35_04_03_240613_VXSE52.xml", "xml_rows_unknown"),
    ("soap/x-road/error.wsdl", "xml_rows_unknown"),
    ("soap/x-road/managementservices.wsdl", "xml_rows_unknown"),
    ("soap/x-road/valid.wsdl", "xml_rows_unknown"),
    ("soap/zeep/claim.wsdl", "xml_rows_unknown"),
    ("soap/zeep/hello_world_recursive.wsdl", "xml_rows_unknown"),
    ("soap/zeep/hello_world_recursive_import.wsdl", "xml_rows_unknown"),
    ("soap/zeep/http.wsdl", "xml_rows_unknown"),
    ("soap/zeep/recursive_schema_main.wsdl", "xml_rows_unknown"),
    ("soap/zeep/soap.wsdl", "xml_rows_unknown"),
    ("soap/zeep/soap_header.wsdl", "xml_rows_unknown"),
    ("soap/zeep/soap_import_2.wsdl", "xml_rows_unknown"),
    ("soap/zeep/soap_import_main.wsdl", "xml_rows_unknown"),
    ("soap/zeep/soap_transport_err.wsdl", "xml_rows_unknown"),
    ("soap/zeep/test_http_post.wsdl", "xml_rows_unknown"),
    ("soap/zeep/recursive_schema_a.xsd", "xml_rows_unknown"),
    ("soap/zeep/recursive_schema_b.xsd", "xml_rows_unknown"),
    ("soap/zeep/recursive_schema_c.xsd", "xml_rows_unknown"),
    ("soap/zeep/soap-enc.xsd", "xml_rows_unknown"),
    ("soap/zeep/test_import_2.xsd", "xml_rows_unknown"),
    ("soap/zeep/xmldsig-core-schema.xsd", "xml_rows_unknown"),
    ("openapi/data.gov.json", "several_tables"),
    ("openapi/surrey.ca_open511.json", "several_tables"),
    ("openapi/tfl.gov.uk.json", "several_tables"),
    ("postal/jusho_address.db", "file_is_sqlite"),
    ("fixed_width/census_2000/usgeo_excerpt.upl", "fixed_width_unknown"),
    ("fixed_width/census_2000/VROUTFSJ.TXt", "fixed_width_unknown"),
]

# feed: (table, rows, the columns of its key)
FEEDS: dict[str, list[tuple[str, int, str]]] = {
    "akita_city": [
        ("agency", 4, "agency_id"),
        ("calendar", 6, "service_id"),
        ("calendar_dates", 128, "service_id date"),
        ("fare_attributes", 178, "fare_id"),
        ("fare_rules", 15216, ""),
        ("feed_info", 1, ""),
        ("routes", 20, "route_id"),
        ("stop_times", 9109, "trip_id stop_sequence"),
        ("stops", 448, "stop_id"),
        ("translations", 1014, "trans_id lang"),
        ("trips", 275, "trip_id"),
    ],
    "aomori_city_bus": [
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 2, "service_id"),
        ("calendar_dates", 50, "service_id date"),
        ("fare_attributes", 81, "fare_id"),
        ("fare_rules", 108894, ""),
        ("feed_info", 1, ""),
        ("office_jp", 2, "office_id"),
        ("routes", 249, "route_id"),
        ("shapes", 41489, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 249, "shape_id"),
        ("stops", 823, "stop_id"),
        ("stop_times", 44540, "trip_id stop_sequence"),
        ("translations", 2584, "trans_id lang"),
        ("trips", 1626, "trip_id"),
    ],
    "itoshima_ferry": [
        ("agency", 1, "agency_id"),
        ("calendar", 7, "service_id"),
        ("calendar_dates", 4, "service_id date"),
        ("fare_attributes", 2, "fare_id"),
        ("fare_rules", 2, "fare_id"),
        ("feed_info", 1, ""),
        ("routes", 2, "route_id"),
        ("shapes", 12, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 2, "shape_id"),
        ("stops", 2, "stop_id"),
        ("stop_times", 80, "trip_id stop_sequence"),
        ("trips", 40, "trip_id"),
    ],
    "kasuya_fureai": [
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 2, "service_id"),
        ("calendar_dates", 58, "service_id date"),
        ("feed_info", 1, ""),
        ("routes", 6, "route_id"),
        ("routes_jp", 6, "route_id"),
        ("stop_times", 898, "trip_id stop_sequence"),
        ("stops", 131, "stop_id"),
        ("translations", 130, "trans_id lang"),
        ("trips", 32, "trip_id"),
    ],
    "kobe_subway_codeforkobe": [
        ("agency", 1, ""),
        ("stops", 53, "stop_id"),
        ("routes", 2, "route_id"),
        ("trips", 1151, "trip_id"),
        ("stop_times", 15427, "stop_sequence trip_id"),
        ("calendar", 2, "service_id"),
        ("feed_info", 1, ""),
    ],
    "nara_grutto_bus": [
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 2, "service_id"),
        ("calendar_dates", 258, "service_id date"),
        ("fare_attributes", 1, "fare_id"),
        ("fare_rules", 1505, ""),
        ("feed_info", 1, ""),
        ("routes", 21, "route_id"),
        ("shapes", 2677, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 21, "shape_id"),
        ("stop_times", 6108, "trip_id stop_sequence"),
        ("stops", 51, "stop_id"),
        ("translations", 98, "trans_id lang"),
        ("trips", 474, "trip_id"),
    ],
    "nisshin_kururin": [
        ("fare_rules", 7, "route_id"),
        ("feed_info", 1, ""),
        ("routes", 7, "route_id"),
        ("shapes", 5195, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 13, "shape_id"),
        ("stop_times", 4071, "trip_id stop_sequence"),
        ("stops", 161, "stop_id"),
        ("translations", 286, "trans_id lang"),
        ("trips", 156, "trip_id"),
        ("agency", 1, "agency_id"),
        ("calendar", 2, "service_id"),
        ("calendar_dates", 35, "service_id date"),
        ("fare_attributes", 2, "fare_id"),
    ],
    "toyama_maidohaya": [
        ("fare_attributes", 1, "fare_id"),
        ("fare_rules", 2, "route_id"),
        ("feed_info", 1, ""),
        ("office_jp", 0, ""),
        ("routes", 2, "route_id"),
        ("routes_jp", 2, "route_id"),
        ("shapes", 404, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 2, "shape_id"),
        ("stop_times", 1798, "trip_id stop_sequence"),
        ("stops", 112, "stop_id"),
        ("translations", 183, "trans_id lang"),
        ("trips", 62, "trip_id"),
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 1, "service_id"),
        ("calendar_dates", 24, "service_id date"),
    ],
    "toyota_kikan": [
        ("calendar_dates", 970, "service_id date"),
        ("fare_attributes", 16, "fare_id"),
        ("fare_rules", 30715, ""),
        ("feed_info", 1, ""),
        ("routes", 73, "route_id"),
        ("shapes", 13840, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 73, "shape_id"),
        ("stop_times", 22196, "trip_id stop_sequence"),
        ("stops", 491, "stop_id"),
        ("translations", 944, "trans_id lang"),
        ("trips", 825, "trip_id"),
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 7, "service_id"),
    ],
    "uno_bus": [
        ("agency", 1, "agency_id"),
        ("agency_jp", 1, "agency_id"),
        ("calendar", 2, "service_id"),
        ("calendar_dates", 36, "service_id date"),
        ("fare_attributes", 106, "fare_id"),
        ("fare_rules", 78494, ""),
        ("feed_info", 1, ""),
        ("routes", 53, "route_id"),
        ("shapes", 14786, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 53, "shape_id"),
        ("stops", 627, "stop_id"),
        ("stop_times", 30128, "trip_id stop_sequence"),
        ("translations", 626, "trans_id lang"),
        ("trips", 610, "trip_id"),
    ],
    "wakayama_bus": [
        ("calendar", 3, "service_id"),
        ("stop_times", 52842, "trip_id stop_sequence"),
        ("fare_rules", 31165, ""),
        ("calendar_dates", 10, "service_id date"),
        ("routes", 115, "route_id"),
        ("shapes", 12369, "shape_id shape_pt_sequence"),
        ("shapes (lines)", 129, "shape_id"),
        ("stops", 548, "stop_id"),
        ("trips", 2339, "trip_id"),
        ("fare_attributes", 1538, "fare_id"),
        ("feed_info", 1, ""),
        ("translations", 762, "trans_id lang"),
        ("agency", 1, "agency_id"),
        ("routes_jp", 115, "route_id"),
        ("agency_jp", 1, "agency_id"),
        ("office_jp", 1, "office_id"),
    ],
}


def read(name: str, **told: Any) -> Taken:
    return take((DATA / name).read_bytes(), name=Path(name).name, **told)


@pytest.mark.parametrize(
    ("name", "format", "table", "encoding", "rows", "accepted", "repaired"), TABLE
)
def test_a_published_file_loads_without_a_setting(
    name: str, format: str, table: str, encoding: str, rows: int, accepted: int, repaired: int
) -> None:
    taken = read(name)
    found = taken.survey.table

    assert (found.format, found.name, found.encoding) == (format, table, encoding)
    assert taken.counts == (rows, accepted, repaired, {})


@pytest.mark.parametrize(("name", "code"), REFUSED)
def test_what_cannot_be_told_is_refused_with_the_way_to_tell_it(name: str, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read(name)

    assert refused.value.code == code


@pytest.mark.parametrize("feed", FEEDS)
def test_every_file_of_a_feed_loads_with_its_key_and_refers_only_to_what_is_there(
    feed: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = StoredFile(DATA / "gtfs" / f"{feed}.zip", Path(folder))
        found = {table.name: table for table in open_tables(file, Told())}
        assert list(found) == [name for name, _, _ in FEEDS[feed]]
        for name, rows, key in FEEDS[feed]:
            if not rows:
                continue
            taken = survey(file, declared=None, told=Told(table=name))
            counts = [(block.rows, block.accepted) for block in blocks(taken)]
            assert (name, sum(read for read, _ in counts)) == (name, rows)
            assert sum(accepted for _, accepted in counts) == rows
            assert " ".join(field.name for field in taken.fields if field.key) == key
            assert not [each for each in taken.notices if each.code == "reference_dangling"]


def test_a_company_has_the_same_cells_as_its_line_of_the_list() -> None:
    listed = by_number()

    for path in sorted((DATA / "sakai/company").glob("*.json")):
        taken = take(path.read_bytes())
        assert taken.counts[0] == 1
        own = {
            label: cell
            for label, cell in zip(
                taken.survey.head.labels, taken.survey.head.sample[0].cells, strict=True
            )
            if cell
        }
        assert own == listed[path.stem]


@cache
def by_number() -> dict[str, dict[str, str]]:
    (table,) = open_tables(StoredFile(DATA / "sakai/companies.ndjson", DATA), Told())
    labels = table.head.labels
    at = labels.index("法人番号")
    found = {}
    for batch in table.batches():
        for row in batch.frame.rows():
            cells = {label: cell for label, cell in zip(labels, row, strict=True) if cell}
            found[(row[at] or "").strip()] = cells
    return found


def test_no_key_and_no_value_of_the_companies_is_lost() -> None:
    listed = by_number()

    for line in (DATA / "sakai/companies.ndjson").read_text("utf-8").strip().split("\n"):
        record = json.loads(line)
        filled = {key for key, value in record.items() if value not in (None, "", [], {})}
        cells = listed[record["法人番号"].strip()]
        assert filled == {label for label in cells if "." not in label or label in filled}


def test_one_list_in_two_formats_gives_equal_tables() -> None:
    as_json, as_csv = read("sakai/company_images.json"), read("sakai/company_images.csv")

    names = [field.label for field in as_csv.survey.fields]
    assert [[row[field.name] for field in as_json.survey.fields if field.label == name] for name in names for row in as_json.rows] == [
        [row[field.name] for field in as_csv.survey.fields if field.label == name]
        for name in names
        for row in as_csv.rows
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted((DATA / "addresses/geolonia_api").glob("*/*.json")), ids=lambda path: path.stem)  # fmt: skip
def test_every_city_of_osaka_loads_from_its_answer(path: Path) -> None:
    taken = take(path.read_bytes())

    assert taken.counts[0] == taken.counts[1] == len(json.loads(path.read_bytes()))
    assert [taken.types[label] for label in ("lat", "lng")] == ["latitude", "longitude"]


def test_prefectures_with_their_cities_need_a_place_and_then_load() -> None:
    taken = read("addresses/geolonia_api/ja.json", rows={"rows": "/大阪府"})

    assert (taken.types, taken.counts[0]) == ({"値": "text"}, 72)


def test_codes_inside_codes_load_by_their_place() -> None:
    taken = read("shelters/code-to-city.json", rows={"rows": "/*/cities/*"})

    assert taken.survey.head.labels[:2] == ("キー", "code")
    assert "271004" in {row["code"] for row in taken.rows}


def test_the_catalogues_answer_is_its_list_of_results() -> None:
    taken = read("catalog/ckan/package_search_demo_ckan_org.json")

    assert (taken.survey.table.name, taken.counts[0]) == ("result/results", 3)
    assert read(
        "catalog/ckan/package_show_62513382-3b26-4bc8-9096-40b6ce8383c0.json", table="result/tags"
    ).survey.head.labels[:2] == ("vocabulary_id", "state")


def test_the_parcels_of_a_zip_are_those_of_the_text_inside() -> None:
    taken = read("addresses/abr/mt_parcel_city302015.csv.zip")

    assert taken.counts == (367519, 367519, 0, {})
    assert set(taken.values("lg_code")) == {"302015"}


def test_the_members_beside_the_table_are_named() -> None:
    taken = read("addresses/isj/30000-17.0b.zip")

    left_out = next(each for each in taken.survey.notices if each.code == "members_left_out")
    assert left_out.details["names"] == (
        "30000-17.0b/format_2023.html、30000-17.0b/META_30_2023.xml"
    )


def test_warnings_of_an_area_are_read_by_a_mapping() -> None:
    told = {
        "rows": "/Report/Body/Warning/Item",
        "columns": {
            "区分": "../@type",
            "地域コード": "Area/Code",
            "地域名": "Area/Name",
            "警報": "Kind/Name",
            "発表": "/Report/Head/ReportDateTime",
        },
    }

    taken = read("jma_xml/15_10_03_160628_VPWW53.xml", rows=told)

    assert taken.counts[0] == 52
    assert taken.types == {"区分": "text", "地域コード": "code", "地域名": "text", "警報": "text", "発表": "datetime"}  # fmt: skip
    assert list(taken.rows[0].values())[4:] == [
        "気象警報・注意報（府県予報区等）",
        "280000",
        "兵庫県",
        "大雨特別警報;洪水警報;暴風特別警報;波浪特別警報;高潮特別警報",
        "2013-08-19T17:24:00+09:00",
    ]


def test_intensities_of_an_earthquake_are_read_in_their_namespace() -> None:
    told = {
        "rows": "//e:IntensityStation",
        "namespaces": {"e": "http://xml.kishou.go.jp/jmaxml1/body/seismology1/"},
        "columns": {"code": "e:Code", "name": "e:Name", "int": "e:Int", "city": "../e:Name", "pref": "ancestor::e:Pref/e:Name"},
    }  # fmt: skip

    taken = read("jma_xml/32-35_07_06_240613_VXSE53.xml", rows=told)

    assert taken.counts[0] == 1603
    assert list(taken.rows[0].values())[4:] == ["2222231", "伊豆市市山＊", "6-", "伊豆市", "静岡県"]


@pytest.mark.parametrize(
    ("name", "schema", "rows", "columns"),
    [
        ("usgeo_excerpt.upl", "census2000_geo_schema.csv", 1000, 83),
        ("VROUTFSJ.TXt", "determination_schema.csv", 1555, 21),
    ],
)
def test_fixed_length_records_load_by_their_schema(
    name: str, schema: str, rows: int, columns: int
) -> None:
    folder = DATA / "fixed_width/census_2000"
    layout = {"encoding": "latin-1", "schema": (folder / schema).read_text("latin-1")}

    taken = take((folder / name).read_bytes(), fixed_width=layout)

    assert (taken.counts[0], taken.counts[1], len(taken.types)) == (rows, rows, columns)
    text = (folder / name).read_bytes().decode("latin-1").splitlines()
    first = next(csv.DictReader(io.StringIO(layout["schema"], newline=None)))
    start = int(first["start"]) - 1
    cut = [line[start : start + int(first["length"])].strip() for line in text]
    assert [row.cells[0].strip() for row in taken.survey.head.sample] == cut[:1000]


def test_the_converted_sample_of_csvkit_is_what_its_schema_gives() -> None:
    folder = DATA / "messy/csvkit"
    layout = {
        "encoding": "utf-8",
        "unit": "characters",
        "schema": (folder / "testfixed_schema.csv").read_text(),
    }

    taken = take((folder / "testfixed").read_bytes(), fixed_width=layout)

    expected = read("messy/csvkit/testfixed_converted.csv")
    assert taken.types == expected.types
    assert [list(row.values())[4:] for row in taken.rows] == [
        list(row.values())[4:] for row in expected.rows
    ]
