"""Chooses fields for a file that nobody declared, on all its rows; it never rejects by guessing."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import polars as pl

from app.formats.batches import batches
from app.formats.columns import odd_cells, read_each, trimmed
from app.formats.dates import DateOrder
from app.formats.evidence import DateProof, Evidence, SwapProof, sample_cells, settled
from app.formats.guidance import Notice
from app.formats.labels import fold, machine_names, standard_type
from app.formats.mapping import Source
from app.formats.survey import Survey
from app.formats.text import CellError, is_null
from app.formats.values import Normalise, normaliser, strict_phone
from app.query.fields import Field, FieldType

_CODE_NAME = re.compile(
    r"コード|コ-ド|番号|符号|(?:^|[^a-z])(?:id|no\.?|code|cd)$|^(?:id|no)(?:[^a-z]|$)|[a-z](?:Id|ID|Code|Cd|No)$"
)
_DATE_NAME = re.compile(r"年月日|期日|日付|日$|date|day$", re.IGNORECASE)
_PHONE_NAME = re.compile(r"電話|tel|phone|fax|ファクス|ファックス", re.IGNORECASE)
_KANA_NAME = re.compile(r"カナ|フリガナ|kana", re.IGNORECASE)
_LATITUDE_NAME = re.compile(r"緯度|^(?:lat|latitude|y)$|_lat$", re.IGNORECASE)
_LONGITUDE_NAME = re.compile(r"経度|^(?:lng|lon|long|longitude|x)$|_(?:lng|lon)$", re.IGNORECASE)
_KEY_NAME = re.compile(
    r"^(?:id|no\.?|code|cd|コード|番号|管理番号|整理番号)$|id$|番号$|コ-ド$|_no$"
)

# In this order the first that reads every row is taken.
_GENERAL = (
    FieldType.INTEGER,
    FieldType.DECIMAL,
    FieldType.DATE,
    FieldType.TIME,
    FieldType.DATETIME,
    FieldType.URL,
    FieldType.EMAIL,
)
_COORDINATES = frozenset({FieldType.LATITUDE, FieldType.LONGITUDE})
_GIVE_UP = 0.1  # a type that fails on more than this share of the cells seen is dropped
_NEARLY = 0.95
_FIRST = 20
_TRIED = 200  # distinct odd texts
_COORDINATE_SHARE = 0.9
_EXPONENT = r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+$"
_MAX_KEY_ROWS = 5_000_000


@dataclass(slots=True)
class ColumnProof:
    """What every row says of one column."""

    label: str
    candidates: list[FieldType]
    filled: int = 0
    nulls: int = 0
    failures: dict[FieldType, int] = field(default_factory=dict)
    leading_zero: bool = False
    exponents: int = 0  # numbers that Excel has cut: 1.23E+12
    lengths: set[int] = field(default_factory=set)
    dates: DateProof = field(default_factory=DateProof)
    keys: list[pl.Series] | None = None  # hashes, while the column may be the key

    def add(self, cells: pl.Series) -> None:
        """Take one batch into account."""
        filled = cells.drop_nulls()
        self.nulls += cells.null_count()
        self.filled += len(filled)
        if not len(filled):
            self.keys = None if cells.null_count() else self.keys
            return
        if not self.leading_zero:
            self.leading_zero = bool(filled.str.contains(r"^[0０][0-9０-９]+$").any())
        if self._is_code:
            self.exponents += int(filled.str.contains(_EXPONENT).sum())
        if len(self.lengths) < 2:
            self.lengths |= set(filled.str.len_chars().unique().to_list()[:2])
        for kind in tuple(self.candidates):
            self._try(kind, filled)
        self._add_key(cells)

    @property
    def _is_code(self) -> bool:
        return _hint(self.label) in (FieldType.CODE, FieldType.LOCAL_GOVERNMENT_CODE)

    def _try(self, kind: FieldType, filled: pl.Series) -> None:
        if kind in (FieldType.DATE, FieldType.DATETIME):
            self.dates.add(filled)
        odd = odd_cells(filled, kind)
        if odd is None:
            return
        counts = filled.filter(odd).value_counts()
        texts = counts.to_series(0).to_list()
        read = _any_order(kind)
        _, bad = read_each(texts[:_TRIED], read)
        if len(texts) > _TRIED:
            if len(bad) * 2 > _TRIED:  # so wrong that the rest need not be looked at
                self.candidates.remove(kind)
                return
            _, bad = read_each(texts, read)
        wrong = counts.filter(counts.to_series(0).is_in(list(bad)))
        self.failures[kind] = self.failures.get(kind, 0) + int(wrong.to_series(1).sum())
        share = _COORDINATE_SHARE if kind in _COORDINATES else _GIVE_UP
        if self.failures[kind] > max(self.filled * share, 20 if kind in _COORDINATES else 0):
            self.candidates.remove(kind)

    def _add_key(self, cells: pl.Series) -> None:
        if self.keys is None:
            return
        hashes = cells.hash(seed=0)
        full = self.nulls == 0 and self.filled <= _MAX_KEY_ROWS
        self.keys = [*self.keys, hashes] if full and hashes.n_unique() == len(hashes) else None

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


def infer(open_stream: Callable[[], BinaryIO], survey: Survey) -> Survey:
    """The survey with fields chosen for every column of the file."""
    proofs = [ColumnProof(label, _candidates(label)) for label in survey.layout.labels]
    for at, proof in enumerate(proofs):
        proof.candidates = _plausible(proof.candidates, sample_cells(survey, at)[:_FIRST])
        proof.keys = [] if _KEY_NAME.search(fold(proof.label)) else None
    evidence = Evidence()
    pairs = _pairs(proofs)
    for batch in batches(open_stream, survey.encoding, survey.layout):
        evidence.rows += batch.frame.height
        cells = [trimmed(column) for column in batch.frame.get_columns()]
        for proof, column in zip(proofs, cells, strict=True):
            proof.add(column)
        for lat, lon in pairs:
            evidence.swaps.setdefault((lat, lon), SwapProof()).add(cells[lat], cells[lon])
    return _chosen(survey, proofs, evidence)


def _candidates(label: str) -> list[FieldType]:
    hint = _hint(label)
    if hint in (FieldType.CODE, FieldType.PHONE, FieldType.KANA, FieldType.POSTAL_CODE):
        return [hint]
    if hint is FieldType.LOCAL_GOVERNMENT_CODE:
        return [hint, FieldType.CODE]
    return [hint, *(kind for kind in _GENERAL if kind is not hint)] if hint else [*_GENERAL]


def _plausible(candidates: list[FieldType], cells: list[str]) -> list[FieldType]:
    """Without the types that most of the first cells contradict: saves looking at every row."""
    texts = list(dict.fromkeys(cell for cell in cells if not is_null(cell)))
    return [
        kind
        for kind in candidates
        if kind in _COORDINATES or len(read_each(texts, _any_order(kind))[1]) * 2 <= len(texts)
    ]


def _hint(label: str) -> FieldType | None:
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


def _any_order(kind: FieldType) -> Normalise:
    """The normaliser of `kind`; dates take whichever order reads, the proof settles it later."""
    field = Field("", "", "", kind)
    first, second = normaliser(field, DateOrder.MONTH_FIRST), normaliser(field, DateOrder.DAY_FIRST)

    def read(text: str) -> str:
        try:
            return first(text)
        except CellError:
            return second(text)

    if kind is FieldType.PHONE:
        return strict_phone
    return read if kind in (FieldType.DATE, FieldType.DATETIME) else first


def _pairs(proofs: list[ColumnProof]) -> list[tuple[int, int]]:
    lats = [at for at, proof in enumerate(proofs) if FieldType.LATITUDE in proof.candidates]
    lons = [at for at, proof in enumerate(proofs) if FieldType.LONGITUDE in proof.candidates]
    return list(zip(lats, lons, strict=False))


def _chosen(survey: Survey, proofs: list[ColumnProof], evidence: Evidence) -> Survey:
    has_header = survey.layout.header_line is not None
    notices = list(survey.notices)
    kinds = []
    swaps = {at for pair, swap in evidence.swaps.items() if swap.holds for at in pair}
    for at, proof in enumerate(proofs):
        kind = _hint(proof.label) if at in swaps else _kind(proof, has_header)
        kinds.append(kind or FieldType.TEXT)
        notice = _notice(proof, kinds[-1])
        if notice is not None:
            notices.append(notice)
    _unpair(kinds, proofs)
    notices += _lost_coordinates(kinds, proofs)
    key = _key(proofs)
    names = machine_names(survey.layout.labels)
    sources = tuple(
        Source(
            Field(names[at], f"c{at + 1:03d}", proof.label, kinds[at], key=at == key),
            column=at,
        )
        for at, proof in enumerate(proofs)
    )
    for at, proof in enumerate(proofs):
        if kinds[at] in (FieldType.DATE, FieldType.DATETIME):
            evidence.dates[names[at]] = proof.dates
    return settled(replace(survey, sources=sources, notices=tuple(notices)), evidence)


def _kind(proof: ColumnProof, has_header: bool) -> FieldType:
    if not proof.filled:
        return standard_type(proof.label) or FieldType.TEXT
    hint = _hint(proof.label)
    if hint is not None and _hint_holds(proof, hint):
        return hint
    # Without a heading, equally long numbers are rather numbers of something than amounts.
    fixed = not has_header and len(proof.lengths) == 1 and min(proof.lengths) >= 5
    if (proof.leading_zero or fixed) and proof.reads_all(FieldType.INTEGER):
        return FieldType.CODE
    if proof.leading_zero:
        return FieldType.TEXT
    general = (kind for kind in proof.candidates if kind not in _COORDINATES)
    return next((kind for kind in general if _is_read(proof, kind)), FieldType.TEXT)


def _hint_holds(proof: ColumnProof, hint: FieldType) -> bool:
    """Whether the heading's word is borne out; a few bad coordinates are refused later."""
    if hint not in _COORDINATES:
        return _is_read(proof, hint)
    good = proof.filled - proof.failures.get(hint, 0)
    return hint in proof.candidates and good >= proof.filled * _COORDINATE_SHARE


def _is_read(proof: ColumnProof, kind: FieldType) -> bool:
    if kind is FieldType.PHONE and kind in proof.candidates:
        return True  # what is no number stays as it is, and no row is lost
    if not proof.reads_all(kind):
        return False
    if kind in (FieldType.DATE, FieldType.DATETIME) and proof.dates.seen:
        return proof.dates.order is not DateOrder.UNKNOWN
    return not (kind is FieldType.INTEGER and proof.leading_zero)


def _notice(proof: ColumnProof, kind: FieldType) -> Notice | None:
    """Why a column stays text, where the clerk would have expected something else."""
    if not proof.filled:
        return Notice("column_empty", {"label": proof.label})
    if kind is not FieldType.TEXT:
        return None
    if proof.exponents:
        return Notice("exponents_kept", {"label": proof.label, "count": proof.exponents})
    if proof.dates.seen and FieldType.DATE in proof.candidates:
        return Notice("ambiguous_dates", {"label": proof.label})
    for candidate in proof.candidates:
        bad = proof.failures.get(candidate, 0)
        if 0 < bad <= proof.filled * (1 - _NEARLY):
            details = {"label": proof.label, "type": candidate.value, "count": bad}
            return Notice("mixed_values", details)
    return None


def _unpair(kinds: list[FieldType], proofs: list[ColumnProof]) -> None:
    """A latitude without a longitude (or the reverse) is only a number."""
    if kinds.count(FieldType.LATITUDE) == kinds.count(FieldType.LONGITUDE):
        return
    for at, kind in enumerate(kinds):
        if kind in _COORDINATES:
            is_number = proofs[at].reads_all(FieldType.DECIMAL)
            kinds[at] = FieldType.DECIMAL if is_number else FieldType.TEXT


def _lost_coordinates(kinds: list[FieldType], proofs: list[ColumnProof]) -> list[Notice]:
    """Columns named like a coordinate that were not taken as one: no map will show them."""
    return [
        Notice("not_taken_as_coordinate", {"label": proof.label, "type": kind.value})
        for kind, proof in zip(kinds, proofs, strict=True)
        if proof.filled and kind not in _COORDINATES and _hint(proof.label) in _COORDINATES
    ]


def _key(proofs: list[ColumnProof]) -> int | None:
    """The first column named like an ID that is complete and unique; plain names go first."""
    ranked = sorted(
        (at for at, proof in enumerate(proofs) if proof.keys),
        key=lambda at: (not re.fullmatch(r"id|no\.?|code|番号|コ-ド", fold(proofs[at].label)), at),
    )
    return next((at for at in ranked if proofs[at].is_key), None)
