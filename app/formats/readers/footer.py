"""Cuts the notes and totals that stand below a table from its last batch."""

import re
from collections.abc import Iterator
from dataclasses import replace

from app.formats.table import Batch
from app.formats.text import BLANKS

TAIL = 50  # how many rows at the end may be notes and totals
_TOTAL = re.compile(
    r"(?:総?合計|総計|計|総数|小計|total|grandtotal)(?:[（(].*[）)])?[:：]?", re.IGNORECASE
)
_NOTE = re.compile(
    r"※|[*＊]|[（(〔［\[]?(?:注|備考|出典|資料)[0-9０-９一二]*[)）〕］\]:：．.、　 ]|[（(]注"
)


def cut_footer(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the last one without what stands below the table."""
    waiting: Batch | None = None
    for batch in batches:
        if waiting is not None:
            yield waiting
        waiting = batch
    if waiting is not None:
        yield _without_footer(waiting)


def _without_footer(batch: Batch) -> Batch:
    """The last batch without the notes and totals that stand below the table."""
    count = 0
    for row in reversed(batch.frame.tail(TAIL).rows()):
        if not _is_footer(row):
            break
        count += 1
    if not count:
        return batch
    keep = batch.frame.height - count
    return replace(
        batch,
        frame=batch.frame.head(keep),
        lines=batch.lines.head(keep),
        overlong={index: cells for index, cells in batch.overlong.items() if index < keep},
        wrong={index: row for index, row in batch.wrong.items() if index < keep},
        footer=(int(batch.lines[keep]), count),
    )


def _is_footer(row: tuple[str | None, ...]) -> bool:
    cells = [cell.strip(BLANKS) for cell in row if cell and cell.strip(BLANKS)]
    if not cells:
        return True
    if len(row) > 1 and _TOTAL.fullmatch(re.sub(r"\s", "", cells[0])):
        return True
    return len(cells) * 2 <= max(len(row), 2) and _NOTE.match(cells[0]) is not None
