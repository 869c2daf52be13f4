"""Finds delimiter, header and first data line of a delimited text; it never reads past its head."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.chunks import Chunk, chunks
from app.formats.encoding import Encoding
from app.formats.guidance import FileRefused, Notice
from app.formats.records import Record, records_of
from app.formats.text import BLANKS, ascii_digits

DELIMITERS = (",", "\t", ";", "|")
MAX_COLUMNS = 2000
_SAMPLE_BYTES = 1 << 20
_SAMPLE_RECORDS = 1000
_HEADER_WITHIN = 40  # records
_DATA_LIKE = re.compile(
    r"[-+▲△]?\(?[0-9][0-9,.:/()-]*%?|https?://\S+|[^@\s]+@[^@\s]+\.[a-z]+|NULL|(?:[RHSTM]|令和|平成)[0-9].*",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}(?:[./-](?:0?[1-9]|1[0-2]))?")
_PROPERTY = "#property"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the table stands in the text."""

    delimiter: str
    labels: tuple[str, ...]
    header_line: int | None
    data_line: int  # the first physical line after the header
    read_width: int  # cells in most rows: more than labels where commas trail
    sample: tuple[Record, ...]  # the first data records
    newline: str
    notices: tuple[Notice, ...]


def read_layout(open_stream: Callable[[], BinaryIO], encoding: Encoding) -> Layout:
    """The layout, from the first megabyte."""
    chunk = _head(open_stream, encoding)
    delimiter, rows = _delimiter(chunk)
    if not rows:  # the very first cell opens a quote and never closes it
        raise FileRefused("unclosed_quote", line=1)
    filled = [row for row in rows if any(map(_strip, row.cells))]
    width = max((len(row.cells) for row in filled[:_HEADER_WITHIN]), default=0)
    if width > MAX_COLUMNS:
        raise FileRefused("too_many_columns", columns=width, limit=MAX_COLUMNS)
    at = _header_at(filled)
    labels, body = _labels(filled, at)
    data_line = body[0].line if body else rows[-1].end
    header_line = None if at is None else filled[at].line
    return Layout(
        delimiter=delimiter,
        labels=labels,
        header_line=header_line,
        data_line=data_line,
        read_width=max(len(labels), _most_common(len(row.cells) for row in body)),
        sample=tuple(body),
        newline=_newline(chunk.data),
        notices=_notices(filled, at, body, labels),
    )


def _head(open_stream: Callable[[], BinaryIO], encoding: Encoding) -> Chunk:
    """The first megabyte in whole lines; more where a long line follows at once."""
    data = b""
    for chunk in chunks(open_stream, encoding, _SAMPLE_BYTES):
        data += chunk.data
        if chunk.last or len(data) * 2 >= _SAMPLE_BYTES:
            break
    return Chunk(data, chunk.read, chunk.last)


def _strip(cell: str) -> str:
    return cell.strip(BLANKS)


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


def _header_at(rows: Sequence[Record]) -> int | None:
    """The index of the header among the non-blank rows, or None when every row is data."""
    for index, row in enumerate(rows[:_HEADER_WITHIN]):
        if _strip(row.cells[0]) == _PROPERTY:
            return index
    counts = [sum(1 for cell in row.cells if _strip(cell)) for row in rows]
    typical = sorted(counts)[len(counts) // 2] if counts else 0
    enough = max(min(2, typical), (typical + 1) // 2)
    for index, count in enumerate(counts[:_HEADER_WITHIN]):
        if count >= enough:
            return index if _is_header(rows[index], rows[index + 1 :]) else None
    return None


def _is_header(row: Record, body: Sequence[Record]) -> bool:
    """Column by column: a word over figures speaks for a header, a figure over figures against."""
    years = [cell for cell in map(_strip, row.cells) if _YEAR.fullmatch(ascii_digits(cell))]
    skip = set(years) if len(set(years)) == len(years) > 1 else set()
    words = figures = 0
    for index, cell in enumerate(map(_strip, row.cells)):
        if not cell or cell in skip:
            continue
        if is_data_like(cell):
            figures += 1
        elif _column_is_figures(body, index):
            words += 1
    return figures == 0 or words >= figures


def is_data_like(cell: str) -> bool:
    """Whether a cell holds a figure, a date, an address on the web: something no heading is."""
    return _DATA_LIKE.fullmatch(ascii_digits(cell)) is not None


def _column_is_figures(body: Sequence[Record], index: int) -> bool:
    cells = [_strip(row.cells[index]) for row in body[:100] if index < len(row.cells)]
    filled = [cell for cell in cells if cell]
    return bool(filled) and sum(map(is_data_like, filled)) * 2 > len(filled)


def _labels(rows: Sequence[Record], at: int | None) -> tuple[tuple[str, ...], list[Record]]:
    """The headings, and the data rows of the sample."""
    if at is None:
        width = max(map(_width, rows), default=0)
        return tuple(f"列{number}" for number in range(1, width + 1)), list(rows)
    labels = [_strip(cell) for cell in rows[at].cells]
    body = list(rows[at + 1 :])
    if labels[0].startswith("#"):
        while body and _strip(body[0].cells[0]).startswith("#"):
            body.pop(0)
    elif body and _is_second_header(labels, body):
        labels = _joined(labels, [_strip(cell) for cell in body.pop(0).cells])
    width = len(labels)
    while width and not labels[width - 1]:
        width -= 1
    longer = [row_width for row in body if (row_width := _width(row)) > width]
    if len(longer) * 2 > len(body):
        width = max(longer)
    return tuple((labels + [""] * width)[:width]), body


def _width(row: Record) -> int:
    """The width of a row without the empty cells at its end."""
    return max((index for index, cell in enumerate(row.cells, 1) if _strip(cell)), default=0)


def _is_second_header(labels: list[str], body: list[Record]) -> bool:
    """A merged heading leaves gaps that the row below fills, and has figures further down."""
    below = [_strip(cell) for cell in body[0].cells]
    pairs = list(zip(labels, below, strict=False))
    gaps = any(not top and sub for top, sub in pairs)
    merged = any(top and not sub for top, sub in pairs)
    words = not any(map(is_data_like, below))
    return gaps and merged and words and any(is_data_like(cell) for cell in body[-1].cells)


def _joined(labels: list[str], below: list[str]) -> list[str]:
    joined, group = [], ""
    for index in range(max(len(labels), len(below))):
        top = labels[index] if index < len(labels) else ""
        sub = below[index] if index < len(below) else ""
        group = top or group
        joined.append(f"{group}_{sub}" if sub and group else sub or top)
    return joined


def _newline(data: bytes) -> str:
    crlf, lf, cr = data.count(b"\r\n"), data.count(b"\n"), data.count(b"\r")
    kinds = {"crlf": crlf, "lf": lf - crlf, "cr": cr - crlf}
    return max(kinds, key=lambda kind: kinds[kind])


def _notices(
    rows: Sequence[Record], at: int | None, body: Sequence[Record], labels: tuple[str, ...]
) -> tuple[Notice, ...]:
    notices = []
    if at is None:
        notices.append(Notice("no_header"))
    else:
        marked = sum(1 for row in rows[:at] if row.cells[0].startswith("#"))
        marked += max(len(rows) - at - 1 - len(body), 0) if labels[0].startswith("#") else 0
        if marked:
            notices.append(Notice("metadata_skipped", {"count": marked}))
        titles = [row.line for row in rows[:at] if not row.cells[0].startswith("#")]
        if titles:
            notices.append(Notice("title_skipped", {"count": len(titles), "first": titles[0]}))
    for label, count in Counter(filter(None, labels)).items():
        if count > 1:
            notices.append(Notice("duplicate_header", {"label": label, "count": count}))
    for position, label in enumerate(labels, 1):
        if not label:
            notices.append(Notice("empty_header", {"position": position}))
    return tuple(notices)
