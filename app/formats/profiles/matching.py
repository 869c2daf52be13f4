"""Finds the standard layout of a file by its headings, and says how sure it is; it reads no rows.

A column that every list has (名称, 住所, 緯度) says nothing of which list it is. So each column weighs
the less the more profiles have it, and a file is taken for a profile only where the columns that
set the profile apart are there, and its own headings are mostly known to the profile.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from app.formats.labels import fold, standard_name
from app.formats.profiles.layout import ProfileLayout

ACCEPTED_SHARE: Final = 0.9  # of the profile's columns
_LEAST_DISTINCT: Final = 0.65  # of what sets it apart; look-alike lists reach 0.61
_LEAST_KNOWN: Final = 0.5  # of the file's headings, where nearly all columns are there
# Where the required columns decide. Of each standard layout and of samples of its columns, with its
# own profile taken away, none passes these for another (tests/formats/test_matching.py).
_MOSTLY_KNOWN: Final = 0.8  # of the file's headings
_ALL_KNOWN: Final = 0.95  # of the file's headings: a short file, with nothing strange in it
_LEAST_APART: Final = 0.5  # of what sets the profile apart
_LEAST_OWN: Final = 1.5  # columns that hardly another profile has; one shared by two counts half
_RARE: Final = 0.5  # a column that two profiles have
_FEWEST: Final = 4  # columns; fewer than these make no profile unless everything agrees
_LEAST_SCORE: Final = 0.2  # of what is worth proposing
_MOST_LABELS: Final = 2_000
_PREFIXED: Final = 0.8


class How(StrEnum):
    """By what a heading was recognised, the surest first."""

    LABEL = "label"
    VARIANT = "variant"  # a spelling of other files, or of another edition
    NAME = "name"  # the machine name
    STANDARD = "standard"  # another standard's word for the same: 施設名 is a 名称


_WEIGHT: Final = {How.LABEL: 1.0, How.VARIANT: 0.9, How.NAME: 0.8, How.STANDARD: 0.7}


@dataclass(frozen=True, slots=True)
class Found:
    """One heading and the field that it was recognised as."""

    label: str
    field: str
    how: How


@dataclass(frozen=True, slots=True)
class Match:
    """How well a file's headings agree with one version of a profile."""

    profile: str
    version: int
    accepted: bool
    score: float  # 0 to 1; orders the candidates
    share: float  # of the profile's columns, those found
    known: float  # of the file's headings, those found
    distinct: float  # of what sets the profile apart from the others, the part found
    matched: tuple[Found, ...]
    missing: tuple[str, ...]  # labels of expected columns that are not there, or wholly empty
    unknown: tuple[str, ...]  # headings that the profile does not have

    @property
    def mapping(self) -> list[dict[str, Any]]:
        """Steps that read the file as the profile has it."""
        return [{"to": found.field, "from": [found.label]} for found in self.matched]


def match(
    labels: Sequence[str],
    candidates: Sequence[ProfileLayout],
    filled: Sequence[bool] | None = None,
) -> list[Match]:
    """The candidates that have something in common with the headings, best first.

    `filled` says of each column whether any row has a value in it. At most one match, the first, is
    accepted; none is where two profiles agree equally well with the file.
    """
    headings = _Headings.of(labels, filled)
    rarity = _rarity(candidates)
    found = [made for layout in candidates if (made := _best(headings, layout, rarity)) is not None]
    found.sort(key=lambda each: (-each.score, each.profile, -each.version))
    return [_settled(each, at, found) for at, each in enumerate(found)]


def _settled(one: Match, at: int, found: Sequence[Match]) -> Match:
    """Only the first can be accepted, and only if no other profile is as good."""
    tied = any(other.profile != one.profile and other.score >= one.score for other in found)
    return one if at == 0 and not tied else replace(one, accepted=False)


@dataclass(frozen=True, slots=True)
class _Headings:
    """The file's headings in the forms in which they are compared."""

    labels: tuple[str, ...]
    forms: tuple[tuple[str, ...], ...]  # one list of folded headings a form
    empty: frozenset[str]  # headings over columns without any value

    @classmethod
    def of(cls, labels: Sequence[str], filled: Sequence[bool] | None) -> "_Headings":
        kept = [
            (label, filled is None or at >= len(filled) or filled[at])
            for at, label in enumerate(labels[:_MOST_LABELS])
            if label.strip() and not label.lstrip("\ufeff").startswith("#")
        ]
        names = tuple(label for label, _ in kept)
        plain = tuple(_folded(label) for label in names)
        bare = _without_prefix(plain)
        forms = (plain, bare) if bare is not None else (plain,)
        return cls(names, forms, frozenset(label for label, has_any in kept if not has_any))


def _without_prefix(folded: Sequence[str]) -> tuple[str, ...] | None:
    """The headings without the word that a system put before nearly all of them, if it did."""
    prefixes = Counter(label.partition("_")[0] for label in folded if label.partition("_")[2] != "")
    if not prefixes:
        return None
    prefix, times = prefixes.most_common(1)[0]
    if times < 3 or times < len(folded) * _PREFIXED:
        return None
    return tuple(label.removeprefix(f"{prefix}_") for label in folded)


def _rarity(candidates: Sequence[ProfileLayout]) -> Mapping[str, float]:
    """By field name: one over the number of profiles that have it in any version."""
    families: dict[str, set[str]] = {}
    for layout in candidates:
        for each in layout.fields:
            families.setdefault(each.field.name, set()).add(layout.name)
    return {name: 1 / len(having) for name, having in families.items()}


def _best(headings: _Headings, layout: ProfileLayout, rarity: Mapping[str, float]) -> Match | None:
    made = [_judge(headings, form, layout, rarity) for form in headings.forms]
    best = max(made, key=lambda each: each.score)
    return best if best.score >= _LEAST_SCORE else None


def _judge(
    headings: _Headings, form: Sequence[str], layout: ProfileLayout, rarity: Mapping[str, float]
) -> Match:
    matched = _assigned(headings.labels, form, layout)
    by_field = {found.field: found for found in matched.values()}
    missing = tuple(
        each.field.label
        for each in layout.fields
        if each.expected
        and (each.field.name not in by_field or by_field[each.field.name].label in headings.empty)
    )
    expected = sum(each.expected for each in layout.fields)
    found = _Found.of(by_field, len(headings.labels), layout, rarity)
    sure = sum(_WEIGHT[each.how] for each in by_field.values()) / max(len(by_field), 1)
    agreed = (found.share + found.known + 2 * found.distinct) / 4
    return Match(
        profile=layout.name,
        version=layout.version,
        accepted=_is_accepted(found, all_expected=expected > 0 and not missing),
        score=round(sure * agreed * (1 - len(missing) / max(expected, 1) / 4), 4),
        share=round(found.share, 4),
        known=round(found.known, 4),
        distinct=round(found.distinct, 4),
        matched=tuple(matched[at] for at in sorted(matched)),
        missing=missing,
        unknown=tuple(label for at, label in enumerate(headings.labels) if at not in matched),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """How much was found, seen from the profile and from the file."""

    count: int
    share: float
    known: float
    distinct: float
    own: float

    @classmethod
    def of(
        cls,
        by_field: Mapping[str, Found],
        headings: int,
        layout: ProfileLayout,
        rarity: Mapping[str, float],
    ) -> "_Found":
        apart = sum(rarity[each.field.name] for each in layout.fields)
        return cls(
            count=len(by_field),
            share=len(by_field) / max(len(layout.fields), 1),
            known=len(by_field) / max(headings, 1),
            distinct=sum(rarity[name] for name in by_field) / max(apart, 1e-9),
            own=sum(rarity[name] for name in by_field if rarity[name] >= _RARE),
        )


def _is_accepted(found: _Found, *, all_expected: bool) -> bool:
    if found.count < _FEWEST and found.share * found.known < 1:
        return False
    if found.share >= ACCEPTED_SHARE:
        return found.known >= _LEAST_KNOWN and found.distinct >= _LEAST_DISTINCT
    if not all_expected or found.known < _MOSTLY_KNOWN or found.own < _LEAST_OWN:
        return False
    return found.distinct >= _LEAST_APART or found.known >= _ALL_KNOWN


def _assigned(
    labels: Sequence[str], form: Sequence[str], layout: ProfileLayout
) -> dict[int, Found]:
    """By column: what it was recognised as. A sure recognition goes before a vague one."""
    matched: dict[int, Found] = {}
    taken: set[str] = set()
    for how in How:
        spelt = _spellings(layout, how)
        for at, heading in enumerate(form):
            name = spelt.get(heading) if how is not How.STANDARD else _standard(labels[at])
            if name is None or at in matched or name in taken or layout.find(name) is None:
                continue
            matched[at] = Found(labels[at], name, how)
            taken.add(name)
    return matched


@lru_cache(maxsize=2_048)
def _spellings(layout: ProfileLayout, how: How) -> Mapping[str, str]:
    """Folded heading: machine name. The first column of a spelling keeps it."""
    spelt: dict[str, str] = {}
    for heading, name in _spelt(layout, how):
        spelt.setdefault(_folded(heading), name)
    return spelt


def _spelt(layout: ProfileLayout, how: How) -> Iterator[tuple[str, str]]:
    for each in layout.fields:
        if how is How.LABEL:
            yield each.field.label, each.field.name
        elif how is How.VARIANT:
            yield from ((variant, each.field.name) for variant in each.variants)
        elif how is How.NAME:
            yield each.field.name, each.field.name


@lru_cache(maxsize=16_384)
def _folded(label: str) -> str:
    return fold(label)


@lru_cache(maxsize=16_384)
def _standard(label: str) -> str | None:
    return standard_name(label)
