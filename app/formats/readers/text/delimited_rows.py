"""Turns a delimited file into frames of raw strings, one bounded batch at a time; worker only."""

import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import polars as pl

from app.formats.readers.footer import TAIL, cut_footer
from app.formats.readers.repeats import without_repeats
from app.formats.readers.text.chunks import CHUNK_BYTES, Chunk, Lines, chunks, count_lines
from app.formats.readers.text.encoding import Encoding
from app.formats.readers.text.layout import Layout
from app.formats.readers.text.records import CELL_CHARACTERS, Record, records
from app.formats.table import Batch
from app.formats.text import BLANKS

_SLOW_ROWS = 100_000


def rows_of(
    open_stream: Callable[[], BinaryIO],
    encoding: Encoding,
    layout: Layout,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Batch]:
    """The data rows in order; notes and totals are cut from the last batch."""
    read = _read(chunks(open_stream, encoding, chunk_bytes), layout)
    return cut_footer(without_repeats(read, layout.header_rows))


def _read(source: Iterator[Chunk], layout: Layout) -> Iterator[Batch]:
    line, skip = layout.data_line, layout.data_line - 1
    for whole in source:
        skip, chunk = _skip_lines(whole, skip)
        if skip:
            continue
        batch = _fast(chunk, layout, line)
        if batch is not None:
            line = batch.end_line
            yield batch
            continue
        lines = Lines(source, line)
        lines.feed(chunk)
        yield from _slow(lines, layout)
        line = lines.line


def _skip_lines(chunk: Chunk, count: int) -> tuple[int, Chunk]:
    """`chunk` without its first `count` lines, and how many are still to skip."""
    if not count:
        return 0, chunk
    stream = io.StringIO(chunk.text(), newline="")
    while count and stream.readline():
        count -= 1
    return count, Chunk(stream.read().encode("utf-8"), chunk.read, chunk.last)


def _fast(chunk: Chunk, layout: Layout, first_line: int) -> Batch | None:
    """Polars' own reader, where one line is one record beyond doubt; None where it is not."""
    data = chunk.data
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            return None
    if not data.strip():
        return None
    height = count_lines(data) + (not data.endswith(b"\n"))
    if b'"' in data and not _well_quoted(data, layout.delimiter):
        return None
    frame = _parsed(data, layout)
    if frame is None or frame.height != height:
        return None
    lines = pl.int_range(first_line, first_line + height, dtype=pl.Int64, eager=True)
    frame, lines, blanks = _without_blanks(frame, lines)
    return Batch(frame, lines, chunk.read, first_line + height, blanks=blanks)


def _parsed(data: bytes, layout: Layout) -> pl.DataFrame | None:
    """The cells by polars' reader, or None where a row or a cell is too long for it or for us."""
    names = [str(index) for index in range(layout.read_width)]
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=dict.fromkeys(names, pl.String()),
            separator=layout.delimiter,
            quote_char='"' if b'"' in data else None,
        )
    except pl.exceptions.PolarsError:
        return None
    if any(cast(int, column.str.len_bytes().max() or 0) > CELL_CHARACTERS for column in frame):
        return None
    extra = frame.get_columns()[len(layout.labels) :]
    if any(column.null_count() < len(column) for column in extra):
        return None
    return frame.select(names[: len(layout.labels)])


def _well_quoted(data: bytes, delimiter: str) -> bool:
    """Whether every line with a quote is whole by RFC 4180, so that all readers agree on it."""
    if data.count(b'"') % 2:
        return False
    mark = re.escape(delimiter)
    cell = f'(?:"(?:[^"]|"")*"|[^"{mark}]*)'
    lines = pl.Series(data.decode("utf-8").split("\n"), dtype=pl.String)
    quoted = lines.filter(lines.str.contains('"', literal=True))
    return bool(quoted.str.contains(f"^{cell}(?:{mark}{cell})*$").all())


def _without_blanks(frame: pl.DataFrame, lines: pl.Series) -> tuple[pl.DataFrame, pl.Series, int]:
    first = frame["0"].str.strip_chars(BLANKS)
    if not (first.is_null() | (first == "")).any():
        return frame, lines, 0
    filled = frame.select(
        pl.any_horizontal(pl.all().str.strip_chars(BLANKS).fill_null("") != "")
    ).to_series()
    blanks = frame.height - int(filled.sum())
    return (frame.filter(filled), lines.filter(filled), blanks) if blanks else (frame, lines, 0)


def _slow(lines: Lines, layout: Layout) -> Iterator[Batch]:
    """The csv module, for quoted line ends, ragged rows, bare CRs and stray quotes."""
    held: list[Record] = []
    blanks, chunk = 0, lines.chunk
    for record in records(lines, layout.delimiter):
        if not any(cell.strip(BLANKS) for cell in record.cells):
            blanks += 1
            continue
        held.append(record)
        if len(held) >= _SLOW_ROWS or (lines.chunk is not chunk and len(held) > TAIL):
            chunk = lines.chunk
            yield _batch(held[:-TAIL], lines, layout, blanks)
            held, blanks = held[-TAIL:], 0
    if held or blanks:
        yield _batch(held, lines, layout, blanks)


def _batch(held: list[Record], lines: Lines, layout: Layout, blanks: int) -> Batch:
    width = len(layout.labels)
    overlong: dict[int, list[str]] = {}
    rows = []
    for index, record in enumerate(held):
        cells = record.cells
        if len(cells) > width and any(cell.strip(BLANKS) for cell in cells[width:]):
            overlong[index] = cells
        rows.append(cells[:width] + [""] * (width - len(cells)))
    columns = list(zip(*rows, strict=True)) or [()] * width
    frame = pl.DataFrame(
        [pl.Series(str(at), column, dtype=pl.String) for at, column in enumerate(columns)]
    )
    numbers = pl.Series([record.line for record in held], dtype=pl.Int64)
    read = lines.chunk.read if lines.chunk else 0
    return Batch(frame, numbers, read, lines.line, overlong, blanks)
