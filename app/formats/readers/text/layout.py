"""Where the table stands in a delimited text."""

from dataclasses import dataclass

from app.formats.table import Head

MAX_COLUMNS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Head):
    """The head of a delimited text, and how its lines are cut."""

    delimiter: str
    data_line: int  # the first physical line after the header
    read_width: int  # cells in most rows: more than labels where commas trail
    newline: str
