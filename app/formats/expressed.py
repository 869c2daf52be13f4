"""A field's column made by an expression, row after row; an expression sees its own row alone.

What a cell holds is text, whatever file or database it comes from, so that one expression reads
them all; what stands in a list keeps the type that it has in JSON.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import polars as pl

from app.formats.columns import Column, column, trimmed
from app.formats.dates import DateOrder
from app.formats.expressions import Expression
from app.formats.mapping import Source
from app.formats.text import CellError

Asked = Sequence[tuple[pl.Series, tuple[str, ...]]]  # trimmed cells, and the member that they are


def by_expression(
    source: Source, expression: Expression, asked: Asked, height: int, order: DateOrder
) -> Column:
    """The values of a field. A row for which the expression fails is refused at this field."""
    texts: list[str | None] = []
    failed: dict[int, CellError] = {}
    for index, row in enumerate(_rows(asked, height)):
        try:
            texts.append(expression.value(row))
        except CellError as exc:
            failed[index] = exc
            texts.append(None)
    made = column(source, trimmed(pl.Series(texts, dtype=pl.String)), order)
    return replace(made, errors={**made.errors, **failed}) if failed else made


def _rows(asked: Asked, height: int) -> Iterator[dict[str, Any]]:
    if not asked:
        yield from ({} for _ in range(height))
        return
    asked = sorted(asked, key=lambda each: len(each[1]))  # `a` before `a.b`, whose place it takes
    paths = [path for _, path in asked]
    for cells in zip(*(series.to_list() for series, _ in asked), strict=True):
        row: dict[str, Any] = {}
        for path, cell in zip(paths, cells, strict=True):
            if cell is not None:
                _put(row, path, _read(cell))
        yield row


def _put(row: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    inner = row
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):  # `a` beside `a.b`: the heading as it stands
            row[".".join(path)] = value
            return
    inner[path[-1]] = value


def _read(cell: str) -> Any:
    """Lists, and objects too deep for columns, are cells of JSON."""
    if cell.startswith(("[", "{")):
        try:
            return orjson.loads(cell)
        except ValueError:
            pass  # a text that begins so
    return cell
