"""The source's own rows by number, for rejects that only the database could find."""

from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

from app.formats.batches import batches, csv_line
from app.formats.survey import Survey


def raw_lines(
    open_stream: Callable[[], BinaryIO], found: Survey, rows: Collection[int]
) -> Iterator[tuple[int, str]]:
    """(row, the row's cells as one CSV line) for each of `rows` (1-based), in file order."""
    wanted = sorted(rows)
    at = 0
    first = 1
    for batch in batches(open_stream, found.encoding, found.layout):
        behind = first + batch.frame.height
        while at < len(wanted) and wanted[at] < behind:
            cells = batch.frame.row(wanted[at] - first)
            yield wanted[at], csv_line(["" if cell is None else cell for cell in cells])
            at += 1
        if at == len(wanted):
            return
        first = behind
