"""Where the tables of a workbook stand: headings, titles, several on a sheet, hidden sheets."""

from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from tests.formats.reading import fields, take
from tests.formats.workbooks import HEAD, cells, opened, raw_xlsx, saved, texts, xlsx


def test_a_title_and_a_note_stand_around_a_table_that_begins_in_column_b() -> None:
    data = xlsx(
        [
            (None, "施設の一覧"),
            (None, "令和6年4月1日現在"),
            (),
            (None, *HEAD),
            (None, 1, "甲", 10),
            (None, 2, "乙", 20),
            (None, "合計", None, 30),
            (None, "※ 値は概数"),
        ]
    )

    taken = take(data)

    assert taken.survey.head.labels == HEAD
    assert taken.survey.head.header_line == 4
    assert [row["_line"] for row in taken.rows] == ["5", "6"]
    assert {"title_skipped", "footer_skipped"} <= set(taken.notices)


def _merged(*areas: str) -> Any:
    def change(sheet: Worksheet) -> None:
        for area in areas:
            sheet.merge_cells(area)

    return change


def test_headings_of_two_rows_are_joined_over_their_merged_cells() -> None:
    data = xlsx(
        [
            ("人口統計", None, None, None, None),
            ("地区", "人口", None, None, "世帯数"),
            (None, "総数", "男", "女", None),
            ("中央", 30, 10, 20, 9),
            ("西", 50, 20, 30, 11),
        ],
        _merged("A1:E1", "A2:A3", "B2:D2", "E2:E3"),
    )

    taken = take(data)

    assert taken.survey.head.labels == ("地区", "人口_総数", "人口_男", "人口_女", "世帯数")
    assert taken.survey.head.header_line == 2
    assert taken.counts == (2, 2, 0, {})


def test_headings_of_three_rows_are_joined_over_their_merged_cells() -> None:
    data = xlsx(
        [
            ("地区", "人口", None, None, None),
            (None, "男", None, "女", None),
            (None, "日本人", "外国人", "日本人", "外国人"),
            ("中央", 30, 10, 20, 9),
            ("西", 50, 20, 30, 11),
        ],
        _merged("A1:A3", "B1:E1", "B2:C2", "D2:E2"),
    )

    labels = take(data).survey.head.labels

    assert labels == (
        "地区",
        "人口_男_日本人",
        "人口_男_外国人",
        "人口_女_日本人",
        "人口_女_外国人",
    )


def test_headings_of_three_rows_of_a_text_are_joined_over_their_gaps() -> None:
    text = "地区,人口,,,\n,男,,女,\n,日本人,外国人,日本人,外国人\n中央,30,10,20,9\n西,50,20,30,11\n"

    taken = take(text)

    assert taken.survey.head.labels == (
        "地区", "人口_男_日本人", "人口_男_外国人", "人口_女_日本人", "人口_女_外国人",
    )  # fmt: skip
    assert taken.counts[0] == 2


def test_a_group_over_a_full_heading_row_goes_before_its_labels() -> None:
    data = xlsx(
        [
            (None, None, "人口", None, "世帯", None),
            ("番号", "地区", "男", "女", "総数", "一般"),
            (1, "中央", 10, 20, 9, 8),
        ],
        _merged("C1:D1", "E1:F1"),
    )

    labels = take(data).survey.head.labels

    assert labels == ("番号", "地区", "人口_男", "人口_女", "世帯_総数", "世帯_一般")


def test_a_heading_merged_over_columns_names_each_of_them_and_data_are_no_heading() -> None:
    data = xlsx(
        [
            ("名称", "開設者住所", None, None, "許可"),
            ("甲", "大阪府", "大阪市", None, "第1号"),
            ("乙", "兵庫県", "神戸市", None, "第2号"),
        ],
        _merged("B1:D1"),
    )

    taken = take(data)

    assert taken.survey.head.labels == ("名称", "開設者住所", "開設者住所", "開設者住所", "許可")
    assert taken.counts[0] == 2


def test_a_value_merged_downwards_holds_for_each_row(tmp_path: Path) -> None:
    data = xlsx(
        [("区", "名称", "値"), ("北", "甲", 1), (None, "乙", 2), (None, "丙", 3), ("南", "丁", 4)],
        _merged("A2:A4"),
    )

    table = opened(data, tmp_path)[0]

    assert [row[0] for row in cells(table)] == ["北", "北", "北", "南"]
    assert [record.cells[0] for record in table.head.sample] == ["北", "北", "北", "南"]


def test_tables_below_each_other_and_side_by_side_are_named_by_their_place(tmp_path: Path) -> None:
    data = xlsx(
        [
            ("地区", "人口", None, "地区", "世帯"),
            ("北", 10, None, "北", 4),
            ("南", 20, None, "南", 5),
            ("西", 30),
            (),
            ("施設数の表",),
            (),
            ("種別", "数", "面積"),
            ("学校", 3, 120.5),
            (),
            ("病院", 2, 80.25),
        ]
    )

    tables = opened(data, tmp_path)

    assert [table.name for table in tables] == ["一覧", "一覧 (2)", "一覧 (3)"]
    assert [table.head.labels for table in tables] == [
        ("地区", "人口"),
        ("地区", "世帯"),
        ("種別", "数", "面積"),
    ]
    assert [len(cells(table)) for table in tables] == [3, 2, 2]
    assert take(data, table="一覧 (3)").counts[0] == 2
    assert take(data, table="2").survey.head.labels == ("地区", "世帯")


def test_remarks_in_pairs_above_a_table_are_no_table_of_their_own(tmp_path: Path) -> None:
    data = xlsx(
        [("作成者", "統計課"), ("作成日", "2024/1/1"), (), HEAD, (1, "甲", 2), (2, "乙", 3)]
    )

    tables = opened(data, tmp_path)

    assert [table.head.labels for table in tables] == [HEAD]
    assert cells(tables[0]) == [["1", "甲", "2"], ["2", "乙", "3"]]


def test_a_sheet_with_a_blank_row_after_each_row_is_one_table(tmp_path: Path) -> None:
    rows = "".join(
        f'<row r="{row}"><c r="A{row}"><v>{row}</v></c><c r="B{row}" t="str"><v>甲</v></c></row>'
        for row in range(3, 60_000, 2)
    )

    tables = opened(raw_xlsx(texts(("番号", "名称")) + rows), tmp_path)

    assert [sum(batch.frame.height for batch in table.batches()) for table in tables] == [29_999]


def test_blank_rows_and_a_blank_column_inside_a_table_do_not_cut_it(tmp_path: Path) -> None:
    data = xlsx(
        [
            ("名称", "所在地", None, "備考"),
            ("甲", "北区", None, "要予約"),
            (),
            ("乙", "南区", None, None),
            (),
            (),
            ("丙", "西区", None, "無料"),
        ]
    )

    tables = opened(data, tmp_path)

    assert len(tables) == 1
    assert tables[0].head.labels == ("名称", "所在地", "備考")
    assert cells(tables[0]) == [
        ["甲", "北区", "要予約"],
        ["乙", "南区", ""],
        ["丙", "西区", "無料"],
    ]


def test_headings_that_come_again_are_left_out_with_a_notice() -> None:
    rows: list[tuple[Any, ...]] = [
        HEAD,
        (1, "甲", 10),
        HEAD,
        (2, "乙", 20),
        (),
        HEAD,
        (3, "丙", 30),
    ]
    lines = "\n".join(",".join(map(str, row)) for row in rows)

    for taken in (take(xlsx(rows)), take(lines)):
        assert taken.counts[0] == 3
        assert taken.types["番号"] != "text"
        assert "header_repeated" in taken.notices


def test_rows_that_explain_how_to_fill_the_sheet_in_are_no_data() -> None:
    data = xlsx([HEAD, ("#記入例 1", "○○公園", "100"), ("#説明", "名称を書く", ""), (1, "甲", 10)])

    taken = take(data)

    assert taken.counts[0] == 1
    assert "metadata_skipped" in taken.notices


def test_hidden_sheets_are_left_out_with_a_notice_unless_one_is_asked_for() -> None:
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "公開"
    sheet.append(HEAD)
    sheet.append((1, "甲", 10))
    secret = book.create_sheet("作業用")
    secret.sheet_state = "hidden"
    secret.append(("検討", "案"))
    secret.append(("あ", "い"))
    data = saved(book)

    taken = take(data)

    assert (taken.survey.table.name, taken.counts[0]) == ("公開", 1)
    assert "sheets_hidden" in taken.notices
    assert take(data, table="作業用").survey.head.labels == ("検討", "案")


def test_the_table_that_has_the_declared_fields_is_meant() -> None:
    book = Workbook()
    first = book.active
    assert isinstance(first, Worksheet)
    first.append(("この表の使い方",))
    second = book.create_sheet("データ")
    second.append(HEAD)
    second.append((1, "甲", 10))
    taken = take(saved(book), fields(番号="integer", 名称="text", 値="integer"))

    assert taken.survey.table.name == "データ"


def test_styled_but_empty_cells_make_neither_rows_nor_columns(tmp_path: Path) -> None:
    empty = "".join(
        f'<row r="{row}" spans="1:16384" s="1" customFormat="1"><c r="A{row}" s="1"/><c r="XFD{row}" s="1"/></row>'
        for row in range(3, 60_000)
    )
    data = raw_xlsx(texts(("番号", "名称"), ("1", "甲")) + empty)

    table = opened(data, tmp_path)[0]

    assert table.head.labels == ("番号", "名称")
    assert cells(table) == [["1", "甲"]]


def test_a_cell_in_the_last_row_and_column_costs_nothing(tmp_path: Path) -> None:
    data = raw_xlsx(
        texts(("番号", "名称"), ("1", "甲"))
        + '<row r="1048576"><c r="A1048576"><v>2</v></c><c r="XFD1048576"><v>9</v></c></row>'
    )

    table = opened(data, tmp_path)[0]
    batches = list(table.batches())

    assert [batch.lines.to_list() for batch in batches] == [[2, 1048576]]
    assert batches[0].overlong == {1: ["2", "", "9"]}
