"""Takes a file in: survey, then blocks for COPY; for the worker, never for the API."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import polars as pl

from app.formats.addresses import ADDRESS_PARTS, WHOLE_ADDRESS
from app.formats.columns import Column, column, trimmed
from app.formats.dates import DateOrder
from app.formats.evidence import decide, needs_whole_file
from app.formats.expressed import by_expression
from app.formats.guidance import FileRefused, MappingRefused, Notice
from app.formats.inference import infer
from app.formats.mapping import Source, coordinate_pairs, found_share, plan
from app.formats.number_in_files import Cells
from app.formats.opening import choose, open_tables
from app.formats.placing import with_places
from app.formats.profiles.column_rules import broken_rows
from app.formats.profiles.layout import ProfileLayout
from app.formats.profiles.matching import match
from app.formats.profiles.recognition import recognised
from app.formats.quality.repair_counts import Repairs
from app.formats.raw_lines import csv_line
from app.formats.stored import StoredFile
from app.formats.survey import (
    EXTRAS,
    LINE,
    ORIGINAL,
    ROW,
    Block,
    Reject,
    Survey,
    copy_columns,
)
from app.formats.table import Batch, Shaped
from app.formats.text import CellError, value_class
from app.formats.told import Told
from app.query.fields import Field, FieldType, geometry_of

__all__ = ["Block", "Reject", "Survey", "blocks", "copy_columns", "survey"]

BLOCK_ROWS = 50_000
_SHOWN_LINES = 20
_CUT_PHONE = r"^[1-9][0-9]{8,9}$"  # a number in Japan begins with 0, but for those of three digits


def survey(
    file: StoredFile,
    *,
    declared: Sequence[Field] | None,
    mapping: Sequence[Mapping[str, Any]] | None = None,
    told: Told = Told(),  # noqa: B008 - a frozen value
    layouts: Sequence[ProfileLayout] = (),
    rules: Sequence[Mapping[str, Any]] = (),
) -> Survey:
    """Decide how the file is read. `told` is the publisher's own word, `layouts` are the standard

    layouts that a file without declared fields may turn out to have, and `rules` those of the
    profile that the dataset follows.

    Raises `FileRefused` (or `MappingRefused`) when it cannot be read at all.
    """

    def fit(labels: Sequence[str]) -> float:
        if declared is None:
            return float(any(one.accepted for one in match(labels, layouts)))
        return found_share(declared, mapping, labels)

    table, notices = choose(open_tables(file, told), told, fit)
    if told.crs is not None:
        table = with_places(table, told.crs)
    if declared and geometry_of(declared) and isinstance(table, Shaped):
        table = table.shaped()
    first = Survey(table, (), notices=(*table.head.notices, *notices), rules=tuple(rules))
    if declared is None:
        return _with_ids(recognised(infer(first), layouts))
    first = replace(first, may_be_empty=bool(told.empty))
    sources, more = plan(declared, mapping, table.head.labels)
    _check_patterns(sources)
    first = _with_ids(replace(first, sources=sources, notices=(*first.notices, *more)))
    return decide(first) if needs_whole_file(first) else first


def _with_ids(found: Survey) -> Survey:
    """Columns that the format itself calls ids are opaque: other files refer to them as they are."""
    types = found.head.types
    ids = {at for at, kind in enumerate(types) if kind is FieldType.CODE}
    if not ids:
        return found
    sources = (replace(source, exact=source.column in ids) for source in found.sources)
    return replace(found, sources=tuple(sources))


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
    found: Survey, *, block_rows: int = BLOCK_ROWS, by_share: bool = True
) -> Iterator[Block]:
    """The file's rows, normalised and checked, in blocks of at most `block_rows`.

    `by_share`: whether so many rows stand together that what most of them hold says something.

    Raises `FileRefused` at the end when there was none, and nobody had said so.
    """
    row, cells = 1, Cells(found.table, by_share=by_share)
    for batch in found.table.batches():
        cells.check(batch)
        height = batch.frame.height
        for start in range(0, max(height, 1), block_rows):
            part = _slice(batch, start, block_rows)
            final = start + block_rows >= height
            yield _block(part, found, row, _tail_notices(batch) if final else ())
            row += part.frame.height
    if row == 1 and not found.may_be_empty:
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
        wrong={at - start: row for at, row in batch.wrong.items() if start <= at < start + rows},
    )


def _tail_notices(batch: Batch) -> tuple[Notice, ...]:
    notices = []
    if batch.blanks:
        notices.append(Notice("blank_rows_skipped", {"count": batch.blanks}))
    if batch.repeated:
        notices.append(Notice("header_repeated", {"count": batch.repeated}))
    if batch.footer:
        first, rows = batch.footer
        notices.append(Notice("footer_skipped", {"first": first, "count": rows}))
    return tuple(notices)


def _block(batch: Batch, found: Survey, row: int, notices: tuple[Notice, ...]) -> Block:
    height = batch.frame.height
    columns = _columns(batch, found)
    rejects, wrong = _rejects(batch, found, columns, row)
    numbers = pl.int_range(row, row + height, dtype=pl.Int64, eager=True)
    original, repairs = _originals(found, columns, height, wrong, row)
    frame = pl.DataFrame(
        [
            numbers.alias(ROW),
            batch.lines.alias(LINE),
            original.alias(ORIGINAL),
            _extras(batch, found).alias(EXTRAS),
            *(
                series
                for source, made in zip(found.sources, columns, strict=True)
                for series in made.stored(source.field)
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
        repaired=repairs.cells,
        repairs=repairs.counts,
        first_line=int(batch.lines[0]) if height else batch.end_line,
        last_line=int(batch.lines[-1]) if height else batch.end_line,
        bytes_read=batch.read,
        rows=height,
        notices=(
            *notices,
            *_whole_addresses(batch, found, columns, wrong),
            *_crossing_shapes(batch, found, columns, wrong),
            *_cut_phones(batch, found, columns, wrong),
        ),
    )


def _crossing_shapes(
    batch: Batch, found: Survey, columns: list[Column], wrong: set[int]
) -> Iterator[Notice]:
    """A shape that crosses itself is still what was published: kept, and said."""
    for source, made in zip(found.sources, columns, strict=True):
        yield from _at_lines("geometry_not_valid", batch, source, made.crossing, wrong)


def _cut_phones(
    batch: Batch, found: Survey, columns: list[Column], wrong: set[int]
) -> Iterator[Notice]:
    """A telephone number that Excel took for a number cannot be dialled: kept, and said."""
    for source, made in zip(found.sources, columns, strict=True):
        if source.field.type is FieldType.PHONE:
            cut = made.values.str.contains(_CUT_PHONE).fill_null(value=False).arg_true()
            yield from _at_lines("leading_zero_lost", batch, source, cut.to_list(), wrong)


def _at_lines(
    code: str, batch: Batch, source: Source, places: Iterable[int], wrong: set[int]
) -> Iterator[Notice]:
    """The notice that cells of a field earn, with the lines they stand in; rejected rows do not."""
    lines = [int(batch.lines[at]) for at in places if at not in wrong]
    if lines:
        shown = "、".join(map(str, lines[:_SHOWN_LINES])) + ("…" * (len(lines) > _SHOWN_LINES))
        yield Notice(code, {"label": source.field.label, "count": len(lines), "lines": shown})


def _whole_addresses(
    batch: Batch, found: Survey, columns: list[Column], wrong: set[int]
) -> Iterator[Notice]:
    """A row whose whole address stands in the cell of a part is good, but no map will split it."""
    for source, made in zip(found.sources, columns, strict=True):
        if source.field.type is not FieldType.TEXT or not ADDRESS_PARTS.search(source.field.name):
            continue
        whole = made.values.str.contains(WHOLE_ADDRESS).fill_null(value=False).arg_true()
        yield from _at_lines("address_not_split", batch, source, whole.to_list(), wrong)


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
        if source.expression is not None:
            asked = [(cells_of(source, at), path) for at, path in source.inputs]
            made.append(by_expression(source, source.expression, asked, batch.frame.height, order))
            continue
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
    if found.rules:
        texts = [made.values for made in columns]
        errors.extend(broken_rows(found.rules, found.fields, texts))
    if batch.wrong:  # what else such a row lacks follows from what spoilt it
        errors = [error for error in errors if error[0] not in batch.wrong]
        errors.extend(_spoilt(batch, found))
    errors.sort(key=lambda error: error[:2])
    rejects = []
    for index, at, error in errors:
        cells = _raw_cells(batch, index)
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


def _spoilt(batch: Batch, found: Survey) -> Iterator[tuple[int, int, CellError]]:
    """The rows that the format itself has spoilt, each at the field that takes the spoilt cell."""
    at_column = {source.column: at for at, source in reversed(list(enumerate(found.sources)))}
    for index, row in batch.wrong.items():
        at = -1 if row.column is None else at_column.get(row.column, -1)
        yield index, at, CellError(row.code)


def _raw_cells(batch: Batch, index: int) -> list[str]:
    """What a rejected row holds, as far as it could be read."""
    row = batch.wrong.get(index)
    if row is not None and row.raw is not None:
        return list(row.raw)
    return batch.overlong.get(index) or [cell or "" for cell in batch.frame.row(index)]


def _halves(found: Survey, columns: list[Column]) -> Iterator[tuple[int, int, CellError]]:
    """A latitude without its longitude, or the other way round."""
    for lat, lon in coordinate_pairs(found.sources):
        for at, other, code in ((lat, lon, "latitude_missing"), (lon, lat, "longitude_missing")):
            half = ~columns[at].filled & columns[other].filled
            for index in half.arg_true():
                if index not in columns[at].errors:
                    yield int(index), at, CellError(code)


def _originals(
    found: Survey, columns: list[Column], height: int, wrong: set[int], row: int
) -> tuple[pl.Series, Repairs]:
    """The raw texts of changed cells as JSON per row, and what was repaired by which rule."""
    kept = {source.column for source in found.sources if not source.is_derived}
    rows: dict[int, dict[str, str]] = {}
    repairs = Repairs()
    for source, made in zip(found.sources, columns, strict=True):
        if made.changed is None or source.constant is not None:
            continue
        if source.is_derived and source.column is not None and source.column in kept:
            continue
        at = made.changed.arg_true()
        texts, values = made.raw.gather(at).to_list(), made.values.gather(at).to_list()
        for index, text, value in zip(at.to_list(), texts, values, strict=True):
            if index in wrong:
                continue
            rows.setdefault(index, {})[source.field.name] = text
            repairs.add(source, text, value, row + index)
    if not rows:
        return pl.Series([None], dtype=pl.String).new_from_index(0, height), repairs
    kept_texts: list[str | None] = [None] * height
    for index, cells in rows.items():
        kept_texts[index] = orjson.dumps(cells).decode()
    return pl.Series(kept_texts, dtype=pl.String), repairs


def _extras(batch: Batch, found: Survey) -> pl.Series:
    """The cells of columns that no field takes, as one JSON object per row; null where all are."""
    columns = found.extras
    if not columns:
        return pl.Series([None], dtype=pl.String).new_from_index(0, batch.frame.height)
    labels = _distinct([found.head.labels[at] for at in columns])
    cells = pl.DataFrame(
        [
            trimmed(batch.frame.to_series(at)).alias(label)
            for at, label in zip(columns, labels, strict=True)
        ]
    )
    filled = pl.any_horizontal(pl.all().is_not_null())
    return cells.select(pl.when(filled).then(pl.struct(pl.all()).struct.json_encode())).to_series()


def _distinct(labels: Sequence[str]) -> list[str]:
    """The headings as keys: one that comes again gets a number."""
    seen: Counter[str] = Counter()
    made = []
    for label in labels:
        seen[label] += 1
        made.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return made
