"""Workbooks: XLSX and XLSM, XLS, XLSB, ODS; every sheet's tables, and no macro is run."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.archives.packed import Package, open_package
from app.formats.readers.sheets import calamine_book, ods, xlsx
from app.formats.readers.sheets.grid import Grid
from app.formats.readers.sheets.regions import regions
from app.formats.readers.sheets.sheet_table import SheetTable
from app.formats.readers.sheets.sniff import OLE
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told

_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_CHUNK = 1 << 20
# Names in an OLE document's directory (MS-CFB 2.6.4), as they stand there.
_LOCKED, _XLS = "EncryptedPackage", ("Workbook", "Book")

Sheets = calamine_book.Sheets  # name, is hidden, how to read it


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The tables of all sheets, in their order. Raises `FileRefused`."""
    folder = Path(tempfile.mkdtemp(dir=file.scratch, prefix="workbook"))
    with _opened(file, folder) as (kind, sheets):
        hidden = [name for name, is_hidden, _ in sheets if is_hidden]
        if len(hidden) == len(sheets):  # nobody hides all: they are meant, then
            hidden = []
        asked = [each for each in sheets if _is_asked(each[0], told.table)]
        wanted = asked or [each for each in sheets if each[0] not in hidden]
        grids, refused = _read(wanted, folder)
    if not grids and refused:
        raise refused[0][1]
    more = _left_out(hidden, refused)
    return [table for grid in grids for table in _tables(kind, grid, file.size, more)]


def _is_asked(name: str, table: str | None) -> bool:
    """Whether the table that the publisher named stands on this sheet: the others rest, then."""
    return table is not None and (table == name or table.startswith(f"{name} ("))


def _read(sheets: Sheets, folder: Path) -> tuple[list[Grid], list[tuple[str, FileRefused]]]:
    grids, refused = [], []
    for number, (name, _, read) in enumerate(sheets):
        own = folder / f"sheet{number}"
        own.mkdir()
        try:
            grids.append(read(own))
        except FileRefused as exc:
            if exc.code in ("file_dangerous", "file_damaged"):
                raise
            refused.append((name, exc))  # a sheet that is too wide spoils no other
    return grids, refused


def _left_out(hidden: list[str], refused: list[tuple[str, FileRefused]]) -> tuple[Notice, ...]:
    notices = []
    if hidden:
        notices.append(Notice("sheets_hidden", {"names": "、".join(hidden)}))
    if refused:
        names = "、".join(f"{name}（{exc.code}）" for name, exc in refused)
        notices.append(Notice("sheets_left_out", {"names": names}))
    return tuple(notices)


def _tables(kind: str, grid: Grid, size: int, more: tuple[Notice, ...]) -> Iterator[SheetTable]:
    for number, region in enumerate(regions(grid), 1):
        name = grid.name if number == 1 else f"{grid.name} ({number})"
        yield SheetTable(kind, name, grid, region, size, more)


@contextmanager
def _opened(file: StoredFile, folder: Path) -> Iterator[tuple[str, Sheets]]:
    """The format and the sheets, each to be read while the file is open."""
    with file.open() as stream:
        head = stream.read(len(OLE))
    if head == OLE:
        _check_old(file)
        yield "xls", calamine_book.sheets(file, folder)
        return
    with open_package(file) as package:
        kind = _kind(package)
        if kind == "ods":
            yield kind, ods.sheets(package, folder)
        elif kind == "xlsb":
            _check_size(package)
            yield kind, calamine_book.sheets(file, folder)
        else:
            book = xlsx.open_book(package, folder)
            yield kind, [(each.name, each.is_hidden, _of(book, each)) for each in book.sheets]


def _of(book: xlsx.Book, sheet: xlsx.Sheet) -> Callable[[Path], Grid]:
    return lambda folder: xlsx.read_sheet(book, sheet, folder)


def _kind(package: Package) -> str:
    names = {name.replace("\\", "/").lower() for name in package.names}
    if "mimetype" in names:
        if not package.read("mimetype", 200).startswith(_ODS):
            raise FileRefused("file_is_office")
        return "ods"
    if any(name.startswith("xl/workbook.bin") for name in names):
        return "xlsb"
    if any(name.startswith(("word/", "ppt/", "visio/")) for name in names):
        raise FileRefused("file_is_office")
    return "xlsx"


def _check_size(package: Package) -> None:
    """The whole is unpacked once and counted: calamine would take a bomb at its word."""
    total = 0
    for name in package.names:
        with package.open(name) as stream:
            while data := stream.read(_CHUNK):
                total += len(data)
                if total > calamine_book.MOST_BYTES:
                    limit = calamine_book.MOST_BYTES >> 20
                    raise FileRefused("workbook_too_large", format="xlsb", limit_mb=limit)


def _check_old(file: StoredFile) -> None:
    """Whether an OLE document is a workbook and open to all."""
    if _holds(file, _LOCKED):
        raise FileRefused("workbook_encrypted")
    if not any(_holds(file, name) for name in _XLS):
        raise FileRefused("file_is_office")
    if file.size > calamine_book.MOST_BYTES:
        limit = calamine_book.MOST_BYTES >> 20
        raise FileRefused("workbook_too_large", format="xls", limit_mb=limit)


def _holds(file: StoredFile, name: str) -> bool:
    """Whether the directory of an OLE document has an entry of this name (64 bytes, NUL-padded)."""
    wanted = (name + "\0").encode("utf-16-le")
    rest = b""
    with file.path.open("rb") as stream:
        while data := stream.read(_CHUNK):
            if wanted in rest + data:
                return True
            rest = data[-len(wanted) :]
    return False
