"""Masks: what is left of a field's value for a purpose. Read from text; knows no value and no key.

A mask is written as a word, `year`, or a word and a number, `bin(10)`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from app.query.fields import TEXT_TYPES, Field, FieldType

_WRITTEN: Final = re.compile(r"([a-z]+)([1-6])?(?:\(([0-9]{1,12}(?:\.[0-9]{1,6})?)\))?\Z", re.ASCII)


class Way(StrEnum):
    """How a value is made less."""

    DROP = "drop"  # nothing is left: as if the column were not named among those of the view
    PSEUDONYMISE = "pseudonymise"  # a stand-in of the reading organisation's own
    YEAR = "year"
    MONTH = "month"
    PREFECTURE = "prefecture"
    BIN = "bin"  # bin(width): the lower edge of the band, as in group_by
    FIRST = "first"  # first(characters); a text that is not longer is not shown
    ROUND = "round"  # round(decimals)
    MESH = "mesh"  # mesh1 to mesh6: the middle of the standard grid square (JIS X 0410)


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask. `number` is its width, characters, decimals or level, by its way."""

    way: Way
    number: Decimal = Decimal(0)


class NotAMask(Exception):
    """What is wrong with a mask, in both languages."""

    def __init__(self, ja: str, en: str) -> None:
        super().__init__(en)
        self.ja = ja
        self.en = en


_MOMENTS: Final = frozenset({FieldType.DATE, FieldType.DATETIME})
_DEGREES: Final = frozenset({FieldType.LATITUDE, FieldType.LONGITUDE})
# An address or a name in a web or mail address is not less for being cut.
_CUT: Final = frozenset(
    {FieldType.TEXT, FieldType.CODE, FieldType.POSTAL_CODE, FieldType.PHONE, FieldType.KANA}
)
_TAKES: Final[Mapping[Way, frozenset[FieldType]]] = {
    Way.DROP: frozenset(FieldType),
    Way.PSEUDONYMISE: TEXT_TYPES | {FieldType.INTEGER},
    Way.YEAR: _MOMENTS | {FieldType.MONTH},
    Way.MONTH: _MOMENTS,
    Way.PREFECTURE: frozenset({FieldType.LOCAL_GOVERNMENT_CODE}),
    Way.BIN: frozenset({FieldType.INTEGER, FieldType.DECIMAL}),
    Way.FIRST: _CUT,
    Way.ROUND: _DEGREES,
    Way.MESH: _DEGREES | {FieldType.GEOMETRY},
}
_WORDS: Final[Mapping[Way, str]] = {
    Way.BIN: "bin(10)", Way.FIRST: "first(3)", Way.ROUND: "round(2)", Way.MESH: "mesh3",
}  # fmt: skip
_LEAVES_AS: Final[Mapping[Way, FieldType]] = {
    Way.PSEUDONYMISE: FieldType.TEXT,
    Way.YEAR: FieldType.INTEGER,
    Way.MONTH: FieldType.MONTH,
    Way.FIRST: FieldType.TEXT,
}
_MOST_DECIMALS: Final = 4  # eleven metres


def read_mask(text: str, field: Field) -> Mask:
    """The mask for values of this field. Raises `NotAMask`, which names those that there are."""
    written = _WRITTEN.match(text)
    way = next((each for each in Way if written and each.value == written[1]), None)
    if written is None or way is None or field.type not in _TAKES[way]:
        raise _none_such(text, field)
    level, number = written[2], written[3]
    if (level is not None) != (way is Way.MESH):
        raise _none_such(text, field)
    if (number is not None) != (way in (Way.BIN, Way.FIRST, Way.ROUND)):
        raise _none_such(text, field)
    mask = Mask(way, Decimal(level or number or 0))
    if not _has_meaning(mask, field):
        raise _none_such(text, field)
    return mask


def _has_meaning(mask: Mask, field: Field) -> bool:
    is_whole = mask.number == mask.number.to_integral_value()
    match mask.way:
        case Way.BIN:
            return mask.number > 0 and (is_whole or field.type is FieldType.DECIMAL)
        case Way.FIRST:
            return is_whole and 1 <= mask.number <= 100
        case Way.ROUND:
            return is_whole and mask.number <= _MOST_DECIMALS
        case _:
            return True


def _none_such(text: str, field: Field) -> NotAMask:
    offered = ", ".join(
        _WORDS.get(way, way.value) for way, types in _TAKES.items() if field.type in types
    )
    return NotAMask(
        f"{text} は {field.type.value} の項目のマスクではありません。使えるもの: {offered}",
        f"{text} is no mask of a field of the type {field.type.value}. There are: {offered}",
    )


@dataclass(frozen=True, slots=True)
class Masked:
    """A field with what is left of its values."""

    field: Field
    mask: Mask

    @property
    def shown(self) -> Field:
        """The field as it leaves: no key, no code list, and of the type that its values have."""
        kind = _LEAVES_AS.get(self.mask.way, self.field.type)
        return replace(self.field, type=kind, key=False, code_list=None)
