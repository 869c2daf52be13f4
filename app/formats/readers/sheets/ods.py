"""ODS (ISO/IEC 26300): its sheets as grids of texts, streamed; it runs no macro."""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.archives.packed import Package
from app.formats.readers.headings import Merge
from app.formats.readers.sheets.cell_values import number_text
from app.formats.readers.sheets.grid import Grid
from app.formats.readers.sheets.sheet_cells import MOST_ROWS
from app.formats.readers.sheets.xml_part import Attributes, Handlers, read_part
from app.formats.readers.text.layout import MAX_COLUMNS

_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_CALC = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
_MOST_REPEATED = 5_000_000  # filled cells that are there only because a row comes again
_FLUSH = 100_000
_SMALL = 8 << 20
_CODE = re.compile(r"0[0-9]+|[0-9]+(?:-[0-9]+)+")
_PERIOD = re.compile(r"-?PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:[.,][0-9]+)?S)?")
# Text in a cell that is not the cell's: comments, readings of words, pictures.
_BESIDE = frozenset({"annotation", "ruby-text", "frame", "shapes", "g", "custom-shape"})

Sheets = list[tuple[str, bool, Callable[[Path], Grid]]]


def sheets(package: Package, folder: Path) -> Sheets:
    """(name, is hidden, how to read it) of each sheet. Raises `FileRefused`."""
    manifest = "META-INF/manifest.xml"
    if manifest in package.names and b"encryption-data" in package.read(manifest, _SMALL):
        raise FileRefused("workbook_encrypted")
    if "content.xml" not in package.names:
        raise FileRefused("file_damaged")
    reader = _Reader(folder)
    with package.open("content.xml") as stream:
        read_part(stream, Handlers(reader.start, reader.end, data=reader.data))
    return [
        (grid.name, is_hidden, _ready(grid, refused)) for grid, is_hidden, refused in reader.found
    ]


def _ready(grid: Grid, refused: FileRefused | None) -> Callable[[Path], Grid]:
    """All sheets stand in one part, so they were read at once."""

    def read(_folder: Path) -> Grid:
        if refused is not None:
            raise refused
        return grid

    return read


class _Reader:
    """Collects the cells of all sheets from a parser's events."""

    def __init__(self, folder: Path) -> None:
        self.found: list[tuple[Grid, bool, FileRefused | None]] = []
        self._folder = folder
        self._hidden_styles: set[str] = set()
        self._style = ""
        self._grid: Grid | None = None
        self._refused: FileRefused | None = None
        self._is_hidden = False
        self._row, self._column = 0, 0
        self._times = 1  # how often the row stands
        self._in_row: list[tuple[int, str]] = []
        self._cells: list[tuple[int, int, str]] = []
        self._repeated = 0
        self._cell: Attributes | None = None
        self._text: list[str] = []
        self._paragraphs = 0
        self._beside = 0

    def start(self, name: str, told: Attributes) -> None:
        """An element opens."""
        if self._cell is not None:
            self._start_inside(name, told)
        elif name == "style":
            self._style = told.get(_STYLE + "name", "")
        elif name == "table-properties" and told.get(_TABLE + "display") == "false":
            self._hidden_styles.add(self._style)
        elif name == "table":
            self._open_sheet(told)
        elif self._grid is None:
            return
        elif name == "table-row":
            self._times = _count(told.get(_TABLE + "number-rows-repeated"))
            self._column, self._in_row = 0, []
        elif name in ("table-cell", "covered-table-cell"):
            self._cell, self._text, self._paragraphs = told, [], 0

    def _start_inside(self, name: str, told: Attributes) -> None:
        if name in _BESIDE or name == "table":
            self._beside += 1
        elif self._beside:
            return
        elif name == "p":
            if self._paragraphs:
                self._text.append("\n")
            self._paragraphs += 1
        elif name == "s":
            self._text.append(" " * min(_count(told.get(_TEXT + "c")), 32_767))
        elif name in ("tab", "line-break"):
            self._text.append("\t" if name == "tab" else "\n")

    def data(self, text: str) -> None:
        """Text in its order."""
        if self._cell is not None and not self._beside and self._paragraphs:
            self._text.append(text)

    def end(self, name: str, _text: str) -> None:
        """An element closes."""
        if self._beside:
            self._beside -= name in _BESIDE or name == "table"
        elif name in ("table-cell", "covered-table-cell") and self._cell is not None:
            self._close_cell(self._cell)
            self._cell = None
        elif self._cell is not None:
            return
        elif name == "table-row" and self._grid is not None:
            self._close_row()
        elif name == "table" and self._grid is not None:
            self._flush()
            self._grid.merges.sort()
            self.found.append((self._grid, self._is_hidden, self._refused))
            self._grid = None

    def _open_sheet(self, told: Attributes) -> None:
        folder = self._folder / f"ods{len(self.found)}"
        folder.mkdir()
        self._grid, self._refused = Grid(told.get(_TABLE + "name", ""), folder), None
        self._is_hidden = told.get(_TABLE + "style-name", "") in self._hidden_styles
        self._row = 1

    def _close_cell(self, told: Attributes) -> None:
        assert self._grid is not None  # noqa: S101 - a cell stands in a sheet
        times = _count(told.get(_TABLE + "number-columns-repeated"))
        text = _value(self._grid, told, "".join(self._text))
        down = _count(told.get(_TABLE + "number-rows-spanned"))
        along = _count(told.get(_TABLE + "number-columns-spanned"))
        if down > 1 or along > 1:
            bottom, right = self._row + down - 1, self._column + along - 1
            self._grid.merges.append(Merge(self._row, self._column, bottom, right))
        if text and times > MAX_COLUMNS:
            self._refused = FileRefused("too_many_columns", columns=times, limit=MAX_COLUMNS)
        elif text:
            self._in_row += [(self._column + each, text) for each in range(times)]
        self._column += times

    def _close_row(self) -> None:
        row, self._row = self._row, self._row + self._times
        if not self._in_row or self._refused is not None:
            return
        self._repeated += len(self._in_row) * (self._times - 1)
        if self._repeated > _MOST_REPEATED or self._row > MOST_ROWS + 1:
            raise FileRefused("file_dangerous")
        for each in range(row, self._row):
            self._cells += [(each, column, text) for column, text in self._in_row]
            if len(self._cells) >= _FLUSH:
                self._flush()

    def _flush(self) -> None:
        if not self._cells or self._grid is None or self._refused is not None:
            return
        schema = {"row": pl.Int32, "column": pl.Int32, "text": pl.String}
        frame = pl.DataFrame(self._cells, schema=schema, orient="row")
        self._cells = []
        try:
            self._grid.add(frame["row"], frame["column"], frame["text"])
        except FileRefused as exc:
            self._refused = exc


def _count(text: str | None) -> int:
    if text is None:
        return 1
    if not re.fullmatch("[0-9]{1,9}", text):
        raise FileRefused("file_damaged")
    return max(int(text), 1)


def _value(grid: Grid, told: Attributes, shown: str) -> str:
    """What the cell means (19.385 to 19.389: the value beside what is shown)."""
    kind = told.get(_OFFICE + "value-type")
    if told.get(_CALC + "value-type") == "error":
        grid.errors += 1
        return ""
    if kind is None and _TABLE + "formula" in told:
        grid.uncalculated += 1
        return ""
    if kind in ("float", "percentage", "currency"):
        return _number(told.get(_OFFICE + "value", shown), shown)
    if kind == "date":
        return re.sub(r"\.[0-9]+$", "", told.get(_OFFICE + "date-value", shown))
    if kind == "time":
        return _clock(told.get(_OFFICE + "time-value", shown), shown)
    if kind == "boolean":
        return told.get(_OFFICE + "boolean-value", shown)
    return told.get(_OFFICE + "string-value", shown) if kind == "string" else shown


def _number(stored: str, shown: str) -> str:
    """The number, or as it is shown where its format gives it the zeros of a code."""
    plain = number_text(stored)
    if _CODE.fullmatch(shown) and shown.replace("-", "").lstrip("0") == plain.lstrip("0"):
        return shown
    return plain


def _clock(period: str, shown: str) -> str:
    """`PT09H30M00S` as 09:30, with its seconds where they are shown or not zero."""
    found = _PERIOD.fullmatch(period)
    if found is None:
        return shown
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    short = f"{hours:02}:{minutes:02}"
    return f"{short}:{seconds:02}" if seconds or shown.count(":") > 1 else short
