"""Names the rule by which a cell was repaired, from what stood there and what stands there now.

It never repairs anything itself, and never says more of a cell than the rule.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from app.formats.quality.repair_words import RULE_WORDS
from app.formats.text import CellError, ascii_dashes, ascii_digits
from app.formats.values import normaliser
from app.query.fields import Field, FieldType

MAPPED: Final = "mapping_applied"
# The publisher's own mapping, or the reading of a notation that the type itself has: no fault of
# the file. They are told in the ledger, and cost no quality.
AS_MEANT: Final = frozenset({MAPPED, "label_to_code", "boolean_word"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of repair, in words."""

    code: str
    ja: str
    en: str

    @property
    def can_be_refused(self) -> bool:
        """A publisher's mapping is changed as a mapping, not refused as a repair."""
        return self.code != MAPPED


RULES: Final[Mapping[str, Rule]] = {
    code: Rule(code, ja, en) for code, (ja, en) in RULE_WORDS.items()
}

_Special = Callable[[Field, str, str], str | None]

_ERA: Final = re.compile(r"(?:[令平昭大明㋿㍻㍼㍽㍾]|[RHSTM]\.?\s?[0-9元])")
_ENDS_IN_YEAR: Final = re.compile(r"([0-9]{1,2})[/.-]\s*([0-9]{1,2})[/.-]\s*[0-9]{4}")
_SERIAL: Final = re.compile(r"[0-9]{5}(?:\.0+)?(?:[T ]|$)")
_WEEKDAY: Final = re.compile(r"[(][日月火水木金土](?:曜日?)?[)]")
_MIDNIGHT: Final = re.compile(r"[T ]0{1,2}:00(?::00(?:\.0+)?)?$")
_OFFSET: Final = re.compile(r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$")
_NUMBER_ENDS: Final = frozenset("0123456789.")
_PHONE_WORD: Final = re.compile(r"(?:TEL|Tel|tel|電話)[:.]?")
_ZERO_BEFORE: Final = re.compile(r"[-+▲△−‐]?\s*0[0-9]")


def rule_of(field: Field, before: str | None, after: str) -> str:
    """The code (a key of `RULES`) of the repair that made `after` of `before` in `field`.

    `before` is the trimmed cell under the field's own heading, None where that cell was empty;
    `after` the canonical text. Where one cell needed several repairs, the weightiest is named.
    """
    if before is None:
        return "coordinates_swapped"  # an empty cell gets a value from its partner's column alone
    if field.code_list is not None and (after, before) in field.code_list:
        return "label_to_code"
    special = _SPECIAL.get(field.type)
    found = special(field, before, after) if special is not None else None
    return found or _spelling(before, after)


def _spelling(before: str, after: str) -> str:
    """Another way to write the very same characters."""
    plain = ascii_digits(before)
    if plain == after or plain.replace(" ", "") != before.replace("\u3000", "").replace(" ", ""):
        return "full_width_digits"
    if ascii_dashes(plain) != plain:
        return "dash_unified"
    if re.search(r"\s", before):
        return "blanks_removed"
    return "notation_unified"


def _date(_: Field, before: str, after: str) -> str:
    text = ascii_digits(before).strip()
    found = _date_form(text, after)
    if found is not None:
        return found
    if _WEEKDAY.search(text):
        return "weekday_removed"
    if _MIDNIGHT.search(text):
        return "midnight_removed"
    return "full_width_digits" if text == after else "date_notation"


def _date_form(text: str, after: str) -> str | None:
    """The ways to write a date that need more than a change of separators."""
    if _ERA.match(text):
        return "era_date"
    if found := _ENDS_IN_YEAR.match(text):
        return "month_first_date" if int(found[1]) == int(after[5:7]) else "day_first_date"
    return "excel_serial_date" if _SERIAL.match(text) else None


def _datetime(_: Field, before: str, after: str) -> str:
    text = ascii_digits(before).strip()
    found = _date_form(text, after)
    if found is not None:
        return found
    clock = re.split(r"[T ]", text, maxsplit=1)[-1]
    if clock == text or not _OFFSET.search(clock):
        return "japan_time_assumed"
    return "full_width_digits" if text == after else "datetime_notation"


def _month(_: Field, before: str, after: str) -> str:
    text = ascii_digits(before).strip()
    if _ERA.match(text):
        return "era_date"
    return "full_width_digits" if text == after else "date_notation"


def _time(_: Field, before: str, after: str) -> str:
    text = ascii_digits(before)
    if re.fullmatch(r"0?\.[0-9]+", text):
        return "excel_time_fraction"
    return "full_width_digits" if text == after else "time_notation"


def _number(field: Field, before: str, after: str) -> str | None:
    text = ascii_digits(before).strip()
    unit = ascii_digits(field.unit or "")
    if text[-1:] not in _NUMBER_ENDS or (unit and text.endswith(unit) and text != unit):
        return "unit_removed"
    if _ZERO_BEFORE.match(text):
        return "leading_zeros_removed"
    if text[:1] in "▲△−‐" or (text.startswith("-") and not after.startswith("-")):
        return "minus_sign"
    if "," in text:
        return "thousands_separator"
    if text.startswith("+"):
        return "plus_sign_removed"
    if "." in text and "." not in after:
        return "decimal_point_removed"
    return "decimal_point_completed" if text.lstrip("- ").startswith(".") else None


def _government_code(_: Field, before: str, after: str) -> str | None:
    digits = re.sub(r"\.0+$", "", ascii_digits(before).strip())
    if len(digits) == 4:
        return "zero_and_check_digit_restored"
    if after == f"0{digits}":
        return "leading_zero_restored"
    if len(digits) == 5:
        return "check_digit_completed"
    return "decimal_point_removed" if "." in ascii_digits(before) else None


def _phone(_: Field, before: str, _after: str) -> str | None:
    text = ascii_dashes(ascii_digits(before)).replace(" ", "")
    if _PHONE_WORD.match(text):
        return "phone_word_removed"
    return "phone_brackets" if re.match(r"[0-9]*\([0-9]+\)", text) else None


def _postal_code(_: Field, before: str, after: str) -> str | None:
    text = re.sub(r"\s", "", ascii_dashes(ascii_digits(before)))
    if "〒" in text:
        return "postal_mark_removed"
    return "postal_hyphen" if text != after else None


def _degrees(field: Field, before: str, after: str) -> str | None:
    """A cell that does not give the value by itself had its partner's place."""
    try:
        own = float(normaliser(field)(before))
    except CellError:
        return "coordinates_swapped"
    if abs(own - float(after)) > 1e-7:
        return "coordinates_swapped"
    text = ascii_digits(before)
    if re.search(r"[度°]", text):
        return "degrees_minutes_seconds"
    if re.search(r"北緯|東経|[NE]", text):
        return "hemisphere_removed"
    return "decimal_point_removed" if text.endswith(".") else None


def _always(code: str) -> _Special:
    return lambda _field, _before, _after: code


_SPECIAL: Final[Mapping[FieldType, _Special]] = {
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.TIME: _time,
    FieldType.MONTH: _month,
    FieldType.FISCAL_YEAR: _month,
    FieldType.INTEGER: _number,
    FieldType.DECIMAL: _number,
    FieldType.LOCAL_GOVERNMENT_CODE: _government_code,
    FieldType.PHONE: _phone,
    FieldType.POSTAL_CODE: _postal_code,
    FieldType.LATITUDE: _degrees,
    FieldType.LONGITUDE: _degrees,
    FieldType.BOOLEAN: _always("boolean_word"),
    FieldType.KANA: _always("kana_width"),
    FieldType.URL: _always("url_width"),
}
