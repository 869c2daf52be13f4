"""Knows a fixed-length file that came without its layout, so that it is asked for; it cuts nothing."""

from app.formats.readers.text.delimited import DelimitedTable
from app.formats.text import BLANKS

_LEAST_RECORDS = 3
_LONG = 120  # bytes; so long a line of one length is no list of codes
_SHORT = 16


def is_fixed_width_text(table: DelimitedTable) -> bool:
    """Whether all lines are equally long and padded within, and no delimiter makes columns of them.

    A comma in a name of some lines makes none: then the lines differ in their cells.
    """
    head = table.head
    if len(head.sample) < _LEAST_RECORDS or len({len(row.cells) for row in head.sample}) == 1 < len(
        head.labels
    ):
        return False
    lines = [head.delimiter.join(row.cells) for row in head.sample]
    lengths = {len(line.encode(table.text.name, "replace")) for line in lines}
    if len(lengths) != 1:
        return False
    length = lengths.pop()
    padded = sum("  " in line.strip(BLANKS) or "　　" in line for line in lines)
    return length >= _LONG or (length >= _SHORT and padded * 2 > len(lines))
