"""Rows as the publisher can open and mend them; it changes no cell."""

import csv
import io
from collections.abc import Collection, Iterator

from app.formats.table import Table


def csv_line(cells: list[str]) -> str:
    """One row as a CSV line without its line end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def raw_lines(table: Table, rows: Collection[int]) -> Iterator[tuple[int, str]]:
    """(row, the row's cells as one CSV line) for each of `rows` (1-based), in file order."""
    wanted = sorted(rows)
    at = 0
    first = 1
    for batch in table.batches():
        behind = first + batch.frame.height
        while at < len(wanted) and wanted[at] < behind:
            cells = batch.frame.row(wanted[at] - first)
            yield wanted[at], csv_line(["" if cell is None else cell for cell in cells])
            at += 1
        if at == len(wanted):
            return
        first = behind
