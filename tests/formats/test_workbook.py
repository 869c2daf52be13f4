"""What the cells of a workbook mean: number formats, texts, errors, ODS."""

import datetime as dt
from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from app.formats.guidance import FileRefused
from app.formats.readers.sheets.number_formats import number_format
from tests.formats.reading import take
from tests.formats.workbooks import (
    HEAD,
    cells,
    ods,
    opened,
    raw_xlsx,
    saved,
    texts,
    xlsx,
    zipped,
)


def one_value(value: object, number_format: str, tmp_path: Path, *, is_1904: bool = False) -> str:
    """What one cell says under a number format."""
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    if is_1904:
        book.epoch = dt.datetime(1904, 1, 1)
    sheet.append(["名称", "値"])
    sheet.append(["甲", value])
    sheet["B2"].number_format = number_format
    return cells(opened(saved(book), tmp_path)[0])[0][1]


@pytest.mark.parametrize(
    ("value", "shown", "meant"),
    [
        (45107, "yyyy/m/d", "2023-06-30"),
        (45107, '[$-411]ggge"年"m"月"d"日"', "2023-06-30"),
        (45107, "[$-411]ge.m.d;@", "2023-06-30"),
        (45107, 'm"月"d"日"', "2023-06-30"),
        (45107, 'yyyy"年"m"月"', "2023-06"),
        (45107.395833333336, "yyyy/m/d h:mm", "2023-06-30T09:30:00"),
        (0.395833333333333, "h:mm", "09:30"),
        (0.395833333333333, "h:mm:ss", "09:30:00"),
        (0.395844907407407, "h:mm", "09:30:01"),
        (1.0625, "[h]:mm", "25:30"),
        (1, "yyyy/m/d", "1900-01-01"),
        (61, "yyyy/m/d", "1900-03-01"),
        (60, "yyyy/m/d", "60"),  # 29 February 1900 never was
        (0, "yyyy/m/d", "0"),
        (-3, "yyyy/m/d", "-3"),
        (123, "00000", "00123"),
        (53, "000-0000", "000-0053"),
        (7600001, "[<=999]000;[<=9999]000-00;000-0000", "760-0001"),
        (312345678, "0#-####-####", "03-1234-5678"),
        (12, "0", "12"),
        (12.0, "General", "12"),
        (1234567, "#,##0", "1234567"),
        (0.125, "0.0%", "0.125"),
        (0.1 + 0.2, "General", "0.3"),
        (34.705199999999998, "General", "34.7052"),
        (1234567890123, "0.00E+00", "1234567890123"),
        (1.5e-7, "General", "0.00000015"),
        (12, '#,##0"人"', "12"),
        (True, "General", "true"),
        (False, "General", "false"),
        ("00123", "General", "00123"),
        ("#,##0", "General", "#,##0"),
    ],
)
def test_a_cell_means_what_its_number_format_shows(
    value: object, shown: str, meant: str, tmp_path: Path
) -> None:
    assert one_value(value, shown, tmp_path) == meant


def test_days_count_from_1904_where_the_workbook_says_so(tmp_path: Path) -> None:
    day = one_value(dt.datetime(2023, 6, 30), "yyyy/m/d", tmp_path, is_1904=True)

    assert day == "2023-06-30"


@pytest.mark.parametrize("number", [14, 27, 28, 31, 36, 50, 57, 58])
def test_formats_that_japanese_excel_never_writes_out_are_dates(
    number: int, tmp_path: Path
) -> None:
    styles = f'<cellXfs><xf numFmtId="0"/><xf numFmtId="{number}"/></cellXfs>'
    rows = (
        texts(("名称", "日付"))
        + '<row r="2"><c r="A2" t="str"><v>甲</v></c><c r="B2" s="1"><v>45107</v></c></row>'
    )

    table = opened(raw_xlsx(rows, styles=styles), tmp_path)[0]

    assert cells(table) == [["甲", "2023-06-30"]]


def test_months_of_built_in_formats_have_no_day(tmp_path: Path) -> None:
    styles = '<cellXfs><xf numFmtId="55"/></cellXfs>'
    rows = (
        texts(("名称", "年月"))
        + '<row r="2"><c r="A2" t="str"><v>甲</v></c><c r="B2"><v>45107</v></c></row>'
    )

    assert cells(opened(raw_xlsx(rows, styles=styles), tmp_path)[0]) == [["甲", "2023-06"]]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", "number"),
        ("G/標準", "number"),
        ("@", "number"),
        ("[Red]#,##0;[Blue]-#,##0", "number"),
        ("# ?/?", "number"),
        ('_ * #,##0_ ;_ * -#,##0_ ;_ * "-"_ ;_ @_ ', "number"),
        ("[$-F800]dddd, mmmm dd, yyyy", "date"),
        ("aaa", "date"),
        ("mm:ss.0", "time"),
        ("h:mm AM/PM", "time"),
        ("[mm]:ss", "elapsed"),
        (r"yyyy\-mm\-dd\ hh:mm:ss", "datetime"),
        ('"平成"0"年"', "number"),
    ],
)
def test_a_number_format_is_known_by_its_letters(code: str, kind: str) -> None:
    assert number_format(code).kind == kind


def test_errors_and_formulas_without_value_are_empty_and_counted(tmp_path: Path) -> None:
    rows = texts(HEAD) + (
        '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><v>#N/A</v></c><c r="C2"><f>1/0</f></c></row>'
        '<row r="3"><c r="A3"><v>2</v></c><c r="B3" t="str"><f>A3&amp;""</f><v></v></c>'
        '<c r="C3"><f>A3*2</f><v>4</v></c></row>'
    )

    table = opened(raw_xlsx(rows), tmp_path)[0]

    assert cells(table) == [["1", "", ""], ["2", "", "4"]]
    counts = {notice.code: notice.details for notice in table.head.notices}
    assert counts["cells_with_errors"] == {"count": 1}
    assert counts["formulas_without_value"] == {"count": 1}


def test_rich_text_is_joined_and_its_reading_left_out(tmp_path: Path) -> None:
    strings = (
        "<si><t>番号</t></si><si><t>名称</t></si>"
        "<si><r><t>高</t></r><r><rPr><b/></rPr><t>松市</t></r></si>"
        '<si><t>高松</t><rPh sb="0" eb="2"><t>タカマツ</t></rPh><phoneticPr fontId="1"/></si>'
        '<si><r><t>一宮</t></r><rPh sb="0" eb="2"><t>イチノミヤ</t></rPh></si>'
    )
    rows = "".join(
        f'<row r="{row}"><c r="A{row}" t="s"><v>{first}</v></c><c r="B{row}" t="s"><v>{second}</v></c></row>'
        for row, first, second in ((1, 0, 1), (2, 2, 3), (3, 4, 4))
    )

    table = opened(raw_xlsx(rows, strings=strings), tmp_path)[0]

    assert cells(table) == [["高松市", "高松"], ["一宮", "一宮"]]


def test_escaped_characters_are_decoded_and_halves_of_pairs_replaced(tmp_path: Path) -> None:
    rows = texts(
        ("番号", "名称"),
        ("1", "一行目_x000D_\n二行目"),
        ("2", "_x005F_x0041_"),
        ("3", "a_x0008_b"),
        ("4", "_xD842__xDFB7_"),
        ("5", "_xD83D_"),
        ("6", "_x0000_"),
    )

    table = opened(raw_xlsx(rows), tmp_path)[0]

    assert [row[1] for row in cells(table)] == [
        "一行目\r\n二行目",
        "_x0041_",
        "a\bb",
        "𠮷",
        "\ufffd",
        "\ufffd",
    ]
    assert {n.code: n.details for n in table.head.notices}["characters_replaced"] == {"count": 2}


def test_a_text_of_a_cell_is_never_cut(tmp_path: Path) -> None:
    long = "長い文" * 10_000

    assert cells(opened(xlsx([("番号", "文"), (1, long)]), tmp_path)[0])[0][1] == long


def test_an_ods_sheet_gives_codes_times_repeats_and_spans(tmp_path: Path) -> None:
    data = ods(
        [
            HEAD,
            (
                ("float", "value", "123", "00123"),
                "甲\n乙",
                ("time", "timevalue", "PT25H30M00S", "25:30"),
            ),
            (
                ("float", "value", "0.5", "50%"),
                None,
                ("date", "datevalue", "2023-06-30T09:00:00", ""),
            ),
        ]
    )

    assert cells(opened(data, tmp_path)[0]) == [
        ["00123", "甲\n乙", "25:30"],
        ["0.5", "", "2023-06-30T09:00:00"],
    ]


def _content(body: str) -> bytes:
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text", "style")
    )
    content = f"<office:document-content {names}>{body}</office:document-content>"
    mime = b"application/vnd.oasis.opendocument.spreadsheet"
    return zipped({"mimetype": mime, "content.xml": content.encode()})


def _sheet(rows: str) -> bytes:
    return _content(
        f'<office:body><office:spreadsheet><table:table table:name="S">{rows}</table:table></office:spreadsheet></office:body>'
    )


def _row(*words: str, more: str = "") -> str:
    inner = "".join(
        f'<table:table-cell office:value-type="string"><text:p>{word}</text:p></table:table-cell>'
        for word in words
    )
    return f"<table:table-row>{inner}{more}</table:table-row>"


def test_empty_repeats_of_an_ods_sheet_cost_nothing_and_full_ones_are_bounded(
    tmp_path: Path,
) -> None:
    empty = '<table:table-cell table:number-columns-repeated="16382"/>'
    tail = f'<table:table-row table:number-rows-repeated="1048573">{empty}</table:table-row>'
    usual = _sheet(_row("a", "b", more=empty) + _row("x", "y") + tail)
    wide = "".join(
        _row(*["x"] * 100).replace(
            "<table:table-row>", '<table:table-row table:number-rows-repeated="1000000">'
        )
    )

    assert cells(opened(usual, tmp_path)[0]) == [["x", "y"]]
    with pytest.raises(FileRefused) as refused:
        take(_sheet(_row("a", "b") + wide))
    assert refused.value.code == "file_dangerous"


def test_comments_and_readings_of_an_ods_cell_are_no_text_of_it(tmp_path: Path) -> None:
    cell = (
        '<table:table-cell office:value-type="string"><office:annotation><text:p>覚え書き</text:p></office:annotation>'
        "<text:p><text:ruby><text:ruby-base>高松</text:ruby-base><text:ruby-text>たかまつ</text:ruby-text></text:ruby>"
        '<text:s text:c="2"/><text:span>市</text:span></text:p></table:table-cell>'
    )

    table = opened(_sheet(_row("a", "b") + _row("x", more=cell)), tmp_path)[0]

    assert cells(table) == [["x", "高松  市"]]
