"""Opens a sheet that somebody sent and gives its rows as text. Keeps nothing.

It brings the readers of files along, so the server has it done by a process of its own:
`python -m app.systems.opening FILE NAME` tells rows, or why there are none, on stdout.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import orjson

from app.formats.opening import choose, open_tables
from app.formats.stored import StoredFile
from app.formats.told import Told
from app.kit.errors import AppError
from app.systems import sheet
from app.systems.refusals import SheetHeadingTwice, SheetRowWrong, SheetTooLong
from app.systems.sheet import Row

_MOST_ROWS: Final = 5_000
_MOST_CHARACTERS: Final = 8_000_000  # what a small workbook unpacks to


def rows_of(file: Path, name: str | None) -> list[Row]:
    """The rows of the sheet. Raises `FileRefused`, `SheetTooLong`, `SheetRowWrong`, `SheetHeadingTwice`."""
    told = Told()
    table, _ = choose(
        open_tables(StoredFile(file, file.parent, name), told), told, sheet.known_share
    )
    labels = table.head.labels
    for label, times in Counter(labels).items():
        if label in sheet.HEADINGS and times > 1:
            raise SheetHeadingTwice(heading=label)
    found: list[Row] = []
    size = 0
    for batch in table.batches():
        cut = {**batch.overlong, **batch.wrong}
        for at, cells in enumerate(batch.frame.iter_rows()):
            row = dict(zip(labels, cells, strict=False))
            # Of a text, what stands under no heading was cut off by an amount's comma.
            if at in cut or (table.format == "csv" and row.get("")):
                raise SheetRowWrong(line=batch.lines[at])
            size += sum(len(cell) for cell in cells if cell)
            if len(found) >= _MOST_ROWS or size > _MOST_CHARACTERS:
                raise SheetTooLong(most=_MOST_ROWS)
            found.append((batch.lines[at], row))
    return found


def _said(file: Path, name: str | None) -> dict[str, Any]:
    try:
        return {"rows": rows_of(file, name)}
    except AppError as refused:
        return {"code": refused.code, "ja": refused.words("ja"), "en": refused.words("en")}


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(_said(Path(sys.argv[1]), sys.argv[2] or None)))
