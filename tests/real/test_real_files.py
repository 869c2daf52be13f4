"""Files that municipalities really published load with no per-file setting; what each one gave.

Each figure was looked at by hand. The only refused rows are one where Yaizu's clerk left a remark
to the right of the last column (`※多目的トイレ無しに変更！！`), and csvkit's own made-up long rows.
Repairs are dates brought to one form, thousands separators, and telephone numbers with brackets,
full-width digits or look-alike dashes.
"""

import csv
import io
import os
from pathlib import Path

import pytest

from app.formats.guidance import FileRefused
from app.formats.readers.text.delimited import DelimitedTable
from app.query.fields import Field, FieldType
from tests.formats.reading import take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)

# file, encoding, header line, rows read, accepted, cells repaired, reject codes
TABLE: list[tuple[str, str, int | None, int, int, int, dict[str, int]]] = [
    ("addresses/japanese_addresses_towns.csv", "utf-8", 1, 277676, 277676, 0, {}),
    ("catalog/gtfs-jp-list.csv", "utf-8", 1, 547, 547, 547, {}),
    ("catalog/gtfs-rt-list.csv", "utf-8", 1, 136, 136, 136, {}),
    ("ikoma_5374/area_days.csv", "utf-8", 1, 64, 64, 0, {}),
    ("ikoma_5374/center.csv", "utf-8", 1, 1, 1, 2, {}),
    ("ikoma_5374/target.csv", "utf-8", 1, 101, 101, 0, {}),
    ("kobe/open_kobe_subway_add.csv", "cp932", 1, 26, 26, 0, {}),
    ("kobe/open_kaigan_h_east.csv", "cp932", 1, 11, 11, 0, {}),
    ("kobe/open_seishin_w_west.csv", "cp932", 1, 18, 18, 0, {}),
    ("osaka_city/mapnavoskdat_icon.csv", "utf-8", 1, 96, 96, 0, {}),
    ("osaka_city/mapnavoskdat_shisetsuall.csv", "utf-8", 1, 9475, 9475, 74, {}),
    ("osaka_city/opendata_2015.csv", "utf-8 with BOM", 1, 1520, 1520, 1, {}),
    ("osaka_city/opendata_2016.csv", "utf-8 with BOM", 1, 1978, 1978, 0, {}),
    ("postal/27osaka_ken_all_layout.csv", "cp932", None, 3849, 3849, 0, {}),
    ("sakai/company_images.csv", "utf-8 with BOM", 1, 746, 746, 0, {}),
    ("stations/line.csv", "utf-8", 1, 636, 636, 0, {}),
    ("stations/station.csv", "utf-8", 1, 9372, 9372, 0, {}),
    ("takamatsu/csv_cp932/0002_aed.csv", "cp932", 7, 514, 514, 0, {}),
    ("takamatsu/csv_cp932/0066_population_202304.csv", "cp932", 1, 235, 235, 0, {}),
    ("takamatsu/csv_cp932/0066_population_202306.csv", "cp932", 7, 235, 235, 0, {}),
    ("takamatsu/csv_cp932/0084_school_lunch_202304.csv", "cp932", 1, 468, 468, 468, {}),
    ("takamatsu/csv_cp932/0084_school_lunch_202306.csv", "cp932", 1, 665, 665, 665, {}),
    ("takamatsu/csv_cp932/0087_member_companies.csv", "cp932", 1, 153, 153, 153, {}),
    ("takamatsu/linkdata/0012.csv", "utf-8 with BOM", 7, 70, 70, 0, {}),
    ("takamatsu/linkdata/0063.csv", "utf-8 with BOM", 7, 176, 176, 0, {}),
    ("takamatsu/linkdata/0083_202104.csv", "utf-8 with BOM", 7, 394, 394, 0, {}),
    ("takamatsu/linkdata/0085_階数.csv", "utf-8 with BOM", 7, 244, 244, 0, {}),
    ("takamatsu/linkdata/0091_2021.csv", "utf-8 with BOM", 7, 12, 12, 0, {}),
    ("yaizu/csv/222127_douhoumusenkokyoku.csv", "utf-8", 1, 200, 200, 0, {}),
    ("yaizu/csv/222127_park_info.csv", "utf-8", 1, 142, 142, 96, {}),
    ("yaizu/csv/222127_preschool.csv", "utf-8", 1, 60, 60, 108, {}),
    ("yaizu/csv/222127_public_toilet.csv", "utf-8", 1, 112, 112, 0, {}),
    ("yaizu/csv/222127_shiteitsunamihinanbiru.csv", "utf-8", 1, 125, 125, 85, {}),
    ("yaizu/csv/222127_tourism.csv", "utf-8 with BOM", 1, 205, 204, 0, {"too_many_cells": 1}),
    ("yaizu/csv/222127_traffic_accident_2019.csv", "utf-8 with BOM", 1, 907, 907, 0, {}),
    ("yaizu/csv/急ブレーキ.csv", "utf-8", 1, 570, 570, 0, {}),
    ("yaizu/csv/焼津市参加店舗リスト_飲食.csv", "utf-8 with BOM", 1, 221, 221, 0, {}),
    ("messy/csvkit/test_utf16_big.csv", "utf-16-be with BOM", 1, 2, 2, 0, {}),
    ("messy/csvkit/test_utf16_little.csv", "utf-16-le with BOM", 1, 2, 2, 0, {}),
    ("messy/csvkit/test_utf8_bom.csv", "utf-8 with BOM", 1, 2, 2, 0, {}),
    ("messy/csvkit/mac_newlines.csv", "utf-8", 1, 2, 2, 0, {}),
    ("messy/csvkit/bad.csv", "utf-8", 1, 3, 2, 0, {"too_many_cells": 1}),
    ("messy/csvkit/bad_skip_lines.csv", "utf-8", 4, 3, 2, 0, {"too_many_cells": 1}),
    ("messy/csvkit/no_header_row3.csv", "utf-8", None, 2, 2, 0, {}),
    ("messy/csvkit/test_skip_lines.csv", "utf-8", 4, 1, 1, 0, {}),
    ("messy/csv-spectrum/csvs/newlines_crlf.csv", "utf-8", 1, 3, 3, 0, {}),
    ("messy/csv-spectrum/csvs/quotes_and_newlines.csv", "utf-8", 1, 2, 2, 0, {}),
]


@pytest.mark.parametrize(
    ("name", "encoding", "header_line", "read", "accepted", "repaired", "codes"), TABLE
)
def test_a_published_file_loads_without_a_setting(
    name: str,
    encoding: str,
    header_line: int | None,
    read: int,
    accepted: int,
    repaired: int,
    codes: dict[str, int],
) -> None:
    taken = take((DATA / name).read_bytes())

    assert taken.survey.table.encoding == encoding
    assert taken.survey.head.header_line == header_line
    assert taken.counts == (read, accepted, repaired, codes)


@pytest.mark.parametrize(
    "name", [row[0] for row in TABLE if row[0] not in {"messy/csvkit/mac_newlines.csv"}]
)
def test_no_row_and_no_cell_is_lost_against_the_standard_reader(name: str) -> None:
    data = (DATA / name).read_bytes()
    taken = take(data)
    table = taken.survey.table
    assert isinstance(table, DelimitedTable)
    encoding, layout = table.text, table.head
    text = data[encoding.bom :].decode(encoding.name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter)
    records = [record for record in reader if reader.line_num >= layout.data_line]

    filled = [record for record in records if any(cell.strip(" 　\t") for cell in record)]

    assert len(filled) == taken.counts[0]
    if taken.counts[2] == 0 and not taken.rejects:
        nulls = {"NULL", "-", "－", "―", "ー", "N/A"}
        shown = ({**row, **raw} for row, raw in zip(taken.rows, taken.originals, strict=True))
        for record, row in zip(filled, shown, strict=True):
            # One line end within a text, whatever the file's own (app/DECISIONS.md).
            cells = [cell.strip().replace("\r\n", "\n") for cell in record[: len(layout.labels)]]
            expected = ["" if cell in nulls else cell for cell in cells]
            assert list(row.values())[4 : 4 + len(cells)] == expected


def test_the_row_with_a_remark_beside_the_table_is_the_one_refused() -> None:
    taken = take((DATA / "yaizu/csv/222127_tourism.csv").read_bytes())

    assert taken.codes == [(130, None, "too_many_cells")]
    assert "2026000111" in taken.rejects[0].raw_line


def test_month_first_dates_and_excel_serials_of_one_column_are_read_together() -> None:
    days = take((DATA / "takamatsu/csv_cp932/0084_school_lunch_202306.csv").read_bytes()).values(
        "lunch_day"
    )

    assert (days[0], days[-1]) == ("2023-06-01", "2023-06-30")
    assert all(day.startswith("2023-06-") for day in days)


def test_a_month_that_its_own_file_cannot_prove_stays_text_with_a_notice() -> None:
    taken = take((DATA / "takamatsu/csv_cp932/0066_population_202304.csv").read_bytes())

    assert taken.types["surveyDate"] == "text"
    assert "ambiguous_dates" in taken.notices


def test_x_and_y_of_osakas_facilities_are_longitude_and_latitude() -> None:
    types = take((DATA / "osaka_city/mapnavoskdat_shisetsuall.csv").read_bytes()).types

    assert (types["X"], types["Y"], types["施設ID"]) == ("longitude", "latitude", "code")


def test_codes_keep_their_zeros() -> None:
    codes = take((DATA / "takamatsu/linkdata/0083_202104.csv").read_bytes()).values(
        "affiliation_code"
    )

    assert codes[:2] == ["0000000000", "0000000005"]


def test_a_point_in_one_quoted_cell_is_mapped_to_two_fields() -> None:
    declared = [
        Field("no", "c001", "#property", FieldType.CODE, key=True),
        Field("name", "c002", "name", FieldType.TEXT, required=True),
        Field("latitude", "c003", "緯度", FieldType.LATITUDE),
        Field("longitude", "c004", "経度", FieldType.LONGITUDE),
    ]
    mapping = [
        {"to": "latitude", "from": ["location"], "pattern": r"^([0-9.]+),"},
        {"to": "longitude", "from": ["location"], "pattern": r",\s*([0-9.]+)$"},
    ]

    taken = take((DATA / "takamatsu/csv_cp932/0002_aed.csv").read_bytes(), declared, mapping)

    assert taken.rows[0]["latitude"] == "34.34092056"
    assert taken.rows[0]["longitude"] == "134.04522972"
    assert taken.counts[:2] == (514, 514)


def test_two_generations_of_one_layout_load_into_the_same_declared_fields() -> None:
    declared = [
        Field("local_government_code", "c001", "全国地方公共団体コード", FieldType.LOCAL_GOVERNMENT_CODE, required=True),
        Field("name", "c002", "名称", FieldType.TEXT, required=True),
        Field("address", "c003", "所在地_連結表記", FieldType.TEXT, required=True),
        Field("latitude", "c004", "緯度", FieldType.LATITUDE),
        Field("longitude", "c005", "経度", FieldType.LONGITUDE),
    ]  # fmt: skip

    for name, rows in (("public_toilet", 112), ("preschool", 60), ("douhoumusenkokyoku", 200)):
        taken = take((DATA / f"yaizu/csv/222127_{name}.csv").read_bytes(), declared)
        assert taken.counts == (rows, rows, 0, {})
        assert set(taken.values("local_government_code")) == {"222127"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("messy/csvkit/empty.csv", "file_empty"),
        ("messy/csvkit/null_byte.csv", "nul_bytes"),
        ("ikoma_5374/remarks.csv", "no_data_rows"),
        ("takamatsu/excel/broken_git_lfs_pointer.xlsx", "file_is_lfs_pointer"),
        ("takamatsu/excel/empty.xlsx", "file_empty"),
    ],
)
def test_what_is_no_delimited_text_is_refused_by_name(name: str, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take((DATA / name).read_bytes())

    assert refused.value.code == code
