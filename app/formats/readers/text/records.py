"""Records of a delimited text by the standard csv module, with their source lines; no typing."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from app.formats.guidance import FileRefused
from app.formats.readers.text.chunks import Chunk, Lines

CELL_CHARACTERS = 1 << 20
_QUOTE_RUNS_AWAY = 1000  # lines; a quoted cell longer than this was never closed

csv.field_size_limit(CELL_CHARACTERS)  # the module's own limit is 128 KB, for the whole process


@dataclass(frozen=True, slots=True)
class Record:
    """One record, the physical line on which it starts and the one after it."""

    line: int
    end: int
    cells: list[str]


def records(lines: Lines, delimiter: str) -> Iterator[Record]:
    """The records of the chunk that `lines` stands in; a record may borrow from the next chunk."""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise _refusal(lines) from exc
        yield Record(lines.record_line, lines.line, cells)


def records_of(chunk: Chunk, delimiter: str, first_line: int = 1) -> Iterator[Record]:
    """The records of one chunk alone; what the chunk's end cuts off is left out."""
    lines = Lines(iter(()), first_line)
    lines.feed(chunk)
    try:
        yield from records(lines, delimiter)
    except FileRefused:
        if chunk.last:
            raise


def _refusal(lines: Lines) -> FileRefused:
    span = lines.line - lines.record_line
    if span > _QUOTE_RUNS_AWAY:
        return FileRefused("unclosed_quote", line=lines.record_line)
    return FileRefused("cell_too_long", line=lines.record_line, limit_mb=CELL_CHARACTERS >> 20)
