"""Tells columns of twelve-digit codes from individual numbers; it keeps no value, only counts.

One of eleven codes has the right check digit by chance, such as 大字町丁目コード 302010001000. Numbers
of people are drawn at random, codes are given out in rows: so a value that could be a number is
taken for a code only in the company of others that begin alike and are none.
"""

from collections import Counter
from typing import Final

from app.formats.individual_number import is_number

_ALIKE: Final = 5  # leading digits, such as those of a municipality
_ABOUT_ALIKE: Final = 3
_COMPANY: Final = 2  # so many values that begin alike and are no numbers …
_LARGER_COMPANY: Final = 20  # … or so many that begin about alike
_LEAST: Final = 20  # values of a column of codes
_MOST_SHARE: Final = 1 / 3  # of it that could be numbers


class CodeColumn:
    """The bare twelve-digit values of one column, counted as they come."""

    __slots__ = ("_could", "_counted")

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._could: Counter[str] = Counter()  # those that could be numbers

    def count(self, value: str) -> None:
        """Note one value. Others than twelve bare digits are passed over."""
        if not is_bare(value):
            return
        could = is_number(value.encode())
        for digits in (0, _ABOUT_ALIKE, _ALIKE):
            self._counted[value[:digits]] += 1
            self._could[value[:digits]] += could

    def excuses(self, value: str) -> bool:
        """Whether a value that could be a number is one of the column's codes."""
        if not is_bare(value) or self._counted[""] < _LEAST:
            return False
        return self._could[""] <= self._counted[""] * _MOST_SHARE and (
            self._has_company(value[:_ALIKE], _COMPANY)
            or self._has_company(value[:_ABOUT_ALIKE], _LARGER_COMPANY)
        )

    def _has_company(self, beginning: str, least: int) -> bool:
        return self._counted[beginning] - self._could[beginning] >= max(
            least, self._could[beginning]
        )


def is_bare(value: str) -> bool:
    """Whether a value is nothing but twelve ASCII digits."""
    return len(value) == 12 and value.isascii() and value.isdigit()
