"""The Excel template of a layout: headings, a guidance row, drop-downs; it holds no data.

xlsxwriter is imported when a template is made: the idle server must stay small.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from app.formats.profiles.layout import LayoutField, ProfileLayout
from app.query.fields import FieldType

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

# A row whose first cell begins with one of these is guidance, and so is a sheet that begins so:
# the reader leaves it out.
EXAMPLE_MARK: Final = "#記入例"
NOTES_MARK: Final = "#説明"
GUIDANCE_MARKS: Final = (EXAMPLE_MARK, NOTES_MARK)
NOTES_SHEET: Final = "説明とコード表"
MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
BOOLEAN_WORDS: Final = ("有", "無")

_FIRST_ROW: Final = 2  # under the headings and the guidance
_LAST_ROW: Final = 10_001
_NOTES_COLUMNS: Final = (
    "項目",
    "必須・推奨",
    "型",
    "書き方",
    "単位",
    "ほかの見出し",
    "項目名（API）",
)
_FORBIDDEN: Final = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))
_NATURAL: Final = frozenset(
    {FieldType.INTEGER, FieldType.DECIMAL, FieldType.LATITUDE, FieldType.LONGITUDE}
)
_EXAMPLES: Final = {
    FieldType.CODE: "0001",
    FieldType.LOCAL_GOVERNMENT_CODE: "271004",
    FieldType.PHONE: "06-6208-8181",
    FieldType.POSTAL_CODE: "530-8201",
    FieldType.URL: "https://www.example.jp/",
    FieldType.EMAIL: "post@example.jp",
    FieldType.KANA: "カタカナ",
    FieldType.INTEGER: "120",
    FieldType.DECIMAL: "12.5",
    FieldType.BOOLEAN: "有",
    FieldType.DATE: "2026-04-01",
    FieldType.TIME: "09:00",
    FieldType.DATETIME: "2026-04-01T09:00:00+09:00",
    FieldType.LATITUDE: "34.693738",
    FieldType.LONGITUDE: "135.502165",
}
_TYPE_WORDS: Final = {
    FieldType.TEXT: "文字列",
    FieldType.CODE: "コード（文字列・先頭の0を残す）",
    FieldType.LOCAL_GOVERNMENT_CODE: "地方公共団体コード（6桁）",
    FieldType.PHONE: "電話番号",
    FieldType.POSTAL_CODE: "郵便番号",
    FieldType.URL: "URL",
    FieldType.EMAIL: "メールアドレス",
    FieldType.KANA: "全角カナ",
    FieldType.INTEGER: "整数",
    FieldType.DECIMAL: "数値",
    FieldType.BOOLEAN: "有・無",
    FieldType.DATE: "日付（YYYY-MM-DD）",
    FieldType.TIME: "時刻（HH:MM）",
    FieldType.DATETIME: "日時（時差付き）",
    FieldType.LATITUDE: "緯度（十進度）",
    FieldType.LONGITUDE: "経度（十進度）",
}
_LEVELS: Final = {"required": "必須", "recommended": "推奨", "conditional": "条件付き必須"}


def workbook(layout: ProfileLayout) -> bytes:
    """The template as an xlsx file. Cells are text where Excel would take zeros or dates away."""
    from xlsxwriter import Workbook  # noqa: PLC0415

    into = io.BytesIO()
    book = Workbook(
        into, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    name = (layout.title_ja or layout.name).translate(_FORBIDDEN).strip()[:31]
    sheet = book.add_worksheet(name if name != NOTES_SHEET else layout.name[:31])
    lists = _write_notes(book, layout)
    _write_columns(book, sheet, layout.fields, lists)
    sheet.activate()
    book.close()
    return into.getvalue()


def _write_columns(
    book: "Workbook", sheet: "Worksheet", fields: Sequence[LayoutField], lists: dict[str, str]
) -> None:
    head = {
        True: book.add_format(
            {"bold": True, "bg_color": "#F8CBAD", "border": 1, "text_wrap": True}
        ),
        False: book.add_format(
            {"bold": True, "bg_color": "#DDEBF7", "border": 1, "text_wrap": True}
        ),
    }
    guide = book.add_format(
        {"italic": True, "font_color": "#7F7F7F", "text_wrap": True, "num_format": "@"}
    )
    text, plain = book.add_format({"num_format": "@"}), book.add_format()
    for at, each in enumerate(fields):
        natural = each.field.type in _NATURAL and each.field.code_list is None
        sheet.set_column(at, at, _width(each), plain if natural else text)
        sheet.write_string(0, at, each.field.label, head[each.expected])
        sheet.write_string(1, at, _guidance(each, first=at == 0), guide)
        _restrict(sheet, at, each, lists)
    sheet.set_row(0, 32)
    sheet.set_row(1, 45)
    sheet.freeze_panes(_FIRST_ROW, 0)


def _width(each: LayoutField) -> int:
    wide = 14 if each.field.type is not FieldType.TEXT else 20
    return max(wide, min(2 * len(each.field.label) + 2, 40))


def _guidance(each: LayoutField, *, first: bool) -> str:
    """The first cell carries the mark by which the reader knows the row."""
    said = f"{_level(each)} {_example(each)}".strip()
    return f"{EXAMPLE_MARK}（この行は取り込まれません） {said}" if first else said


def _level(each: LayoutField) -> str:
    return "必須" if each.expected else _LEVELS.get(each.level or "", "任意")


def _example(each: LayoutField) -> str:
    if each.field.code_list:
        return f"一覧から選択（例 {each.field.code_list[0][1]}）"
    found = _EXAMPLES.get(each.field.type)
    unit = f"（単位 {each.field.unit}）" if each.field.unit else ""
    return f"例 {found}{unit}" if found else unit


def _restrict(sheet: "Worksheet", at: int, each: LayoutField, lists: dict[str, str]) -> None:
    allowed: Any = None
    if each.field.code_list is not None:
        allowed = lists[each.field.name]
    elif each.field.type is FieldType.BOOLEAN:
        allowed = list(BOOLEAN_WORDS)
    if allowed is None:
        return
    sheet.data_validation(
        _FIRST_ROW,
        at,
        _LAST_ROW,
        at,
        {
            "validate": "list",
            "source": allowed,
            "ignore_blank": True,
            "error_title": "一覧にない値です",
            "error_message": "一覧から選んでください。",
        },
    )


def _write_notes(book: "Workbook", layout: ProfileLayout) -> dict[str, str]:
    """The second sheet; by field, the range of its code list there."""
    sheet = book.add_worksheet(NOTES_SHEET)
    bold, wrap = (
        book.add_format({"bold": True, "bg_color": "#DDEBF7"}),
        book.add_format({"text_wrap": True}),
    )
    edition = f"（{layout.edition}）" if layout.edition else ""
    sheet.write_string(
        0, 0, f"{NOTES_MARK} {layout.title_ja}{edition} {layout.name} {layout.version}"
    )
    for at, words in enumerate(_NOTES_COLUMNS):
        sheet.write_string(2, at, words, bold)
    for row, each in enumerate(layout.fields, 3):
        for at, words in enumerate(_explained(each)):
            sheet.write_string(row, at, words, wrap)
    sheet.set_column(0, len(_NOTES_COLUMNS) - 1, 24)
    return _write_lists(sheet, layout.fields, bold)


def _explained(each: LayoutField) -> tuple[str, ...]:
    field = each.field
    kind = "一覧から選択" if field.code_list else _TYPE_WORDS.get(field.type, field.type.value)
    how = each.format or field.description or ""
    others = "、".join(each.variants)
    return (field.label, _level(each), kind, how, field.unit or "", others, field.name)


def _write_lists(
    sheet: "Worksheet", fields: Sequence[LayoutField], bold: "Format"
) -> dict[str, str]:
    from xlsxwriter.utility import xl_range_abs  # noqa: PLC0415

    lists = {}
    at = len(_NOTES_COLUMNS) + 1
    for each in fields:
        codes = each.field.code_list
        if codes is None:
            continue
        sheet.write_string(2, at, f"{each.field.label}（コード）", bold)
        sheet.write_string(2, at + 1, each.field.label, bold)
        for row, (code, label) in enumerate(codes, 3):
            sheet.write_string(row, at, code)
            sheet.write_string(row, at + 1, label)
        place = xl_range_abs(3, at + 1, 2 + len(codes), at + 1)
        lists[each.field.name] = f"='{NOTES_SHEET}'!{place}"
        at += 3
    return lists
