"""The score of a version from what was counted in it: exact arithmetic, no clock, no table.

The weights add up to 100; a dimension's points are its weight times its score, in hundredths, and
the points add up to the total. A dimension is 100 only where none of its rules has failed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from app.formats import licences
from app.formats.quality.measures import Measures
from app.query.fields import Field, FieldType

WEIGHTS: Final[Mapping[str, int]] = {
    "completeness": 25,
    "validity": 25,
    "uniqueness": 10,
    "freshness": 20,
    "key_stability": 10,
    "machine_readability": 10,
}
# How long a version is fresh. `irregular` promises nothing, but a list that nobody has looked at
# for a year is not fresh; `once` is never late.
PROMISED: Final[Mapping[str, timedelta | None]] = {
    "continuous": timedelta(hours=1),
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "quarterly": timedelta(days=92),
    "annual": timedelta(days=366),
    "irregular": timedelta(days=366),
    "once": None,
}
_GRACE: Final = Fraction(11, 10)  # of the promised time
_STALE: Final = 3  # times the promised time: no freshness is left
_REQUIRED_SHARE: Final = Fraction(1, 2)  # of completeness; the other half are all fields
_REPAIRED_COST: Final = Fraction(1, 2)  # of a wrong cell
_POINTS_A_STAR: Final = 20
# Licences that let anyone use, change and pass on (opendefinition.org), with the Japanese
# government's own terms (公共データ利用規約 PDL, 政府標準利用規約).
_OPEN_LICENSE: Final = re.compile(
    r"(?:CC0|CC[- ]BY(?:-SA)?|PDL|PDDL|ODC-BY|ODBL|GSTL|政府標準利用規約|公共データ利用規約)"
    r"(?:[- (（第]*[0-9][0-9.]*[)）版]*)?(?:[- ](?:JP|国際))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of the dataset, as far as the score depends on it."""

    license: str | None
    frequency: str
    is_public: bool
    is_linked: bool  # by a profile or a join


@dataclass(frozen=True, slots=True)
class Failed:
    """One rule that the version does not keep. `first`: the first rows (or keys) concerned."""

    dimension: str
    code: str
    field: str | None = None
    rows: int | None = None
    first: tuple[str, ...] = ()
    named: tuple[tuple[str, str | int], ...] = ()  # for the words of the mend


@dataclass(frozen=True, slots=True)
class Assessment:
    """Scores of 0 to 100 by dimension, the rules that failed, and the stars of open data."""

    scores: Mapping[str, int]
    failed: tuple[Failed, ...]
    stars: int

    def points(self, dimension: str) -> Decimal:
        """What the dimension adds to the total, in hundredths."""
        return Decimal(WEIGHTS[dimension] * self.scores[dimension]) / 100

    @property
    def total(self) -> Decimal:
        """The sum of all points: 0 to 100, exact."""
        return sum((self.points(each) for each in WEIGHTS), Decimal(0))


def assess(measures: Measures, fields: Sequence[Field], entry: Entry, age: timedelta) -> Assessment:
    """The score of a version whose data are `age` old."""
    failed = [
        *_incomplete(measures, fields),
        *_invalid(measures, fields),
        *_doubled(measures, fields),
        *_late(entry, age),
        *_unstable(measures, fields),
    ]
    stars, missing = _stars(fields, entry)
    scores = {
        "completeness": _percent(_completeness(measures, fields)),
        "validity": _percent(_validity(measures, fields)),
        "uniqueness": _percent(_uniqueness(measures, fields)),
        "freshness": _percent(_freshness(entry, age)),
        "key_stability": _percent(_stability(measures, fields)),
        "machine_readability": stars * _POINTS_A_STAR,
    }
    return Assessment(scores, (*failed, *missing), stars)


def _percent(share: Fraction) -> int:
    """Rounded down: 100 is kept for what is whole."""
    return int(max(Fraction(0), share) * 100)


def _share(part: int, whole: int) -> Fraction:
    return Fraction(part, whole) if whole else Fraction(0)


def _key(fields: Sequence[Field]) -> list[Field]:
    return [each for each in fields if each.key]


# --- completeness ---------------------------------------------------------------------------------


def _completeness(measures: Measures, fields: Sequence[Field]) -> Fraction:
    said = {each.name: each.filled - each.placeholders for each in measures.columns}
    every = _share(sum(said.values()), measures.rows * len(fields))
    needed = [each.name for each in fields if each.key or each.required]
    if not needed or not measures.rows:
        return every
    missing = sum(one.rows for one in measures.rejected if one.code == "required_missing")
    must = _share(sum(said[name] for name in needed), measures.rows * len(needed) + missing)
    return _REQUIRED_SHARE * must + (1 - _REQUIRED_SHARE) * every


def _incomplete(measures: Measures, fields: Sequence[Field]) -> Iterator[Failed]:
    if not measures.rows:
        yield Failed("completeness", "no_records")
        return
    for one in measures.rejected:
        if one.code == "required_missing":
            yield Failed("completeness", one.code, one.field, one.rows, _lines(one.first))
    labels = {each.name: each.label for each in fields}
    for column in measures.columns:
        empty = measures.rows - column.filled
        named = (("label", labels[column.name]),)
        if empty:
            code = "cells_empty" if column.filled else "column_empty"
            yield Failed("completeness", code, column.name, empty, named=named)
        if column.placeholders:
            yield Failed(
                "completeness", "placeholder_text", column.name, column.placeholders,
                _lines(column.first), named,
            )  # fmt: skip


# --- validity -------------------------------------------------------------------------------------


def _validity(measures: Measures, fields: Sequence[Field]) -> Fraction:
    wrong = measures.rows_rejected - measures.rows_doubled + measures.rows_uncorrected
    read = measures.rows + wrong
    cells = measures.rows * len(fields)
    repaired = sum(count for _, count in measures.repaired)
    exponents = sum(count for _, count in measures.exponents)
    good = 1 - _share(min(cells, exponents), cells) - _REPAIRED_COST * _share(repaired, cells)
    return _share(read - wrong, read) * good


def _invalid(measures: Measures, fields: Sequence[Field]) -> Iterator[Failed]:
    if not measures.rows:
        yield Failed("validity", "no_records")
    for one in measures.rejected:
        if one.code != "duplicate_key":
            yield Failed("validity", one.code, one.field, one.rows, _lines(one.first))
    if measures.rows_uncorrected:
        yield Failed("validity", "rows_not_corrected", rows=measures.rows_uncorrected)
    labels = {each.name: each.label for each in fields}
    for name, count in measures.repaired:
        run = measures.run or "{id}"
        named = (("label", labels[name]), ("run", run))
        yield Failed("validity", "cells_repaired", name, count, named=named)
    for label, count in measures.exponents:
        yield Failed("validity", "exponents_kept", rows=count, named=(("label", label),))


def _lines(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(map(str, numbers))


# --- uniqueness and stability of the key ----------------------------------------------------------


def _uniqueness(measures: Measures, fields: Sequence[Field]) -> Fraction:
    if not _key(fields):
        return Fraction(0)
    known = measures.rows + measures.rows_doubled
    return 1 - _share(measures.rows_doubled, known)


def _doubled(measures: Measures, fields: Sequence[Field]) -> Iterator[Failed]:
    if not _key(fields):
        yield Failed("uniqueness", "no_key")
    elif measures.rows_doubled:
        found = [one for one in measures.rejected if one.code == "duplicate_key"]
        first = tuple(line for one in found for line in one.first)
        name = ",".join(each.name for each in _key(fields))
        yield Failed("uniqueness", "duplicate_key", name, measures.rows_doubled, _lines(first))


def _stability(measures: Measures, fields: Sequence[Field]) -> Fraction:
    if not _key(fields):
        return Fraction(0)
    before = measures.previous
    if before is None or not before.keys:
        return Fraction(1)  # there was nothing that could be lost
    return _share(before.kept, before.keys) if before.is_same_key else Fraction(0)


def _unstable(measures: Measures, fields: Sequence[Field]) -> Iterator[Failed]:
    before = measures.previous
    if not _key(fields):
        yield Failed("key_stability", "no_key")
    elif before is None or not before.keys:
        return
    elif not before.is_same_key:
        named = (("previous", before.number),)
        yield Failed("key_stability", "key_changed", rows=before.keys, named=named)
    elif before.kept < before.keys:
        yield Failed(
            "key_stability", "keys_lost", ",".join(each.name for each in _key(fields)),
            before.keys - before.kept, before.first_lost, (("previous", before.number),),
        )  # fmt: skip


# --- freshness ------------------------------------------------------------------------------------


def _freshness(entry: Entry, age: timedelta) -> Fraction:
    promised = PROMISED.get(entry.frequency)
    if promised is None:
        return Fraction(1)
    times = Fraction(age // timedelta(seconds=1), promised // timedelta(seconds=1))
    if times <= _GRACE:
        return Fraction(1)
    return max(Fraction(0), (_STALE - times) / (_STALE - _GRACE))


def _late(entry: Entry, age: timedelta) -> Iterator[Failed]:
    promised = PROMISED.get(entry.frequency)
    if promised is not None and _freshness(entry, age) < 1:
        named = (("frequency", entry.frequency), ("days", (age - promised).days))
        yield Failed("freshness", "late_update", named=named)


# --- machine-readability: the five stars of open data (5stardata.info) ----------------------------


def _stars(fields: Sequence[Field], entry: Entry) -> tuple[int, tuple[Failed, ...]]:
    """Each star needs those before it. The second and third (a table, in open formats) a hosted
    version has by being one; an agreement stands for the licence of what is not public."""
    faults = (
        _license_fault(entry),
        None,
        None,
        None if _key(fields) else Failed("machine_readability", "no_key"),
        None if _is_linked(fields, entry) else Failed("machine_readability", "not_linked"),
    )
    stars = next((at for at, fault in enumerate(faults) if fault is not None), len(faults))
    return stars, tuple(fault for fault in faults if fault is not None)


def _license_fault(entry: Entry) -> Failed | None:
    if not entry.is_public:
        return None
    if not entry.license:
        return Failed("machine_readability", "license_missing")
    known = licences.find(entry.license)
    if known.is_open if known else _OPEN_LICENSE.fullmatch(entry.license.strip()):
        return None
    named = (("license", entry.license),)
    return Failed("machine_readability", "license_not_open", named=named)


def _is_linked(fields: Sequence[Field], entry: Entry) -> bool:
    return entry.is_linked or any(each.type is FieldType.LOCAL_GOVERNMENT_CODE for each in fields)
