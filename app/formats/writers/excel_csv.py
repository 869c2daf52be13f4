"""CSV for Excel: with a byte order mark, and with nothing in it that Excel would run as a formula.

The plain CSV stays the exact record; this one is for looking at.
"""

from pathlib import Path
from typing import Final

import polars as pl

from app.formats.writers.cells import batches
from app.formats.writers.order import Layout
from app.query.fields import NUMBER_TYPES

# What makes Excel read a cell as a formula, or as a field more. A mark alone (a dash for "none")
# is no formula.
_DANGEROUS: Final = r"(?s)^[=+\-@\t\r＝＋－＠]."
_GUARD: Final = "'"
_BYTE_ORDER_MARK: Final = "\ufeff".encode()


def write_excel_csv(layout: Layout, cells: Path, target: Path) -> None:
    """Every text that begins like a formula gets an apostrophe before it; numbers stay numbers."""
    width = len(layout.columns)
    texts = [str(at) for at, col in enumerate(layout.columns) if col.type not in NUMBER_TYPES]
    names = pl.Series([col.name for col in layout.columns], dtype=pl.String()).to_frame("name")
    with target.open("wb") as file:
        file.write(_BYTE_ORDER_MARK)
        _write(names.select(guarded("name")).transpose(), file)
        for frame in batches(cells, width):
            _write(frame.with_columns([guarded(each) for each in texts]), file)


def _write(frame: pl.DataFrame, file: object) -> None:
    frame.write_csv(file, include_header=False, line_terminator="\r\n")  # type: ignore[call-overload]


def guarded(column: str) -> pl.Expr:
    """The texts of a column so that Excel shows them."""
    text = pl.col(column)
    return pl.when(text.str.contains(_DANGEROUS)).then(_GUARD + text).otherwise(text).alias(column)
