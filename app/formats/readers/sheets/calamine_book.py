"""XLS and XLSB as grids of texts, read by calamine in a process of its own; runs no macro."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from app.formats.guidance import FileRefused
from app.formats.readers.headings import Merge
from app.formats.readers.sheets import calamine_child
from app.formats.readers.sheets.cell_values import number_text
from app.formats.readers.sheets.grid import Grid
from app.formats.stored import StoredFile

MOST_BYTES = 64 << 20  # an XLS sheet ends at 65,536 rows
_FLUSH = 100_000  # cells

Sheets = list[tuple[str, bool, Callable[[Path], Grid]]]


def sheets(file: StoredFile, folder: Path) -> Sheets:
    """(name, is hidden, how to read it) of each sheet. Raises `FileRefused`."""
    found: Sheets = []
    reader: _Reader | None = None
    for line in _lines(file):
        if isinstance(line, dict):
            name, is_hidden, merges, column = line["sheet"]
            if reader is not None:
                reader.flush()
            own = folder / f"calamine{len(found)}"
            own.mkdir()
            reader = _Reader(Grid(name, own), column)
            for (top, left), (bottom, right) in merges:
                reader.grid.merges.append(Merge(top + 1, left, bottom + 1, right))
            reader.grid.merges.sort()
            found.append((name, is_hidden, reader.ready))
        elif reader is not None:
            reader.add(line)
    if reader is not None:
        reader.flush()
    return found


def _lines(file: StoredFile) -> Iterator[Any]:
    command = [sys.executable, "-I", calamine_child.__file__, str(file.path)]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stdout:
                if line.endswith(b"\n"):  # a killed process may leave half a line
                    yield orjson.loads(line)
        except BaseException:
            child.kill()
            raise
    if child.returncode == calamine_child.LOCKED:
        raise FileRefused("workbook_encrypted")
    if child.returncode != 0:
        raise FileRefused("file_damaged")


class _Reader:
    """Collects one sheet's rows."""

    def __init__(self, grid: Grid, column: int) -> None:
        self.grid = grid
        self._column = column
        self._row = 0
        self._cells: list[tuple[int, int, str]] = []
        self._refused: FileRefused | None = None

    def add(self, values: list[Any]) -> None:
        """The next row."""
        self._row += 1
        self._cells += [
            (self._row, self._column + along, _text(value))
            for along, value in enumerate(values)
            if value != ""
        ]
        if len(self._cells) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        cells, self._cells = self._cells, []
        if not cells or self._refused is not None:
            return
        schema = {"row": pl.Int32, "column": pl.Int32, "text": pl.String}
        frame = pl.DataFrame(cells, schema=schema, orient="row")
        texts = frame["text"].str.replace_all("\0", "\ufffd", literal=True)
        try:
            self.grid.add(frame["row"], frame["column"], texts)
        except FileRefused as exc:
            self._refused = exc

    def ready(self, _folder: Path) -> Grid:
        """The sheet, which was read with all the others."""
        if self._refused is not None:
            raise self._refused
        return self.grid


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(repr(value)) if isinstance(value, int | float) else str(value)
