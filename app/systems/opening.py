"""Opens a sheet that somebody sent and gives its rows as text. Keeps nothing.

It brings the readers of files along, so the server has it done by a process of its own:
`python -m app.systems.opening FILE NAME` tells rows, or why there are none, on stdout.
"""

import sys
from pathlib import Path
from typing import Any, Final

import orjson

from app.formats.opening import choose, open_tables
from app.formats.stored import StoredFile
from app.formats.told import Told
from app.kit.errors import AppError
from app.systems import sheet
from app.systems.refusals import SheetTooLong

Rows = list[dict[str, str | None]]
_MOST_ROWS: Final = 5_000
_MOST_CHARACTERS: Final = 8_000_000  # what a small workbook unpacks to


def rows_of(file: Path, name: str | None) -> Rows:
    """The rows of the sheet by heading. Raises `FileRefused`."""
    told = Told()
    table, _ = choose(
        open_tables(StoredFile(file, file.parent, name), told), told, sheet.known_share
    )
    labels = table.head.labels
    found: Rows = []
    size = 0
    for batch in table.batches():
        for row in batch.frame.iter_rows():
            cells = [None if cell is None else str(cell) for cell in row]
            size += sum(len(cell) for cell in cells if cell)
            if len(found) >= _MOST_ROWS or size > _MOST_CHARACTERS:
                raise SheetTooLong(most=_MOST_ROWS)
            found.append(dict(zip(labels, cells, strict=False)))
    return found


def _said(file: Path, name: str | None) -> dict[str, Any]:
    try:
        return {"rows": rows_of(file, name)}
    except AppError as refused:
        return {"code": refused.code, "ja": refused.words("ja"), "en": refused.words("en")}


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(_said(Path(sys.argv[1]), sys.argv[2] or None)))
