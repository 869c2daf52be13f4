"""An Excel workbook (ECMA-376), its cells written column by column. A cell is text or a number:
never a formula, never a link."""

from datetime import date
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import polars as pl

from app.formats.writers.cells import batches
from app.formats.writers.order import MOST_SHEET_ROWS, Layout
from app.formats.writers.survey import Survey
from app.query.fields import NUMBER_TYPES, FieldType

MOST_COLUMNS: Final = 16_384
MOST_CHARACTERS: Final = 32_767  # of a cell
_EXACT_DIGITS: Final = 15  # what Excel keeps of a number
_NUMBER: Final = r"^-?\d+(\.\d+)?(e[-+]?\d+)?$"
_FIRST_DAY: Final = date(1900, 3, 1)  # before it Excel counts a day that never was
_DAY_ZERO: Final = date(1899, 12, 30)
_LEVEL: Final = 5
_CELL_BYTES: Final = 70  # around a text; with six bytes a character never too few
_LARGE: Final = 1 << 31
# What XML 1.0 has no place for is written as Excel does (22.9.2.19 of the standard).
_ESCAPES: Final = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;",
    **{chr(at): f"_x{at:04X}_" for at in (*range(1, 9), *range(0xB, 0x20), 0xFFFE, 0xFFFF)},
}  # fmt: skip
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_FONT: Final = '<font><sz val="11"/><name val="Calibri"/></font>'
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_RELS}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_RELS}/styles" Target="styles.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELS}">'
    '<sheets><sheet name="records" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    f'<fonts count="1">{_FONT}</fonts><fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    "<borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}  # fmt: skip
_BEGIN: Final = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    "</sheetView></sheetViews><sheetData>\n"
)
_END: Final = "</sheetData></worksheet>"


def why_not(layout: Layout, found: Survey) -> str | None:
    """Why these rows fit no sheet, if they do not."""
    if found.rows > MOST_SHEET_ROWS:
        return "too_many_rows"
    if len(layout.columns) > MOST_COLUMNS:
        return "too_many_columns"
    if found.longest > MOST_CHARACTERS:
        return "cell_too_long"
    return None


def write_xlsx(layout: Layout, found: Survey, cells: Path, target: Path) -> None:
    """One sheet, its first line the names. The same rows are the same bytes."""
    width = len(layout.columns)
    names = pl.DataFrame({str(at): [col.name] for at, col in enumerate(layout.columns)})
    most = cells.stat().st_size * 6 + (found.rows + 1) * width * _CELL_BYTES
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as book:
        for name, text in _PARTS.items():
            book.writestr(_part(name), _HEAD + text)
        part = _part("xl/worksheets/sheet1.xml")
        with book.open(part, "w", force_zip64=most > _LARGE) as sheet:
            sheet.write((_HEAD + _BEGIN).encode())
            sheet.write(_lines(names, [FieldType.TEXT] * width, 1))
            begun = 2
            for frame in batches(cells, width):
                sheet.write(_lines(frame, [col.type for col in layout.columns], begun))
                begun += frame.height
            sheet.write(_END.encode())


def _part(name: str) -> ZipInfo:
    part = ZipInfo(name)  # of 1980: a workbook must not hold the moment of its making
    part.compress_type, part._compresslevel = ZIP_DEFLATED, _LEVEL  # type: ignore[attr-defined]
    return part


def _lines(frame: pl.DataFrame, kinds: list[FieldType], begun: int) -> bytes:
    """The rows as the sheet's XML, the first of them numbered `begun`."""
    number = pl.int_range(begun, begun + frame.height, dtype=pl.UInt32).cast(pl.String)
    cells = [_cell(at, kind, number) for at, kind in enumerate(kinds)]
    row = pl.concat_str(pl.lit('<row r="'), number, pl.lit('">'), *cells, pl.lit("</row>\n"),
                        ignore_nulls=True)  # fmt: skip
    return "".join(frame.select(row.alias("row"))["row"].to_list()).encode()


def _cell(at: int, kind: FieldType, number: pl.Expr) -> pl.Expr:
    """The cell's XML, null where there is none; what Excel would round stays text."""
    text, begin = pl.col(str(at)), pl.lit(f'<c r="{_letters(at)}') + number
    written = begin + _text(text)
    if kind in NUMBER_TYPES:
        is_exact = text.str.count_matches(r"\d") <= _EXACT_DIGITS
        return (
            pl.when(is_exact & text.str.contains(_NUMBER))
            .then(begin + '"><v>' + text + "</v></c>")
            .otherwise(written)
        )
    if kind is FieldType.BOOLEAN:
        return begin + '" t="b"><v>' + (text == "true").cast(pl.Int8).cast(pl.String) + "</v></c>"
    if kind is FieldType.DATE:
        day = text.str.to_date("%Y-%m-%d", strict=False)
        serial = (day - _DAY_ZERO).dt.total_days().cast(pl.String)
        return (
            pl.when(day >= _FIRST_DAY)
            .then(begin + '" s="1"><v>' + serial + "</v></c>")
            .otherwise(written)
        )
    return written


def _text(text: pl.Expr) -> pl.Expr:
    # A text that looks like such an escape is no escape.
    plain = text.str.replace_all(r"_x([0-9A-Fa-f]{4}_)", "_x005F_x${1}")
    escaped = plain.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
    space = pl.when(text.str.contains(r"^\s|\s$")).then(pl.lit(' xml:space="preserve"'))
    return '" t="inlineStr"><is><t' + space.otherwise(pl.lit("")) + ">" + escaped + "</t></is></c>"


def _letters(at: int) -> str:
    """The name of a column: A, B, … Z, AA, …"""
    made, left = "", at + 1
    while left:
        left, rest = divmod(left - 1, 26)
        made = chr(ord("A") + rest) + made
    return made
