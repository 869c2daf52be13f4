"""Small workbooks for tests, written by other programs' libraries or byte by byte."""

import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from app.formats.opening import open_tables
from app.formats.stored import StoredFile
from app.formats.table import Table as DataTable
from app.formats.told import Told

HEAD = ("番号", "名称", "値")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def xlsx(rows: Iterable[Sequence[Any]], change: Callable[[Worksheet], None] | None = None) -> bytes:
    """One sheet with these rows; `change` does the rest."""
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "一覧"
    for row in rows:
        sheet.append(list(row))
    if change is not None:
        change(sheet)
    return saved(book)


def saved(book: Workbook) -> bytes:
    """The bytes of an openpyxl workbook."""
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def raw_xlsx(
    sheet: str | bytes,
    *,
    strings: str | None = None,
    styles: str | None = None,
    workbook: str | None = None,
    more: dict[str, bytes] | None = None,
) -> bytes:
    """An XLSX around the XML of one sheet (its rows, or the whole part)."""
    body = sheet if isinstance(sheet, bytes) else sheet_part(sheet).encode()
    links = [("s1", "worksheet", "worksheets/sheet1.xml")]
    parts = {"xl/worksheets/sheet1.xml": body}
    if strings is not None:
        links.append(("s2", "sharedStrings", "sharedStrings.xml"))
        parts["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{strings}</sst>'.encode()
    if styles is not None:
        links.append(("s3", "styles", "styles.xml"))
        parts["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'.encode()
    parts["xl/workbook.xml"] = (
        workbook
        or f'<workbook xmlns="{MAIN}" xmlns:r="{_LINKS}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="s1"/></sheets></workbook>'
    ).encode()
    parts["xl/_rels/workbook.xml.rels"] = _rels(links)
    parts["_rels/.rels"] = _rels([("r1", "officeDocument", "xl/workbook.xml")])
    return zipped({"[Content_Types].xml": b"<Types/>"} | parts | (more or {}))


def sheet_part(rows: str, behind: str = "") -> str:
    """A whole sheet part around its rows."""
    return f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{behind}</worksheet>'


def _rels(links: Iterable[tuple[str, str, str]]) -> bytes:
    inner = "".join(
        f'<Relationship Id="{name}" Type="{_LINKS}/{kind}" Target="{target}"/>'
        for name, kind, target in links
    )
    return f'<Relationships xmlns="{_PACKAGE}">{inner}</Relationships>'.encode()


def zipped(parts: dict[str, bytes]) -> bytes:
    """A zip of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            method = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(name, data, method)
    return out.getvalue()


def texts(*rows: Sequence[str]) -> str:
    """Rows of inline texts, from A1 on."""
    made = []
    for number, row in enumerate(rows, 1):
        cells = "".join(
            f'<c r="{chr(65 + at)}{number}" t="inlineStr"><is><t>{text}</t></is></c>'
            for at, text in enumerate(row)
            if text
        )
        made.append(f'<row r="{number}">{cells}</row>')
    return "".join(made)


def ods(rows: Iterable[Sequence[Any]], *, name: str = "一覧") -> bytes:
    """One sheet; a cell is a text, or (value type, attribute, value, text)."""
    document = OpenDocumentSpreadsheet()
    table = Table(name=name)
    for row in rows:
        line = TableRow()
        for given in row:
            line.addElement(_ods_cell(given))
        table.addElement(line)
    document.spreadsheet.addElement(table)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def _ods_cell(given: Any) -> Any:
    if given is None:
        return TableCell()
    if isinstance(given, str):
        kind, told, shown = "string", {}, given
    else:
        kind, attribute, value, shown = given
        told = {attribute: value} if attribute else {}
    cell = TableCell(valuetype=kind, **told)
    for line in shown.split("\n"):
        cell.addElement(P(text=line))
    return cell


def opened(data: bytes, folder: Path, **told: Any) -> list[DataTable]:
    """All tables of the workbook."""
    path = folder / "upload"
    path.write_bytes(data)
    return open_tables(StoredFile(path, folder, "file.xlsx"), Told(**told))


def cells(table: DataTable) -> list[list[str]]:
    """The table's data rows as texts."""
    return [[text or "" for text in row] for batch in table.batches() for row in batch.frame.rows()]
