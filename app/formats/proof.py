"""What all rows of one column say for each type that it might be; it decides nothing."""

import re
from dataclasses import dataclass, field

import polars as pl

from app.formats.columns import odd_cells, read_each
from app.formats.dates import DateOrder, fiscal_year, month
from app.formats.evidence import DateProof
from app.formats.labels import fold, standard_type
from app.formats.text import CellError, is_null
from app.formats.values import (
    COUNTERS,
    Normalise,
    boolean,
    decimal,
    integer,
    normaliser,
    strict_phone,
    unit_in,
)
from app.query.fields import Field, FieldType

_CODE_NAME = re.compile(
    r"コード|コ-ド|番号|符号|(?:^|[^a-z])(?:id|no\.?|code|cd)$|^(?:id|no)(?:[^a-z]|$)|[a-z](?:Id|ID|Code|Cd|No)$"
)
_DATE_NAME = re.compile(r"年月日|期日|日付|日$|date|day$", re.IGNORECASE)
_PHONE_NAME = re.compile(r"電話|tel|phone|fax|ファクス|ファックス", re.IGNORECASE)
_KANA_NAME = re.compile(r"カナ|フリガナ|kana", re.IGNORECASE)
_LATITUDE_NAME = re.compile(r"緯度|^(?:lat|latitude|y)$|_lat$", re.IGNORECASE)
_LONGITUDE_NAME = re.compile(r"経度|^(?:lng|lon|long|longitude|x)$|_(?:lng|lon)$", re.IGNORECASE)
# In this order the first that reads every row is taken.
_GENERAL = (
    FieldType.BOOLEAN,
    FieldType.INTEGER,
    FieldType.DECIMAL,
    FieldType.DATE,
    FieldType.TIME,
    FieldType.DATETIME,
    FieldType.MONTH,
    FieldType.FISCAL_YEAR,
    FieldType.URL,
    FieldType.EMAIL,
)
NUMBERS = frozenset({FieldType.INTEGER, FieldType.DECIMAL})
# Latitude first, or longitude first; nothing else beside them.
IN_ONE_CELL = r"^[(（]?\s*[0-9]{2,3}\.[0-9]+\s*[,、，]\s*[0-9]{2,3}\.[0-9]+\s*[)）]?$"
COORDINATES = frozenset({FieldType.LATITUDE, FieldType.LONGITUDE})
_GIVE_UP = 0.1  # a type that fails on more than this share of the cells seen is dropped
_TRIED = 200  # distinct odd texts
COORDINATE_SHARE = 0.9
_EXPONENT = r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+$"
_MAX_KEY_ROWS = 5_000_000


@dataclass(slots=True)
class ColumnProof:
    """What every row says of one column."""

    label: str
    candidates: list[FieldType]
    declared: FieldType | None = None  # by the format itself
    filled: int = 0
    nulls: int = 0
    failures: dict[FieldType, int] = field(default_factory=dict)
    leading_zero: bool = False
    exponents: int = 0  # numbers that Excel has cut: 1.23E+12
    units: set[str | None] = field(default_factory=set)  # behind numbers; None for a bare one
    in_one_cell: bool = True  # every cell holds two coordinates: "34.7052,135.4983"
    lengths: set[int] = field(default_factory=set)
    dates: DateProof = field(default_factory=DateProof)
    keys: list[pl.Series] | None = None  # hashes, while the column may be the key

    def add(self, cells: pl.Series) -> None:
        """Take one batch into account."""
        filled = cells.drop_nulls()
        self.nulls += cells.null_count()
        self.filled += len(filled)
        if self.declared is FieldType.GEOMETRY:
            self.keys, self.in_one_cell = None, False
            return  # a shape has no other reading
        if not len(filled):
            self.keys = None if cells.null_count() else self.keys
            return
        if not self.leading_zero:
            self.leading_zero = bool(filled.str.contains(r"^[0０][0-9０-９]+$").any())
        if self._is_code:
            self.exponents += int(filled.str.contains(_EXPONENT).sum())
        if len(self.lengths) < 2:
            self.lengths |= set(filled.str.len_chars().unique().to_list()[:2])
        if self.in_one_cell:
            self.in_one_cell = bool(filled.str.contains(IN_ONE_CELL).all())
        for kind in tuple(self.candidates):
            self._try(kind, filled)
        self._add_key(cells)

    @property
    def _is_code(self) -> bool:
        return hint(self.label) in (FieldType.CODE, FieldType.LOCAL_GOVERNMENT_CODE)

    def _try(self, kind: FieldType, filled: pl.Series) -> None:
        if kind in (FieldType.DATE, FieldType.DATETIME):
            self.dates.add(filled)
        odd = odd_cells(filled, kind)
        if kind in NUMBERS and (odd is None or not odd.all()):
            self.units.add(None)
        if odd is None:
            return
        counts = filled.filter(odd).value_counts()
        texts = counts.to_series(0).to_list()
        read = any_way(kind)
        _, bad = read_each(texts[:_TRIED], read)
        if len(texts) > _TRIED:
            if len(bad) * 2 > _TRIED:  # so wrong that the rest need not be looked at
                self.candidates.remove(kind)
                return
            _, bad = read_each(texts, read)
        if kind in NUMBERS:
            self.units |= {unit_in(text) for text in texts if text not in bad}
        wrong = counts.filter(counts.to_series(0).is_in(list(bad)))
        self.failures[kind] = self.failures.get(kind, 0) + int(wrong.to_series(1).sum())
        share = COORDINATE_SHARE if kind in COORDINATES else _GIVE_UP
        if self.failures[kind] > max(self.filled * share, 20 if kind in COORDINATES else 0):
            self.candidates.remove(kind)

    def _add_key(self, cells: pl.Series) -> None:
        if self.keys is None:
            return
        hashes = cells.hash(seed=0)
        full = self.nulls == 0 and self.filled <= _MAX_KEY_ROWS
        self.keys = [*self.keys, hashes] if full and hashes.n_unique() == len(hashes) else None

    @property
    def unit(self) -> str | None:
        """The one unit of the column's numbers."""
        found = self.units - {None}
        return found.pop() if len(found) == 1 else None

    @property
    def has_one_unit(self) -> bool:
        """Whether the numbers can stand without their units: one for all, or a plain count."""
        counted = self.unit is not None and self.unit in COUNTERS.split("|")
        return len(self.units) <= 1 or (len(self.units) == 2 and None in self.units and counted)

    def share(self, kind: FieldType) -> float:
        """The part of the filled cells that reads as `kind`, from 0 to 1; 1 for text."""
        if kind not in self.candidates or not self.filled:
            return 1.0 if kind is FieldType.TEXT else 0.0
        return 1 - self.failures.get(kind, 0) / self.filled

    @property
    def is_key(self) -> bool:
        """Whether every row has a value of its own."""
        if not self.keys:
            return False
        hashes = pl.concat(self.keys)
        return hashes.n_unique() == len(hashes)

    def reads_all(self, kind: FieldType) -> bool:
        """Whether `kind` reads every filled cell."""
        return kind in self.candidates and not self.failures.get(kind)


def candidates(label: str) -> list[FieldType]:
    """The types that a column of this heading may have, likeliest first."""
    known = hint(label)
    if known in (FieldType.CODE, FieldType.PHONE, FieldType.KANA, FieldType.POSTAL_CODE):
        return [known]
    if known is FieldType.LOCAL_GOVERNMENT_CODE:
        return [known, FieldType.CODE]
    return [known, *(kind for kind in _GENERAL if kind is not known)] if known else [*_GENERAL]


def plausible(candidates: list[FieldType], cells: list[str]) -> list[FieldType]:
    """Without the types that most of the first cells contradict: saves looking at every row."""
    texts = list(dict.fromkeys(cell for cell in cells if not is_null(cell)))
    return [kind for kind in candidates if kind in COORDINATES or _takes_half(texts, any_way(kind))]


def _takes_half(texts: list[str], read: Normalise) -> bool:
    """Whether at least half of the texts can be read so; looks no further once it is plain."""
    left = len(texts) // 2
    for text in texts:
        try:
            read(text)
        except CellError:
            left -= 1
            if left < 0:
                return False
    return True


def hint(label: str) -> FieldType | None:
    """The type that a heading speaks for."""
    known = standard_type(label)
    if known is not None:
        return known
    folded = fold(label)
    for pattern, kind in _BY_NAME:
        if pattern.search(label if label.isascii() else folded):
            return kind
    return None


_BY_NAME = (
    (_LATITUDE_NAME, FieldType.LATITUDE),
    (_LONGITUDE_NAME, FieldType.LONGITUDE),
    (_PHONE_NAME, FieldType.PHONE),
    (re.compile(r"郵便番号|postal|zip", re.IGNORECASE), FieldType.POSTAL_CODE),
    (_CODE_NAME, FieldType.CODE),
    (_KANA_NAME, FieldType.KANA),
    (_DATE_NAME, FieldType.DATE),
)


def any_way(kind: FieldType) -> Normalise:
    """How a cell speaks for `kind`: looser on order and units, which the column settles, and

    stricter on what could as well be a code (R5, 201904, 1).
    """
    if kind in (FieldType.DATE, FieldType.DATETIME):
        return _either_order(kind)
    return _STRICT.get(kind) or normaliser(Field("", "", "", kind))


def _either_order(kind: FieldType) -> Normalise:
    field = Field("", "", "", kind)
    first, second = normaliser(field, DateOrder.MONTH_FIRST), normaliser(field, DateOrder.DAY_FIRST)

    def read(text: str) -> str:
        try:
            return first(text)
        except CellError:
            return second(text)

    return read


def _only(pattern: re.Pattern[str], read: Normalise, code: str) -> Normalise:
    def strict(text: str) -> str:
        if not pattern.search(text):
            raise CellError(code)
        return read(text)

    return strict


_STRICT: dict[FieldType, Normalise] = {
    FieldType.PHONE: strict_phone,
    FieldType.INTEGER: lambda text: integer(text, unit_in(text)),
    FieldType.DECIMAL: lambda text: decimal(text, unit_in(text)),
    FieldType.BOOLEAN: _only(re.compile(r"[^01０１tfynTFYN]|.."), boolean, "invalid_boolean"),
    FieldType.MONTH: _only(
        re.compile(r"[月RHSTMＲＨＳＴＭ令平昭大明]|^[0-9]{4}-[0-9]{2}$"), month, "invalid_month"
    ),
    FieldType.FISCAL_YEAR: _only(re.compile("年"), fiscal_year, "invalid_fiscal_year"),
}
