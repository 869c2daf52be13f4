"""Delimited text: finds delimiter, header and first data line, and gives the rows behind them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.head import head_notices, header_at, heading, strip
from app.formats.readers.text.chunks import CHUNK_BYTES, Chunk, chunks
from app.formats.readers.text.delimited_rows import rows_of
from app.formats.readers.text.encoding import Encoding, probe
from app.formats.readers.text.layout import MAX_COLUMNS, Layout
from app.formats.readers.text.records import Record, records_of
from app.formats.table import Batch

DELIMITERS = (",", "\t", ";", "|")
_SAMPLE_BYTES = 1 << 20
_SAMPLE_RECORDS = 1000
_HEADER_WITHIN = 40  # records


@dataclass(frozen=True, slots=True)
class DelimitedTable:
    """A text whose lines are rows."""

    open_stream: Callable[[], BinaryIO]
    text: Encoding
    head: Layout
    name: str = ""
    chunk_bytes: int = CHUNK_BYTES
    format: str = "csv"

    @property
    def encoding(self) -> str:
        """The encoding as a report shows it."""
        return self.text.label

    def batches(self) -> Iterator[Batch]:
        """The data rows; notes and totals are cut from the last batch."""
        return rows_of(self.open_stream, self.text, self.head, chunk_bytes=self.chunk_bytes)


def delimited_table(
    open_stream: Callable[[], BinaryIO], *, told: str | None = None, name: str = ""
) -> DelimitedTable:
    """The table of a text. `told` is the publisher's word on its encoding.

    Raises `FileRefused` when it is no text or holds no row.
    """
    encoding = probe(open_stream, told=told)
    return DelimitedTable(open_stream, encoding, read_layout(open_stream, encoding), name)


def read_layout(
    open_stream: Callable[[], BinaryIO], encoding: Encoding, *, is_csv: bool = False
) -> Layout:
    """The layout, from the first megabyte. `is_csv`: comma and a header on line 1 are certain."""
    chunk = _head(open_stream, encoding)
    delimiter, rows = (",", _sample(chunk, ",", strict=True)) if is_csv else _delimiter(chunk)
    if not rows:  # the very first cell opens a quote and never closes it
        raise FileRefused("unclosed_quote", line=1)
    filled = [row for row in rows if any(map(strip, row.cells))]
    width = max((len(row.cells) for row in filled[:_HEADER_WITHIN]), default=0)
    if width > MAX_COLUMNS:
        raise FileRefused("too_many_columns", columns=width, limit=MAX_COLUMNS)
    at = 0 if is_csv and filled else header_at(filled)
    found = heading(filled, at)
    labels, body = found.labels, found.body
    doubt = (Notice("encoding_ambiguous"),) if encoding.ambiguous else ()
    return Layout(
        delimiter=delimiter,
        labels=labels,
        header_line=None if found.first is None else filled[found.first].line,
        data_line=body[0].line if body else rows[-1].end,
        read_width=max(len(labels), _most_common(len(row.cells) for row in body)),
        sample=tuple(body),
        header_rows=found.rows,
        newline=_newline(chunk.data),
        notices=(*doubt, *head_notices(filled, found)),
    )


def _head(open_stream: Callable[[], BinaryIO], encoding: Encoding) -> Chunk:
    """The first megabyte in whole lines; more where a long line follows at once."""
    data = b""
    for chunk in chunks(open_stream, encoding, _SAMPLE_BYTES):
        data += chunk.data
        if chunk.last or len(data) * 2 >= _SAMPLE_BYTES:
            break
    return Chunk(data, chunk.read, chunk.last)


def _delimiter(chunk: Chunk) -> tuple[str, list[Record]]:
    """The delimiter under which most rows have the same width, and the rows it makes."""
    best = (0.0, "")
    for delimiter in DELIMITERS:
        rows = _sample(chunk, delimiter, strict=False)
        widths = [len(row.cells) for row in rows if row.cells]
        width = _most_common(widths)
        if width < 2:
            continue
        score = widths.count(width) / len(widths) * (1 - 1 / width)
        if score > best[0]:
            best = (score, delimiter)
    delimiter = best[1] or ","
    return delimiter, _sample(chunk, delimiter, strict=True)


def _sample(chunk: Chunk, delimiter: str, *, strict: bool) -> list[Record]:
    """The first records; under a wrong delimiter quotes may well seem unclosed."""
    rows = []
    try:
        for row in records_of(chunk, delimiter):
            rows.append(row)
            if len(rows) == _SAMPLE_RECORDS:
                break
    except FileRefused:
        if strict:
            raise
    return rows


def _most_common(widths: object) -> int:
    counted = Counter(widths)  # type: ignore[call-overload]
    return int(counted.most_common(1)[0][0]) if counted else 0


def _newline(data: bytes) -> str:
    crlf, lf, cr = data.count(b"\r\n"), data.count(b"\n"), data.count(b"\r")
    kinds = {"crlf": crlf, "lf": lf - crlf, "cr": cr - crlf}
    return max(kinds, key=lambda kind: kinds[kind])
