"""Rows that a source tells, mapped and typed exactly as the take-in does it with a file; keeps none.

What a row lacks is told by code and field, never by its value. Takes CPU: not for an event loop.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from app.catalogue.streams import Reject
from app.kit.folders import held_folder
from app.query.fields import Field, FieldType, edge_columns
from app.query.literals import NotOfType, read_literal

_ROWS: Final = 5_000  # of a block
_WORDS: Final = 400  # of what is wrong with a row: it may list the names that the row has


@dataclass(frozen=True, slots=True)
class How:
    """What rows are made into, by which mapping, under which rules."""

    fields: tuple[Field, ...]
    mapping: Sequence[Mapping[str, Any]] | None
    rules: Sequence[Mapping[str, Any]] = ()
    refused: Mapping[str, frozenset[str]] | None = None

    def of_keys(self) -> "How":
        """For rows that name what has gone: their keys are all that is looked at."""
        keys = tuple(field for field in self.fields if field.key)
        names = {field.name for field in keys}
        steps = [step for step in self.mapping or () if step.get("to") in names]
        return How(keys, steps or None, (), self.refused)


Typed = dict[str, Any] | Reject


def typed(rows: Sequence[Mapping[str, Any]], how: How) -> list[Typed]:
    """For each row its values by column, or why it is kept out.

    One that holds an individual number, or cannot be read, keeps no other out.
    """
    from app.formats.guidance import FileRefused  # noqa: PLC0415 - brings polars, workers only

    if not rows:
        return []
    try:
        return _together([orjson.dumps(row, default=str) for row in rows], how)
    except orjson.JSONEncodeError:
        if len(rows) == 1:
            return [Reject.of_message("message_not_json")]
    except FileRefused as refused:
        if len(rows) == 1:
            ja, en = refused.words("ja")[:_WORDS], refused.words("en")[:_WORDS]
            return [Reject(refused.code, None, ja, en)]
    half = len(rows) // 2
    return typed(rows[:half], how) + typed(rows[half:], how)


def _together(lines: Sequence[bytes], how: How) -> list[Typed]:
    from app.formats import intake  # noqa: PLC0415
    from app.formats.guarding import guarded  # noqa: PLC0415
    from app.formats.mapping import refusing  # noqa: PLC0415
    from app.formats.stored import StoredFile  # noqa: PLC0415
    from app.formats.told import Told  # noqa: PLC0415

    made: dict[int, Typed] = {}
    with held_folder() as folder:
        path = folder / "rows"
        # A row that stands alone would be read as a document, whose rows are looked for in it.
        twice = lines if len(lines) > 1 else [*lines, *lines]
        path.write_bytes(b"".join(line + b"\n" for line in twice))
        file, told = StoredFile(path, folder, "rows.ndjson"), Told()
        survey = partial(
            intake.survey, file, declared=how.fields, mapping=how.mapping, told=told,
            rules=how.rules,
        )  # fmt: skip
        found = guarded(file, told, survey)
        found = replace(found, sources=refusing(found.sources, how.refused or {}))
        columns = intake.copy_columns(found)
        for block in intake.blocks(found, block_rows=_ROWS, by_share=False):
            for line, cells in _lines(block.csv, columns):
                made[line] = _values(cells, how.fields)
            for one in reversed(block.rejects):  # the first of a row is the one that is told
                made[one.line] = _reject(one.code, one.field)
    empty = _reject("no_data_rows", None)
    return [made.get(at, empty) for at in range(1, len(lines) + 1)]


def _lines(text: bytes, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of the accepted rows of a block."""
    from app.formats.survey import LINE  # noqa: PLC0415

    for cells in csv.reader(io.StringIO(text.decode(), newline="")):
        row = dict(zip(columns, cells, strict=True))
        yield int(row[LINE]), row


def _values(row: Mapping[str, str], fields: Sequence[Field]) -> Typed:
    """The values of a row. A moment at an end of the calendar stands in files, and is no literal."""
    from app.formats.survey import EXTRAS, ORIGINAL  # noqa: PLC0415

    readers = {field.column: field for field in fields if field.type is not FieldType.GEOMETRY}
    edges = {edge for f in fields if f.type is FieldType.GEOMETRY for edge in edge_columns(f)}
    values: dict[str, Any] = {ORIGINAL: row[ORIGINAL] or None, EXTRAS: row[EXTRAS] or None}
    for column, cell in row.items():
        if column in readers:
            try:
                values[column] = read_literal(readers[column], cell) if cell else None
            except NotOfType as wrong:
                return Reject(wrong.code, readers[column].name, wrong.ja, wrong.en)
        elif column in edges:
            values[column] = float(cell) if cell else None
        elif column not in (ORIGINAL, EXTRAS) and not column.startswith("_"):
            values[column] = cell or None
    return values


def _reject(code: str, field: str | None) -> Reject:
    from app.formats.guidance import guidance  # noqa: PLC0415

    return Reject(code, field, guidance(code, "ja"), guidance(code, "en"))
