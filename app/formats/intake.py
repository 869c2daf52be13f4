"""Takes a delimited file in: survey, then blocks for COPY; for the worker, never for the API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import orjson
import polars as pl

from app.formats.batches import Batch, batches, csv_line
from app.formats.chunks import CHUNK_BYTES
from app.formats.columns import Column, column, trimmed
from app.formats.dates import DateOrder
from app.formats.delimited import read_layout
from app.formats.encoding import probe
from app.formats.evidence import decide, needs_whole_file
from app.formats.guidance import FileRefused, MappingRefused, Notice
from app.formats.inference import infer
from app.formats.mapping import Source, coordinate_pairs, plan
from app.formats.survey import LINE, ORIGINAL, ROW, Block, Reject, Survey, copy_columns
from app.formats.text import CellError, value_class
from app.query.fields import Field

__all__ = ["Block", "Reject", "Survey", "blocks", "copy_columns", "survey"]

BLOCK_ROWS = 50_000


def survey(
    open_stream: Callable[[], BinaryIO],
    *,
    declared: Sequence[Field] | None,
    mapping: Sequence[Mapping[str, Any]] | None = None,
    encoding: str | None = None,
) -> Survey:
    """Decide how the file is read. `encoding` is the publisher's own word where ours was ambiguous.

    Raises `FileRefused` (or `MappingRefused`) when it cannot be read at all.
    """
    told = probe(open_stream, told=encoding)
    layout = read_layout(open_stream, told)
    notices = list(layout.notices)
    if told.ambiguous:
        notices.insert(0, Notice("encoding_ambiguous"))
    first = Survey(told, layout, (), notices=tuple(notices))
    if declared is None:
        return infer(open_stream, first)
    sources, more = plan(declared, mapping, layout.labels)
    _check_patterns(sources)
    first = replace(first, sources=sources, notices=(*first.notices, *more))
    return decide(open_stream, first) if needs_whole_file(first) else first


def _check_patterns(sources: Sequence[Source]) -> None:
    """Rust's patterns are not quite Python's: what its engine refuses is refused here."""
    for number, source in enumerate(sources, 1):
        if source.pattern is None:
            continue
        try:
            pl.Series([""]).str.extract(source.pattern, 0)
        except pl.exceptions.PolarsError as exc:
            raise MappingRefused("mapping_bad_regex", step=number, name=source.field.name) from exc


def blocks(
    open_stream: Callable[[], BinaryIO],
    found: Survey,
    *,
    block_rows: int = BLOCK_ROWS,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Block]:
    """The file's rows, normalised and checked, in blocks of at most `block_rows`.

    Raises `FileRefused` at the end when there was none.
    """
    row = 1
    for batch in batches(open_stream, found.encoding, found.layout, chunk_bytes=chunk_bytes):
        height = batch.frame.height
        for start in range(0, max(height, 1), block_rows):
            part = _slice(batch, start, block_rows)
            final = start + block_rows >= height
            yield _block(part, found, row, _tail_notices(batch) if final else ())
            row += part.frame.height
    if row == 1:
        raise FileRefused("no_data_rows")


def _slice(batch: Batch, start: int, rows: int) -> Batch:
    if start == 0 and batch.frame.height <= rows:
        return batch
    overlong = {
        index - start: cells
        for index, cells in batch.overlong.items()
        if start <= index < start + rows
    }
    return replace(
        batch,
        frame=batch.frame.slice(start, rows),
        lines=batch.lines.slice(start, rows),
        overlong=overlong,
    )


def _tail_notices(batch: Batch) -> tuple[Notice, ...]:
    notices = []
    if batch.blanks:
        notices.append(Notice("blank_rows_skipped", {"count": batch.blanks}))
    if batch.footer:
        first, rows = batch.footer
        notices.append(Notice("footer_skipped", {"first": first, "count": rows}))
    return tuple(notices)


def _block(batch: Batch, found: Survey, row: int, notices: tuple[Notice, ...]) -> Block:
    height = batch.frame.height
    columns = _columns(batch, found)
    rejects, wrong = _rejects(batch, found, columns, row)
    numbers = pl.int_range(row, row + height, dtype=pl.Int64, eager=True)
    original, repaired = _originals(found, columns, height, wrong)
    frame = pl.DataFrame(
        [
            numbers.alias(ROW),
            batch.lines.alias(LINE),
            original.alias(ORIGINAL),
            *(
                made.values.alias(source.field.column)
                for source, made in zip(found.sources, columns, strict=True)
            ),
        ]
    )
    if wrong:
        keep = pl.Series([True]).new_from_index(0, height).scatter(sorted(wrong), False)
        frame = frame.filter(keep)
    return Block(
        csv=frame.write_csv(include_header=False).encode("utf-8"),
        accepted=frame.height,
        rejects=rejects,
        repaired=repaired,
        first_line=int(batch.lines[0]) if height else batch.end_line,
        last_line=int(batch.lines[-1]) if height else batch.end_line,
        bytes_read=batch.read,
        rows=height,
        notices=notices,
    )


def _columns(batch: Batch, found: Survey) -> list[Column]:
    """Every field's values; a source column is trimmed once however many fields it feeds."""
    cells: dict[int | None, pl.Series] = {}

    def cells_of(source: Source, at: int | None) -> pl.Series:
        if at is None:
            constant = pl.Series([source.constant], dtype=pl.String)
            return constant.new_from_index(0, batch.frame.height)
        if at not in cells:
            cells[at] = trimmed(batch.frame.to_series(at))
        return cells[at]

    made = []
    for source in found.sources:
        order = found.orders.get(source.field.name, DateOrder.UNKNOWN)
        one = column(source, cells_of(source, source.column), order)
        if source.own_column is not None:  # the original is what stood under the field's own label
            one = replace(one, raw=cells_of(source, source.own_column))
        made.append(one)
    return made


def _rejects(
    batch: Batch, found: Survey, columns: list[Column], row: int
) -> tuple[list[Reject], set[int]]:
    """One reject for each wrong cell, in row order, and the wrong rows."""
    errors: list[tuple[int, int, CellError]] = [
        (index, -1, CellError("too_many_cells")) for index in batch.overlong
    ]
    for at, made in enumerate(columns):
        errors.extend((index, at, error) for index, error in made.errors.items())
    errors.extend(_halves(found, columns))
    errors.sort(key=lambda error: error[:2])
    rejects = []
    for index, at, error in errors:
        cells = batch.overlong.get(index) or [cell or "" for cell in batch.frame.row(index)]
        raw = "" if at < 0 else columns[at].raw[index]
        rejects.append(
            Reject(
                row=row + index,
                line=int(batch.lines[index]),
                field=None if at < 0 else found.sources[at].field.name,
                value_class=value_class(raw or ""),
                code=error.code,
                raw_line=csv_line(cells),
                hint=error.hint,
            )
        )
    return rejects, {index for index, _, _ in errors}


def _halves(found: Survey, columns: list[Column]) -> Iterator[tuple[int, int, CellError]]:
    """A latitude without its longitude, or the other way round."""
    for lat, lon in coordinate_pairs(found.sources):
        for at, other, code in ((lat, lon, "latitude_missing"), (lon, lat, "longitude_missing")):
            half = ~columns[at].filled & columns[other].filled
            for index in half.arg_true():
                if index not in columns[at].errors:
                    yield int(index), at, CellError(code)


def _originals(
    found: Survey, columns: list[Column], height: int, wrong: set[int]
) -> tuple[pl.Series, int]:
    """The raw texts of changed cells as JSON per row, and how many were repaired."""
    kept = {source.column for source in found.sources if not source.is_derived}
    rows: dict[int, dict[str, str]] = {}
    total = 0
    for source, made in zip(found.sources, columns, strict=True):
        if made.changed is None or source.constant is not None:
            continue
        if source.is_derived and source.column in kept:
            continue
        at = made.changed.arg_true()
        for index, text in zip(at.to_list(), made.raw.gather(at).to_list(), strict=True):
            if index in wrong:
                continue
            rows.setdefault(index, {})[source.field.name] = text
            total += not source.is_derived
    if not rows:
        return pl.Series([None], dtype=pl.String).new_from_index(0, height), total
    texts: list[str | None] = [None] * height
    for index, cells in rows.items():
        texts[index] = orjson.dumps(cells).decode()
    return pl.Series(texts, dtype=pl.String), total
