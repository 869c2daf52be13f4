"""An Excel workbook, written row by row. A cell is text or a number: never a formula, never a link."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from app.formats.writers.cells import read_rows
from app.formats.writers.order import MOST_SHEET_ROWS, Layout
from app.formats.writers.survey import Survey
from app.query.fields import FieldType

MOST_COLUMNS: Final = 16_384
MOST_CHARACTERS: Final = 32_767  # of a cell
_EXACT_DIGITS: Final = 15  # what Excel keeps of a number
_FIRST_DAY: Final = date(1900, 3, 1)  # before it Excel counts a day that never was
_NUMBERS: Final = frozenset(
    {FieldType.INTEGER, FieldType.DECIMAL, FieldType.LATITUDE, FieldType.LONGITUDE}
)


def why_not(layout: Layout, found: Survey) -> str | None:
    """Why these rows fit no sheet, if they do not."""
    if found.rows > MOST_SHEET_ROWS:
        return "too_many_rows"
    if len(layout.columns) > MOST_COLUMNS:
        return "too_many_columns"
    if found.longest > MOST_CHARACTERS:
        return "cell_too_long"
    return None


def write_xlsx(layout: Layout, cells: Path, target: Path) -> None:
    """One sheet, its first line the names. Temporary files stand beside the target."""
    book = xlsxwriter.Workbook(
        str(target),
        {
            "constant_memory": True,
            "tmpdir": str(target.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        },
    )
    # The same rows are the same bytes: a workbook must not hold the moment of its making.
    book.set_properties({"created": datetime(1980, 1, 1)})
    with book:
        sheet = book.add_worksheet("records")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for at, col in enumerate(layout.columns):
            sheet.write_string(0, at, col.name)
        sheet.freeze_panes(1, 0)
        kinds = [col.type for col in layout.columns]
        for number, row in enumerate(read_rows(cells), start=1):
            for at, text in enumerate(row):
                if text is not None:
                    _write(sheet, number, at, text, kinds[at], day)


def _write(sheet: Any, row: int, at: int, text: str, kind: FieldType, day: Any) -> None:
    """One cell; what Excel would round stays text."""
    if kind in _NUMBERS and sum(map(str.isdigit, text)) <= _EXACT_DIGITS:
        sheet.write_number(row, at, float(text))
    elif kind is FieldType.BOOLEAN:
        sheet.write_boolean(row, at, text == "true")
    elif kind is FieldType.DATE and (moment := date.fromisoformat(text)) >= _FIRST_DAY:
        sheet.write_datetime(row, at, moment, day)
    else:
        sheet.write_string(row, at, text)
