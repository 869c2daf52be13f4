"""Normalises whole columns: a regex says what is clean, only the rest is looked at cell by cell."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import polars as pl

from app.formats.addresses import normal_address
from app.formats.dates import DateOrder
from app.formats.geometries import read_geometries
from app.formats.mapping import Source
from app.formats.quality.repairs import rule_of
from app.formats.text import BLANKS, NO_CODE, NULLS, CellError
from app.formats.units import times
from app.formats.values import Normalise, decimal, normaliser
from app.query.fields import Field, FieldType, edge_columns

# What needs no repair. Everything else goes through `values`, once for each distinct text.
CLEAN: Mapping[FieldType, str] = {
    FieldType.CODE: r"^[0-9A-Za-z_-]+$",
    FieldType.PHONE: r"^0[0-9]{1,4}-[0-9]{1,4}-[0-9]{3,4}$",
    FieldType.POSTAL_CODE: r"^[0-9]{3}-[0-9]{4}$",
    FieldType.URL: r"^https?://[!-~]+$",
    FieldType.KANA: r"^[^\x{FF61}-\x{FF9F}]+$",
    FieldType.INTEGER: r"^(?:0|-?[1-9][0-9]{0,17})$",
    FieldType.DECIMAL: r"^(?:0|-?[1-9][0-9]{0,30}|-?(?:0|[1-9][0-9]{0,30})\.[0-9]{1,30})$",
    FieldType.DATE: r"^[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])$",
    FieldType.TIME: r"^(?:[0-3][0-9]|4[0-7]):[0-5][0-9](?::[0-5][0-9])?$",
    FieldType.MONTH: r"^[12][0-9]{3}-(?:0[1-9]|1[0-2])$",
    FieldType.FISCAL_YEAR: r"^[12][0-9]{3}$",
    FieldType.LATITUDE: r"^(?:2[0-9]|3[0-9]|4[0-5])(?:\.[0-9]{1,30})?$",
    FieldType.LONGITUDE: r"^1(?:2[2-9]|[34][0-9]|5[0-3])(?:\.[0-9]{1,30})?$",
}
_NO_CODE_TYPES = frozenset({FieldType.CODE, FieldType.LOCAL_GOVERNMENT_CODE})
_LONGEST_NULL = max(len(word.encode()) for word in NULLS)


@dataclass(frozen=True, slots=True)
class Column:
    """A field's values in one batch."""

    values: pl.Series  # canonical text, null where empty or refused
    filled: pl.Series  # whether the cell said anything
    changed: pl.Series | None  # mask of cells that differ from their trimmed text
    raw: pl.Series  # trimmed source text
    errors: dict[int, CellError] = field(default_factory=dict)
    edges: tuple[pl.Series, ...] = ()  # of geometries: west, south, east, north
    crossing: tuple[int, ...] = ()  # of geometries: rows whose shapes cross themselves

    def stored(self, under: Field) -> list[pl.Series]:
        """The series that are stored, named as their columns."""
        names = edge_columns(under) if self.edges else ()
        beside = [edge.alias(name) for edge, name in zip(self.edges, names, strict=True)]
        return [self.values.alias(under.column), *beside]


def trimmed(cells: pl.Series) -> pl.Series:
    """The cells without blanks at their ends, and null for what says null.

    A line ends in one way, whatever system wrote it: the same text from another is no change.
    """
    cut = cells.str.strip_chars(BLANKS)
    if cut.str.contains("\r", literal=True).any():
        cut = cut.str.replace_all("\r\n?", "\n")
    short = cut.str.len_bytes() <= _LONGEST_NULL
    if not short.any():
        return cut
    suspects = cut.filter(short).unique()
    nulls = suspects.filter(suspects.is_in(list(NULLS)))
    if nulls.is_empty():
        return cut
    return cut.set(cut.is_in(nulls.to_list()).fill_null(value=False), None)


def column(source: Source, cells: pl.Series, order: DateOrder) -> Column:
    """The values of `source`'s field, made from the trimmed `cells` of its column."""
    picked = _picked(source, cells)
    if source.field.type in _NO_CODE_TYPES:
        picked = picked.set((picked == NO_CODE).fill_null(value=False), None)
    errors: dict[int, CellError] = {}
    if source.codes is not None:
        picked = _coded(picked, dict(source.codes), source, errors)
    if source.unit is not None:
        picked = _converted(picked, source.unit, errors)
    if source.field.type is FieldType.GEOMETRY:
        return _shapes(source, cells, picked, errors)
    plain = picked
    if source.normalize == "address":
        plain = _replaced(
            plain, {text: normal_address(text) for text in plain.unique().drop_nulls()}
        )
    values = _normalised(source, plain, order, errors)
    filled = picked.is_not_null()
    if source.own_column is not None and "coordinates_swapped" in source.refused:
        values = _all_refused(values, errors)
    _refuse_empty(source, filled, errors)
    changed = _changed(source, cells, values)
    return Column(values, filled, changed, cells, errors)


def _refuse_empty(source: Source, filled: pl.Series, errors: dict[int, CellError]) -> None:
    if source.field.required or source.field.key:
        for index in (~filled).arg_true():
            errors.setdefault(int(index), CellError("required_missing"))


def _shapes(
    source: Source, cells: pl.Series, picked: pl.Series, errors: dict[int, CellError]
) -> Column:
    """A geometry's spelling is no repair: the same shape may be written in many ways."""
    read = read_geometries(picked)
    errors |= read.errors
    filled = picked.is_not_null()
    _refuse_empty(source, filled, errors)
    return Column(read.values, filled, None, cells, errors, read.edges, read.crossing)


def _picked(source: Source, cells: pl.Series) -> pl.Series:
    if source.pattern is None:
        return cells
    # The regex crate runs in linear time whatever the pattern (no catastrophic backtracking).
    group = 1 if "(" in source.pattern and _groups(source.pattern) else 0
    return trimmed(cells.str.extract(source.pattern, group))


def _groups(pattern: str) -> int:
    return re.compile(pattern).groups


def _coded(
    cells: pl.Series, codes: dict[str, str], source: Source, errors: dict[int, CellError]
) -> pl.Series:
    known = cells.is_in(list(codes))
    unknown = cells.is_not_null() & ~known
    if not unknown.any():
        return _replaced(cells, codes)
    if not source.has_default:
        for index in unknown.arg_true():
            errors[int(index)] = CellError("not_in_code_list")
        return _replaced(cells, codes).set(unknown, None)
    return _replaced(cells, codes).set(unknown, source.default)


def _converted(
    cells: pl.Series, unit: tuple[str, Fraction], errors: dict[int, CellError]
) -> pl.Series:
    """Amounts in the field's own unit. A value that says another unit is no number here."""
    name, factor = unit
    texts = cells.unique().drop_nulls().to_list()
    good, bad = read_each(texts, lambda text: times(decimal(text, name), factor))
    for index in cells.is_in(list(bad)).fill_null(value=False).arg_true():
        errors.setdefault(int(index), bad[str(cells[int(index)])])
    return _replaced(cells, good).set(cells.is_in(list(bad)).fill_null(value=False), None)


def _normalised(
    source: Source, cells: pl.Series, order: DateOrder, errors: dict[int, CellError]
) -> pl.Series:
    """`cells` with every odd one repaired or refused."""
    field = source.field
    plain = field.type is FieldType.TEXT or (source.exact and field.type is FieldType.CODE)
    if plain and field.code_list is None:
        return cells
    odd = odd_cells(cells, field.type if field.code_list is None else None)
    if odd is None:
        return cells
    good, bad = read_each(cells.filter(odd).unique().to_list(), normaliser(field, order))
    if source.refused and not source.is_derived:
        _refuse(source, good, bad)
    values = _replaced(cells, good)
    if bad:
        wrong = odd & cells.is_in(list(bad))
        for index in wrong.arg_true():
            errors.setdefault(int(index), bad[str(cells[int(index)])])
        values = values.set(wrong, None)
    return values


def _refuse(source: Source, good: dict[str, str], bad: dict[str, CellError]) -> None:
    """Take from the readings those that the steward wants to see corrected, not repaired."""
    for text, value in list(good.items()):
        if rule_of(source.field, text, value) in source.refused:
            del good[text]
            bad[text] = CellError("repair_refused")


def _all_refused(values: pl.Series, errors: dict[int, CellError]) -> pl.Series:
    for index in values.is_not_null().arg_true():
        errors.setdefault(int(index), CellError("repair_refused"))
    return pl.Series(values.name, [None], dtype=pl.String).new_from_index(0, values.len())


def odd_cells(cells: pl.Series, kind: FieldType | None) -> pl.Series | None:
    """The mask of cells that are not plainly canonical; None when all are."""
    clean = CLEAN.get(kind) if kind is not None else None
    odd = cells.is_not_null()
    if clean is not None:
        odd = (~cells.str.contains(clean)).fill_null(value=False)
    return odd if odd.any() else None


def read_each(
    texts: list[str], normalise: Normalise
) -> tuple[dict[str, str], dict[str, CellError]]:
    """The changed readings of `texts`, and the refusals."""
    good: dict[str, str] = {}
    bad: dict[str, CellError] = {}
    for text in texts:
        try:
            value = normalise(text)
        except CellError as exc:
            bad[text] = exc
            continue
        if value != text:
            good[text] = value
    return good, bad


def _replaced(cells: pl.Series, table: Mapping[str, str]) -> pl.Series:
    if not table:
        return cells
    return cells.replace(list(table), list(table.values()))


def _changed(source: Source, cells: pl.Series, values: pl.Series) -> pl.Series | None:
    if values is cells and source.own_column is None:
        return None
    if source.own_column is not None:
        return values.is_not_null()
    changed = (values.is_not_null() & (values != cells)).fill_null(value=False)
    return changed if changed.any() else None
