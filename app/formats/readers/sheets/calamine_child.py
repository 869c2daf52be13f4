"""A process of its own that reads one XLS or XLSB and writes its cells as JSON lines; no more.

Damaged files make calamine ask for hundreds of gigabytes, which ends the process it runs in: that
must never be the worker. It is started by `calamine_book`, by its path, and imports nothing of us.
"""

import json
import resource
import sys
from datetime import date, datetime, time, timedelta

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

LOCKED, DAMAGED = 3, 4  # exit codes
_MOST_MEMORY = 1 << 30
_MOST_SECONDS = 120


def main() -> int:
    """Write `[name, is hidden, merges, first column]` for each sheet, and after it its rows."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open(sys.argv[1], "rb") as stream:  # noqa: PTH123 - nothing is imported in vain
            _write(CalamineWorkbook.from_filelike(stream))
    except PasswordError:
        return LOCKED
    except (CalamineError, OSError, ValueError):
        return DAMAGED
    return 0


def _write(book: CalamineWorkbook) -> None:
    for told in book.sheets_metadata:
        if told.typ is not SheetTypeEnum.WorkSheet:
            continue
        sheet = book.get_sheet_by_name(told.name)
        hidden = told.visible is not SheetVisibleEnum.Visible
        # Empty rows before the first filled one are given below, empty columns are not.
        column = (sheet.start or (0, 0))[1]
        _line({"sheet": [told.name, hidden, sheet.merged_cell_ranges or [], column]})
        for row in sheet.iter_rows():
            _line([_plain(value) for value in row])


def _line(said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")


def _plain(value: object) -> object:
    """Dates and times as texts; calamine has looked at the number format already."""
    match value:
        case datetime():
            return value.replace(microsecond=0).isoformat()
        case date():
            return value.isoformat()
        case time():
            return _clock(value.hour * 3600 + value.minute * 60 + value.second)
        case timedelta():
            return _clock(round(value.total_seconds()))
    return value


def _clock(seconds: int) -> str:
    short = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return short if seconds % 60 == 0 else f"{short}:{seconds % 60:02}"


if __name__ == "__main__":
    sys.exit(main())
