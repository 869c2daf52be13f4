"""CSV for Excel: with a byte order mark, and with nothing in it that Excel would run as a formula.

The plain CSV stays the exact record; this one is for looking at.
"""

import csv
from pathlib import Path
from typing import Final

from app.formats.writers.cells import Row, read_rows
from app.formats.writers.order import Layout
from app.query.fields import NUMBER_TYPES

# What makes Excel read a cell as a formula, or as a field more.
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_GUARD: Final = "'"


def write_excel_csv(layout: Layout, cells: Path, target: Path) -> None:
    """Every text that begins like a formula gets an apostrophe before it; numbers stay numbers."""
    texts = [at for at, col in enumerate(layout.columns) if col.type not in NUMBER_TYPES]
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([guarded(col.name) for col in layout.columns])
        for row in read_rows(cells):
            writer.writerow(_guarded(row, texts))


def _guarded(row: Row, texts: list[int]) -> Row:
    for at in texts:
        text = row[at]
        if text is not None:
            row[at] = guarded(text)
    return row


def guarded(text: str) -> str:
    """The text so that Excel shows it. A mark alone (a dash for "none") is no formula."""
    return _GUARD + text if len(text) > 1 and text.startswith(_DANGEROUS) else text
