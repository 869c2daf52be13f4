"""Workbooks that municipalities really published; what each sheet gave, looked at by hand.

Every XLSX and XLS under the data folder stands here. Accepted is less than read only in csvkit's
own made-up row with a remark beside its last column. Repairs are dates in Japanese eras
(S35.02.26), hours without their zero (7:00), times without a zone, and in the second table of the
population book full-width digits under a heading that its author put over the wrong column.
"""

import os
import random
from pathlib import Path

import pytest

from app.formats.guidance import FileRefused
from app.formats.opening import open_tables
from app.formats.readers.sheets import xlsx
from app.formats.stored import StoredFile
from app.formats.told import Told
from tests.formats.reading import take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)

# file, format, sheet, header row, rows read, accepted, cells repaired, reject codes
TABLE: list[tuple[str, str, str, int, int, int, int, dict[str, int]]] = [
    ("messy/csvkit/dummy.xls", "xls", "Sheet1", 1, 1, 1, 0, {}),
    ("messy/csvkit/dummy.xlsx", "xlsx", "Sheet1", 1, 1, 1, 0, {}),
    ("messy/csvkit/sheets.xls", "xls", "data", 1, 5, 4, 2, {"too_many_cells": 1}),
    ("messy/csvkit/sheets.xls", "xls", "ʤ", 1, 1, 1, 0, {}),
    ("messy/csvkit/sheets.xlsx", "xlsx", "data", 1, 5, 4, 2, {"too_many_cells": 1}),
    ("messy/csvkit/sheets.xlsx", "xlsx", "ʤ", 1, 1, 1, 0, {}),
    ("messy/csvkit/test.xls", "xls", "testfixed_converted.csv", 1, 5, 4, 2, {"too_many_cells": 1}),
    ("messy/csvkit/test.xlsx", "xlsx", "Sheet1", 1, 5, 4, 2, {"too_many_cells": 1}),
    (
        "messy/csvkit/test_skip_lines.xls",
        "xls",
        "testfixed_converted.csv",
        4,
        5,
        4,
        2,
        {"too_many_cells": 1},
    ),
    ("messy/csvkit/test_skip_lines.xlsx", "xlsx", "Sheet1", 4, 5, 4, 2, {"too_many_cells": 1}),
    ("takamatsu/excel/0066_population_202401.xlsx", "xlsx", "取扱い説明", 3, 5, 5, 0, {}),
    ("takamatsu/excel/0066_population_202401.xlsx", "xlsx", "集計用", 1, 244, 244, 1, {}),
    ("takamatsu/excel/0066_population_202401.xlsx", "xlsx", "男1歳ごと", 4, 236, 236, 0, {}),
    ("takamatsu/excel/0066_population_202401.xlsx", "xlsx", "女1歳ごと", 4, 236, 236, 0, {}),
    ("takamatsu/excel/0066_population_202401.xlsx", "xlsx", "第２表", 3, 236, 236, 75, {}),
    ("takamatsu/excel/0101_beauty_salons_202307.xlsx", "xlsx", "美容所", 1, 2, 2, 2, {}),
    ("takamatsu/excel/0102_cleaners_202306.xlsx", "xlsx", "クリーニング", 1, 1, 1, 0, {}),
    ("takamatsu/excel/0102_cleaners_202405.xlsx", "xlsx", "0102_202405", 1, 355, 355, 354, {}),
    ("takamatsu/excel/0105_exhibition_halls_202405.xlsx", "xlsx", "0105_202405", 1, 30, 30, 30, {}),
    ("takamatsu/excel/evacuation_space/data (1).xlsx", "xlsx", "Sheet1", 1, 193, 193, 0, {}),
    ("takamatsu/excel/evacuation_space/data (2).xlsx", "xlsx", "Sheet1", 1, 193, 193, 0, {}),
    ("takamatsu/excel/evacuation_space/data .xlsx", "xlsx", "Sheet1", 1, 193, 193, 0, {}),
    ("takamatsu/excel/evacuation_space/data.xlsx", "xlsx", "Sheet1", 1, 195, 195, 0, {}),
    ("takamatsu/excel/open_data_list/0099.xlsx", "xlsx", "Sheet1", 1, 113, 113, 0, {}),
    ("takamatsu/excel/polling_place_list/data (1).xlsx", "xlsx", "Sheet1", 1, 70, 70, 70, {}),
    ("takamatsu/excel/polling_place_list/data .xlsx", "xlsx", "Sheet1", 1, 70, 70, 70, {}),
    ("takamatsu/excel/polling_place_list/data.xlsx", "xlsx", "Sheet1", 1, 70, 70, 70, {}),
    (
        "takamatsu/excel/食品営業許可施設一覧（2026.7.31時点）.xlsx",
        "xlsx",
        "オープンデータ",
        1,
        7350,
        7350,
        22050,
        {},
    ),
    ("takamatsu/linkdata/0012.xlsx", "xlsx", "Sheet0", 7, 70, 70, 0, {}),
    ("takamatsu/linkdata/0061.xlsx", "xlsx", "Sheet0", 7, 114, 114, 0, {}),
    ("takamatsu/linkdata/0063.xlsx", "xlsx", "Sheet0", 7, 176, 176, 0, {}),
    ("takamatsu/linkdata/0066_202211.xlsx", "xlsx", "Sheet0", 7, 235, 235, 0, {}),
    ("takamatsu/linkdata/0083_202104.xlsx", "xlsx", "Sheet0", 7, 394, 394, 0, {}),
    ("takamatsu/linkdata/0085_階数.xlsx", "xlsx", "Sheet0", 7, 244, 244, 0, {}),
    ("takamatsu/linkdata/0091_2021.xlsx", "xlsx", "Sheet0", 7, 12, 12, 0, {}),
    ("takamatsu/linkdata/0092_2021.xlsx", "xlsx", "Sheet0", 7, 12, 12, 0, {}),
]
NOT_WORKBOOKS = {
    "takamatsu/excel/broken_git_lfs_pointer.xlsx": "file_is_lfs_pointer",
    "takamatsu/excel/empty.xlsx": "file_empty",
}
LINKDATA = sorted(DATA.glob("takamatsu/linkdata/*.xlsx"))


@pytest.mark.parametrize(
    ("name", "kind", "sheet", "header_line", "read", "accepted", "repaired", "codes"), TABLE
)
def test_a_published_sheet_loads_without_a_setting(
    name: str,
    kind: str,
    sheet: str,
    header_line: int,
    read: int,
    accepted: int,
    repaired: int,
    codes: dict[str, int],
) -> None:
    taken = take((DATA / name).read_bytes(), table=sheet)

    assert (taken.survey.table.format, taken.survey.table.name) == (kind, sheet)
    assert taken.survey.head.header_line == header_line
    assert taken.counts == (read, accepted, repaired, codes)


def test_no_workbook_and_no_sheet_is_left_out_of_the_table(tmp_path: Path) -> None:
    found = []
    for number, path in enumerate([*DATA.rglob("*.xlsx"), *DATA.rglob("*.xls")]):
        name = str(path.relative_to(DATA))
        if name in NOT_WORKBOOKS:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        found += [(name, table.name) for table in open_tables(StoredFile(path, folder), Told())]

    assert sorted(found) == sorted((row[0], row[2]) for row in TABLE)


@pytest.mark.parametrize(("name", "code"), NOT_WORKBOOKS.items())
def test_what_was_published_as_a_workbook_and_is_none_is_refused(name: str, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take((DATA / name).read_bytes(), name=Path(name).name)

    assert refused.value.code == code


@pytest.mark.parametrize("path", LINKDATA, ids=lambda path: path.stem)
def test_a_workbook_and_the_csv_of_the_same_data_give_equal_tables(path: Path) -> None:
    book = take(path.read_bytes())
    text = take(path.with_suffix(".csv").read_bytes())

    assert book.survey.head.labels == text.survey.head.labels
    assert book.survey.head.header_line == text.survey.head.header_line
    assert book.types == text.types
    values = [[list(row.values())[4:] for row in taken.rows] for taken in (book, text)]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", sorted({row[0] for row in TABLE if row[1] == "xlsx"}))
def test_the_quick_way_and_the_parser_read_the_same_cells(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, slow = tmp_path / "quick", tmp_path / "slow"
    quick.mkdir()
    slow.mkdir()
    seen = _cells(DATA / name, quick)
    monkeypatch.setattr(xlsx, "plain_cells", lambda _chunk: None)
    monkeypatch.setattr(xlsx, "plain_text", lambda _chunk: None)

    assert _cells(DATA / name, slow) == seen


def _cells(path: Path, folder: Path) -> list[list[tuple[str | None, ...]]]:
    tables = open_tables(StoredFile(path, folder), Told())
    return [[row for batch in table.batches() for row in batch.frame.rows()] for table in tables]


def test_the_five_sheets_behind_the_population_dataset_are_tables_of_their_own() -> None:
    data = (DATA / "takamatsu/excel/0066_population_202401.xlsx").read_bytes()

    explained = take(data, table="取扱い説明")
    men = take(data, table="男1歳ごと")
    second = take(data, table="第２表")

    assert explained.survey.head.labels == ("№", "作成手順内容")
    assert "tables_left_out" in take(data).notices
    # Ages stand over 歳 in a second row; the total's heading is merged over both.
    assert men.survey.head.labels[:4] == ("年齢_町名", "総　　数", "0_歳", "1_歳")
    assert list(men.rows[1].values())[4:8] == ["塩屋町", "181", "4", "1"]
    # Column B, where the table begins, has no heading; 総数 stands first among the rows.
    assert second.survey.head.labels == ("", "No.", "町名", "世帯数", "総数", "男", "女")
    assert list(second.rows[0].values())[5:] == ["総数", "", "203531", "419626", "202766", "216860"]


def test_a_heading_merged_over_columns_names_each_of_them() -> None:
    salons = take((DATA / "takamatsu/excel/0101_beauty_salons_202307.xlsx").read_bytes())
    cleaners = take((DATA / "takamatsu/excel/0102_cleaners_202405.xlsx").read_bytes())
    halls = take((DATA / "takamatsu/excel/0105_exhibition_halls_202405.xlsx").read_bytes())

    assert salons.survey.head.labels[4:10] == ("開設者氏名", "", "", *["開設者住所"] * 3)
    assert cleaners.survey.head.labels[3:11] == (
        *["施設所在地"] * 2, *["開設者氏名"] * 3, *["開設者住所"] * 3,
    )  # fmt: skip
    assert halls.survey.head.labels[3:11] == (
        *["施設所在地"] * 2, *["営業者氏名"] * 3, *["申請者住所"] * 3,
    )  # fmt: skip
    assert list(halls.rows[0].values())[9:12] == ["常磐興業株式会社", "代表取締役", "溝渕　宏治"]


def test_a_date_under_a_format_of_japanese_excel_is_a_date() -> None:
    cleaners = take((DATA / "takamatsu/excel/0102_cleaners_202306.xlsx").read_bytes())

    assert list(cleaners.rows[0].values())[-1] == "2023-06-19"


@pytest.mark.parametrize("name", ["messy/csvkit/sheets.xls", "messy/csvkit/test.xls"])
def test_a_damaged_xls_is_refused_or_read_and_never_ends_the_process(name: str) -> None:
    whole = (DATA / name).read_bytes()
    noise = random.Random(7)

    for _ in range(15):
        data = bytearray(whole)
        for _ in range(20):
            data[noise.randrange(8, len(data))] = noise.randrange(256)
        try:
            take(bytes(data))
        except FileRefused as refused:
            assert refused.code in {"file_damaged", "file_is_office", "no_data_rows"}


def test_days_of_a_workbook_that_counts_from_1904_are_those_of_the_others() -> None:
    dates = [
        take((DATA / f"messy/csvkit/{name}").read_bytes(), table=table).values("date")
        for name, table in (("sheets.xlsx", "data"), ("test.xlsx", "1"), ("sheets.xls", "data"))
    ]

    assert dates[0] == dates[1] == dates[2]
    assert dates[0][0] == "1971-01-01"
