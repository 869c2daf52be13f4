"""Units in which offices write amounts, and what one is in another: exact, or none at all.

A unit that is not listed here is none that anybody guesses about.
"""

import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_DIGITS: Final = 9  # behind the point, where a division has no end: 坪 is 400/121 ㎡

# One of each is so many of the first of its line. Amounts of different lines are no amounts of
# each other. Counter words come with their myriads: 千人 is a thousand people.
_LINES: Final[tuple[Mapping[str, int | str], ...]] = (
    {"円": 1, "千円": 10**3, "万円": 10**4, "百万円": 10**6, "億円": 10**8},
    {"人": 1, "千人": 10**3, "万人": 10**4},
    {"世帯": 1, "千世帯": 10**3},
    {"m": 1, "メートル": 1, "mm": "1/1000", "cm": "1/100", "km": 1000, "キロメートル": 1000},
    {"m2": 1, "平方メートル": 1, "a": 100, "ha": 10**4, "ヘクタール": 10**4, "km2": 10**6,
     "平方キロメートル": 10**6, "坪": "400/121"},
    {"m3": 1, "立方メートル": 1, "kL": 1, "kl": 1, "L": "1/1000", "l": "1/1000",
     "リットル": "1/1000", "mL": "1/1000000", "ml": "1/1000000"},
    {"kg": 1, "キログラム": 1, "mg": "1/1000000", "g": "1/1000", "グラム": "1/1000", "t": 1000,
     "トン": 1000},
    {"秒": 1, "分": 60, "時間": 3600, "日": 86400},
    {"m/s": 1, "km/h": "5/18", "ノット": "463/900"},
    {"hPa": 1, "kPa": 10, "Pa": "1/100"},
    {"kWh": 1, "Wh": "1/1000", "MWh": 1000},
    {"%": 1, "パーセント": 1, "‰": "1/10", "割": 10},
)  # fmt: skip


def ratio(of: str, to: str) -> Fraction | None:
    """How many `to` one `of` is; None where nobody can say."""
    one, other = _plain(of), _plain(to)
    if one == other:
        return Fraction(1)
    for line in _LINES:
        if one in line and other in line:
            return Fraction(line[one]) / Fraction(line[other])
    return None


def times(amount: str, factor: Fraction) -> str:
    """A canonical decimal text, so many times as large."""
    made = Fraction(amount) * factor
    if not _ends(made.denominator):
        made = round(made, _DIGITS)
    digits = made.denominator.bit_length()  # never fewer than there are
    whole = str(abs(made.numerator) * 10**digits // made.denominator).rjust(digits + 1, "0")
    text = f"{whole[:-digits]}.{whole[-digits:]}".rstrip("0").rstrip(".")
    return f"-{text}" if made < 0 else text


def _ends(bottom: int) -> bool:
    """Whether a fraction with this below its line has an end as a decimal."""
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1


def _plain(unit: str) -> str:
    """㎡, m² and m2 are one unit, and so are ｋｍ and km; mg and Mg are two."""
    return unicodedata.normalize("NFKC", unit).strip()
